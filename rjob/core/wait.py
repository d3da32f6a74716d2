"""Waiting for jobs to end, on one owner or on many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from rjob.core.collect import Collector, Named
from rjob.core.find import look_up
from rjob.core.isolation import guarded
from rjob.core.loop import Overdue, at_most
from rjob.core.options import Options, Position
from rjob.errors import JobNotFound
from rjob.references import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.owner import Owner, OwnerResult
    from rjob.references import Reference

NO_BYTES = Options(Position("none"))
"""For a collector that reports ends only, without output."""


class Until(NamedTuple):
    """How long to wait.

    Attributes:
        first: Whether the first job that ends is enough.
        deadline: When to give up, on the clock of time.monotonic(); None for never.
    """

    first: bool = False
    deadline: float | None = None


async def wait_at(owner: Owner, references: Sequence[Reference], until: Until) -> OwnerResult:
    """Wait at one owner.

    Args:
        owner: The owner of the jobs.
        references: The references.
        until: How long to wait.

    Returns:
        The jobs as they are at the end; an error for each whose state is unknown.
    """
    left = None if until.deadline is None else until.deadline - time.monotonic()
    if left is not None and left <= 0:
        return await look_up(owner, references)
    collector = Collector(owner, Named(owner, references), options=NO_BYTES)
    try:
        await at_most(left or 0.0, collector.follow(lambda: until.first and has_ended(collector.result)))
    except Overdue:
        if not collector.asked:
            # The owner has not answered yet. look_up() has its own time limit for that.
            return await look_up(owner, references)
    return collector.result


async def wait_for_first(found: Sequence[OwnerResult], until: Until) -> list[OwnerResult]:
    """Wait at several owners until one of them has an ended job.

    Args:
        found: The jobs, by owner; none of them has ended.
        until: How long to wait.

    Returns:
        Each owner's result at the end, in order.
    """
    import asyncio

    async def one(part: OwnerResult) -> OwnerResult:
        references = [parse(job.instance_id) for job in part.jobs]
        told = await guarded(part.owner, wait_at(part.owner, references, until))
        return told._replace(errors=part.errors + told.errors)

    parts = list(found)
    tasks = {asyncio.ensure_future(one(part)): index for index, part in enumerate(found) if part.jobs}
    left = set(tasks)
    try:
        while left and not any(map(has_ended, parts)):
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                parts[tasks[task]] = task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return parts


def has_ended(found: OwnerResult) -> bool:
    """Whether one of an owner's jobs has ended.

    A job that no longer exists counts as ended; a host that cannot be reached says nothing about its jobs.

    Args:
        found: The owner's result.
    """
    return any(job.state.finished for job in found.jobs) or any(
        isinstance(error, JobNotFound) for error in found.errors
    )
