"""Everything that rjob itself prints: data on standard output, the rest on standard error."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING

from rjob.cli.text import fit, visible
from rjob.errors import RjobError
from rjob.models import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from _typeshed import ReadableBuffer

    from rjob.models import Job, Result


class NotPrinted(RjobError):
    """Data could not be written to standard output.

    Args:
        error: Why.
    """

    def __init__(self, error: OSError) -> None:
        why = "it is not open for writing" if error.errno == errno.EBADF else error.strerror
        super().__init__(f"cannot write to standard output: {why}")
        self.reader_gone = isinstance(error, BrokenPipeError)


class _Unbuffered(io.FileIO):
    """A standard stream's descriptor: what is written is out, or is an error, at once."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: ReadableBuffer) -> int:
        """Write all of it, also where whoever shares the descriptor has made it non-blocking."""
        whole = memoryview(data)
        done = 0
        while done < whole.nbytes:
            written = super().write(whole[done:])
            if written is None:
                select.select([], [self], [])
            else:
                done += written
        return done


class _Data(_Unbuffered):
    """Standard output."""

    def write(self, data: ReadableBuffer) -> int:
        """Write all of it.

        Raises:
            NotPrinted: It cannot be written.
        """
        try:
            return super().write(data)
        except OSError as error:
            raise NotPrinted(error) from error


class _Messages(_Unbuffered):
    """Standard error: a message that cannot be printed is no failure."""

    def write(self, data: ReadableBuffer) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def prepare() -> None:
    """Make the standard streams safe to use.

    Reserve the descriptors 0 to 2 that the caller has closed, so that no file of rjob's gets such a number: reading
    there gives the end of file, writing is an error.  Escape what a stream's encoding lacks.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Inherited, so that no program that rjob runs gets the number for a file of its own.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    # __stdout__ stays this module's; keep_for_data takes stdout, which print() uses, away from plugins.
    sys.__stdout__ = sys.stdout = _text(_Data(1), sys.stdout)  # type: ignore[assignment,misc]
    sys.stderr = _text(_Messages(2), sys.stderr)


def _text(stream: _Unbuffered, like: TextIO | None) -> TextIO:
    """Make a text stream of a descriptor, in the encoding of the stream that it replaces."""
    encoding = (like and like.encoding) or "utf-8"
    return io.TextIOWrapper(stream, encoding, errors="backslashreplace", write_through=True)


def keep_for_data() -> None:
    """From now on only this module writes to standard output: what a plugin prints goes to standard error."""
    sys.stdout = sys.stderr


def _stdout() -> TextIO:
    """Standard output, whoever else may write there."""
    return sys.__stdout__ or sys.stdout


def data(text: str) -> None:
    """Print a result.

    Args:
        text: Lines, without the last newline.

    Raises:
        NotPrinted: It cannot be written to standard output.
    """
    _stdout().write(text + "\n")


def note(text: str) -> None:
    """Say something on standard error that is no result; where that cannot be written, nothing is said.

    Args:
        text: One line.
    """
    sys.stderr.write(text + "\n")


def trouble(error: RjobError) -> None:
    """Tell of an expected error: one line, and what to do next.

    Args:
        error: What went wrong.
    """
    if isinstance(error, NotPrinted) and error.reader_gone:
        # As programs do that a signal ends then.
        return
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

    stream = _stdout()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8")
    data(dumps(envelope(result), ensure_ascii=False, indent=2))


def references(result: Result) -> None:
    """Print references only, one a line.

    Args:
        result: From the job manager.
    """
    for job in result.jobs:
        data(visible(job.ref))


def tell(result: Result, what: str | None = None, *, quiet: bool = False, json: bool = False) -> int:
    """Say on standard error what became of each job, in one line, and tell of the errors.

    Args:
        result: From the job manager.
        what: ``started``, ``removed``, …; the job's state when None.
        quiet: Whether to print references instead.
        json: Whether to print JSON instead.

    Returns:
        The exit status of a verb that does something to jobs.

    Raises:
        NotPrinted: References or JSON cannot be written; what became of the jobs was said.
    """
    sentences = not (quiet or json)
    try:
        if json:
            as_json(result)
        elif quiet:
            references(result)
    except NotPrinted:
        # What was done is told all the same.
        sentences = True
        raise
    finally:
        for job in result.jobs if sentences else ():
            note(sentence(job, what or _stands(job)))
        for error in result.errors:
            trouble(error)
    return 1 if result.errors else 0


def redraw(text: str, errors: Sequence[RjobError]) -> None:
    """Show text in place of what the terminal shows.

    Args:
        text: Lines.
        errors: What to tell of below.
    """
    import shutil

    size = shutil.get_terminal_size()
    lines = [*text.split("\n"), *(fit(f"rjob: {visible(str(error))}", size.columns) for error in errors)]
    # One line too many would scroll the headers away.
    data("\x1b[H\x1b[2J" + "\n".join(lines[: size.lines - 1]))


def sentence(job: Job, what: str) -> str:
    """Say what became of a job.

    Args:
        job: The job.
        what: ``started``, ``stopped``, …
    """
    return f"Job {visible(job.ref)} {what}: {visible(job.command)}"


def on_terminal() -> bool:
    """Whether somebody looks at standard output."""
    return _stdout().isatty()


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
