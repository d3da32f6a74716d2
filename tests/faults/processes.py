"""The living processes of an episode, found by their environment, and the role of each."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple


class Seen(NamedTuple):
    """A process as it was when it was looked at.

    Attributes:
        pid: Its id.
        parents: Its ancestors' ids, nearest first.
        role: Its role, one of :data:`ROLES`.
        instance: The instance id of the job that it belongs to or supervises; empty for none.
        words: Its arguments.
    """

    pid: int
    parents: tuple[int, ...]
    role: str
    instance: str
    words: tuple[str, ...]

    @property
    def of_a_job(self) -> bool:
        """Tell whether it is a job's command or supervises a job."""
        return bool(self.instance)


ROLES = ("client", "runner", "helper", "command", "supervisor", "claimant", "watcher", "recorder")
"""``claimant`` is a child of the supervisor, about to become the command; ``recorder`` records an end."""


def look_at(pid: int, marks: frozenset[bytes]) -> Seen | None:
    """Look at one process.

    Args:
        pid: Its id.
        marks: Variables of the environment; a process with one of them is the episode's.

    Returns:
        The process; None if it is not the episode's, or does not live.
    """
    try:
        environment = _read(f"/proc/{pid}/environ").split(b"\0")
        if not marks.intersection(environment):
            return None
        words = tuple(os.fsdecode(word) for word in _read(f"/proc/{pid}/cmdline").split(b"\0")[:-1])
        state, parent, session = _stat(pid)
    except (OSError, ValueError, IndexError):
        return None
    if state in "ZX" or pid == os.getpid():
        return None
    variables = dict(entry.partition(b"=")[::2] for entry in environment)
    command = variables.get(b"RJOB_INSTANCE", b"").decode()
    supervised = variables.get(b"RJOB_SUPERVISES", b"").decode()
    role = "command" if command else _supervising(pid, session, words) if supervised else _other(words)
    return Seen(pid, _ancestors(parent), role, command or supervised, words)


def look_around(marks: frozenset[bytes]) -> list[Seen]:
    """Return all living processes of the episode."""
    found = (look_at(int(entry), marks) for entry in os.listdir("/proc") if entry.isdigit())
    return [seen for seen in found if seen]


def kill_frozen(pid: int, marks: frozenset[bytes]) -> Seen | None:
    """Kill a process; return what it was at that moment.

    Args:
        pid: Its id.
        marks: See :func:`look_at`; a process without any of them is left alone.
    """
    if look_at(pid, marks) is None:
        return None
    try:
        os.kill(pid, signal.SIGSTOP)
        seen = look_at(pid, marks)
        # If the pid was reused between the two looks, the process is another one: let it go on.
        os.kill(pid, signal.SIGKILL if seen else signal.SIGCONT)
    except ProcessLookupError:
        return None
    return seen


def _supervising(pid: int, session: int, words: tuple[str, ...]) -> str:
    mode = words[2] if len(words) > 2 else ""
    if mode in ("watch", "expire") or Path(words[0] if words else "").name == "sleep":
        return "watcher"
    if mode == "ended":
        return "recorder"
    return "supervisor" if session == pid else "claimant"


def _other(words: tuple[str, ...]) -> str:
    if words[1:3] == ("-m", "rjob"):
        return "client"
    return "runner" if words[:2] == ("sh", "-c") and "rjob" in words[3:4] else "helper"


def _ancestors(pid: int) -> tuple[int, ...]:
    found: list[int] = []
    while pid > 1 and len(found) < 50:
        found.append(pid)
        try:
            pid = _stat(pid)[1]
        except (OSError, ValueError, IndexError):
            break
    return tuple(found)


def _stat(pid: int) -> tuple[str, int, int]:
    """Return the state, parent and session of a process."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[1]), int(fields[3])


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while data := os.read(descriptor, 65536):
            parts.append(data)
        return b"".join(parts)
    finally:
        os.close(descriptor)
