"""Changing jobs on one owner: it lists them, the client chooses some, and it reports the chosen ones afterwards."""

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
    """The result of a change.

    Attributes:
        owner: The owner of the jobs.
        chosen: The jobs to change, as they were before.
        facts: The owner's answer.
        jobs: The jobs that still exist, as they are afterwards, by instance id.
        errors: Why the state of other jobs is unknown, by instance id.
    """

    owner: Owner
    chosen: tuple[Job, ...]
    facts: Facts
    jobs: dict[str, Job]
    errors: dict[str, RjobError]

    def named(self, word: str) -> list[tuple[Job, list[str]]]:
        """Return the jobs in the answer's lines that begin with this word, each with the line's other words."""
        by_id = {job.instance_id: job for job in self.chosen}
        lines = [words for words in self.facts.other if words[0] == word and len(words) > 1]
        return [(by_id[words[1]], words[2:]) for words in lines if words[1] in by_id]


async def change(
    owner: Owner,
    choose: Callable[[Facts], Awaitable[Sequence[Job]]],
    operation: str,
    *words: str,
) -> Changed:
    """Request an owner's jobs, choose some, and have an operation done to them: one command on the host.

    Args:
        owner: The owner of the jobs.
        choose: Returns the jobs to change, from the owner's facts.
        operation: The runner's operation.
        words: The operation's arguments, and the selectors of the jobs.
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
    """The jobs to change, out of those that references name.

    Args:
        owner: The owner of the jobs.
        references: The references that the user gave.
        admits: Whether a job is to be changed.

    Attributes:
        found: The jobs that the references name.
    """

    def __init__(
        self, owner: Owner, references: Sequence[Reference], admits: Callable[[Job], bool] = lambda _: True
    ) -> None:
        self.found = OwnerResult(owner)
        self._references = references
        self._admits = admits

    async def __call__(self, facts: Facts) -> list[Job]:
        """Choose the jobs to change.

        Args:
            facts: The owner's facts of the jobs that the references name.
        """
        self.found = without_parents(await named(self.found.owner, self._references, facts))
        return [job for job in self.found.jobs if self._admits(job)]

    def after(self, changed: Changed, errors: Sequence[RjobError]) -> OwnerResult:
        """Return the jobs as they are after a change, with the errors."""
        chosen = {job.instance_id for job in changed.chosen}
        jobs = {job.instance_id: job for job in self.found.jobs if job.instance_id not in chosen} | changed.jobs
        missing = [job for job in self.found.jobs if job.instance_id not in jobs]
        wrong = [changed.errors.get(job.instance_id) or removed(changed.owner, job) for job in missing]
        there = tuple(jobs[job.instance_id] for job in self.found.jobs if job.instance_id in jobs)
        return self.found._replace(jobs=there, errors=(*self.found.errors, *errors, *wrong))


REFUSALS = {
    "survivors": ("processes that nothing ends: {pids}", "look at them there: they may hang in the kernel"),
    "apart": (
        "job {ref} is in another container, or on another machine: from here it cannot be reached",
        "run rjob in that container; if it is gone, delete the job's folder, then `rjob registry rebuild`",
    ),
    "denied": (
        "job {ref} cannot be signalled: its main process belongs to another user",
        "signal it there, as that user",
    ),
}
"""Message and hint for each word with which a runner reports that a job could not be changed."""


def refusals(changed: Changed) -> list[RjobError]:
    """Return an error for each job that could not be changed.

    Args:
        changed: The result of the change.
    """
    return [
        OwnerError(
            message.format(ref=job.ref, pids=" ".join(words)),
            reason=outcome,
            hint=hint,
            host=changed.owner.host,
            job=job.ref,
        )
        for outcome, (message, hint) in REFUSALS.items()
        for job, words in changed.named(outcome)
    ]
