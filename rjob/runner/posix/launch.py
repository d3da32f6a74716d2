"""Building the files from which the POSIX runner starts a job: the words to run, the variables.

The words travel as a shell text of a fixed form: settings and one ``set --``, with every value in single quotes. The
variables are a text of their own, which is read last, because they may have the names of the runner's own variables.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from rjob.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rjob.models import JobSpec

_SHELLS_OWN = frozenset(
    (
        *("BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_ARGV0", "BASH_CMDS", "BASH_COMMAND"),
        *("BASH_COMPAT", "BASH_LINENO", "BASH_REMATCH", "BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO"),
        *("BASH_XTRACEFD", "COMP_WORDBREAKS", "DIRSTACK", "EGID", "EPOCHREALTIME", "EPOCHSECONDS", "ERRNO", "EUID"),
        *("FUNCNAME", "GROUPS", "HISTCMD", "KSHEGID", "KSHGID", "KSHUID", "KSH_VERSION", "LINENO", "OPTARG", "OPTIND"),
        *("PGRP", "PIPESTATUS", "PPID", "RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "TMOUT", "UID", "USER_ID", "_"),
    )
)
"""Variables that some shell sets itself or refuses to set: env(1) sets them instead."""


def parts(spec: JobSpec) -> list[tuple[str, bytes]]:
    """Build the files from which the runner starts a job.

    Args:
        spec: What to run.

    Raises:
        UsageError: There is no command, a word holds a NUL, or a secret has a name that shells do not pass on.
    """
    for key, _ in spec.secrets:
        if key in _SHELLS_OWN:
            raise UsageError(f"a secret cannot be called {key}: shells keep that name to themselves")
    files = [("spec", _spec_text(spec))]
    if env := _exports(pair for pair in spec.env if pair[0] not in _SHELLS_OWN):
        files.append(("env", _bytes(env)))
    return files


def _exports(variables: Iterable[tuple[str, str]]) -> str:
    """Build the shell text that exports variables; empty for none."""
    return "".join(f"export {key}={_quote(value)}\n" for key, value in variables)


def _bytes(text: str) -> bytes:
    if "\0" in text:
        raise UsageError("a word must not hold a NUL character")
    return os.fsencode(text)


def _spec_text(spec: JobSpec) -> bytes:
    """Build the text that the runner reads before it becomes the command."""
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
    """Return the interpreter in a script's ``#!`` line: the script's folder may be mounted noexec."""
    match = re.match(rb"#!\s*(\S+)(?:[ \t]+([^\n]*?))?\s*(?:\n|$)", script)
    if match is None:
        return ["sh"]
    return [os.fsdecode(part) for part in match.groups() if part]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
