"""Building the jobs that users see from their owner's facts."""

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
    """Build a job, and its verdict, from facts.

    Args:
        facts: The whole reply.
        job: The job's own facts.
        host: The owner as the user named it; None for this machine.
    """
    # The parser has checked the type of each field; see JobFacts.record.
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
    """Build a job that an owner has just started, without requesting its facts.

    Args:
        facts: The reply to the start request.
        record: The job's start record.
        number: Its id.
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
    """Build a child from its facts and its parent's fields."""
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
    """Compute a parent's fields from its children: it runs nothing itself."""
    if not children:
        return {"type": _REMOTE, "location": ""}
    from rjob.nodesets import fold

    # The parent's own record is written after the last child's.
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
    """Build a job from its files; ``told`` overrides the fields from the files."""
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
    """Build a job from its start record and its verdict: the one place where jobs are built."""
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
    """Return a job's reference on the command line, and the host in it.

    The reference holds the host as the user named it, so that no host can pass off a job as another host's. A foreign
    job (of another machine under the same home) has an id of that machine; it is referred to by its instance id, which
    matches nothing on the host that reported it. Only the facts of this machine's own home are trusted: there, the
    recorded host name of the other machine is used, if it can mean no other machine.

    Args:
        facts: The whole reply.
        job: The job's own facts.
        number: The job's id.
        host: The owner as the user named it; None for this machine.
    """
    if not job.foreign:
        return (f"{number}@{host}" if host else str(number)), host
    if host is None and (name := facts.reachable_host(job.machine)):
        return f"{number}@{name}", name
    return (f"{job.uuid}@{host}" if host else job.uuid), host
