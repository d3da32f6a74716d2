"""Building ``start`` requests from job specifications: the start record, the neutral specification, the files.

The files that only one platform's runner can read come from that runner (:meth:`rjob.runner.base.Runner.parts`).
"""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from rjob.errors import UsageError
from rjob.runner.protocol import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.models import JobSpec
    from rjob.runner.base import Runner

RECORD_LIMIT = 1800
"""The most bytes of a start record in the registry; a longer one is summarised, and complete in the job's folder."""

_COMMAND_LIMIT = 400
_TEXTS = ("spec", "spec.json", "env", "job.json")
_TEXT_LIMIT = 2000
_OWN = ("v", "event", "id", "instance", "time")


class Launch(NamedTuple):
    """One job of a ``start`` request."""

    uuid: str
    record: dict[str, Any]
    parts: tuple[tuple[str, bytes], ...] = ()
    limit: str = ""
    secrets: tuple[tuple[str, str], ...] = ()
    copy: str = ""
    """The instance id of the job whose files it copies instead of bringing its own; empty for none."""


def start_request(launches: Sequence[Launch], now: str | None = None) -> tuple[list[bytes], bytes]:
    """Build the lines and the body of a ``start`` request.

    Args:
        launches: The jobs.
        now: The owner's time as runners write it, if the client is on the same machine and knows it.
    """
    lines = [f"now {now}".encode()] if now else []
    body: list[bytes] = []
    if len(launches) > 1:
        # In groups of 100: there may be many jobs, and a command takes only so many arguments.
        for at in range(0, len(launches), 100):
            lines.append(" ".join(["jobs", *(launch.uuid for launch in launches[at : at + 100])]).encode())
    for launch in launches:
        lines += _job_lines(launch, body)
    return lines, b"".join(body)


def _job_lines(launch: Launch, body: list[bytes]) -> list[bytes]:
    """Build the lines of one job; append what goes into the request's body to ``body``."""
    lines = [f"job {launch.uuid}".encode()]
    if launch.copy:
        lines.append(f"copy {launch.copy}".encode())
    full = _dump(launch.record)
    parts = list(launch.parts)
    if len(full) > RECORD_LIMIT:
        parts.append(("job.json", full + b"\n"))
        full = _dump(_summary(launch.record))
    for name, data in parts:
        # A line of its own costs the runner no process; but not every shell reads lines of arbitrary bytes.
        if name in _TEXTS and len(data) <= _TEXT_LIMIT and data.isascii():
            lines.append(b"text " + name.encode() + b" " + escape(os.fsdecode(data)))
        else:
            lines.append(f"part {name} {len(data)}".encode())
            body.append(data)
    if launch.limit:
        lines.append(f"limit {launch.limit}".encode())
    # The runner inserts the id in front: the record is sent without its opening brace.
    lines.append(b"record " + full[1:])
    lines += [b"secret " + key.encode() + b"=" + escape(value) for key, value in launch.secrets]
    return lines


def launch_of(runner: Runner, spec: JobSpec, uuid: str) -> Launch:
    """Build a launch from a job specification.

    Args:
        runner: The runner that will start it.
        spec: What to run.
        uuid: The instance id that the client chose.

    Raises:
        UsageError: The runner cannot start such a job.
    """
    parts = [*runner.parts(spec), ("spec.json", _neutral_spec(spec))]
    if spec.script is not None:
        parts.append(("script", spec.script))
    if spec.stdin is not None:
        parts.append(("stdin", spec.stdin))
    limit = "" if spec.time_limit is None else f"{max(spec.time_limit, 0.001):.3f}".rstrip("0").rstrip(".")
    return Launch(uuid, _record(spec, runner.platform), tuple(parts), limit, spec.secrets)


def retry_of(record: Mapping[str, Any], old: str, new: str, secrets: Mapping[str, str]) -> Launch:
    """Build a launch that repeats a job of the same owner.

    Args:
        record: The old job's start record.
        old: Its instance id.
        new: The new job's instance id.
        secrets: The values of the secrets that the caller gives, by name.

    Raises:
        UsageError: The old job had a secret that is not among them, or the list of its secrets is malformed.
    """
    fresh = {key: value for key, value in record.items() if key not in _OWN} | {"retry_of": old}
    # Imported here: a first start does not need it.
    from rjob.runner.values import secrets_of

    fresh["command"] = fresh.get("command") or ""
    names = secrets_of(dict(record))
    if names is None:
        raise UsageError("the record of the job's secrets is broken", hint="start the job anew, with its --secret")
    missing = [name for name in names if name not in secrets]
    if missing:
        raise UsageError(
            f"the job's record names secrets that were not given: {_some(missing)}",
            hint="a host keeps that record: give with --secret KEY, one by one, those that you want this job to have",
        )
    return Launch(new, fresh, (), "", tuple((name, secrets[name]) for name in names), old)


def _some(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def command_text(spec: JobSpec) -> str:
    """Return the command in one line, for people."""
    if spec.line is not None:
        return spec.line
    words = [spec.script_name or "script", *spec.argv] if spec.script is not None else list(spec.argv)
    return shlex.join(words)


def _neutral_spec(spec: JobSpec) -> bytes:
    """Serialize what to run in no shell's syntax: with its script and stdin, any runner could start the job from it."""
    given = {
        "argv": list(spec.argv) or None,
        "line": spec.line,
        "script": (spec.script_name or "script") if spec.script is not None else None,
        "cwd": spec.cwd,
        "shell": spec.shell,
        "login": spec.login or None,
        "merge": spec.merge or None,
        "time_limit": spec.time_limit,
        "env": dict(spec.env) or None,
        "secrets": [key for key, _ in spec.secrets] or None,
        "stdin": True if spec.stdin is not None else None,
    }
    return _dump({"v": 1} | {key: value for key, value in given.items() if value is not None}) + b"\n"


def _record(spec: JobSpec, platform: str) -> dict[str, Any]:
    record: dict[str, Any] = {"type": "BackgroundJob", "platform": platform, "command": command_text(spec)}
    optional = {
        "name": spec.name,
        "argv": list(spec.argv) if spec.line is None and spec.script is None else None,
        "line": spec.line,
        "script": spec.script_name if spec.script is not None else None,
        "args": list(spec.argv) if spec.script is not None else None,
        "cwd": spec.cwd,
        "shell": spec.shell,
        "login": spec.login or None,
        "merge": spec.merge or None,
        "time_limit": spec.time_limit,
        "env": [key for key, _ in spec.env] or None,
        "secrets": [key for key, _ in spec.secrets] or None,
        "stdin_bytes": len(spec.stdin) if spec.stdin is not None else None,
        "retry_of": spec.retry_of,
    }
    return record | {key: value for key, value in optional.items() if value is not None}


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record without the fields that can be long, marked as truncated."""
    short = {key: value for key, value in record.items() if key not in ("argv", "args", "line", "env", "secrets")}
    short["command"] = record["command"][:_COMMAND_LIMIT]
    # JSON escapes make a character up to six bytes long.
    while len(_dump(short)) > RECORD_LIMIT and short["command"]:
        short["command"] = short["command"][: len(short["command"]) // 2]
    if len(_dump(short)) > RECORD_LIMIT:
        short = {key: short[key] for key in ("type", "platform", "command", "name", "retry_of") if key in short}
    return short | {"truncated": True}


def _dump(record: Mapping[str, Any]) -> bytes:
    # Compact and in ASCII: names are searched as bytes, and any tool can read the file.
    return json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode()
