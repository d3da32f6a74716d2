"""Where output goes: what a reader of jobs' output has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rjob.core.options import Stream
    from rjob.models import Job


class ReaderGone(Exception):  # noqa: N818  (not an error: the reader has had enough)
    """Nobody reads any more.

    Args:
        written: How many bytes of the last write were taken before that.
    """

    def __init__(self, written: int = 0) -> None:
        super().__init__(written)
        self.written = written


class Sink(Protocol):
    """Where output goes."""

    def write(self, job: Job, stream: Stream, data: bytes) -> None:
        """Take all of the bytes.

        Raises:
            ReaderGone: Nobody reads any more.
        """

    def held(self, stream: Stream) -> int:
        """Wait until what was written was read, or its reader has gone.

        Returns:
            How many of the bytes written last never reached the reader.
        """
