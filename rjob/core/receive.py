"""Receiving: delivering jobs' output to this machine, each byte once.

Written bytes may not all reach the reader: the cursor moves by those that did.
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
    """Deliver the present output of the jobs that references name.

    Args:
        owner: The owner of the jobs.
        references: The references, in the order of delivery.
        ledger: Receives the output.
        options: Where to begin, and whether the cursor moves.

    Returns:
        The jobs as they are afterwards.
    """
    collector = Collector(owner, Named(owner, references), ledger, options)
    async with _counting(collector, ledger):
        await collector.read()
    return _after(collector.result, ledger, options)


async def follow(owner: Owner, references: Sequence[Reference], ledger: Ledger, options: Options) -> OwnerResult:
    """Deliver the output of the jobs that references name as it is written, until they end.

    Args:
        owner: The owner of the jobs.
        references: The references.
        ledger: Receives the output.
        options: Where to begin, and whether the cursor moves.

    Returns:
        The jobs in their last states; an error for each that could not be followed to its end.
    """
    return await follow_all(Collector(owner, Named(owner, references), ledger, options), ledger, options)


async def follow_all(collector: Collector, ledger: Ledger, options: Options) -> OwnerResult:
    """Deliver the output of a collector's jobs, until they end.

    Args:
        collector: The collector.
        ledger: Receives the output.
        options: Where to begin, and whether the cursor moves.

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
        # How the pending jobs end is unknown.
        found = found._replace(jobs=tuple(job for job in found.jobs if job.instance_id not in collector.pending))
    return _after(found._replace(errors=found.errors + failed), ledger, options)


@asynccontextmanager
async def _counting(collector: Collector, ledger: Ledger) -> AsyncIterator[None]:
    """Move the cursors by what was delivered in this block, whatever ends the block."""
    try:
        with ledger.interrupts:
            yield
    except GeneratorExit:
        raise
    except BaseException:
        try:
            await _move(collector)
        except RjobError:
            # Report the first error rather than this one.
            pass
        raise
    if ledger.gone:
        await _move(collector)


async def _move(collector: Collector) -> None:
    if moves := " ".join(collector.progress()):
        await collector.owner.channel.call("received", moves)


def _after(found: OwnerResult, ledger: Ledger, options: Options) -> OwnerResult:
    """Return the jobs with the cursors that the delivery has moved."""
    if not options.moves:
        return found
    delivered = ledger.delivered(job.instance_id for job in found.jobs)
    after = []
    for job in found.jobs:
        out, err = delivered.get(job.instance_id, (0, 0))
        # A cursor beyond the end belongs to a stream that was truncated since.
        out_before = job.out_received if job.out_received <= job.out_bytes else 0
        err_before = job.err_received if job.err_received <= job.err_bytes else 0
        after.append(job._replace(out_received=max(out_before, out), err_received=max(err_before, err)))
    return found._replace(jobs=tuple(after))


async def save(
    owner: Owner, references: Sequence[Reference], path: str, streams: Streams, told: Told | None = None
) -> OwnerResult:
    """Append the new output to a file on the owner; what is in the file counts as received.

    Args:
        owner: The owner of the jobs.
        references: The references, in the order of delivery.
        path: The file; a relative path is below the home directory.
        streams: Which streams to save.
        told: Is called for each stream that was truncated: job, stream, received position, size (both in bytes).

    Returns:
        The jobs as they are afterwards.
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
    """Return the jobs as they are now; an error for each that no longer exists."""
    missing = [job for job in found.jobs if job.instance_id not in jobs]
    wrong = tuple(errors.get(job.instance_id) or removed(owner, job) for job in missing)
    there = tuple(jobs[job.instance_id] for job in found.jobs if job.instance_id in jobs)
    return found._replace(jobs=there, errors=found.errors + wrong)
