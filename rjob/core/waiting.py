"""Waiting for jobs to end, on one owner or on many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rjob.core.find import settle
from rjob.core.loop import each
from rjob.core.owner import Patience
from rjob.errors import RjobError, TransportError
from rjob.runner.facts import Facts
from rjob.runner.protocol import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.owner import Found
    from rjob.models import Job

_LIFE = 600.0
"""Seconds after which a waiting runner ends by itself, to be asked again."""


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
            return await _wait_at(part, first=first, deadline=deadline), []
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
        while tasks and not any(job.state.finished for job in jobs):
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


async def _wait_at(part: Found, *, first: bool, deadline: float | None) -> list[Job]:
    """Wait at one owner, asking again when the runner's life or the connection ends."""
    latest = {job.instance_id: job for job in part.jobs}
    patience = Patience(part.owner)
    while True:
        pending = [uuid for uuid, job in latest.items() if not job.state.finished]
        left = _LIFE if deadline is None else min(_LIFE, deadline - time.monotonic())
        if not pending or (first and len(pending) < len(latest)):
            return list(latest.values())
        try:
            latest |= await _wait_once(part, pending, first=first, seconds=max(0.0, left))
        except TransportError as error:
            await patience.bear(error)
            continue
        if deadline is not None and time.monotonic() >= deadline:
            return list(latest.values())
        patience.reset()


async def _wait_once(part: Found, uuids: Sequence[str], *, first: bool, seconds: float) -> dict[str, Job]:
    facts = Facts()
    arguments = ("any" if first else "all", str(round(seconds * 10)), " ".join(uuids))
    async with part.owner.exchange("wait", *arguments, talk=True) as exchange:
        async for event in exchange.events():
            if isinstance(event, Line):
                facts.add(event.text)
    jobs, _ = await settle(part.owner, facts)
    return jobs
