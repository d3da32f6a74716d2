"""Receiving: bringing a job's output home, each byte once.

What was written to the reader is one thing, what reached it another: the cursor moves by the latter.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from rjob.core.find import look_up, removed, settle
from rjob.core.loop import each, running
from rjob.core.owner import Patience
from rjob.core.pace import Pace
from rjob.errors import RjobError, TransportError
from rjob.runner.facts import Facts, number
from rjob.runner.protocol import Bytes, Data, Line, Ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from rjob.core.ledger import Ledger
    from rjob.core.options import Options, Stream, Streams
    from rjob.core.owner import Exchange, Found, Owner
    from rjob.models import Job
    from rjob.references import Reference

    Told = Callable[[Job, Stream, int, int], None]

_LIFE = 600
"""Seconds after which a follower on the host ends by itself, to be asked for again."""

_FOLLOWERS = 6
"""Jobs that are followed at a time on one connection; sshd admits ten commands."""

_GOOD = 60.0
"""Seconds after which a connection that breaks counts as one that was good."""


async def receive(owner: Owner, references: Sequence[Reference], ledger: Ledger, options: Options) -> Found:
    """Deliver what is there of the jobs that references name.

    Args:
        owner: Whose jobs.
        references: Which, in this order.
        ledger: Where to.
        options: From where on, and whether it counts.

    Returns:
        The jobs, as they are after that.
    """
    found = await look_up(owner, references)
    if not found.jobs:
        return found
    async with _counting(owner, ledger, found.jobs, options):
        reading = await _read_through(owner, found.jobs, ledger, options)
    jobs = reading.jobs
    if options.moves:
        jobs = _after(jobs, ledger)
    return found._replace(jobs=jobs, errors=found.errors + reading.errors)


async def save(
    owner: Owner, references: Sequence[Reference], path: str, streams: Streams, told: Told | None = None
) -> Found:
    """Append what is new to a file on the owner; what stands there was received.

    Args:
        owner: Whose jobs.
        references: Which, in this order.
        path: The file; a relative one is below the home directory.
        streams: Which of the two.
        told: Is told of each stream that a job has cut short: the job, the stream, how far it was received, its size.

    Returns:
        The jobs, as they are after that.
    """
    found = await look_up(owner, references)
    if not found.jobs:
        return found
    selectors = [f"instance {job.instance_id}" for job in found.jobs]
    facts = await owner.call("save", streams, path, *selectors)
    by_id = {job.instance_id: job for job in found.jobs}
    job = found.jobs[0]
    for words in facts.other:
        job = by_id.get(words[-1], job) if words[0] == "bytes" else job
        if told and (shrunk := _shrunk(words)):
            told(job, *shrunk)
    jobs, errors = await settle(owner, facts)
    return _replaced(owner, found, jobs, errors)


def _replaced(owner: Owner, found: Found, jobs: dict[str, Job], errors: dict[str, RjobError]) -> Found:
    """The jobs that were found as they are now; an error for each that is no longer there."""
    missing = [job for job in found.jobs if job.instance_id not in jobs]
    wrong = tuple(errors.get(job.instance_id) or removed(owner, job) for job in missing)
    there = tuple(jobs[job.instance_id] for job in found.jobs if job.instance_id in jobs)
    return found._replace(jobs=there, errors=found.errors + wrong)


@asynccontextmanager
async def _counting(owner: Owner, ledger: Ledger, jobs: Sequence[Job], options: Options) -> AsyncIterator[None]:
    """Whatever ends what is done in here: what it delivered counts as received."""
    try:
        with ledger.interrupts:
            yield
    except GeneratorExit:
        raise
    except BaseException:
        if options.moves:
            try:
                await _move(owner, ledger, jobs)
            except RjobError:
                # What went wrong first is what is told.
                pass
        raise


async def _read_through(owner: Owner, jobs: Sequence[Job], ledger: Ledger, options: Options) -> _Reading:
    """Read what is there, also when the connection breaks on the way."""
    patience = Patience(owner)
    while True:
        try:
            # After a break: what arrived before it counts, even if the rest never comes.
            if options.moves:
                await _move(owner, ledger, jobs)
            return await _read(owner, jobs, ledger, options)
        except TransportError as error:
            await patience.bear(error)


class _Reading(NamedTuple):
    """What a read brought: jobs as they were before it, why others are missing, the offsets behind the last bytes."""

    jobs: tuple[Job, ...]
    errors: tuple[RjobError, ...]
    ends: dict[str, dict[Stream, int]]


async def _read(owner: Owner, jobs: Sequence[Job], ledger: Ledger, options: Options, where: str = "") -> _Reading:
    """Read what is there, write it to the ledger, move the cursors by what was delivered."""
    by_id = {job.instance_id: job for job in jobs}
    ends: dict[str, dict[Stream, int]] = {uuid: {"out": 0, "err": 0} for uuid in by_id}
    facts = Facts()
    job = jobs[0]
    arguments = [
        options.streams,
        where or options.position.words(),
        "ack" if options.moves else "keep",
        *(f"instance {uuid}" for uuid in by_id),
    ]
    async with owner.exchange("read", *arguments) as exchange:
        receiver = _Receiver(ledger)
        async for event in exchange.events():
            if isinstance(event, Line):
                job = by_id.get(event.text.removeprefix("bytes "), job)
                facts.add(event.text)
            elif isinstance(event, Ready):
                await _acknowledge(exchange, ledger, jobs)
            receiver.take(job, ends[job.instance_id], event)
            if ledger.gone:
                break
    if ledger.gone and options.moves:
        # The rest of the reply was not worth waiting for, so the cursors are moved by an operation of their own.
        await _move(owner, ledger, jobs)
    made, errors = await settle(owner, facts)
    missing = [job for job in jobs if job.instance_id not in made]
    if ledger.gone:
        return _Reading(tuple(made.get(job.instance_id, job) for job in jobs), (), ends)
    return _Reading(
        tuple(made[uuid] for uuid in by_id if uuid in made),
        tuple(errors.get(job.instance_id) or removed(owner, job) for job in missing),
        ends,
    )


class _Receiver:
    """Hands what a reply brings of jobs' streams to a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._stream: Stream = "out"

    def take(self, job: Job, at: dict[Stream, int], event: object, streams: Streams = "both") -> bool:
        """Take one event; ``at`` is how far the job's streams have come.

        Returns:
            Whether it brought bytes.
        """
        if isinstance(event, Data):
            self._stream = "err" if event.name == "err" else "out"
            at[self._stream] = event.offset
        elif isinstance(event, Bytes):
            if streams in ("both", self._stream):
                self._ledger.write(job, self._stream, at[self._stream], event.data)
            at[self._stream] += len(event.data)
            return True
        elif isinstance(event, Line) and (shrunk := _shrunk(event.words)):
            stream, position, size = shrunk
            if streams in ("both", stream):
                self._ledger.rewind(job, stream, position, size)
            at[stream] = 0
        return False


