"""How a job specification becomes what the POSIX runner is given: the words to run, the start record, the parts.

The words travel as a shell text of a fixed form: settings and one ``set --``, every value in single quotes.  The
variables are a text of their own, for they may have the names of the runner's own: it is read last.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from rjob.errors import UsageError
from rjob.runner.protocol import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rjob.models import JobSpec

RECORD_LIMIT = 1800
"""Bytes of a start record in the registry; a longer one is summarised, and lies whole in the job's folder."""

_COMMAND_LIMIT = 400
_TEXTS = ("spec", "spec.json", "env", "job.json")
_TEXT_LIMIT = 2000
_OWN = ("v", "event", "id", "instance", "time")
_SHELLS_OWN = frozenset(
    (
        *("BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_ARGV0", "BASH_CMDS", "BASH_COMMAND"),
        *("BASH_COMPAT", "BASH_LINENO", "BASH_REMATCH", "BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO"),
        *("BASH_XTRACEFD", "COMP_WORDBREAKS", "DIRSTACK", "EGID", "EPOCHREALTIME", "EPOCHSECONDS", "ERRNO", "EUID"),
        *("FUNCNAME", "GROUPS", "HISTCMD", "KSHEGID", "KSHGID", "KSHUID", "KSH_VERSION", "LINENO", "OPTARG", "OPTIND"),
        *("PGRP", "PIPESTATUS", "PPID", "RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "TMOUT", "UID", "USER_ID", "_"),
    )
)
"""Variables that some shell makes itself or refuses to set: env(1) sets them instead."""


class Launch(NamedTuple):
    """One job of a ``start`` request."""

    uuid: str
    record: dict[str, Any]
    parts: tuple[tuple[str, bytes], ...] = ()
    limit: str = ""
    secrets: tuple[tuple[str, str], ...] = ()
    copy: str = ""
    """The job whose files it takes over instead of bringing its own; empty for none."""


def start_request(launches: Sequence[Launch], now: str | None = None) -> tuple[list[bytes], bytes]:
    """The lines and the bytes of a ``start`` request.

    Args:
        launches: The jobs.
        now: The owner's time, as runners write it, where the client is on the same machine and knows it.
    """
    lines = [f"now {now}".encode()] if now else []
    body: list[bytes] = []
    if len(launches) > 1:
        # They may be many, and a command takes only so many arguments.
        for at in range(0, len(launches), 100):
            lines.append(" ".join(["jobs", *(launch.uuid for launch in launches[at : at + 100])]).encode())
    for launch in launches:
        lines += _job_lines(launch, body)
    return lines, b"".join(body)


def _job_lines(launch: Launch, body: list[bytes]) -> list[bytes]:
    """The lines of one job; what goes into the request's body is appended to that."""
    lines = [f"job {launch.uuid}".encode()]
    if launch.copy:
        lines.append(f"copy {launch.copy}".encode())
    full = _dump(launch.record)
    parts = list(launch.parts)
    if len(full) > RECORD_LIMIT:
        parts.append(("job.json", full + b"\n"))
        full = _dump(_summary(launch.record))
    for name, data in parts:
        # On a line of its own it costs the runner no process; but not every shell reads lines of any bytes.
        if name in _TEXTS and len(data) <= _TEXT_LIMIT and data.isascii():
            lines.append(b"text " + name.encode() + b" " + escape(os.fsdecode(data)))
        else:
            lines.append(f"part {name} {len(data)}".encode())
            body.append(data)
    if launch.limit:
        lines.append(f"limit {launch.limit}".encode())
    # The runner puts the number in front: the record goes without its opening brace.
    lines.append(b"record " + full[1:])
    lines += [b"secret " + key.encode() + b"=" + escape(value) for key, value in launch.secrets]
    return lines


def launch_of(spec: JobSpec, uuid: str) -> Launch:
    """Make a launch of what the user asked for.

    Args:
        spec: What to run.
        uuid: The instance id that the client chose.

    Raises:
        UsageError: There is nothing to run, a word holds a NUL, or a secret has a name that no shell hands on.
    """
    for key, _ in spec.secrets:
        if key in _SHELLS_OWN:
            raise UsageError(f"a secret cannot be called {key}: shells keep that name to themselves")
    parts = [("spec", _spec_text(spec)), ("spec.json", _neutral_spec(spec))]
    if env := _exports(pair for pair in spec.env if pair[0] not in _SHELLS_OWN):
        parts.append(("env", _bytes(env)))
    if spec.script is not None:
        parts.append(("script", spec.script))
    if spec.stdin is not None:
        parts.append(("stdin", spec.stdin))
    limit = "" if spec.time_limit is None else f"{max(spec.time_limit, 0.001):.3f}".rstrip("0").rstrip(".")
    return Launch(uuid, _record(spec), tuple(parts), limit, spec.secrets)


def retry_of(record: Mapping[str, Any], old: str, new: str, secrets: Mapping[str, str]) -> Launch:
    """Make a launch that repeats a job of the same owner.

    Args:
        record: The old job's start record.
        old: Its instance id.
        new: The new one's.
        secrets: The values of the secrets that the caller gives, by name.

    Raises:
        UsageError: The old job had a secret that is not among them, or its record of them is broken.
    """
    fresh = {key: value for key, value in record.items() if key not in _OWN} | {"retry_of": old}
    # Not at start-up: to start a job for the first time needs nothing of it.
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
    """The command in one line, for people."""
    if spec.line is not None:
        return spec.line
    words = [spec.script_name or "script", *spec.argv] if spec.script is not None else list(spec.argv)
    return shlex.join(words)


def _neutral_spec(spec: JobSpec) -> bytes:
    """What a job is to run, in no shell's form: any runner could start it anew from this, its script and its stdin."""
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


def _record(spec: JobSpec) -> dict[str, Any]:
    record: dict[str, Any] = {"type": "BackgroundJob", "command": command_text(spec)}
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
    """The record without what can be long, marked as such."""
    short = {key: value for key, value in record.items() if key not in ("argv", "args", "line", "env", "secrets")}
    short["command"] = record["command"][:_COMMAND_LIMIT]
    # Escapes make a character up to six bytes long.
    while len(_dump(short)) > RECORD_LIMIT and short["command"]:
        short["command"] = short["command"][: len(short["command"]) // 2]
    if len(_dump(short)) > RECORD_LIMIT:
        short = {key: short[key] for key in ("type", "command", "name", "retry_of") if key in short}
    return short | {"truncated": True}


def _dump(record: Mapping[str, Any]) -> bytes:
    # Compact and in ASCII: names are looked for as bytes, and any tool can read the file.
    return json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode()


def _exports(variables: Iterable[tuple[str, str]]) -> str:
    """The shell text that sets variables; empty for none."""
    return "".join(f"export {key}={_quote(value)}\n" for key, value in variables)


def _bytes(text: str) -> bytes:
    if "\0" in text:
        raise UsageError("a word must not hold a NUL character")
    return os.fsencode(text)


def _spec_text(spec: JobSpec) -> bytes:
    """The text that the runner reads before it becomes the command."""
    lines = []
    if spec.cwd is not None:
        lines.append(f"rj_dir={_quote(spec.cwd)}")
    if spec.merge:
        lines.append("rj_merge=1")
    if spec.login:
        lines.append("rj_login=1")
        if spec.shell and spec.line is not None:
            lines.append(f"rj_home_shell=$(command -v {_quote(spec.shell)} || echo {_quote(spec.shell)})")
    if spec.line is not None and spec.login:
        lines.append(f"rj_line={_quote(spec.line)}")
    else:
        settings = [f"{key}={value}" for key, value in spec.env if key in _SHELLS_OWN]
        lines.append(" ".join(["set --", *map(_quote, ["env", *settings] if settings else ()), _words(spec)]))
    return _bytes("\n".join(lines) + "\n")


def _words(spec: JobSpec) -> str:
    if spec.line is not None:
        return " ".join(map(_quote, (spec.shell or "sh", "-c", spec.line)))
    if spec.script is None:
        if not spec.argv:
            raise UsageError("there is no command to run", hint="rjob start COMMAND [ARG]…")
        return " ".join(map(_quote, spec.argv))
    interpreter = [spec.shell] if spec.shell else _interpreter(spec.script)
    return " ".join([*map(_quote, interpreter), '"$rj_job/script"', *map(_quote, spec.argv)])


def _interpreter(script: bytes) -> list[str]:
    """What a script's first line says runs it; the script itself may lie where nothing may be executed."""
    match = re.match(rb"#!\s*(\S+)(?:[ \t]+([^\n]*?))?\s*(?:\n|$)", script)
    if match is None:
        return ["sh"]
    return [os.fsdecode(part) for part in match.groups() if part]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
