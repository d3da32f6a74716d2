"""Stopping jobs on one owner, and sending other signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.core.changes import Choice, change, refusals
from rjob.core.find import selectors
from rjob.errors import JobConflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.owner import Owner, OwnerResult
    from rjob.references import Reference


async def stop_at(owner: Owner, references: Sequence[Reference], signal: str, grace: float) -> OwnerResult:
    """Stop jobs: send a signal, wait, kill, and verify that no process is left.

    Args:
        owner: The owner of the jobs.
        references: The references; of finished jobs only the survivors are ended, and the state stays.
        signal: The first signal, as :func:`rjob.signals.word_of` returns it.
        grace: Seconds before SIGKILL.

    Returns:
        The jobs as they are at the end; an error for each that has survivors or is out of reach.
    """
    choice = Choice(owner, references, lambda job: not job.state.finished or job.survivors > 0)
    words = (signal, str(round(grace * 10)), *selectors(references))
    changed = await change(owner, choice, "stop", *words)
    return choice.after(changed, refusals(changed))


async def signal_at(owner: Owner, references: Sequence[Reference], operation: str, signal: str) -> OwnerResult:
    """Send a signal.

    Args:
        owner: The owner of the jobs.
        references: The references.
        operation: ``signal`` for the main processes, ``tree`` for all processes of the jobs.
        signal: The signal, as :func:`rjob.signals.word_of` returns it.

    Returns:
        The jobs as they are afterwards; an error for each that is not running or could not be signalled.
    """
    choice = Choice(owner, references)
    changed = await change(owner, choice, operation, signal, *selectors(references))
    errors = [
        JobConflict(f"job {job.ref} is not running", host=owner.host, job=job.ref) for job, _ in changed.named("ended")
    ]
    return choice.after(changed, errors + refusals(changed))
