"""Waiting for descriptors in coroutines, with or without an event loop.

A coroutine that never suspends can be run to its end by one ``send``. So a verb for this machine needs no event loop
and does not import asyncio: a listing takes 142 ms instead of 196. Code that waits calls :func:`ready`;
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
"""Deadlines on the clock of time.monotonic(), one for each nested :func:`limited`."""


class TimeIsUp(Exception):  # noqa: N818  (not an error: the caller set the limit)
    """A time limit passed before a descriptor became ready."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Limit how long :func:`ready` waits within this block. Without an event loop only; a loop has its own timeouts.

    Args:
        seconds: The time limit.

    Raises:
        TimeIsUp: The limit passed; :func:`ready` raises it.
    """
    _until.append(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.pop()


def running() -> bool:
    """Whether the current thread runs an event loop."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


async def ready(*readable: int, writable: int | None = None) -> list[int]:
    """Wait until one of the descriptors is ready. Blocks without an event loop; with one, other tasks go on.

    Args:
        readable: Descriptors to read from.
        writable: A descriptor to write to.

    Returns:
        The descriptors that are ready.

    Raises:
        TimeIsUp: None became ready within the limit set by :func:`limited`.
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
