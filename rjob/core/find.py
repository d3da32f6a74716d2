"""Finding jobs: turns references into selectors for their owner, and the owner's facts into jobs."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from rjob.core.jobs import view
from rjob.core.owner import OwnerResult
from rjob.errors import JobNotFound, OwnerError, RjobError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rjob.core.owner import Owner
    from rjob.models import Job
    from rjob.references import Reference
    from rjob.runner.facts import Facts
    from rjob.runner.states import Verdict


def selector(reference: Reference) -> str:
    """Return the runner's selector for a reference."""
    match reference.kind:
        case "id" | "child":
            return f"id {reference.id}"
        case "range":
            return f"range {reference.id} {reference.end}"
        case "last":
            return "newest 1 live"
        case "instance":
            return f"instance {_dashed(reference.instance)}"
        case "name":
            if (number := _default_name(reference.name)) is not None:
                return f"id {number}"
            return f'name "name":{json.dumps(reference.name)}'
        case _:
            return "all"


def _default_name(name: str) -> int | None:
    """Return the id in a default name, ``Job17``; None for any other name."""
    digits = name.removeprefix("Job")
    return int(digits) if digits != name and digits.isascii() and digits.isdigit() and len(digits) < 16 else None


def _dashed(digits: str) -> str:
    """Format the digits of an instance id, or of its beginning, as in a folder's name."""
    parts, start = [], 0
    for size in (8, 4, 4, 4, 12):
        parts.append(digits[start : start + size])
        start += size
    return "-".join(part for part in parts if part)


def selectors(references: Iterable[Reference]) -> list[str]:
    """Return the runner's selectors for references; see :func:`named`."""
    return [selector(reference) for reference in references]


async def look_up(owner: Owner, references: Sequence[Reference]) -> OwnerResult:
    """Find the jobs that references name, in their order, without duplicates.

    Args:
        owner: The owner of the jobs.
        references: The references to look up.
    """
    return await named(owner, references, await owner.channel.call("facts", *selectors(references)))


async def named(owner: Owner, references: Sequence[Reference], facts: Facts) -> OwnerResult:
    """Return the jobs that references name, in their order, without duplicates.

    Args:
        owner: The owner of the jobs.
        references: The references whose :func:`selectors` were sent.
        facts: The owner's reply to these selectors.
    """
    jobs, errors = await jobs_from_facts(owner, facts)
    found: dict[str, Job] = {}
    failed: list[RjobError] = []
    nothing: list[list[str]] = [[]] * (len(references) - len(facts.selected))
    for reference, uuids in zip(references, facts.selected + nothing, strict=False):
        matches = _matches(reference, [jobs[uuid] for uuid in uuids if uuid in jobs])
        broken = [errors[uuid] for uuid in uuids if uuid in errors]
        if reference.kind == "instance" and len(matches) > 1:
            failed.append(_error("more than one job's instance id begins so", "give more digits", owner, reference))
        elif matches:
            # Keyed by reference: a child that was never handed to its host has no instance id.
            found |= {job.ref: job for job in matches}
        elif not broken:
            failed.append(_missing(owner, reference))
        failed += broken
    return OwnerResult(owner, tuple(found.values()), tuple(failed))


def _missing(owner: Owner, reference: Reference) -> JobNotFound:
    """Build the error for a reference that names no job."""
    selector, at, host = reference.text.partition("@")
    if reference.kind == "child":
        way_out = f"`rjob get --json {reference.id}{at}{host}` shows the children that there are"
        return _error(f"no child {selector}", way_out, owner, reference)
    where = f" -H {owner.host}" if owner.host else ""
    return _error(f"no job {selector}", f"`rjob get --all{where}` lists them", owner, reference)


def _error(message: str, hint: str, owner: Owner, reference: Reference) -> JobNotFound:
    return JobNotFound(message, hint=hint, host=owner.host, job=reference.text)


def without_parents(found: OwnerResult) -> OwnerResult:
    """Remove the jobs that have children, with an error for each: they have no process to signal or start again.

    Args:
        found: The jobs that references name.
    """
    parents = [job for job in found.jobs if job.type == "RemoteJob"]
    errors: tuple[RjobError, ...] = tuple(
        UsageError(
            f"job {job.ref} runs on other hosts: so far it can only be looked at", host=found.owner.host, job=job.ref
        )
        for job in parents
    )
    return found._replace(jobs=tuple(job for job in found.jobs if job not in parents), errors=found.errors + errors)


def removed(owner: Owner, job: Job) -> JobNotFound:
    """Build the error for a job that was removed during the operation."""
    return JobNotFound(f"job {job.ref} was removed meanwhile", host=owner.host, job=job.ref)


def _matches(reference: Reference, jobs: Iterable[Job]) -> list[Job]:
    found = sorted(jobs, key=lambda job: job.id)
    if reference.kind == "glob":
        pattern = reference.name.casefold()
        return [job for job in found if fnmatchcase(job.name.casefold(), pattern)]
    if reference.kind == "name":
        # The runner matched the text of a registry line, or the number in a default name: compare the name itself.
        return [job for job in found if job.name == reference.name]
    if reference.kind == "child":
        return [child for job in found for child in _children(job, reference.child)]
    return found


def _children(job: Job, text: str) -> list[Job]:
    """Return the child with that number, else the children at that location."""
    numbered = [child for child in job.children if str(child.id) == text]
    return numbered or [child for child in job.children if child.location.casefold() == text.casefold()]


async def jobs_from_facts(owner: Owner, facts: Facts) -> tuple[dict[str, Job], dict[str, RjobError]]:
    """Build jobs from facts; have the owner record the ends that no supervisor will record.

    Returns:
        The jobs and the errors, by instance id.
    """
    jobs: dict[str, Job] = {}
    errors: dict[str, RjobError] = {
        uuid: OwnerError(f"in place of the job's folder {uuid} there is {what}", reason="broken-job", host=owner.host)
        for uuid, what in facts.broken.items()
    }
    verdicts: dict[str, Verdict] = {}
    for uuid, job in facts.jobs.items():
        if job.empty:
            # The job was removed while the runner read its files.
            continue
        if job.record is None:
            errors[uuid] = OwnerError(
                f"the job's folder {uuid} holds no readable start record",
                reason="broken-job",
                hint="look into the folder; `rjob registry rebuild` leaves it out",
                host=owner.host,
            )
            continue
        jobs[uuid], verdicts[uuid] = view(facts, job, owner.host)
    endings: dict[str, list[str]] = {}
    for uuid, verdict in verdicts.items():
        if verdict.record:
            endings.setdefault(verdict.record, []).append(uuid)
    for word, uuids in endings.items():
        await owner.channel.call("record-lost", word, " ".join(uuids))
    return jobs, errors
