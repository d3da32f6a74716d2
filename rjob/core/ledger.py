"""The ledger: which job's output was written to a sink, and how much of it was delivered."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from rjob.core.interrupts import Interrupts
from rjob.core.sink import ReaderGone, WriteFailed
from rjob.loopless import running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rjob.core.lines import Key, WholeLines
    from rjob.core.options import Streams
    from rjob.core.sink import Sink
    from rjob.models import Job
    from rjob.transports.base import Stream

_LINE = 1 << 16
"""Bytes to search backwards for the beginning of a line; output without one there is not text."""

_KEPT = (1 << 20) + _LINE
"""Bytes to remember of each stream: a pipe holds at most 1 MiB, and a line may begin before that."""


class _Piece(NamedTuple):
    uuid: str
    start: int
    data: bytes


class Ledger:
    """A writer of jobs' output to one sink, which counts what was delivered.

    Args:
        sink: The destination.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._written: dict[Stream, deque[_Piece]] = {"out": deque(), "err": deque()}
        self._size: dict[Stream, int] = {"out": 0, "err": 0}
        self._begins: dict[Key, int] = {}
        self._ends: dict[Key, int] = {}
        self._taken: dict[Key, int] = {}
        self._went: set[Stream] = set()
        self._shrank: set[tuple[str, Stream, int, int]] = set()
        self._lines: WholeLines | None = None
        self._tasks: set[Any] = set()
        self._sent_away: set[Any] = set()
        self.interrupts = Interrupts()
        """The context to deliver within: a piece is both written and counted, or neither."""
        self.gone = False
        """Whether the reader has closed the stream."""
        if getattr(sink, "whole_lines", False):
            self.share()

    # ------------------------------------------------------------------------------------------ several jobs at a time

    def share(self) -> None:
        """Keep lines whole from now on, because several jobs write at the same time."""
        if self._lines is None:
            from rjob.core.lines import WholeLines

            self._lines = WholeLines(self._put)

    def begin(self, job: Job, streams: Streams) -> None:
        """Expect a job's output."""
        if self._lines:
            self._lines.begin(job, streams)

    def finish(self, job: Job) -> None:
        """Write the held back output of a job that has ended."""
        if self._lines and not self.gone:
            self._lines.finish(job)

    def leave(self, job: Job) -> None:
        """Expect no more output of a job."""
        if self._lines:
            self._lines.leave(job)

    @contextmanager
    def attended(self) -> Iterator[None]:
        """End the block when the reader goes, even while there is nothing to write."""
        if not running():
            yield
            return
        import asyncio

        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task is None or task not in self._sent_away:
                raise
            task.uncancel()
        finally:
            self._tasks.discard(task)
            self._sent_away.discard(task)

    # -------------------------------------------------------------------------------------------------------- writing

    def write(self, job: Job, stream: Stream, offset: int, data: bytes) -> None:
        """Write bytes that begin at ``offset`` of the job's stream. Does nothing after the reader has gone.

        Raises:
            RjobError: They cannot be written.
        """
        key = (job.instance_id, stream)
        taken = self._taken.get(key, offset)
        if taken > offset:
            # Sent again after a reconnect: skip the part that was taken before.
            data, offset = data[taken - offset :], taken
        if self.gone or not data:
            return
        self._taken[key] = offset + len(data)
        if self._lines is None:
            self._put(job, stream, offset, data)
            return
        if self._lines.failed:
            raise self._lines.failed
        self._lines.write(job, stream, offset, data)

    def rewind(self, job: Job, stream: Stream, position: int, size: int) -> None:
        """Note that a stream was truncated: its next output begins at byte 0 again.

        Args:
            job: The job.
            stream: The stream.
            position: How far it had been received, in bytes.
            size: Its new size, in bytes.
        """
        key = (job.instance_id, stream)
        if self._lines:
            self._lines.flush(job, stream)
        for known in (self._begins, self._ends, self._taken):
            known.pop(key, None)
        # These bytes may still be in a pipe, but their offsets are no longer valid.
        self._written[stream] = deque(
            piece._replace(uuid="") if piece.uuid == job.instance_id else piece for piece in self._written[stream]
        )
        tell = getattr(self._sink, "shrank", None)
        if tell and (*key, position, size) not in self._shrank:
            tell(job, stream, position, size)
        self._shrank.add((*key, position, size))

    def _put(self, job: Job, stream: Stream, offset: int, data: bytes) -> None:
        """Pass bytes to the sink, and count those that it took, even if it fails or an interrupt arrives."""
        if self.gone:
            return
        failed: WriteFailed | None = None
        with self.interrupts.held_back:
            count = len(data)
            try:
                self._sink.write(job, stream, data)
            except ReaderGone as gone:
                count = gone.written
                self._reader_went(stream)
            except WriteFailed as error:
                count = error.written
                failed = error
            self._note(job.instance_id, stream, offset, data[:count])
        if failed:
            raise failed

    def _note(self, uuid: str, stream: Stream, offset: int, data: bytes) -> None:
        pieces = self._written[stream]
        pieces.append(_Piece(uuid, offset, data))
        self._begins.setdefault((uuid, stream), offset)
        self._ends[uuid, stream] = offset + len(data)
        self._size[stream] += len(data)
        while self._size[stream] - len(pieces[0].data) >= _KEPT:
            self._size[stream] -= len(pieces.popleft().data)

    def _reader_went(self, stream: Stream) -> None:
        self.gone = True
        self._went.add(stream)
        if not running():
            return
        import asyncio

        # Cancel the other tasks: they cannot write either, and might not notice for a long time without output.
        for task in self._tasks - {asyncio.current_task()}:
            self._sent_away.add(task)
            task.cancel()

    # ------------------------------------------------------------------------------------------------------- counting

    def delivered(self, uuids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return how far jobs' streams were delivered. If a reader has gone, cut back to the beginning of a line.

        Args:
            uuids: The jobs' instance ids; jobs without any written output are left out.

        Returns:
            By instance id: the offsets after the last delivered bytes of ``out`` and ``err``.
        """
        ends = {"out": self._arrived("out"), "err": self._arrived("err")}
        written = ends["out"].keys() | ends["err"].keys()
        return {uuid: (ends["out"].get(uuid, 0), ends["err"].get(uuid, 0)) for uuid in uuids if uuid in written}

    def _arrived(self, stream: Stream) -> dict[str, int]:
        held = self._sink.held(stream)
        cut = held > 0 or stream in self._went
        ends: dict[str, int] = {}
        for piece in reversed(self._written[stream]):
            lost = min(held, len(piece.data))
            held -= lost
            if lost or piece.uuid not in ends:
                # Part of this piece was lost, so everything after it was lost too.
                ends[piece.uuid] = piece.start + len(piece.data) - lost
        known = {uuid: ends.get(uuid, end) for (uuid, name), end in self._ends.items() if name == stream}
        return {uuid: self._line_begin(uuid, stream, end) if cut else end for uuid, end in known.items()}

    def _line_begin(self, uuid: str, stream: Stream, end: int) -> int:
        """Return the beginning of the line that contains ``end``, but not less than the first offset written.

        Returns ``end`` itself if no line begins within ``_LINE`` bytes before it.
        """
        begin = self._begins[uuid, stream]
        floor = max(begin, end - _LINE)
        for piece in reversed(self._written[stream]):
            if piece.uuid == uuid and piece.start < end:
                at = piece.data.rfind(b"\n", max(0, floor - piece.start), end - piece.start)
                if at >= 0:
                    return piece.start + at + 1
                if piece.start <= floor:
                    break
        return begin if floor == begin else end
