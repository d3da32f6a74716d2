"""One host, plugin or job that fails is an error of its own: where failures become results."""

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
    """Wait for what is done at one owner; whatever goes wrong there is its error, and no other owner's.

    Args:
        owner: The owner.
        work: What is done.
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
    """What an owner has when an error came in place of it.

    Args:
        owner: The owner.
        error: The error.
    """
    error.host = error.host or owner.host
    return OwnerResult(owner, (), (error,))


def merged(parts: Sequence[OwnerResult]) -> Result:
    """Put together what owners have.

    Args:
        parts: In their order.
    """
    return result_of(
        tuple(job for part in parts for job in part.jobs),
        tuple(error for part in parts for error in part.errors),
        sum(part.more for part in parts),
    )


def result_of(jobs: tuple[Job, ...], errors: tuple[RjobError, ...], more: int = 0) -> Result:
    """Make a verb's result.

    Args:
        jobs: The jobs that it reached.
        errors: What went wrong.
        more: See :class:`rjob.models.Result`.

    Raises:
        UsageError: Nothing came of it but this one error: what was asked for makes no sense at all.
    """
    if not jobs and len(errors) == 1 and isinstance(errors[0], UsageError):
        raise errors[0]
    return Result(jobs, errors, more)
