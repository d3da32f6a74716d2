"""Changing jobs on one owner: signals, the end, removal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from rjob.core.find import named, removed, selectors, settle, without_parents
from rjob.core.owner import Found
from rjob.errors import JobConflict, OwnerError, RjobError
from rjob.runner.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rjob.core.channel import Exchange
    from rjob.core.owner import Owner
    from rjob.models import Job
    from rjob.references import Reference


class _Changed(NamedTuple):
    """What came of a change.

    Attributes:
        owner: Whose jobs.
        chosen: The jobs that it was for, as they were before.
        facts: What the owner answered.
        jobs: Those that are still there, as they are after it, by instance id.
        errors: Why nothing can be told of others, by instance id.
    """

    owner: Owner
    chosen: tuple[Job, ...]
    facts: Facts
    jobs: dict[str, Job]
    errors: dict[str, RjobError]

    def named(self, word: str) -> list[tuple[Job, list[str]]]:
        """The jobs that lines with this first word name, each with the other words of its line."""
        by_id = {job.instance_id: job for job in self.chosen}
        lines = [words for words in self.facts.other if words[0] == word and len(words) > 1]
        return [(by_id[words[1]], words[2:]) for words in lines if words[1] in by_id]


async def _change(
    owner: Owner,
    choose: Callable[[Facts], Awaitable[Sequence[Job]]],
    operation: str,
    *words: str,
) -> _Changed:
    """Have an owner tell of jobs, choose some, and have something done to these: one command on the host.

    Args:
        owner: Whose jobs.
        choose: Says which of the jobs that were told of it is for.
        operation: What to do.
        words: Its arguments, and the selectors of the jobs.
    """

    async def talk(exchange: Exchange) -> _Changed:
        facts = Facts()
        ready = await exchange.tell(facts)
        chosen = tuple(await choose(facts))
        after = facts.again()
        if ready and chosen:
            await exchange.say(*(job.instance_id for job in chosen), "end")
            await exchange.tell(after)
        jobs, errors = await settle(owner, after)
        return _Changed(owner, chosen, after, jobs, errors)

    return await owner.channel.converse(talk, operation, *words)


class _Choice:
    """Which of the jobs that references name a change is for.

    Args:
        owner: Whose jobs.
        references: What the user named.
        admits: Says whether it is for a job.

    Attributes:
        found: The jobs that there are.
    """

    def __init__(
        self, owner: Owner, references: Sequence[Reference], admits: Callable[[Job], bool] = lambda _: True
    ) -> None:
        self.found = Found(owner)
        self._references = references
        self._admits = admits

    async def __call__(self, facts: Facts) -> list[Job]:
        self.found = without_parents(await named(self.found.owner, self._references, facts))
        return [job for job in self.found.jobs if self._admits(job)]

    def after(self, changed: _Changed, errors: Sequence[RjobError]) -> Found:
        """The jobs as they are after a change, with what went wrong."""
        chosen = {job.instance_id for job in changed.chosen}
        jobs = {job.instance_id: job for job in self.found.jobs if job.instance_id not in chosen} | changed.jobs
        missing = [job for job in self.found.jobs if job.instance_id not in jobs]
        wrong = [changed.errors.get(job.instance_id) or removed(changed.owner, job) for job in missing]
        there = tuple(jobs[job.instance_id] for job in self.found.jobs if job.instance_id in jobs)
        return self.found._replace(jobs=there, errors=(*self.found.errors, *errors, *wrong))


async def stop_at(owner: Owner, references: Sequence[Reference], signal: str, grace: float) -> Found:
    """Stop jobs: signal, grace, kill, proof.

    Args:
        owner: Whose jobs.
        references: Which; of finished ones only what lives on is ended, and their state stays.
        signal: The first signal's word.
        grace: Seconds before SIGKILL.

    Returns:
        The jobs as they are then; an error for each that has survivors or cannot be looked after from here.
    """
    choice = _Choice(owner, references, lambda job: not job.state.finished or job.survivors > 0)
    words = (signal, str(round(grace * 10)), *selectors(references))
    changed = await _change(owner, choice, "stop", *words)
    return choice.after(changed, _unstopped(changed) + _apart(changed))


async def signal_at(owner: Owner, references: Sequence[Reference], operation: str, signal: str) -> Found:
    """Send a signal.

    Args:
        owner: Whose jobs.
        references: Which.
        operation: ``signal`` for their main processes, ``tree`` for all of theirs.
        signal: Its word.

    Returns:
        The jobs as they are then; an error for each that is not running.
    """
    choice = _Choice(owner, references)
    changed = await _change(owner, choice, operation, signal, *selectors(references))
    errors = [
        JobConflict(f"job {job.ref} is not running", host=owner.host, job=job.ref) for job, _ in changed.named("ended")
    ]
    return choice.after(changed, errors + _apart(changed))


async def remove_at(owner: Owner, references: Sequence[Reference], *, force: bool, grace: float) -> Found:
    """Remove jobs and everything of theirs.

    Args:
        owner: Whose jobs.
        references: Which.
        force: Stop those that are not finished first.
        grace: Seconds before SIGKILL for those.

    Returns:
        The jobs that are gone; an error for each that is not.
    """
    choice = _Choice(owner, references, lambda job: force or not job.survivors)
    first = str(round(grace * 10)) if force else "-"
    changed = await _change(owner, choice, "remove", first, *selectors(references))
    gone = _gone(changed)
    errors = _unstopped(changed) + _apart(changed)
    left = [job for job in choice.found.jobs if job not in gone]
    kept = [_kept(owner, changed.jobs.get(job.instance_id, job)) for job in left]
    return Found(owner, tuple(gone), (*choice.found.errors, *errors, *kept))


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
    wrong: tuple[RjobError, ...] = ()

    async def choose(facts: Facts) -> list[Job]:
        nonlocal wrong
        jobs, errors = await settle(owner, facts)
        wrong = tuple(errors.values())
        finished = sorted((job for job in jobs.values() if job.state.finished), key=lambda job: job.id)
        settled = [job for job in finished if not job.survivors and not job.foreign]
        old = settled[: max(0, len(settled) - (keep or 0))]
        return [job for job in old if limit is None or (job.end or job.begin or limit) <= limit]

    if dry_run:
        chosen = await choose(await owner.channel.call("facts", "all"))
        return Found(owner, tuple(chosen), wrong)
    changed = await _change(owner, choose, "remove", "-", "all")
    return Found(owner, tuple(_gone(changed)), wrong)


def _gone(changed: _Changed) -> list[Job]:
    gone = {word for words in changed.facts.other if words[0] == "removed" for word in words[1:]}
    return [job for job in changed.chosen if job.instance_id in gone]


def _kept(owner: Owner, job: Job) -> JobConflict:
    """Say why a job was not removed."""
    problem = ": processes of it live on" if job.survivors else " is not finished"
    return JobConflict(f"job {job.ref}{problem}", hint="stop it first, or use --force", host=owner.host, job=job.ref)


def _unstopped(changed: _Changed) -> list[RjobError]:
    """An error for each job with processes that nothing ends."""
    return [
        OwnerError(
            f"processes that nothing ends: {' '.join(pids)}",
            reason="survivors",
            hint="look at them there: they may hang in the kernel",
            host=changed.owner.host,
            job=job.ref,
        )
        for job, pids in changed.named("survivors")
    ]


def _apart(changed: _Changed) -> list[RjobError]:
    """An error for each job that is in another pid namespace."""
    return [
        OwnerError(
            f"job {job.ref} is in another container, or on another machine: from here it cannot be reached",
            reason="apart",
            hint="run rjob in that container; if it is gone, delete the job's folder, then `rjob registry rebuild`",
            host=changed.owner.host,
            job=job.ref,
        )
        for job, _ in changed.named("apart")
    ]
