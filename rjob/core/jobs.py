"""A job as users see it, made of its owner's facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.models import Job
from rjob.runner.facts import instant
from rjob.runner.states import Verdict, derive, survivors

if TYPE_CHECKING:
    from rjob.runner.facts import Facts, JobFacts


def view(facts: Facts, job: JobFacts, host: str | None) -> tuple[Job, Verdict]:
    """Make a job of its facts.

    Args:
        facts: The whole reply.
        job: The job's own.
        host: The owner as the user named it; None for this machine.
    """
    verdict = derive(job)
    # The gate has given each field its type; see JobFacts.record.
    record = job.record or {}
    number = record.get("id", 0)
    exit_words = job.words("exit") or []
    identity = job.words("identity") or []
    received = job.received
    ref, at = _reference(facts, job, number, host)
    made = Job(
        id=number,
        name=record.get("name") or f"Job{number}",
        instance_id=job.uuid,
        state=verdict.state,
        ref=ref,
        reason=verdict.reason,
        exit_code=verdict.exit_code,
        signal=verdict.signal,
        type=record.get("type") or "BackgroundJob",
        host=at,
        owner=facts.hosts.get(job.machine, ""),
        machine=job.machine,
        foreign=job.foreign,
        command=record.get("command") or "",
        argv=tuple(record["argv"]) if "argv" in record else None,
        line=record.get("line"),
        begin=instant(identity[4] if len(identity) > 4 else None) or instant(record.get("time")),
        end=instant(exit_words[3] if len(exit_words) > 3 else None),
        out_bytes=job.out_bytes,
        err_bytes=job.err_bytes,
        out_received=received[0],
        err_received=received[1],
        retry_of=record.get("retry_of"),
        survivors=survivors(job),
        record=record,
    )
    return made, verdict


def _reference(facts: Facts, job: JobFacts, number: int, host: str | None) -> tuple[str, str | None]:
    """What to call a job on the command line, and the host in it.

    A reference holds the host as the user named it: through one host nothing can be called a job of another.  A job of
    another machine under the same home has a number of that machine's, so its instance id stands there, which finds
    nothing on the host that told of it.  Only what this machine's own home tells is believed: there the other machine's
    recorded host name is used, if it can mean no other machine.

    Args:
        facts: The whole reply.
        job: The job's own.
        number: The job's id.
        host: The owner as the user named it; None for this machine.
    """
    if not job.foreign:
        return (f"{number}@{host}" if host else str(number)), host
    if host is None and (name := facts.reachable_host(job.machine)):
        return f"{number}@{name}", name
    return (f"{job.uuid}@{host}" if host else job.uuid), host
