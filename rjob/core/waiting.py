"""Waiting for jobs to end, on one owner or on many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rjob.core.find import removed, settle
from rjob.core.loop import each
from rjob.core.owner import Patience
from rjob.core.pace import Pace
from rjob.errors import JobNotFound, RjobError, TransportError
from rjob.runner.facts import Facts
from rjob.runner.protocol import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.owner import Found
    from rjob.models import Job

_LIFE = 600.0
"""Seconds after which a waiting runner ends by itself, to be asked again."""

_GOOD = 60.0
"""Seconds after which a connection that breaks counts as one that was good."""


async def wait_for(
    found: Sequence[Found],
    *,
    first: bool,
    timeout: float | None,
    limit: int,
) -> tuple[list[Job], list[RjobError]]:
    """Wait until jobs have ended.

    Args:
        found: The jobs, by owner.
        first: Whether the first that ends is enough.
        timeout: Seconds; None waits for ever.
        limit: How many owners to wait at, at a time.

    Returns:
        The jobs as they are then, and what went wrong.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    parts = [part for part in found if part.jobs]

    async def one(part: Found) -> tuple[list[Job], list[RjobError]]:
        try:
            return await _wait_at(part, first=first, deadline=deadline)
        except RjobError as error:
            error.host = error.host or part.owner.host
            return [], [error]

    if first and len(parts) > 1:
        return await _first(parts, one)
    results = await each(parts, one, max(limit, len(parts)))
    return [job for jobs, _ in results for job in jobs], [error for _, errors in results for error in errors]


async def _first(parts: Sequence[Found], one: Any) -> tuple[list[Job], list[RjobError]]:
    """Wait at several owners until one of them has an ended job."""
    import asyncio

    tasks = {asyncio.ensure_future(one(part)) for part in parts}
    jobs: list[Job] = []
    errors: list[RjobError] = []
    try:
        # A job that is gone has ended, too; a host that cannot be reached says nothing about its jobs.
        while tasks and not any(job.state.finished for job in jobs) and not any(map(_is_gone, errors)):
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                some, wrong = task.result()
                jobs += some
                errors += wrong
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return jobs, errors


def _is_gone(error: RjobError) -> bool:
    return isinstance(error, JobNotFound)


async def _wait_at(part: Found, *, first: bool, deadline: float | None) -> tuple[list[Job], list[RjobError]]:
    """Wait at one owner, asking again when the runner's life or the connection ends.

    Returns:
        The jobs as they are then; an error for each of which nothing more can be told.
    """
    latest = {job.instance_id: job for job in part.jobs}
    errors: list[RjobError] = []
    patience, pace, began = Patience(part.owner), Pace(), time.monotonic()
    while True:
        pending = [job for job in latest.values() if not job.state.finished]
        left = _LIFE if deadline is None else min(_LIFE, deadline - time.monotonic())
        if not pending or (first and len(pending) < len(part.jobs)):
            break
        began = time.monotonic()
        try:
            told, wrong = await _wait_once(part, pending, first=first, seconds=max(0.0, left))
        except TransportError as error:
            if time.monotonic() - began > _GOOD:
                patience.reset()
            await patience.bear(error)
            continue
        patience.reset()
        latest |= told
        latest = {uuid: job for uuid, job in latest.items() if uuid not in wrong}
        errors += wrong.values()
        if deadline is not None and time.monotonic() >= deadline:
            break
        progress = bool(wrong) or any(job.state.finished for job in told.values())
        await pace.after(progress, left=_LIFE if deadline is None else deadline - time.monotonic())
    return list(latest.values()), errors


async def _wait_once(
    part: Found, pending: Sequence[Job], *, first: bool, seconds: float
) -> tuple[dict[str, Job], dict[str, RjobError]]:
    """Have the runner wait once.

    Returns:
        The jobs, and an error for each of which the runner tells nothing, by instance id.
    """
    facts = Facts()
    arguments = ("any" if first else "all", str(round(seconds * 10)), " ".join(job.instance_id for job in pending))
    async with part.owner.exchange("wait", *arguments) as exchange:
        async for event in exchange.events():
            if isinstance(event, Line):
                facts.add(event.text)
    jobs, errors = await settle(part.owner, facts)
    asked = {job.instance_id: job for job in pending}
    missing = [job for uuid, job in asked.items() if uuid not in jobs]
    told = {uuid: job for uuid, job in jobs.items() if uuid in asked}
    return told, {job.instance_id: errors.get(job.instance_id) or removed(part.owner, job) for job in missing}
