"""How a coroutine of the core is run to its end, with an event loop or without one."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

T = TypeVar("T")
R = TypeVar("R")


def run(coroutine: Coroutine[Any, Any, T], *, loop: bool) -> T:
    """Run a coroutine to its end.

    Args:
        coroutine: What to run.
        loop: Whether it may have to wait for more than one thing.  Without a loop asyncio is not even imported,
            which is a third of a local verb's time.

    Returns:
        What it returns.
    """
    if loop:
        import asyncio

        return asyncio.run(coroutine)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine that was to wait for nothing waited")


def running() -> bool:
    """Whether there is an event loop here."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


async def pause(seconds: float) -> None:
    """Wait, with an event loop or without one.

    Args:
        seconds: How long, half of that more or less: a crowd of clients must not come back all at once.
    """
    import random

    seconds *= random.uniform(0.5, 1.5)  # noqa: S311
    if running():
        import asyncio

        await asyncio.sleep(seconds)
    else:
        time.sleep(seconds)  # noqa: ASYNC251


async def each(items: Sequence[R], work: Callable[[R], Coroutine[Any, Any, T]], limit: int) -> list[T]:
    """Do the same for several things at a time; for one of them, without an event loop.

    Args:
        items: The things.
        work: What to do for each.
        limit: How many at a time.

    Returns:
        The results, in the order of the items.
    """
    if len(items) <= 1:
        return [await work(item) for item in items]
    import asyncio

    gate = asyncio.Semaphore(limit)

    async def one(item: R) -> T:
        async with gate:
            return await work(item)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]
