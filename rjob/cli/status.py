"""The exit status of the verbs that return a job's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rjob.models import State

if TYPE_CHECKING:
    from rjob.models import Job, Result

TIMED_OUT = 124
"""The exit status if the viewer's timeout passed before the job ended."""

UNKNOWN = 125
"""The exit status if rjob could not determine the job's."""

_NONE = 255
"""The exit status for an end that no exit status can express."""

_TERM = 15


class End(NamedTuple):
    """How a job ended: by an exit status or by a signal; both None if unknown."""

    code: int | None = None
    signal: int | None = None


def end_of(job: Job) -> End:
    """Return how a job ended, for both the exit status and the table.

    Args:
        job: A job in any state.
    """
    if job.state is State.COMPLETED:
        return End(0)
    if job.state is State.STOPPED:
        # The signal counts, even if the command handled it and exited with a status.
        return End(signal=job.signal or _TERM)
    if job.state is State.FAILED and job.exit_code is not None:
        # 0 would mean success.
        return End(job.exit_code or _NONE)
    return End(signal=job.signal or None) if job.state is State.FAILED else End()


def of_job(job: Job) -> int:
    """Return the exit status for one job.

    Args:
        job: A job in its final state.

    Returns:
        The job's own exit status, 128+n for a signal, 255 for a status that no shell can show, 125 if it is unknown.
    """
    code, signal = end_of(job)
    if signal is not None:
        return 128 + signal if 0 < signal < 128 else _NONE
    if code is not None:
        return code if 0 <= code < 256 else _NONE
    return UNKNOWN


def of_result(result: Result, *, first: bool = False, unfinished: int = TIMED_OUT) -> int:
    """Return the exit status for the jobs that were waited for.

    Args:
        result: The jobs in their present state.
        first: Whether only the job that has ended counts.
        unfinished: The exit status if a job has not ended.

    Returns:
        A single job's own; for several jobs 0 if all completed, else 1. 125 takes precedence over all others.
    """
    ended = [job for job in result.jobs if job.state.finished]
    if result.errors or not (result.jobs or first):
        return UNKNOWN
    if first:
        return of_job(ended[0]) if ended else unfinished
    if any(job.state is State.LOST for job in ended):
        return UNKNOWN
    if len(ended) < len(result.jobs):
        return unfinished
    if len(ended) == 1:
        return of_job(ended[0])
    return 0 if all(job.state is State.COMPLETED for job in ended) else 1
