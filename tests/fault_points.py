"""The runner's fault points: comment lines ``#@ NAME`` in its parts, which tests replace by commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rjob.runner.posix import RUNNER

if TYPE_CHECKING:
    from world import World

_POINT = re.compile(r"^[ \t]*#@ (\S+)$", re.MULTILINE)


def names() -> list[str]:
    """Return the names of all fault points, in the order of the script."""
    return _POINT.findall(RUNNER.script.decode())


def runner_with(name: str, command: str) -> bytes:
    """Return the runner's script with a command in the place of a fault point.

    Args:
        name: The fault point.
        command: Lines of shell without ``'``, because a fault point may lie in a single-quoted text.

    Raises:
        ValueError: The command contains ``'``, or there is not exactly one such point.
    """
    if "'" in command:
        raise ValueError(f"a quote in a command: {command}")
    if names().count(name) != 1:
        raise ValueError(f"not one fault point, but {names().count(name)}: {name}")
    script = RUNNER.script.decode()
    return re.sub(rf"^[ \t]*#@ {re.escape(name)}$", lambda _: command, script, count=1, flags=re.MULTILINE).encode()


def keep(rjob: World, script: bytes) -> None:
    """Replace the runner that is cached in a world's home by a changed one."""
    folder = rjob.home / "runner"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    rjob.home.chmod(0o700)
    (folder / RUNNER.name).write_bytes(script)
