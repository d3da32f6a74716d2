"""Delivery of jobs' output to standard output, standard error or a file: bytes, unchanged."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections import deque
from typing import TYPE_CHECKING

from rjob.cli import output
from rjob.cli.client import caller
from rjob.cli.text import visible
from rjob.core.sink import ReaderGone, WriteFailed
from rjob.errors import RjobError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rjob.models import Job
    from rjob.transports.base import Stream

Piece = tuple["Stream | None", bytes]
"""Bytes and the stream that they belong to; a prefix belongs to none."""

# No pipe holds more, so everything written before that has been read.
_PIPE_LIMIT = 1 << 20
_BLOCK = 1 << 16


class Delivery:
    """A sink that writes output to file descriptors.

    Args:
        out: The file descriptor for jobs' standard output; None for the caller's.
        err: The file descriptor for jobs' standard error, which may be the same file; None for the caller's.
        prefix: Whether each line begins with the reference of the job that wrote it.
    """

    def __init__(self, out: int | None = None, err: int | None = None, *, prefix: bool = False) -> None:
        out = caller().out if out is None else out
        err = caller().err if err is None else err
        outlet = _Outlet(out)
        self._outlets: dict[Stream, _Outlet] = {"out": outlet, "err": outlet if _same(out, err) else _Outlet(err)}
        self.prefix = prefix
        self.whole_lines = prefix
        """Whether followed output is written in whole lines, even for a single job."""

    def write(self, job: Job, stream: Stream, data: bytes) -> None:
        """Write a job's output.

        Args:
            job: The job.
            stream: The stream.
            data: The bytes.

        Raises:
            ReaderGone: The reader has closed the file; holds how many of the bytes were taken.
            WriteFailed: They cannot be written; holds how many were taken.
        """
        outlet = self._outlets[stream]
        outlet.write(list((outlet.prefixed if self.prefix else outlet.apart)(job.ref, stream, data)))

    @staticmethod
    def shrank(job: Job, stream: Stream, position: int, size: int) -> None:
        """Report that a job has truncated its own output.

        Args:
            job: The job.
            stream: The stream.
            position: How far it had been received, in bytes.
            size: Its size now, in bytes.
        """
        name = {"out": "stdout", "err": "stderr"}[stream]
        output.note(
            f"rjob: job {visible(job.ref)}: its {name} shrank from {position} to {size} bytes; what was cut off is lost"
        )

    def held(self, stream: Stream) -> int:
        """Wait until the reader has read everything written, or has gone.

        Args:
            stream: The stream.

        Returns:
            How many of the bytes written last never reached the reader.
        """
        return self._outlets[stream].held(stream)


class _Outlet:
    """One open file, which may take both streams."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pipe = _is_pipe(descriptor)
        # What the pipe may still hold: stream and number of bytes, in the order of writing.
        self._written: deque[tuple[Stream | None, int]] = deque()
        self._total = 0
        self._open_line: tuple[str, Stream] | None = None

    def apart(self, ref: str, stream: Stream, data: bytes) -> Iterator[Piece]:
        """Yield one job's bytes unchanged, after a newline if another job's line is unfinished."""
        if self._open_line and self._open_line[0] != ref:
            yield None, b"\n"
        yield stream, data
        self._open_line = None if data.endswith(b"\n") else (ref, stream)

    def prefixed(self, ref: str, stream: Stream, data: bytes) -> Iterator[Piece]:
        """Split bytes into lines, each with a prefix that names the job."""
        prefix = f"{ref}: ".encode("utf-8", "surrogateescape")
        if self._open_line not in (None, (ref, stream)):
            # Another job's or stream's line is unfinished: end it, or two half lines would look like one.
            yield None, b"\n"
            self._open_line = None
        for line in _lines(data):
            if self._open_line is None:
                yield None, prefix
            yield stream, line
            self._open_line = None if line.endswith(b"\n") else (ref, stream)

    def write(self, pieces: Sequence[Piece]) -> None:
        """Write all of the pieces."""
        whole = memoryview(b"".join(data for _, data in pieces))
        done = 0
        try:
            while done < len(whole):
                done += _write(self._descriptor, whole[done : done + _BLOCK])
        except BrokenPipeError:
            raise ReaderGone(self._count(pieces, done)) from None
        except OSError as error:
            raise WriteFailed(f"cannot write the output: {error.strerror}", self._count(pieces, done)) from error
        self._count(pieces, done)

    def held(self, stream: Stream) -> int:
        """See Delivery.held; the last bytes in the pipe are divided among their streams."""
        waiting = _drain(self._descriptor) if self._pipe else 0
        count = 0
        for owner, size in reversed(self._written):
            left = min(waiting, size)
            waiting -= left
            count += left if owner == stream else 0
        return count

    def _count(self, pieces: Sequence[Piece], done: int) -> int:
        """Note the bytes that were written; return how many of them are a job's, not a prefix's."""
        own = 0
        for stream, data in pieces:
            size = min(len(data), done)
            done -= size
            own += size if stream else 0
            if self._pipe:
                self._note(stream, size)
        return own

    def _note(self, stream: Stream | None, size: int) -> None:
        if self._written and self._written[-1][0] == stream:
            self._written[-1] = (stream, self._written[-1][1] + size)
        else:
            self._written.append((stream, size))
        self._total += size
        while self._total - self._written[0][1] >= _PIPE_LIMIT:
            self._total -= self._written.popleft()[1]


def open_file(path: str) -> int:
    """Open the file of ``-o`` for appending.

    Args:
        path: The file; it is created if it does not exist.

    Returns:
        Its descriptor.

    Raises:
        RjobError: It cannot be opened.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise RjobError(f"cannot write {path}: {error.strerror}") from error


def _lines(data: bytes) -> list[bytes]:
    """Split after newlines only; bytes.splitlines also splits at carriage returns, which draw progress bars."""
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _write(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        # Another process that shares this terminal or pipe has made it non-blocking.
        select.select([], [descriptor], [])
        return 0


def _same(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _drain(descriptor: int) -> int:
    """Wait until a pipe is empty or has no reader; return how many bytes are left in it."""
    if sys.platform == "win32":
        return 0
    import fcntl
    import struct
    import termios

    poll = select.poll()
    # No event is requested: poll always reports that the reader has gone.
    poll.register(descriptor, 0)
    pause = 1
    while True:
        gone = bool(poll.poll(0))
        try:
            # On Linux FIONREAD works on the writing end; elsewhere, written bytes count as read.
            size: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0]
        except OSError:
            return 0
        if gone or not size:
            return size
        poll.poll(pause)
        pause = min(2 * pause, 50)