def _shrunk(words: Sequence[str]) -> tuple[Stream, int, int] | None:
    """What a ``shrank`` line tells: the stream, how far it was received, its size."""
    if len(words) != 4 or words[0] != "shrank":
        return None
    position, size = number(words[2]), number(words[3])
    if position is None or size is None or size >= position:
        return None
    return ("err" if words[1] == "err" else "out"), position, size


async def _acknowledge(exchange: Exchange, ledger: Ledger, jobs: Sequence[Job]) -> None:
    for uuid, (out, err) in ledger.delivered(job.instance_id for job in jobs).items():
        await exchange.say(f"{uuid} {out} {err}\n".encode())
    await exchange.say(b"end\n")


async def _move(owner: Owner, ledger: Ledger, jobs: Sequence[Job]) -> None:
    delivered = ledger.delivered(job.instance_id for job in jobs)
    moves = " ".join(f"{uuid} {out} {err}" for uuid, (out, err) in delivered.items())
    if moves:
        await owner.call("received", moves)


def _after(jobs: Sequence[Job], ledger: Ledger) -> tuple[Job, ...]:
    """The jobs, with their cursors where the delivery has put them."""
    delivered = ledger.delivered(job.instance_id for job in jobs)
    after = []
    for job in jobs:
        out, err = delivered.get(job.instance_id, (0, 0))
        # A cursor beyond the end was of a stream that is no more.
        out_before = job.out_received if job.out_received <= job.out_bytes else 0
        err_before = job.err_received if job.err_received <= job.err_bytes else 0
        after.append(job._replace(out_received=max(out_before, out), err_received=max(err_before, err)))
    return tuple(after)


