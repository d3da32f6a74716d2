"""The values that rjob's layers hand to each other: what to run, what a job is now, what a verb brought about.

No behaviour lives here but what the value itself can answer.
"""

# Annotations are not postponed here: a NamedTuple would compile each of them again, at every start.
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from rjob.errors import RjobError

SCHEMA = 1
"""The version of the ``--json`` form; additions do not change it."""


class State(StrEnum):
    """Where a job stands.  The finished ones are final."""

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
    """What to run, and how.  Exactly one of ``argv``, ``line`` and ``script`` is given.

    Words are text; bytes that are not UTF-8 are carried as surrogate escapes (``os.fsencode``).
    """

    argv: tuple[str, ...] = ()
    """The command and its arguments, executed exactly as given; with ``script``, the script's arguments."""
    line: str | None = None
    """A shell line."""
    script: bytes | None = None
    """A script's text, sent along; its ``#!`` line or ``shell`` says what runs it."""
    script_name: str | None = None
    """The file that the script was read from, for display."""
    name: str | None = None
    cwd: str | None = None
    """The directory to run in; None is the home directory (for a job on this machine: the caller's)."""
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    """Environment that is never written to any disk."""
    stdin: bytes | None = None
    """What the command reads; None is the end of file at once."""
    shell: str | None = None
    """The program that runs ``line`` or ``script``."""
    login: bool = False
    """Run by the user's login shell, which reads its profile first."""
    time_limit: float | None = None
    """Seconds after which the job is ended."""
    merge: bool = False
    """Whether standard error goes where standard output goes."""
    retry_of: str | None = None
    """The instance id of the job that this one repeats."""

    def __repr__(self) -> str:
        """Everything but the values of the environment, which may be secret."""
        shown = self._replace(
            env=tuple((key, "…") for key, _ in self.env), secrets=tuple((key, "…") for key, _ in self.secrets)
        )
        return f"JobSpec{tuple(shown)!r}"


class Job(NamedTuple):
    """A job, as its owner's facts tell it at one moment."""

    # What it is called; where it stands.
    id: int
    name: str
    instance_id: str
    state: State
    ref: str
    """What to call it on the command line; carries ``@HOST`` when a host was named."""

    # How it came to stand there.
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None

    # Where it is.
    type: str = "BackgroundJob"
    location: str = "localhost"
    """Where the command runs, as the owner sees it."""
    host: str | None = None
    """The owner as the user named it; None is this machine."""
    owner: str = ""
    """The owner's own host name."""
    machine: str = ""
    """The owner's machine id."""

    # What it runs, and when it did.
    command: str = ""
    """The command in one line, for people."""
    argv: tuple[str, ...] | None = None
    line: str | None = None
    begin: datetime | None = None
    end: datetime | None = None

    # What it has written, and how much of that was received.
    out_bytes: int = 0
    err_bytes: int = 0
    out_received: int = 0
    err_received: int = 0

    # What belongs to it.
    retry_of: str | None = None
    survivors: int = 0
    """How many of its processes live on after its command has ended."""
    children: tuple["Job", ...] = ()
    record: dict[str, Any] = {}  # noqa: RUF012  (a NamedTuple's default; never changed)
    """The start record, whole."""
    foreign: bool = False
    """Whether it belongs to another machine under the home of the one that was asked."""

    @property
    def has_more_data(self) -> bool:
        """Whether there are bytes that nobody has received."""
        if self.children:
            return any(child.has_more_data for child in self.children)
        return _new(self.out_bytes, self.out_received) or _new(self.err_bytes, self.err_received)


def _new(size: int, received: int) -> bool:
    """Whether a stream holds new bytes.  Of one that was cut short after more had been received, all are new."""
    return size > received or 0 < size < received


class Result(NamedTuple):
    """What a verb brought about: the jobs it reached, and an error for each that it did not."""

    jobs: tuple[Job, ...] = ()
    errors: tuple[RjobError, ...] = ()
    more: int = 0
    """How many finished jobs a listing left out."""


class Finding(NamedTuple):
    """One thing that the doctor looked at."""

    level: str
    """``ok``, ``note`` (it works, but) or ``problem``."""
    text: str
    hint: str | None = None
