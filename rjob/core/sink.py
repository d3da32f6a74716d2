"""Where output goes: what a reader of jobs' output has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rjob.errors import RjobError

if TYPE_CHECKING:
    from rjob.models import Job
    from rjob.transports.base import Stream


class ReaderGone(Exception):  # noqa: N818  (not an error: the reader has had enough)
    """Nobody reads any more.

    Args:
        written: How many bytes of the last write were taken before that.
    """

    def __init__(self, written: int = 0) -> None:
        super().__init__(written)
        self.written = written


class WriteFailed(RjobError):
    """Output cannot be written.

    Args:
        message: See RjobError.
        written: How many bytes of the last write were taken before that.
    """

    def __init__(self, message: str, written: int = 0) -> None:
        super().__init__(message)
        self.written = written


class Sink(Protocol):
    """Where output goes.

    It may also have ``shrank(job, stream, position, size)``, which is told that a job cut its own output short, and
    ``whole_lines``; if that is true, lines that are followed come whole.
    """

    def write(self, job: Job, stream: Stream, data: bytes) -> None:
        """Take all of the bytes.

        Raises:
            ReaderGone: Nobody reads any more.
            WriteFailed: They cannot be written.
        """

    def held(self, stream: Stream) -> int:
        """Wait until what was written was read, or its reader has gone.

        Returns:
            How many of the bytes written last never reached the reader.
        """