async def follow(owner: Owner, references: Sequence[Reference], ledger: Ledger, options: Options) -> Found:
    """Deliver the output of the jobs that references name as it is written, until they end.

    Args:
        owner: Whose jobs.
        references: Which.
        ledger: Where to.
        options: From where on, and whether it counts.

    Returns:
        The jobs in their last states; an error for each that could not be followed to its end.
    """
    found = await look_up(owner, references)
    if len(found.jobs) > 1:
        ledger.share()
    for job in found.jobs:
        ledger.begin(job, options.streams)

    async def one(job: Job) -> Job | RjobError:
        with ledger.attended():
            try:
                return await _follow(owner, job, ledger, options)
            except RjobError as error:
                error.host = error.host or owner.host
                return error
            finally:
                ledger.leave(job)
        return job

    if running():
        ends = await each(found.jobs, one, _FOLLOWERS)
    else:
        ends = [await one(job) for job in found.jobs]
    return found._replace(
        jobs=tuple(end for end in ends if not isinstance(end, RjobError)),
        errors=found.errors + tuple(end for end in ends if isinstance(end, RjobError)),
    )


async def _follow(owner: Owner, job: Job, ledger: Ledger, options: Options) -> Job:
    """Deliver one job's output until it ends; return its last state."""
    at: dict[Stream, int] = {}
    where = options.position.words()
    patience, pace, began = Patience(owner), Pace(), time.monotonic()
    async with _counting(owner, ledger, [job], options):
        while not ledger.gone:
            try:
                began = time.monotonic()
                # The state is read before the bytes: after a finished job's rest there is nothing more.
                reading = await _read(owner, [job], ledger, options._replace(keep=True), where)
                if reading.errors:
                    raise reading.errors[0]
                job, at = reading.jobs[0], reading.ends[job.instance_id]
                where = f"{at['out']} {at['err']}"
                if job.state.finished or ledger.gone:
                    break
                progress = await _stream(owner, job, ledger, options.streams, at)
                where = f"{at['out']} {at['err']}"
                patience.reset()
                await pace.after(progress)
            except TransportError as error:
                # Positions are ours, so nothing is lost or told twice.
                where = f"{at['out']} {at['err']}" if at else where
                if time.monotonic() - began > _GOOD:
                    patience.reset()
                await patience.bear(error)
        ledger.finish(job)
        if options.moves:
            await _move(owner, ledger, [job])
    return _after([job], ledger)[0] if options.moves else job


async def _stream(owner: Owner, job: Job, ledger: Ledger, streams: Streams, at: dict[Stream, int]) -> bool:
    """Deliver what is written, as it is written, for a while or until the job ends.

    Args:
        owner: Whose job.
        job: Which.
        ledger: Where to.
        streams: Which of the two.
        at: How far they have come; it is kept up to date.

    Returns:
        Whether anything came.
    """
    receiver, progress = _Receiver(ledger), False
    positions = (str(at["out"]), str(at["err"]), str(_LIFE))
    async with owner.exchange("follow", job.instance_id, *positions) as exchange:
        async for event in exchange.events():
            progress |= receiver.take(job, at, event, streams)
            if ledger.gone:
                break
    return progress
