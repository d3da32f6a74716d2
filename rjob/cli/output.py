"""Everything that rjob itself prints: data on standard output, the rest on standard error."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from rjob.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from rjob.errors import RjobError
    from rjob.models import Job, Result


def prepare() -> None:
    """Make sure that no character can end the program because the terminal has no such letter."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def data(text: str) -> None:
    """Print a result.

    Args:
        text: Lines, without the last newline.
    """
    # At once, so that it stands in order with what the job's own output brings, and a reader that has gone is noticed.
    print(text, flush=True)


def note(text: str) -> None:
    """Say something on standard error that is no result.

    Args:
        text: One line.
    """
    print(text, file=sys.stderr, flush=True)


def trouble(error: RjobError) -> None:
    """Tell of an expected error: one line, and what to do next.

    Args:
        error: What went wrong.
    """
    note(f"rjob: {visible(str(error))}")
    if error.hint:
        note(f"  {visible(error.hint)}")


def report(result: Result, *, json: bool = False) -> None:
    """Tell of the errors in a result, and for programs also of its jobs.

    Args:
        result: From the job manager.
        json: Whether ``--json`` was given.
    """
    if json:
        as_json(result)
    for error in result.errors:
        trouble(error)


def as_json(result: Result) -> None:
    """Print the one JSON document of a verb.

    Args:
        result: From the job manager.
    """
    from json import dumps

    from rjob.cli.envelope import envelope

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    data(dumps(envelope(result), ensure_ascii=False, indent=2))


def happened(job: Job, what: str) -> None:
    """Print what became of a job, in one line.

    Args:
        job: The job.
        what: ``started``, ``stopped``, …
    """
    data(sentence(job, what))


def sentence(job: Job, what: str) -> str:
    """Say what became of a job.

    Args:
        job: The job.
        what: ``started``, ``stopped``, …
    """
    return f"Job {visible(job.ref)} {what}: {visible(job.command)}"


def coloured(setting: str, environ: Mapping[str, str] | None = None, stream: TextIO | None = None) -> bool:
    """Decide whether to use colours.

    Args:
        setting: ``auto``, ``always`` or ``never``, as the settings file has it.
        environ: The environment; this process's when None.
        stream: Where the text goes; standard output when None.
    """
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    if setting != "auto":
        return setting == "always"
    return (stream or sys.stdout).isatty() and environ.get("TERM") != "dumb"


def columns() -> int | None:
    """How wide a table may be; None where nobody looks at its width."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns
