"""Building the job specification of ``rjob start`` from its options, files and environment."""

from __future__ import annotations

import os
import re
import select
import sys
from typing import TYPE_CHECKING, NamedTuple

from rjob.cli.client import caller
from rjob.errors import UsageError
from rjob.models import JobSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = r"[A-Za-z_][A-Za-z0-9_]*"
_BLOCK = 1 << 20
_ENV_LINE = rf"(?s)\s*(?:export\s+)?({_KEY})=(.*?)\s*"


class StartOptions(NamedTuple):
    """The options of ``start`` that say what to run, as they were given."""

    words: Sequence[str] = ()
    line: str | None = None
    script: str | None = None
    name: str | None = None
    directory: str | None = None
    env: Sequence[str] = ()
    env_files: Sequence[str] = ()
    secrets: Sequence[str] = ()
    stdin: str | None = None
    shell: str | None = None
    login: bool = False
    time_limit: str | None = None
    merge: bool = False


def spec_of(asked: StartOptions) -> JobSpec:
    """Build a job specification from the options.

    Args:
        asked: The options.

    Raises:
        UsageError: There is not exactly one thing to run, or an option has an unusable value.
    """
    _check(asked)
    # The last value of a variable counts.
    env = dict([pair for path in asked.env_files for pair in env_file(path)] + [_pair(item) for item in asked.env])
    secrets = {key: _callers(key) for key in asked.secrets}
    if both := env.keys() & secrets.keys():
        raise UsageError(f"{min(both)} is given as a secret and also openly")
    return JobSpec(
        argv=tuple(asked.words),
        line=asked.line,
        script=None if asked.script is None else _read(asked.script),
        script_name=None if asked.script is None or asked.script == "-" else os.path.basename(asked.script),
        name=asked.name,
        cwd=asked.directory,
        env=tuple(env.items()),
        secrets=tuple(secrets.items()),
        stdin=None if asked.stdin is None else _read(asked.stdin),
        shell=asked.shell,
        login=asked.login,
        time_limit=None if asked.time_limit is None else _limit(asked.time_limit),
        merge=asked.merge,
    )


def env_file(path: str) -> list[tuple[str, str]]:
    """Read a file of environment variables.

    Args:
        path: A file of ``KEY=VALUE`` lines; blank lines and lines that begin with ``#`` are skipped, ``export`` and
            quotes around the whole value are dropped.

    Raises:
        UsageError: It cannot be read, or a line is malformed; the message does not quote the line, which may be
            secret.
    """
    pairs = []
    for number, line in enumerate(_read(path).decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(_ENV_LINE, line)
        if match is None or chr(0) in line:
            raise UsageError(f"{path}, line {number}: not KEY=VALUE")
        key, value = match.groups()
        pairs.append((key, value[1:-1] if re.fullmatch(r"'[^']*'|\"[^\"]*\"", value) else value))
    return pairs


def _check(asked: StartOptions) -> None:
    ways = (asked.line is not None, asked.script is not None, bool(asked.words) and asked.script is None)
    if sum(ways) != 1:
        problem = "-c, --script and COMMAND exclude each other" if any(ways) else "nothing to run"
        raise UsageError(problem, hint="rjob start [OPTIONS] (-c LINE | --script FILE [ARG]... | COMMAND [ARG]...)")
    if asked.shell is not None and ways[2]:
        raise UsageError("--shell goes with -c or --script", hint="a COMMAND is executed as it is, without a shell")
    if asked.script == "-" and asked.stdin == "-":
        raise UsageError("--script and --stdin cannot both be read from standard input")


def _pair(item: str) -> tuple[str, str]:
    key, given, value = item.partition("=")
    return (_key(key), value) if given else (key, _callers(key))


def _callers(key: str) -> str:
    return caller().variable(_key(key))


def _key(key: str) -> str:
    if not re.fullmatch(_KEY, key):
        # The part after "=" may be a secret.
        raise UsageError(f"not the name of a variable: {key.partition('=')[0]!r}")
    return key


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return _standard_input()
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        what = "standard input" if path == "-" else path
        raise UsageError(f"cannot read {what}: {error.strerror}") from error


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(0, _BLOCK)
        except BlockingIOError:
            # Another process that shares this terminal or pipe has made it non-blocking.
            select.select([0], [], [])
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)


def _limit(text: str) -> float:
    from rjob import times

    seconds = times.duration(text)
    if not seconds:
        raise UsageError("a time limit must be longer than 0")
    return seconds
