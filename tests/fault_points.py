"""The runner's named fault points: comment lines ``#@ NAME`` in its parts, which only tests turn into commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rjob.runner.posix import RUNNER

if TYPE_CHECKING:
    from world import World

_POINT = re.compile(r"^[ \t]*#@ (\S+)$", re.MULTILINE)


def names() -> list[str]:
    """The names of all fault points, in the order in which they stand."""
    return _POINT.findall(RUNNER.script.decode())


def runner_with(name: str, command: str) -> bytes:
    """Make a runner that does something of a test's at a fault point.

    Args:
        name: The fault point.
        command: Lines of shell; without ``'``, for a point may lie in a text within single quotes.

    Raises:
        ValueError: There is no such point, or more than one.
    """
    if "'" in command:
        raise ValueError(f"a quote in a command: {command}")
    if names().count(name) != 1:
        raise ValueError(f"not one fault point, but {names().count(name)}: {name}")
    script = RUNNER.script.decode()
    return re.sub(rf"^[ \t]*#@ {re.escape(name)}$", lambda _: command, script, count=1, flags=re.MULTILINE).encode()


def keep(rjob: World, script: bytes) -> None:
    """Put a changed runner in the place of the cached one."""
    folder = rjob.home / "runner"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    rjob.home.chmod(0o700)
    (folder / RUNNER.name).write_bytes(script)
