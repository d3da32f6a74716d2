"""Isolation of failures: a host, plugin or job that fails becomes an error in the result, and the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.core.loop import cancelled
from rjob.core.owner import OwnerResult
from rjob.errors import RjobError, UsageError
from rjob.models import Result
from rjob.plugins import reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from rjob.core.owner import Owner
    from rjob.models import Job


async def guarded(owner: Owner, work: Awaitable[OwnerResult]) -> OwnerResult:
    """Await the work at one owner; turn any failure into an error of this owner.

    Args:
        owner: The owner.
        work: The work to await.
    """
    try:
        return await work
    except RjobError as error:
        return failure(owner, error)
    except Exception as error:
        if cancelled(error):
            raise
        fault = RjobError(f"rjob has a fault: {reason(error)}", hint="please report it with what RJOB_DEBUG=1 shows")
        fault.__cause__ = error
        return failure(owner, fault)


def failure(owner: Owner, error: RjobError) -> OwnerResult:
    """Build the result of an owner for which an error was raised.

    Args:
        owner: The owner.
        error: The error.
    """
    error.host = error.host or owner.host
    return OwnerResult(owner, (), (error,))


def merged(parts: Sequence[OwnerResult]) -> Result:
    """Merge the results of several owners.

    Args:
        parts: The results, in order.
    """
    return result_of(
        tuple(job for part in parts for job in part.jobs),
        tuple(error for part in parts for error in part.errors),
        sum(part.more for part in parts),
    )


def result_of(jobs: tuple[Job, ...], errors: tuple[RjobError, ...], more: int = 0) -> Result:
    """Build a verb's result.

    Args:
        jobs: The jobs that it reached.
        errors: The errors.
        more: See :class:`rjob.models.Result`.

    Raises:
        UsageError: It is the only error and there are no jobs: the whole request makes no sense.
    """
    if not jobs and len(errors) == 1 and isinstance(errors[0], UsageError):
        raise errors[0]
    return Result(jobs, errors, more)
