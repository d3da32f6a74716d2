"""Ending jobs on one owner, and other signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.core.changes import Choice, apart, change, unstopped
from rjob.core.find import selectors
from rjob.errors import JobConflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.owner import Owner, OwnerResult
    from rjob.references import Reference


async def stop_at(owner: Owner, references: Sequence[Reference], signal: str, grace: float) -> OwnerResult:
    """Stop jobs: signal, grace, kill, proof.

    Args:
        owner: Whose jobs.
        references: Which; of finished ones only what lives on is ended, and their state stays.
        signal: The first signal's word.
        grace: Seconds before SIGKILL.

    Returns:
        The jobs as they are then; an error for each that has survivors or cannot be looked after from here.
    """
    choice = Choice(owner, references, lambda job: not job.state.finished or job.survivors > 0)
    words = (signal, str(round(grace * 10)), *selectors(references))
    changed = await change(owner, choice, "stop", *words)
    return choice.after(changed, unstopped(changed) + apart(changed))


async def signal_at(owner: Owner, references: Sequence[Reference], operation: str, signal: str) -> OwnerResult:
    """Send a signal.

    Args:
        owner: Whose jobs.
        references: Which.
        operation: ``signal`` for their main processes, ``tree`` for all of theirs.
        signal: Its word.

    Returns:
        The jobs as they are then; an error for each that is not running.
    """
    choice = Choice(owner, references)
    changed = await change(owner, choice, operation, signal, *selectors(references))
    errors = [
        JobConflict(f"job {job.ref} is not running", host=owner.host, job=job.ref) for job, _ in changed.named("ended")
    ]
    return choice.after(changed, errors + apart(changed))
