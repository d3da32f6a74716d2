"""Everything that rjob itself prints: data on standard output, the rest on standard error."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from rjob.cli.text import visible
from rjob.models import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.errors import RjobError
    from rjob.models import Job, Result


def prepare() -> None:
    """Make the standard streams safe to use.

    No character ends the program because the terminal has no such letter.  The numbers of streams that the caller has
    closed are taken, so that no output ever goes into another file that happened to get such a number; writing there
    is an error.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
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
    if error.__cause__ is not None and os.environ.get("RJOB_DEBUG"):
        import traceback

        note(_visible_lines("".join(traceback.format_exception(error.__cause__)).rstrip()))


def _visible_lines(text: str) -> str:
    """Make everything but the ends of lines visible."""
    return "\n".join(map(visible, text.split("\n")))


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


def references(result: Result) -> None:
    """Print references only, one a line.

    Args:
        result: From the job manager.
    """
    for job in result.jobs:
        data(visible(job.ref))


def tell(result: Result, what: str | None = None, *, quiet: bool = False, json: bool = False) -> int:
    """Print what became of each job, in one line, and tell of the errors.

    Args:
        result: From the job manager.
        what: ``started``, ``removed``, …; the job's state when None.
        quiet: Whether to print references only.
        json: Whether to print JSON.

    Returns:
        The exit status of a verb that does something to jobs.
    """
    if quiet:
        references(result)
    elif not json:
        for job in result.jobs:
            data(sentence(job, what or _stands(job)))
    report(result, json=json)
    return 1 if result.errors else 0


def redraw(text: str, errors: Sequence[RjobError]) -> None:
    """Show text in place of what the terminal shows.

    Args:
        text: Lines.
        errors: What to tell of below.
    """
    import shutil

    lines = [*text.split("\n"), *(f"rjob: {visible(str(error))}" for error in errors)]
    # One line too many would scroll the headers away.
    shown = lines[: shutil.get_terminal_size().lines - 1]
    print("\x1b[H\x1b[2J" + "\n".join(shown), flush=True)


def sentence(job: Job, what: str) -> str:
    """Say what became of a job.

    Args:
        job: The job.
        what: ``started``, ``stopped``, …
    """
    return f"Job {visible(job.ref)} {what}: {visible(job.command)}"


def on_terminal() -> bool:
    """Whether somebody looks at standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def coloured(setting: str, environ: Mapping[str, str] | None = None) -> bool:
    """Decide whether to use colours.

    Args:
        setting: ``auto``, ``always`` or ``never``, as the settings file has it.
        environ: The environment; this process's when None.
    """
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    if setting != "auto":
        return setting == "always"
    return on_terminal() and environ.get("TERM") != "dumb"


def columns() -> int | None:
    """How wide a table may be; None where nobody looks at its width."""
    if not on_terminal():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _stands(job: Job) -> str:
    """A job's state as part of a sentence."""
    word = str(job.state).lower()
    if not job.state.finished or job.state is State.LOST:
        return f"is {word}"
    return f"{word} ({visible(job.reason)})" if job.reason else word
