"""The way of a job's output to standard output, standard error or a file: bytes, untouched."""

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

# No pipe holds more, so what was written before that has been read.
_PIPE_LIMIT = 1 << 20
_BLOCK = 1 << 16


class Delivery:
    """Where received output goes.

    Args:
        out: The file descriptor for jobs' standard output; the caller's when None.
        err: The file descriptor for jobs' standard error; it may be the same file; the caller's when None.
        prefix: Whether each line begins with the job that wrote it.
    """

    def __init__(self, out: int | None = None, err: int | None = None, *, prefix: bool = False) -> None:
        out = caller().out if out is None else out
        err = caller().err if err is None else err
        outlet = _Outlet(out)
        self._outlets: dict[Stream, _Outlet] = {"out": outlet, "err": outlet if _same(out, err) else _Outlet(err)}
        self.prefix = prefix
        self.whole_lines = prefix
        """Whether lines that are followed come whole, even if they are one job's."""

    def write(self, job: Job, stream: Stream, data: bytes) -> None:
        """Write a job's output.

        Args:
            job: Whose.
            stream: Which of its streams.
            data: The bytes.

        Raises:
            ReaderGone: Nobody reads any more; it tells how many of the bytes were taken.
            WriteFailed: They cannot be written; it tells how many were.
        """
        outlet = self._outlets[stream]
        outlet.write(list((outlet.prefixed if self.prefix else outlet.apart)(job.ref, stream, data)))

    @staticmethod
    def shrank(job: Job, stream: Stream, position: int, size: int) -> None:
        """Say that a job has cut its own output short.

        Args:
            job: Which.
            stream: Which of its streams.
            position: How far it had been received.
            size: How long it was found to be.
        """
        name = {"out": "stdout", "err": "stderr"}[stream]
        output.note(
            f"rjob: job {visible(job.ref)}: its {name} shrank from {position} to {size} bytes; what was cut off is lost"
        )

    def held(self, stream: Stream) -> int:
        """Wait until what was written was read, or its reader has gone.

        Args:
            stream: Which stream.

        Returns:
            How many of the bytes written last never reached the reader.
        """
        return self._outlets[stream].held(stream)


class _Outlet:
    """One open file, which may take both streams."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pipe = _is_pipe(descriptor)
        # What the pipe may still hold: whose bytes, how many, in the order in which they were written.
        self._written: deque[tuple[Stream | None, int]] = deque()
        self._total = 0
        self._open_line: tuple[str, Stream] | None = None

    def apart(self, ref: str, stream: Stream, data: bytes) -> Iterator[Piece]:
        """Leave one job's bytes as they are, but begin a new line for another job."""
        if self._open_line and self._open_line[0] != ref:
            yield None, b"\n"
        yield stream, data
        self._open_line = None if data.endswith(b"\n") else (ref, stream)

    def prefixed(self, ref: str, stream: Stream, data: bytes) -> Iterator[Piece]:
        """Cut at the ends of lines, and say at each beginning whose line it is."""
        prefix = f"{ref}: ".encode("utf-8", "surrogateescape")
        if self._open_line not in (None, (ref, stream)):
            # Another one's line is not at its end: two half lines must not look like one.
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
        """Note what was written; of it, the bytes that are a job's."""
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
    """Open the file of ``-o``, to append to it.

    Args:
        path: The file; it is created if need be.

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
    """Cut behind newlines only; bytes.splitlines also cuts at carriage returns, which draw progress bars."""
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _write(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        # Whoever shares this terminal or pipe with us has set it so.
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
    """Wait until a pipe is empty or has no reader; what is then still in it."""
    if sys.platform == "win32":
        return 0
    import fcntl
    import struct
    import termios

    poll = select.poll()
    # No event is asked for: what is always told is that the reader has gone.
    poll.register(descriptor, 0)
    pause = 1
    while True:
        gone = bool(poll.poll(0))
        try:
            # On Linux the writing end tells what the pipe holds; where it does not, what was written counts as read.
            size: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0]
        except OSError:
            return 0
        if gone or not size:
            return size
        poll.poll(pause)
        pause = min(2 * pause, 50)
