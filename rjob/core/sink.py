"""The sink: the interface of a destination of jobs' output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rjob.errors import RjobError

if TYPE_CHECKING:
    from rjob.models import Job
    from rjob.transports.base import Stream


class ReaderGone(Exception):  # noqa: N818  (not an error: the reader wants no more)
    """The reader has closed the stream.

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
    """A destination of output.

    It may also have ``shrank(job, stream, position, size)``, which is called when a job has truncated its own output,
    and ``whole_lines``; if that is true, followed output is written in whole lines.
    """

    def write(self, job: Job, stream: Stream, data: bytes) -> None:
        """Take all of the bytes.

        Raises:
            ReaderGone: The reader has closed the stream.
            WriteFailed: They cannot be written.
        """

    def held(self, stream: Stream) -> int:
        """Wait until the reader has read everything written, or has gone.

        Returns:
            How many of the bytes written last never reached the reader.
        """
