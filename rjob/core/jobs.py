"""A job as users see it, made of its owner's facts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rjob.models import Job, State
from rjob.runner.states import Verdict, derive, derive_child, derive_parent, survivors
from rjob.runner.values import instant

if TYPE_CHECKING:
    from typing import Any

    from rjob.runner.facts import ChildFacts, Facts, JobFacts

_REMOTE = "RemoteJob"


def view(facts: Facts, job: JobFacts, host: str | None) -> tuple[Job, Verdict]:
    """Make a job of its facts.

    Args:
        facts: The whole reply.
        job: The job's own.
        host: The owner as the user named it; None for this machine.
    """
    # The gate has given each field its type; see JobFacts.record.
    record = job.record or {}
    number = record.get("id", 0)
    ref, at = _reference(facts, job, number, host)
    told = {
        "id": number,
        "name": record.get("name") or f"Job{number}",
        "instance_id": job.uuid,
        "ref": ref,
        "host": at,
        "owner": facts.hosts.get(job.machine, ""),
    }
    begin = _began(job) or instant(record.get("time"))
    if not job.children and not (record.get("type") == _REMOTE and job.words("exit") is None):
        verdict = derive(job)
        return _with_files(job, verdict, begin=begin, **told), verdict
    verdicts = [(child, derive_child(child, child.link)) for _, child in sorted(job.children.items())]
    children = tuple(_child(child, verdict, told) for child, verdict in verdicts)
    verdict = derive_parent(
        ((child.host, verdict) for child, verdict in verdicts), stop_asked=job.words("stop") is not None
    )
    return _with_files(job, verdict, begin=begin, **told, **_sums(job, verdict, children)), verdict


def begun(facts: Facts, record: dict[str, Any], number: int, instance: str, host: str | None) -> Job:
    """Make the job that an owner has just begun to run, without asking for its facts.

    Args:
        facts: The reply to the request that started it.
        record: Its start record.
        number: The number that it was given.
        instance: Its instance id.
        host: The owner as the user named it; None for this machine.
    """
    return _of_record(
        record,
        Verdict(State.RUNNING),
        id=number,
        name=record.get("name") or f"Job{number}",
        instance_id=instance,
        ref=f"{number}@{host}" if host else str(number),
        host=host,
        owner=facts.host,
        machine=facts.machine,
        begin=datetime.now(UTC),
    )


def _child(child: ChildFacts, verdict: Verdict, parent: dict[str, Any]) -> Job:
    """Make a child of its facts and of what is told of its parent."""
    selector, at, host = parent["ref"].partition("@")
    own = {
        "id": child.number,
        "name": f"Job{parent['id']}.{child.number}",
        "instance_id": child.instance or "",
        "ref": f"{selector}.{child.number}{at}{host}",
        "location": child.host,
        "type": _REMOTE,
    }
    return _with_files(child, verdict, begin=_began(child), **(parent | own))


def _sums(job: JobFacts, verdict: Verdict, children: tuple[Job, ...]) -> dict[str, Any]:
    """What a parent has from its children: it runs nothing itself."""
    if not children:
        return {"type": _REMOTE, "location": ""}
    from rjob.nodesets import fold

    # Its own record is written after the last child's.
    ends = [child.end for child in children if child.end]
    return {
        "type": _REMOTE,
        "location": fold(child.location for child in children if child.location),
        "children": children,
        "end": _ended(job) or (max(ends, default=None) if verdict.state.finished else None),
        "out_bytes": sum(child.out_bytes for child in children),
        "err_bytes": sum(child.err_bytes for child in children),
        "out_received": sum(child.out_received for child in children),
        "err_received": sum(child.err_received for child in children),
    }


def _with_files(job: JobFacts, verdict: Verdict, **told: Any) -> Job:
    """Make a job of what its files tell; ``told`` goes before that."""
    out_received, err_received = job.received
    files = {
        "machine": job.machine,
        "foreign": job.foreign,
        "end": _ended(job),
        "out_bytes": job.out_bytes,
        "err_bytes": job.err_bytes,
        "out_received": out_received,
        "err_received": err_received,
        "survivors": survivors(job),
    }
    return _of_record(job.record or {}, verdict, **(files | told))


def _of_record(record: dict[str, Any], verdict: Verdict, **told: Any) -> Job:
    """Make a job of its start record and of where it stands: the one place where jobs are made."""
    fields: dict[str, Any] = {"type": record.get("type") or "BackgroundJob"} | told
    return Job(
        state=verdict.state,
        reason=verdict.reason,
        exit_code=verdict.exit_code,
        signal=verdict.signal,
        command=record.get("command") or "",
        argv=tuple(record["argv"]) if "argv" in record else None,
        line=record.get("line"),
        retry_of=record.get("retry_of"),
        record=record,
        **fields,
    )


def _began(job: JobFacts) -> datetime | None:
    words = job.words("identity") or []
    return instant(words[4]) if len(words) > 4 else None


def _ended(job: JobFacts) -> datetime | None:
    words = job.words("exit") or []
    return instant(words[3]) if len(words) > 3 else None


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
