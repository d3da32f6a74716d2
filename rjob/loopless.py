"""Coroutines without an event loop: whether there is one, and waiting for descriptors either way.

A coroutine that waits for nothing can be run to its end by one ``send``.  So a verb for this machine needs no event
loop, and does not import asyncio: a listing takes 142 ms instead of 196.  Whoever waits asks here, and
:mod:`rjob.core.loop` runs the coroutines.
"""

from __future__ import annotations

import select
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_until: list[float] = []
"""The moments at which waiting is to end, as time.monotonic() has them."""


class TimeIsUp(Exception):  # noqa: N818  (not an error: somebody did not want to wait any longer)
    """What was waited for has not come in time."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Wait no longer than this in what is done in here.  It holds without an event loop; a loop has timers of its own.

    Args:
        seconds: How long.

    Raises:
        TimeIsUp: The time is over; :func:`ready` raises it.
    """
    _until.append(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.pop()


def running() -> bool:
    """Whether there is an event loop here."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


async def ready(*readable: int, writable: int | None = None) -> list[int]:
    """Wait until one of the descriptors is ready.  Without an event loop this simply blocks; a loop goes on meanwhile.

    Args:
        readable: Descriptors that something may come from.
        writable: A descriptor that is to take something.

    Returns:
        Those that are ready.

    Raises:
        TimeIsUp: None is, and this was :func:`limited`.
    """
    if not running():
        left = max(0.0, min(_until) - time.monotonic()) if _until else None
        found = select.select(readable, [] if writable is None else [writable], [], left)
        if not any(found):
            raise TimeIsUp
        return found[0] + found[1]
    import asyncio

    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    for descriptor in readable:
        loop.add_reader(descriptor, wake)
    if writable is not None:
        loop.add_writer(writable, wake)
    try:
        await woken
    finally:
        for descriptor in readable:
            loop.remove_reader(descriptor)
        if writable is not None:
            loop.remove_writer(writable)
    return select.select(readable, [], [], 0)[0]
