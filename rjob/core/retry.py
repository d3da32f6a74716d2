"""Starting finished jobs again on one owner."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from rjob.core.find import look_up, without_parents
from rjob.core.owner import OwnerResult
from rjob.core.start import launch
from rjob.errors import JobConflict, RjobError, UsageError
from rjob.models import State
from rjob.runner.launch import retry_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.core.owner import Owner
    from rjob.references import Reference


async def retry_at(
    owner: Owner, references: Sequence[Reference], *, failed: bool, secrets: Mapping[str, str]
) -> OwnerResult:
    """Start finished jobs again.

    Args:
        owner: The owner of the jobs.
        references: The references.
        failed: Retry only those that did not complete.
        secrets: The values of the secrets that the caller gives, by name.

    Returns:
        The new jobs; an error for each that is not finished.
    """
    found = without_parents(await look_up(owner, references))
    jobs = found.jobs
    errors: list[RjobError] = [
        JobConflict(f"job {job.ref} is not finished", hint="wait for it, or stop it", host=owner.host, job=job.ref)
        for job in jobs
        if not job.state.finished and not failed
    ]
    chosen = [job for job in jobs if job.state.finished and not (failed and job.state is State.COMPLETED)]
    launches = []
    for job in chosen:
        try:
            launches.append(retry_of(job.record, job.instance_id, str(uuid.uuid4()), secrets))
        except UsageError as error:
            error.host, error.job = owner.host, job.ref
            errors.append(error)
    if not launches:
        return OwnerResult(owner, (), (*found.errors, *errors))
    fresh = await launch(owner, launches)
    return OwnerResult(owner, fresh.jobs, (*found.errors, *errors, *fresh.errors))
