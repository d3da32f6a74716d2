"""Changing jobs on one owner: it tells of them, some are chosen, and it tells what has become of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rjob.core.find import jobs_from_facts, named, removed, without_parents
from rjob.core.owner import OwnerResult
from rjob.errors import OwnerError, RjobError
from rjob.runner.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rjob.core.channel import Exchange
    from rjob.core.owner import Owner
    from rjob.models import Job
    from rjob.references import Reference


class Changed(NamedTuple):
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


async def change(
    owner: Owner,
    choose: Callable[[Facts], Awaitable[Sequence[Job]]],
    operation: str,
    *words: str,
) -> Changed:
    """Have an owner tell of jobs, choose some, and have something done to these: one command on the host.

    Args:
        owner: Whose jobs.
        choose: Says which of the jobs that were told of it is for.
        operation: What to do.
        words: Its arguments, and the selectors of the jobs.
    """

    async def talk(exchange: Exchange) -> Changed:
        facts = Facts()
        ready = await exchange.tell(facts)
        chosen = tuple(await choose(facts))
        after = facts.again()
        if ready and chosen:
            await exchange.say(*(job.instance_id for job in chosen), "end")
            await exchange.tell(after)
        jobs, errors = await jobs_from_facts(owner, after)
        return Changed(owner, chosen, after, jobs, errors)

    return await owner.channel.converse(talk, operation, *words)


class Choice:
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
        self.found = OwnerResult(owner)
        self._references = references
        self._admits = admits

    async def __call__(self, facts: Facts) -> list[Job]:
        """Choose.

        Args:
            facts: What the owner tells of the jobs that the references name.
        """
        self.found = without_parents(await named(self.found.owner, self._references, facts))
        return [job for job in self.found.jobs if self._admits(job)]

    def after(self, changed: Changed, errors: Sequence[RjobError]) -> OwnerResult:
        """The jobs as they are after a change, with what went wrong."""
        chosen = {job.instance_id for job in changed.chosen}
        jobs = {job.instance_id: job for job in self.found.jobs if job.instance_id not in chosen} | changed.jobs
        missing = [job for job in self.found.jobs if job.instance_id not in jobs]
        wrong = [changed.errors.get(job.instance_id) or removed(changed.owner, job) for job in missing]
        there = tuple(jobs[job.instance_id] for job in self.found.jobs if job.instance_id in jobs)
        return self.found._replace(jobs=there, errors=(*self.found.errors, *errors, *wrong))


def unstopped(changed: Changed) -> list[RjobError]:
    """An error for each job with processes that nothing ends.

    Args:
        changed: What came of the change.
    """
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


def apart(changed: Changed) -> list[RjobError]:
    """An error for each job that is in another pid namespace, or on another machine.

    Args:
        changed: What came of the change.
    """
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
