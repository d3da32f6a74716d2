"""Coroutines without an event loop: whether there is one, and waiting for descriptors either way.

A coroutine that waits for nothing can be run to its end by one ``send``.  So a verb for this machine needs no event
loop, and does not import asyncio: a listing takes 142 ms instead of 196.  Whoever waits asks here, and
:mod:`rjob.core.loop` runs the coroutines.
"""

from __future__ import annotations

import select
import sys


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
    """
    if not running():
        found = select.select(readable, [] if writable is None else [writable], [])
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
