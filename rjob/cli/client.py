"""The client: how a verb calls the job manager."""

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
    """Return the caller that gave this command."""
    return Caller.here()


@cache
def config() -> Config:
    """Return the settings in force."""
    return Config.load()


def open_manager() -> JobManager:
    """Build a job manager with the settings in force."""
    from rjob.core.manager import JobManager

    return JobManager(config(), caller=caller())


class _Session(NamedTuple):
    """The state that all calls of one command line share, so that each host is logged in to once."""

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
    """Run work with the job manager.

    Args:
        work: A coroutine function that takes the job manager.
        jobs: The references concerned.
        hosts: The arguments of ``-H``.
        loop: Whether an event loop is needed even for jobs of this machine.

    Returns:
        The result of the work.
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
