"""A job as users see it, made of its owner's facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rjob.models import Job
from rjob.runner.states import Verdict, derive, instant, survivors

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
    record = job.record or {}
    number = record.get("id", 0)
    exit_words = job.words("exit") or []
    identity = job.words("identity") or []
    owner = facts.hosts.get(job.machine, "")
    at = owner if job.foreign else host
    received = job.received
    made = Job(
        id=number,
        name=_text(record.get("name")) or f"Job{number}",
        instance_id=job.uuid,
        state=verdict.state,
        ref=f"{number}@{at}" if at else str(number),
        reason=verdict.reason,
        exit_code=verdict.exit_code,
        signal=verdict.signal,
        type=_text(record.get("type")) or "BackgroundJob",
        host=at,
        owner=owner,
        machine=job.machine,
        command=_text(record.get("command")) or "",
        argv=_words(record),
        line=_text(record.get("line")),
        begin=instant(identity[4] if len(identity) > 4 else None) or instant(_text(record.get("time"))),
        end=instant(exit_words[3] if len(exit_words) > 3 else None),
        out_bytes=job.out_bytes,
        err_bytes=job.err_bytes,
        out_received=received[0],
        err_received=received[1],
        retry_of=_text(record.get("retry_of")),
        survivors=survivors(job),
        record=record,
    )
    return made, verdict


def _words(record: dict[str, Any]) -> tuple[str, ...] | None:
    argv = record.get("argv")
    return tuple(map(str, argv)) if isinstance(argv, list) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
