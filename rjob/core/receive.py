"""Receiving: bringing a job's output home, each byte once.

What was written to the reader is one thing, what reached it another: the cursor moves by the latter.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rjob.core.collect import Collector, Named, shrank
from rjob.core.find import jobs_from_facts, named, removed, selectors
from rjob.errors import RjobError
from rjob.runner.facts import Facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from rjob.core.channel import Exchange
    from rjob.core.ledger import Ledger
    from rjob.core.options import Options, Streams
    from rjob.core.owner import Owner, OwnerResult
    from rjob.models import Job
    from rjob.references import Reference
    from rjob.transports.base import Stream

    Told = Callable[[Job, Stream, int, int], None]


async def receive(owner: Owner, references: Sequence[Reference], ledger: Ledger, options: Options) -> OwnerResult:
    """Deliver what is there of the jobs that references name.

    Args:
        owner: Whose jobs.
        references: Which, in this order.
        ledger: Where to.
        options: From where on, and whether it counts.

    Returns:
        The jobs, as they are after that.
    """
    collector = Collector(owner, Named(owner, references), ledger, options)
    async with _counting(collector, ledger):
        await collector.read()
    return _after(collector.result, ledger, options)


async def follow(owner: Owner, references: Sequence[Reference], ledger: Ledger, options: Options) -> OwnerResult:
    """Deliver the output of the jobs that references name as it is written, until they end.

    Args:
        owner: Whose jobs.
        references: Which.
        ledger: Where to.
        options: From where on, and whether it counts.

    Returns:
        The jobs in their last states; an error for each that could not be followed to its end.
    """
    return await follow_all(Collector(owner, Named(owner, references), ledger, options), ledger, options)


async def follow_all(collector: Collector, ledger: Ledger, options: Options) -> OwnerResult:
    """Deliver what a collector's jobs write, until they end.

    Args:
        collector: It.
        ledger: Where to.
        options: From where on, and whether it counts.

    Returns:
        See :func:`follow`.
    """
    begun = False

    def enough() -> bool:
        nonlocal begun
        if not begun:
            begun = True
            if len(collector.jobs) > 1:
                ledger.share()
            for job in collector.jobs.values():
                ledger.begin(job, options.streams)
        return ledger.gone

    failed: tuple[RjobError, ...] = ()
    try:
        with ledger.attended():
            async with _counting(collector, ledger):
                await collector.follow(enough)
    except RjobError as error:
        if not collector.jobs:
            raise
        error.host = error.host or collector.owner.host
        failed = (error,)
    found = collector.result
    if failed:
        # Of the others it is not known how they end.
        found = found._replace(jobs=tuple(job for job in found.jobs if job.instance_id not in collector.pending))
    return _after(found._replace(errors=found.errors + failed), ledger, options)


@asynccontextmanager
async def _counting(collector: Collector, ledger: Ledger) -> AsyncIterator[None]:
    """Whatever ends what is done in here: what it delivered counts as received."""
    try:
        with ledger.interrupts:
            yield
    except GeneratorExit:
        raise
    except BaseException:
        try:
            await _move(collector)
        except RjobError:
            # What went wrong first is what is told.
            pass
        raise
    if ledger.gone:
        await _move(collector)


async def _move(collector: Collector) -> None:
    if moves := " ".join(collector.progress()):
        await collector.owner.channel.call("received", moves)


def _after(found: OwnerResult, ledger: Ledger, options: Options) -> OwnerResult:
    """The jobs, with their cursors where the delivery has put them."""
    if not options.moves:
        return found
    delivered = ledger.delivered(job.instance_id for job in found.jobs)
    after = []
    for job in found.jobs:
        out, err = delivered.get(job.instance_id, (0, 0))
        # A cursor beyond the end was of a stream that is no more.
        out_before = job.out_received if job.out_received <= job.out_bytes else 0
        err_before = job.err_received if job.err_received <= job.err_bytes else 0
        after.append(job._replace(out_received=max(out_before, out), err_received=max(err_before, err)))
    return found._replace(jobs=tuple(after))


async def save(
    owner: Owner, references: Sequence[Reference], path: str, streams: Streams, told: Told | None = None
) -> OwnerResult:
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

    async def talk(exchange: Exchange) -> OwnerResult:
        facts = Facts()
        ready = await exchange.tell(facts)
        found = await named(owner, references, facts)
        if not ready or not found.jobs:
            return found
        await exchange.say(*(job.instance_id for job in found.jobs), "end")
        after = facts.again()
        await exchange.tell(after)
        by_id = {job.instance_id: job for job in found.jobs}
        for words in after.other:
            if told and (shrunk := shrank(words)) and shrunk[0] in by_id:
                told(by_id[shrunk[0]], *shrunk[1:])
        jobs, errors = await jobs_from_facts(owner, after)
        return _replaced(owner, found, jobs, errors)

    return await owner.channel.converse(talk, "save", streams, path, *selectors(references))


def _replaced(owner: Owner, found: OwnerResult, jobs: dict[str, Job], errors: dict[str, RjobError]) -> OwnerResult:
    """The jobs that were found as they are now; an error for each that is no longer there."""
    missing = [job for job in found.jobs if job.instance_id not in jobs]
    wrong = tuple(errors.get(job.instance_id) or removed(owner, job) for job in missing)
    there = tuple(jobs[job.instance_id] for job in found.jobs if job.instance_id in jobs)
    return found._replace(jobs=there, errors=found.errors + wrong)
