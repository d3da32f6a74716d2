"""Removing jobs on one owner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rjob.core.changes import Changed, Choice, change, refusals
from rjob.core.find import jobs_from_facts, selectors
from rjob.core.owner import OwnerResult
from rjob.errors import JobConflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.owner import Owner
    from rjob.errors import RjobError
    from rjob.models import Job
    from rjob.references import Reference
    from rjob.runner.facts import Facts


async def remove_at(owner: Owner, references: Sequence[Reference], *, force: bool, grace: float) -> OwnerResult:
    """Remove jobs with all their files.

    Args:
        owner: The owner of the jobs.
        references: The references.
        force: Stop unfinished jobs first.
        grace: Seconds before SIGKILL for those.

    Returns:
        The jobs that were removed; an error for each that was not.
    """
    choice = Choice(owner, references, lambda job: force or not job.survivors)
    first = str(round(grace * 10)) if force else "-"
    changed = await change(owner, choice, "remove", first, *selectors(references))
    gone = _gone(changed)
    errors = refusals(changed)
    left = [job for job in choice.found.jobs if job not in gone]
    kept = [_kept(owner, changed.jobs.get(job.instance_id, job)) for job in left]
    return OwnerResult(owner, tuple(gone), (*choice.found.errors, *errors, *kept))


async def prune_at(owner: Owner, *, older_than: float | None, keep: int | None, dry_run: bool) -> OwnerResult:
    """Remove finished jobs.

    Args:
        owner: The owner of the jobs.
        older_than: Remove only jobs that ended more than this number of seconds ago.
        keep: How many of the newest finished jobs to keep.
        dry_run: Return the jobs without removing them.

    Returns:
        The jobs that were removed, or would be.
    """
    limit = None if older_than is None else datetime.now(UTC) - timedelta(seconds=older_than)
    wrong: tuple[RjobError, ...] = ()

    async def choose(facts: Facts) -> list[Job]:
        nonlocal wrong
        jobs, errors = await jobs_from_facts(owner, facts)
        wrong = tuple(errors.values())
        finished = sorted((job for job in jobs.values() if job.state.finished), key=lambda job: job.id)
        settled = [job for job in finished if not job.survivors and not job.foreign]
        old = settled[: max(0, len(settled) - (keep or 0))]
        return [job for job in old if limit is None or (job.end or job.begin or limit) <= limit]

    if dry_run:
        chosen = await choose(await owner.channel.call("facts", "all"))
        return OwnerResult(owner, tuple(chosen), wrong)
    changed = await change(owner, choose, "remove", "-", "all")
    return OwnerResult(owner, tuple(_gone(changed)), wrong)


def _gone(changed: Changed) -> list[Job]:
    gone = {word for words in changed.facts.other if words[0] == "removed" for word in words[1:]}
    return [job for job in changed.chosen if job.instance_id in gone]


def _kept(owner: Owner, job: Job) -> JobConflict:
    """Build the error for a job that was not removed."""
    problem = ": processes of it live on" if job.survivors else " is not finished"
    return JobConflict(f"job {job.ref}{problem}", hint="stop it first, or use --force", host=owner.host, job=job.ref)
