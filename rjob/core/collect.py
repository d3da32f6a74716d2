"""Collecting: the output of one owner's jobs and their ends, as the runner reports them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from rjob.core.find import jobs_from_facts, named, removed, selectors
from rjob.core.options import Options
from rjob.core.owner import OwnerResult
from rjob.core.pace import Pace
from rjob.errors import ConnectionLost, RjobError
from rjob.runner.facts import Facts
from rjob.runner.protocol import Bytes, Data, End, Line
from rjob.runner.values import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.channel import Exchange
    from rjob.core.ledger import Ledger
    from rjob.core.owner import Owner
    from rjob.models import Job
    from rjob.references import Reference
    from rjob.runner.protocol import Event
    from rjob.transports.base import Stream

T = TypeVar("T")

_STREAMS: tuple[Stream, Stream] = ("out", "err")


Begun = Callable[[OwnerResult], Awaitable[None]]


class Source(Protocol):
    """The jobs that a collector follows."""

    def request(self) -> tuple[Sequence[str | bytes], bytes]:
        """Return the lines and the body of the ``collect`` request."""

    async def found(self, facts: Facts) -> OwnerResult:
        """Return the jobs.

        Args:
            facts: The owner's first reply.
        """


class Named:
    """The jobs that references name.

    Args:
        owner: The owner of the jobs.
        references: The references.
    """

    def __init__(self, owner: Owner, references: Sequence[Reference]) -> None:
        self._owner = owner
        self._references = references

    def request(self) -> tuple[Sequence[str | bytes], bytes]:
        """Return the selectors as lines, and an empty body."""
        return selectors(self._references), b""

    async def found(self, facts: Facts) -> OwnerResult:
        """Return the jobs that match the references."""
        return await named(self._owner, self._references, facts)


class Collector:
    """A follower of some jobs of one owner, across broken connections.

    Args:
        owner: The owner of the jobs.
        source: The jobs to follow.
        ledger: Receives the jobs' output; None if it is not wanted.
        options: Which part of the output to deliver.
        begun: Is called with the jobs once they are known; following starts after it returns.

    Attributes:
        found: What the source returned at first.
        jobs: The jobs as they are now, by instance id.
        errors: For jobs that can no longer be followed: the reason, by instance id.
        pending: The jobs whose end has not been reported, by instance id.
        asked: Whether the owner has reported its jobs.
    """

    def __init__(
        self,
        owner: Owner,
        source: Source,
        ledger: Ledger | None = None,
        options: Options | None = None,
        begun: Begun | None = None,
    ) -> None:
        self.owner = owner
        self.found = OwnerResult(owner)
        self.jobs: dict[str, Job] = {}
        self.errors: dict[str, RjobError] = {}
        self.pending: dict[str, Job] = {}
        self._source = source
        self._ledger = ledger
        self._options = options or Options()
        self._begun = begun
        self.asked = False
        self._facts = Facts()
        self._settled: tuple[dict[str, Job], dict[str, RjobError]] | None = None
        self._places: dict[tuple[str, Stream], str] = {}
        self._stream: tuple[str, Stream] = ("", "out")
        self._pace = Pace()

    @property
    def result(self) -> OwnerResult:
        """The jobs as they are now, in the order in which they were found; an error for each that is gone."""
        jobs = tuple(self.jobs[job.instance_id] for job in self.found.jobs if job.instance_id in self.jobs)
        return self.found._replace(jobs=jobs, errors=self.found.errors + tuple(self.errors.values()))

    async def read(self) -> None:
        """Deliver the output that exists now."""
        await self._converse(self._read)

    async def follow(self, enough: Callable[[], bool]) -> None:
        """Deliver output as it is written, until all jobs have ended.

        Args:
            enough: Returns whether to stop earlier; called after each event.
        """

        async def talk(exchange: Exchange) -> bool:
            return await self._look_on(exchange, enough)

        while not await self._converse(talk):
            # The operation has reached the runner's maximum lifetime: continue with another one.
            pass

    async def _converse(self, talk: Callable[[Exchange], Awaitable[T]]) -> T:
        lines, body = self._source.request()
        return await self.owner.channel.converse(talk, "collect", *lines, body=body)

    def progress(self) -> list[str]:
        """Return how far the jobs' streams were delivered, ``UUID OUT ERR`` each; empty if cursors are not to move."""
        if self._ledger is None or not self._options.moves:
            return []
        return [f"{uuid} {out} {err}" for uuid, (out, err) in self._ledger.delivered(self.jobs).items()]

    # -------------------------------------------------------------------------------------------------- exchanges

    async def _begin(self, exchange: Exchange) -> bool:
        """Take the jobs from the source, at the first call; return whether the runner waits for further lines."""
        facts = Facts()
        ready = await exchange.tell(facts)
        self._facts, self._settled = facts.again(), None
        if not self.asked:
            self.found = await self._source.found(facts)
            self.asked = True
            self.jobs = {job.instance_id: job for job in self.found.jobs}
            # A finished job may have output to deliver, but need not be waited for.
            self.pending = {uuid: job for uuid, job in self.jobs.items() if self._ledger or not job.state.finished}
            self._places = {(uuid, stream): self._options.place(stream) for uuid in self.jobs for stream in _STREAMS}
            if self._begun:
                await self._begun(self.found)
        return ready

    async def _read(self, exchange: Exchange) -> None:
        if not await self._begin(exchange) or not self.jobs:
            return
        # After a reconnect, first report what was delivered before: it counts even if the rest never arrives.
        await exchange.say(*self._received(), *map(self._add, self.jobs), "once")
        async for event in exchange.events():
            await self._take(event)
            if self._ledger and self._ledger.gone:
                # Without a reader, the rest need not be waited for.
                return
        await self._finish(exchange)

    async def _look_on(self, exchange: Exchange, enough: Callable[[], bool]) -> bool:
        """Follow the pending jobs; return whether there is nothing more to follow."""
        life, began = self.owner.runner.life, time.monotonic()
        ready = await self._begin(exchange)
        if ready and self.pending and not enough():
            await exchange.say(*map(self._add, self.pending), "look")
        while self.pending and not enough():
            event = await exchange.next()
            if isinstance(event, End):
                raise ConnectionLost("the runner on the host was ended while it looked on")
            if again := await self._take(event):
                await self._pace.after(False)
                await exchange.say("pause", self._add(again), "look")
            if self._ledger and self._ledger.gone:
                return True
            if life and time.monotonic() - began > life:
                break
        if ready and self.progress():
            await exchange.say("pause")
            await self._finish(exchange)
        return not self.pending or enough()

    async def _finish(self, exchange: Exchange) -> None:
        """Have the owner move its cursors to what was delivered, if the options ask for it."""
        if orders := self._received():
            await exchange.say(*orders, "end")
            while not isinstance(await exchange.next(), End):
                pass

    def _received(self) -> list[str]:
        return [f"received {words}" for words in self.progress()]

    def _add(self, uuid: str) -> str:
        return f"add {uuid} {self._places[uuid, 'out']} {self._places[uuid, 'err']}"

    # ------------------------------------------------------------------------------------------------------- events

    async def _take(self, event: Event) -> str | None:
        """Process an event. Return the instance id of a job that it reports as ended while the facts do not."""
        if isinstance(event, Data):
            uuid, _, name = event.name.partition("/")
            # Output that was not requested is dropped, without remembering its position.
            self._stream = (uuid, "err" if name == "err" else "out") if uuid in self.jobs else ("", "out")
            self._places[self._stream] = str(event.offset)
        elif isinstance(event, Bytes):
            self._deliver(event.data)
        elif isinstance(event, Line):
            return await self._take_line(event)
        return None

    def _deliver(self, data: bytes) -> None:
        uuid, stream = self._stream
        at = int(self._places[uuid, stream])
        if self._ledger and uuid in self.jobs:
            self._ledger.write(self.jobs[uuid], stream, at, data)
        self._places[uuid, stream] = str(at + len(data))

    async def _take_line(self, line: Line) -> str | None:
        words = line.words
        if words[0] in ("ended", "gone") and len(words) == 2:
            return await self._end(words[1], gone=words[0] == "gone")
        if self._settled:
            self._facts, self._settled = self._facts.again(), None
        if (shrunk := shrank(words)) and self._ledger and shrunk[0] in self.jobs:
            uuid, stream, position, size = shrunk
            self._ledger.rewind(self.jobs[uuid], stream, position, size)
            self._places[uuid, stream] = "0"
        else:
            self._facts.add(line.text)
        return None

    async def _end(self, uuid: str, *, gone: bool) -> str | None:
        if uuid not in self.pending:
            return None
        if self._settled is None:
            self._settled = await jobs_from_facts(self.owner, self._facts)
        jobs, errors = self._settled
        job = None if gone else jobs.get(uuid)
        if job is not None and not job.state.finished:
            return uuid
        before = self.pending.pop(uuid)
        if job is not None:
            self.jobs[uuid] = job
        else:
            self.errors[uuid] = errors.get(uuid) or removed(self.owner, before)
            del self.jobs[uuid]
        if self._ledger:
            self._ledger.finish(before)
        return None


def shrank(words: Sequence[str]) -> tuple[str, Stream, int, int] | None:
    """Parse a ``shrank`` line.

    Args:
        words: The line's words.

    Returns:
        The job's instance id, the stream, the received position and the size (both in bytes); None if malformed.
    """
    if len(words) != 4 or words[0] != "shrank":
        return None
    uuid, _, name = words[1].partition("/")
    position, size = number(words[2]), number(words[3])
    if position is None or size is None or size >= position:
        return None
    return uuid, ("err" if name == "err" else "out"), position, size
