"""The way from a verb to the job manager."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from rjob.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from rjob.core.manager import JobManager

T = TypeVar("T")


@cache
def config() -> Config:
    """The settings in force."""
    return Config.load()


def open_manager() -> JobManager:
    """A job manager with the settings in force."""
    from rjob.core.manager import JobManager

    return JobManager(config())


def call(
    work: Callable[[JobManager], Coroutine[Any, Any, T]],
    *,
    jobs: Sequence[str] = (),
    hosts: Sequence[str] = (),
    loop: bool = False,
) -> T:
    """Have the job manager do something.

    Args:
        work: What to do with it.
        jobs: The references that it is about.
        hosts: What ``-H`` was given.
        loop: Whether an event loop is needed even for jobs of this machine.

    Returns:
        What the work returned.
    """
    from rjob.core.loop import run

    manager = open_manager()
    loop = not manager.local_only(jobs, hosts) or loop

    async def whole() -> T:
        try:
            return await work(manager)
        finally:
            await manager.close()

    return run(whole(), loop=loop)
