"""Options of the verbs: which jobs, and which part of their output."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from rjob.models import Job, State
    from rjob.transports.base import Stream

Streams = Literal["both", "out", "err"]


class Query(NamedTuple):
    """A selection of the jobs of a listing; by default the unfinished and the newest finished ones."""

    all: bool = False
    states: frozenset[State] = frozenset()
    name: str | None = None
    location: str | None = None
    newest: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def filtered(self) -> bool:
        """Whether the facts of every job are needed."""
        return self.all or bool(self.states or self.name or self.location or self.since or self.until)

    def admits(self, job: Job) -> bool:
        """Whether a job meets the conditions."""
        return (
            (not self.states or job.state in self.states)
            and (self.name is None or fnmatchcase(job.name.casefold(), self.name.casefold()))
            and (self.location is None or fnmatchcase(job.location.casefold(), self.location.casefold()))
            and (self.since is None or (job.begin is not None and job.begin >= self.since))
            and (self.until is None or (job.begin is not None and job.begin <= self.until))
        )


class Position(NamedTuple):
    """Where in a job's output to begin: at the cursor, the beginning or the last lines; or ``none`` for no output."""

    kind: Literal["cursor", "all", "tail", "none"] = "cursor"
    lines: int = 0

    @property
    def word(self) -> str:
        """The position as a word of the runner protocol."""
        return {"cursor": "cursor", "all": "0", "tail": f"tail:{self.lines}", "none": "-"}[self.kind]


class Options(NamedTuple):
    """Options of receiving."""

    position: Position = Position()
    keep: bool = False
    """Whether to leave the cursor where it is."""
    streams: Streams = "both"

    @property
    def moves(self) -> bool:
        """Whether delivered output counts as received."""
        return not self.keep and self.position.kind == "cursor"

    def place(self, stream: Stream) -> str:
        """Return the position to send a stream from, as a word of the protocol; ``-`` if it is not wanted."""
        return self.position.word if self.streams in ("both", stream) else "-"
