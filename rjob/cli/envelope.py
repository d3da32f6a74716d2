"""The format of ``--json``: docs/reference/json-schema.json describes it, and it changes only by addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rjob import times
from rjob.cli.text import legible
from rjob.models import SCHEMA

if TYPE_CHECKING:
    from datetime import datetime

    from rjob.errors import RjobError
    from rjob.models import Job, Result


def envelope(result: Result) -> dict[str, Any]:
    """Convert a verb's result to the form for programs.

    Args:
        result: The result from the job manager.
    """
    return {
        "schema": SCHEMA,
        "jobs": [_job(job) for job in result.jobs],
        "errors": [_error(error) for error in result.errors],
    }


def _job(job: Job) -> dict[str, Any]:
    form: dict[str, Any] = {
        "ref": legible(job.ref),
        "id": job.id,
        "name": legible(job.name),
        "instance_id": job.instance_id,
        "type": legible(job.type),
        "state": str(job.state),
        "reason": _legible(job.reason),
        "exit_code": job.exit_code,
        "signal": job.signal,
        "has_more_data": job.has_more_data,
        "location": legible(job.location),
        "owner": legible(job.owner),
        "machine": legible(job.machine),
        "command": legible(job.command),
        "argv": None if job.argv is None else [legible(word) for word in job.argv],
        "line": _legible(job.line),
        "begin": _iso(job.begin),
        "end": _iso(job.end),
        "output_bytes": {"out": job.out_bytes, "err": job.err_bytes},
        "received_bytes": {"out": job.out_received, "err": job.err_received},
        "retry_of": _legible(job.retry_of),
        "children": [_job(child) for child in job.children],
    }
    if job.argv is not None and any(legible(word) != word for word in job.argv):
        from base64 import b64encode

        # The original bytes, whatever this process's locale is.
        words = [word.encode("utf-8", "surrogateescape") for word in job.argv]
        form["argv_base64"] = [b64encode(word).decode("ascii") for word in words]
    return form


def _error(error: RjobError) -> dict[str, Any]:
    return {
        "host": _legible(error.host),
        "job": _legible(error.job),
        "code": legible(error.code),
        "message": legible(error.message),
        "hint": _legible(error.hint),
    }


def _legible(text: str | None) -> str | None:
    return None if text is None else legible(text)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else times.iso(moment)
