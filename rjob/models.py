"""The values that rjob's layers pass to each other: what to run, the state of a job, the result of a verb.

They have no behaviour beyond what a value can compute from itself.
"""

# Annotations are not postponed here: a NamedTuple would compile each of them again at every start.
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from rjob.errors import RjobError

SCHEMA = 1
"""The version of the ``--json`` format; additions do not change it."""


class State(StrEnum):
    """The state of a job. The finished states are final."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    DISCONNECTED = "Disconnected"
    STOPPING = "Stopping"
    BLOCKED = "Blocked"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"
    LOST = "Lost"

    @property
    def finished(self) -> bool:
        """Whether a job in this state will never change again."""
        return self in _FINISHED


_FINISHED = frozenset({State.COMPLETED, State.FAILED, State.STOPPED, State.LOST})


class JobSpec(NamedTuple):
    """What to run, and how. Exactly one of ``argv``, ``line`` and ``script`` is given.

    Words are text; bytes that are not UTF-8 are carried as surrogate escapes (``os.fsencode``).
    """

    argv: tuple[str, ...] = ()
    """The command and its arguments, executed exactly as given; with ``script``, the script's arguments."""
    line: str | None = None
    """A shell line."""
    script: bytes | None = None
    """A script's text, sent along; its ``#!`` line or ``shell`` names the interpreter."""
    script_name: str | None = None
    """The file that the script was read from, for display."""
    name: str | None = None
    cwd: str | None = None
    """The directory to run in; None for the home directory (for a job on this machine: the caller's directory)."""
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    """Environment variables that are never written to any disk."""
    stdin: bytes | None = None
    """The command's standard input; None for an immediate end of file."""
    shell: str | None = None
    """The program that runs ``line`` or ``script``."""
    login: bool = False
    """Whether the user's login shell, which reads its profile first, runs the job."""
    time_limit: float | None = None
    """Seconds after which the job is ended."""
    merge: bool = False
    """Whether standard error is merged into standard output."""
    retry_of: str | None = None
    """The instance id of the job that this one repeats."""

    def __repr__(self) -> str:
        """Show every field, but not the values of the environment, which may be secret."""
        shown = self._replace(
            env=tuple((key, "…") for key, _ in self.env), secrets=tuple((key, "…") for key, _ in self.secrets)
        )
        return f"JobSpec{tuple(shown)!r}"


class Job(NamedTuple):
    """A job at one moment, according to its owner's facts."""

    # Identity and state.
    id: int
    name: str
    instance_id: str
    state: State
    ref: str
    """The job's reference on the command line; carries ``@HOST`` if a host was named."""

    # The cause of the state.
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None

    # Place.
    type: str = "BackgroundJob"
    location: str = "localhost"
    """Where the command runs, as the owner sees it."""
    host: str | None = None
    """The owner as the user named it; None for this machine."""
    owner: str = ""
    """The owner's own host name."""
    machine: str = ""
    """The owner's machine id."""

    # Command and times.
    command: str = ""
    """The command in one line, for people."""
    argv: tuple[str, ...] | None = None
    line: str | None = None
    begin: datetime | None = None
    end: datetime | None = None

    # Output: bytes written and bytes received.
    out_bytes: int = 0
    err_bytes: int = 0
    out_received: int = 0
    err_received: int = 0

    # Relations and the record.
    retry_of: str | None = None
    survivors: int = 0
    """The number of its processes that live on after its command has ended."""
    children: tuple["Job", ...] = ()
    record: dict[str, Any] = {}  # noqa: RUF012  (a NamedTuple's default; never changed)
    """The complete start record."""
    foreign: bool = False
    """Whether it belongs to another machine that shares the home of the machine that answered."""

    @property
    def has_more_data(self) -> bool:
        """Whether there is output that has not been received."""
        if self.children:
            return any(child.has_more_data for child in self.children)
        return _new(self.out_bytes, self.out_received) or _new(self.err_bytes, self.err_received)


def _new(size: int, received: int) -> bool:
    """Whether a stream holds new bytes. If it was truncated below the received count, all its bytes are new."""
    return size > received or 0 < size < received


class Result(NamedTuple):
    """The result of a verb: the jobs that it reached, and an error for each that it did not."""

    jobs: tuple[Job, ...] = ()
    errors: tuple[RjobError, ...] = ()
    more: int = 0
    """The number of finished jobs that a listing left out."""


class Finding(NamedTuple):
    """One result of a check of the doctor."""

    level: str
    """``ok``, ``note`` (it works with a restriction) or ``problem``."""
    text: str
    hint: str | None = None
