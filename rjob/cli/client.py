"""The way from a verb to the job manager."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rjob.caller import Caller
from rjob.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from rjob.core.loop import Runs
    from rjob.core.manager import JobManager

T = TypeVar("T")


@cache
def caller() -> Caller:
    """Whoever gave this command."""
    return Caller.here()


@cache
def config() -> Config:
    """The settings in force."""
    return Config.load()


def open_manager() -> JobManager:
    """A job manager with the settings in force."""
    from rjob.core.manager import JobManager

    return JobManager(config(), caller=caller())


class _Session(NamedTuple):
    """What all calls of one command line share: a host is logged in to once."""

    manager: JobManager
    runs: Runs


@cache
def _session() -> _Session:
    from rjob.core.loop import Runs

    return _Session(open_manager(), Runs())


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
    manager, runs = _session()
    loop = loop or manager.needs_loop(jobs, hosts)
    return runs.run(work(manager), loop=loop)


def hang_up() -> None:
    """Close the connections that the calls of this command line have opened."""
    if not _session.cache_info().currsize:
        return
    manager, runs = _session()
    _session.cache_clear()
    try:
        runs.run(manager.close(), loop=runs.has_loop)
    finally:
        runs.close()
