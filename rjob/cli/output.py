"""Printing: data on standard output, everything else that rjob itself prints on standard error."""

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
        error: The reason.
    """

    def __init__(self, error: OSError) -> None:
        why = "it is not open for writing" if error.errno == errno.EBADF else error.strerror
        super().__init__(f"cannot write to standard output: {why}")
        self.reader_gone = isinstance(error, BrokenPipeError)


class _Unbuffered(io.FileIO):
    """An unbuffered standard stream: each write is complete, or fails, at once."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: ReadableBuffer) -> int:
        """Write all of the data, even if another process has made the shared descriptor non-blocking."""
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
        """Write all of the data.

        Raises:
            NotPrinted: It cannot be written.
        """
        try:
            return super().write(data)
        except OSError as error:
            raise NotPrinted(error) from error


class _Messages(_Unbuffered):
    """Standard error: failure to print a message is ignored."""

    def write(self, data: ReadableBuffer) -> int:
        """Write as much as possible."""
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def prepare() -> None:
    """Make the standard streams safe to use.

    Reserve those of the descriptors 0 to 2 that the caller has closed, so that no file of rjob's gets such a number:
    reading there gives the end of file, writing is an error. Escape what a stream's encoding lacks.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Inheritable, so that no program that rjob runs gets the number for a file of its own.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    # This module writes to __stdout__; keep_for_data() redirects stdout, which print() uses, so that plugins cannot.
    sys.__stdout__ = sys.stdout = _text(_Data(1), sys.stdout)  # type: ignore[assignment,misc]
    sys.stderr = _text(_Messages(2), sys.stderr)


def _text(stream: _Unbuffered, like: TextIO | None) -> TextIO:
    """Make a text stream of a descriptor, in the encoding of the stream that it replaces."""
    encoding = (like and like.encoding) or "utf-8"
    return io.TextIOWrapper(stream, encoding, errors="backslashreplace", write_through=True)


def keep_for_data() -> None:
    """Reserve standard output for this module: from now on the prints of plugins go to standard error."""
    sys.stdout = sys.stderr


def _stdout() -> TextIO:
    """Return standard output, even after keep_for_data()."""
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
    """Print a message that is not a result to standard error; ignore failure to print it.

    Args:
        text: One line.
    """
    sys.stderr.write(text + "\n")


def trouble(error: RjobError) -> None:
    """Print an expected error in one line, and its hint.

    Args:
        error: The error.
    """
    if isinstance(error, NotPrinted) and error.reader_gone:
        # Silent, like a program that SIGPIPE ends.
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
    """Print the errors of a result; with ``--json`` also its jobs.

    Args:
        result: The result from the job manager.
        json: Whether ``--json`` was given.
    """
    if json:
        as_json(result)
    for error in result.errors:
        trouble(error)


def as_json(result: Result) -> None:
    """Print the one JSON document of a verb.

    Args:
        result: The result from the job manager.
    """
    from json import dumps

    from rjob.cli.envelope import envelope

    stream = _stdout()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8")
    data(dumps(envelope(result), ensure_ascii=False, indent=2))


def references(result: Result) -> None:
    """Print references only, one per line.

    Args:
        result: The result from the job manager.
    """
    for job in result.jobs:
        data(visible(job.ref))


def tell(result: Result, what: str | None = None, *, quiet: bool = False, json: bool = False) -> int:
    """Print one line about each job to standard error, and the errors.

    Args:
        result: The result from the job manager.
        what: ``started``, ``removed``, ...; None for the job's state.
        quiet: Whether to print references instead.
        json: Whether to print JSON instead.

    Returns:
        The exit status of a verb that changes jobs.

    Raises:
        NotPrinted: References or JSON cannot be written; the lines about the jobs were printed.
    """
    sentences = not (quiet or json)
    try:
        if json:
            as_json(result)
        elif quiet:
            references(result)
    except NotPrinted:
        # Print the lines about the jobs after all.
        sentences = True
        raise
    finally:
        for job in result.jobs if sentences else ():
            note(sentence(job, what or _stands(job)))
        for error in result.errors:
            trouble(error)
    return 1 if result.errors else 0


def redraw(text: str, errors: Sequence[RjobError]) -> None:
    """Replace the terminal's content.

    Args:
        text: Lines.
        errors: Errors to print below.
    """
    import shutil

    size = shutil.get_terminal_size()
    lines = [*text.split("\n"), *(fit(f"rjob: {visible(str(error))}", size.columns) for error in errors)]
    # One line too many would scroll the headers away.
    data("\x1b[H\x1b[2J" + "\n".join(lines[: size.lines - 1]))


def sentence(job: Job, what: str) -> str:
    """Describe in a sentence what happened to a job.

    Args:
        job: The job.
        what: ``started``, ``stopped``, ...
    """
    return f"Job {visible(job.ref)} {what}: {visible(job.command)}"


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return _stdout().isatty()


def coloured(setting: str, environ: Mapping[str, str] | None = None) -> bool:
    """Decide whether to use colours.

    Args:
        setting: ``auto``, ``always`` or ``never``, as in the settings file.
        environ: The environment; None for this process's.
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
    """Return the terminal's width; None if standard output is not a terminal."""
    if not on_terminal():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _stands(job: Job) -> str:
    """Describe a job's state as part of a sentence."""
    word = str(job.state).lower()
    if not job.state.finished or job.state is State.LOST:
        return f"is {word}"
    return f"{word} ({visible(job.reason)})" if job.reason else word
