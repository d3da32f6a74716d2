"""Changing jobs on one owner: signals, the end, removal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rjob.core.find import listing, look_up
from rjob.core.options import Query
from rjob.core.owner import Found
from rjob.errors import JobConflict, OwnerError, RjobError, UsageError
from rjob.references import parse
from rjob.runner.states import signal_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rjob.core.owner import Owner
    from rjob.models import Job
    from rjob.runner.facts import Facts

_BATCH = 200
"""Jobs that one operation removes: their ids must fit in a request."""

_SIGNALS = 64


def signal_word(text: str) -> str:
    """A signal as runners take it.

    Args:
        text: ``TERM``, ``SIGTERM`` or ``15``.

    Raises:
        UsageError: There is no such signal.
    """
    number = signal_number(text)
    if number is None or not 0 < number <= _SIGNALS:
        raise UsageError(f"no such signal: {text}", hint="`kill -l` names them")
    word = text.upper().removeprefix("SIG")
    return str(number) if word.isdigit() else word


async def stop_at(owner: Owner, jobs: Sequence[Job], signal: str, grace: float) -> Found:
    """Stop jobs: signal, grace, kill, proof.

    Args:
        owner: Whose jobs.
        jobs: Which; of finished ones only what lives on is ended, and their state stays.
        signal: The first signal's word.
        grace: Seconds before SIGKILL.

    Returns:
        The jobs as they are then; an error for each that has survivors or cannot be looked after from here.
    """
    busy = [job for job in jobs if not job.state.finished or job.survivors]
    if not busy:
        return Found(owner, tuple(jobs))
    facts = await owner.call("stop", signal, str(round(grace * 10)), "stop", _uuids(busy))
    errors: list[RjobError] = [
        OwnerError(
            f"processes that nothing ends: {' '.join(words[2:])}",
            reason="survivors",
            hint="look at them there: they may hang in the kernel",
            host=owner.host,
            job=_ref_of(words[1], jobs),
        )
        for words in facts.other
        if words[0] == "survivors" and len(words) > 1
    ]
    return await _again(owner, jobs, errors + _apart(owner, facts, jobs))


async def signal_at(owner: Owner, jobs: Sequence[Job], operation: str, signal: str) -> Found:
    """Send a signal.

    Args:
        owner: Whose jobs.
        jobs: Which.
        operation: ``signal`` for their main processes, ``tree`` for all of theirs.
        signal: Its word.

    Returns:
        The jobs as they are then; an error for each that is not running.
    """
    facts = await owner.call(operation, signal, _uuids(jobs))
    ended = [_ref_of(words[1], jobs) for words in facts.other if words[0] == "ended" and len(words) > 1]
    errors = [JobConflict(f"job {ref} is not running", host=owner.host, job=ref) for ref in ended]
    return await _again(owner, jobs, errors + _apart(owner, facts, jobs))


async def remove_at(owner: Owner, jobs: Sequence[Job], *, force: bool, grace: float) -> Found:
    """Remove jobs and everything of theirs.

    Args:
        owner: Whose jobs.
        jobs: Which.
        force: Stop those that are not finished first.
        grace: Seconds before SIGKILL for those.

    Returns:
        The jobs that are gone; an error for each that is not.
    """
    errors: list[RjobError] = []
    if force:
        stopped = await stop_at(owner, jobs, "TERM", grace)
        errors += stopped.errors
        lively = {job.instance_id for job in stopped.jobs if job.survivors}
    else:
        lively = {job.instance_id for job in jobs if job.survivors}
    gone = await _remove(owner, [job for job in jobs if job.instance_id not in lively])
    left = [job for job in jobs if job not in gone]
    errors += [_kept(owner, job, lives=job.instance_id in lively) for job in left]
    return Found(owner, tuple(gone), tuple(errors))


def _kept(owner: Owner, job: Job, *, lives: bool) -> JobConflict:
    """Say why a job was not removed."""
    problem = ": processes of it live on" if lives else " is not finished"
    return JobConflict(f"job {job.ref}{problem}", hint="stop it first, or use --force", host=owner.host, job=job.ref)


def _apart(owner: Owner, facts: Facts, jobs: Sequence[Job]) -> list[RjobError]:
    """An error for each job that is in another pid namespace."""
    return [
        OwnerError(
            f"job {_ref_of(words[1], jobs)} is in another container of its machine: from here it cannot be reached",
            reason="apart",
            hint="run rjob in that container; if it is gone, delete the job's folder, then `rjob registry rebuild`",
            host=owner.host,
            job=_ref_of(words[1], jobs),
        )
        for words in facts.other
        if words[0] == "apart" and len(words) > 1
    ]


async def prune_at(owner: Owner, *, older_than: float | None, keep: int | None, dry_run: bool) -> Found:
    """Remove finished jobs.

    Args:
        owner: Whose.
        older_than: Only those that ended more than these seconds ago.
        keep: All but the newest so many.
        dry_run: Only say which.

    Returns:
        The jobs that are gone, or would be.
    """
    limit = None if older_than is None else datetime.now(UTC) - timedelta(seconds=older_than)
    found = await listing(owner, Query(all=True), 0)
    finished = [job for job in found.jobs if job.state.finished and not job.survivors and not job.foreign]
    old = finished[: max(0, len(finished) - (keep or 0))]
    chosen = [job for job in old if limit is None or (job.end or job.begin or limit) <= limit]
    return Found(owner, tuple(chosen if dry_run else await _remove(owner, chosen)), found.errors)


async def _remove(owner: Owner, jobs: Sequence[Job]) -> list[Job]:
    """Remove those of the jobs that are finished; return them."""
    gone: set[str] = set()
    for start in range(0, len(jobs), _BATCH):
        facts = await owner.call("remove", _uuids(jobs[start : start + _BATCH]))
        gone |= {word for words in facts.other if words[0] == "removed" for word in words[1:]}
    return [job for job in jobs if job.instance_id in gone]


async def _again(owner: Owner, jobs: Sequence[Job], errors: Sequence[RjobError]) -> Found:
    found = await look_up(owner, [parse(job.instance_id) for job in jobs])
    return found._replace(errors=(*found.errors, *errors))


def _uuids(jobs: Iterable[Job]) -> str:
    return " ".join(job.instance_id for job in jobs)


def _ref_of(instance: str, jobs: Sequence[Job]) -> str | None:
    return next((job.ref for job in jobs if job.instance_id == instance), None)
