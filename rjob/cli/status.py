"""The exit status that a job's end gives to the verbs that return it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.models import State

if TYPE_CHECKING:
    from rjob.models import Job, Result

TIMED_OUT = 124
"""The viewer's own time was over before the job was."""

UNKNOWN = 125
"""rjob itself could not tell."""


def of_job(job: Job) -> int:
    """The exit status that stands for one job.

    Args:
        job: In the state that it ended in.

    Returns:
        The job's own exit status, 128+n for a signal, 125 where it cannot be known.
    """
    if job.state is State.COMPLETED:
        return 0
    if job.state is State.STOPPED:
        return _of_signal(job.signal or 15)
    if job.state is not State.FAILED:
        return UNKNOWN
    if job.exit_code is not None:
        # 0 would say that all is well.
        return job.exit_code if 0 < job.exit_code <= 255 else 255
    return _of_signal(job.signal) if job.signal else UNKNOWN


def _of_signal(signal: int) -> int:
    return 128 + signal if 0 < signal < 128 else 255


def of_result(result: Result, *, first: bool = False, unfinished: int = TIMED_OUT) -> int:
    """The exit status that stands for the jobs that were waited for.

    Args:
        result: The jobs in their present state.
        first: Whether the job that ended is all that counts.
        unfinished: What a job stands for that has not ended.

    Returns:
        One job's own; of several 0 if all completed and else 1; 125 beats everything.
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
