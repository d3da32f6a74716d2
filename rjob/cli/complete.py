"""Completion of hosts and jobs, from this machine's files only: fast, and silent on every error."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Only the end of a long registry is read: users ask for the newest jobs.
_TAIL = 256 * 1024
# Other words would need quoting, which differs from shell to shell.
_PLAIN = re.compile(r"\w[\w.+-]*")


def hosts(incomplete: str) -> list[str]:
    """Return the hosts and groups of the settings file that begin with a word.

    Args:
        incomplete: The beginning of the word.
    """
    try:
        from rjob.config import Config

        config = Config.load()
        names = [".", *config.host_names, *(f"@{group}" for group in config.group_names), "@all"]
    except Exception:  # no error may disturb the line that is being typed
        return []
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def jobs(incomplete: str) -> list[str]:
    """Return the ids and names of this machine's jobs that begin with a word.

    Args:
        incomplete: The beginning of the word.
    """
    try:
        words = dict.fromkeys(["last", *_known()])
    except Exception:  # no error may disturb the line that is being typed
        return []
    return [word for word in words if word.startswith(incomplete)]


def states(incomplete: str) -> list[str]:
    """Return the states that begin with a word.

    Args:
        incomplete: The beginning of the word.
    """
    from rjob.models import State

    return [word for word in (str(state).lower() for state in State) if word.startswith(incomplete.lower())]


def _known() -> Iterator[str]:
    """Yield ids and names, the newest first."""
    import json

    owner = _owner()
    if owner is None:
        return
    ids = set(os.listdir(owner / "ids"))
    for line in reversed(_end(owner / "registry.jsonl")):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("event") == "start" and str(event.get("id")) in ids:
            yield str(event["id"])
            if _PLAIN.fullmatch(name := event.get("name") or ""):
                yield name


def _owner() -> Path | None:
    """Return this machine's folder in the home; None if it is unknown."""
    from pathlib import Path

    from rjob.config import home

    machine = os.environ.get("RJOB_MACHINE")
    if not machine and (file := Path("/etc/machine-id")).exists():
        machine = file.read_text().strip()
    if machine:
        return home() / machine
    # Finding the machine id would need a program here: if there is a single folder, it is this machine's.
    folders = [path.parent for path in home().glob("*/registry.jsonl")]
    return folders[0] if len(folders) == 1 else None


def _end(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return file.read().split(b"\n")
