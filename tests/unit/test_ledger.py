"""The count of delivered bytes of each job, with a sink whose answers the tests choose."""

from __future__ import annotations

import pytest
from cli.standin import a_job

from rjob.core.ledger import Ledger
from rjob.core.sink import ReaderGone, WriteFailed
from rjob.errors import RjobError
from rjob.models import Job, State

ONE, TWO = a_job(1), a_job(2)
UUIDS = (ONE.instance_id, TWO.instance_id)


class Sink:
    def __init__(self, room: int = 1 << 30) -> None:
        self.got = b""
        self.room = room
        self.left = 0
        self.error: type[ReaderGone | WriteFailed] = ReaderGone
        self.said: list[tuple[str, int, int]] = []

    def write(self, job: Job, stream: str, data: bytes) -> None:
        taken = data[: self.room]
        self.got += taken
        self.room -= len(taken)
        if len(taken) < len(data):
            raise ReaderGone(len(taken)) if self.error is ReaderGone else WriteFailed("full", len(taken))

    def held(self, stream: str) -> int:
        return self.left if stream == "out" else 0

    def shrank(self, job: Job, stream: str, position: int, size: int) -> None:
        self.said.append((stream, position, size))


def test_what_a_pipe_still_held_is_taken_from_the_last_ones_that_wrote() -> None:
    sink = Sink()
    ledger = Ledger(sink)
    ledger.write(ONE, "out", 10, b"aaa\n")
    ledger.write(TWO, "out", 0, b"bb\n")
    ledger.write(ONE, "out", 14, b"c\n")
    assert ledger.delivered(UUIDS) == {UUIDS[0]: (16, 0), UUIDS[1]: (3, 0)}
    sink.left = 2
    assert ledger.delivered(UUIDS) == {UUIDS[0]: (14, 0), UUIDS[1]: (3, 0)}
    # With 3 or 5 bytes left, TWO's line is unread in part or whole: it is due again. With 6, so is ONE's first line.
    for left in (3, 5):
        sink.left = left
        assert ledger.delivered(UUIDS) == {UUIDS[0]: (14, 0), UUIDS[1]: (0, 0)}
    sink.left = 6
    assert ledger.delivered(UUIDS[:1]) == {UUIDS[0]: (10, 0)}


def test_a_reader_that_went_in_the_middle_of_a_line_gets_it_again() -> None:
    sink = Sink(room=9)
    ledger = Ledger(sink)
    ledger.write(ONE, "out", 100, b"one\ntwo\nthree\n")
    assert ledger.gone
    assert ledger.delivered(UUIDS) == {UUIDS[0]: (108, 0)}


def test_what_is_no_text_keeps_its_place() -> None:
    sink = Sink(room=200_000)
    ledger = Ledger(sink)
    ledger.write(ONE, "out", 5, b"\n" + b"\0" * 300_000)
    assert ledger.delivered(UUIDS) == {UUIDS[0]: (200_005, 0)}


def test_the_part_that_was_written_before_an_error_counts_as_it_is() -> None:
    sink = Sink(room=9)
    sink.error = WriteFailed
    ledger = Ledger(sink)
    with pytest.raises(RjobError, match="full"):
        ledger.write(ONE, "out", 0, b"one\ntwo\nthree\n")
    assert ledger.delivered(UUIDS) == {UUIDS[0]: (9, 0)}


def test_a_stream_that_shrank_begins_again_and_is_told_once() -> None:
    sink = Sink()
    ledger = Ledger(sink)
    ledger.write(ONE, "out", 0, b"long\n" * 10)
    for _ in range(2):
        ledger.rewind(ONE, "out", 50, 3)
    assert ledger.delivered(UUIDS) == {}
    ledger.write(ONE, "out", 0, b"new\n")
    ledger.write(ONE, "out", 0, b"new\nmore\n")
    assert (sink.said, sink.got[50:]) == ([("out", 50, 3)], b"new\nmore\n")
    assert ledger.delivered(UUIDS) == {UUIDS[0]: (9, 0)}


@pytest.mark.parametrize(
    ("size", "received", "more"), [(0, 0, False), (5, 5, False), (5, 3, True), (3, 5, True), (0, 5, False)]
)
def test_there_is_more_data_when_a_stream_is_longer_or_was_cut_short(size: int, received: int, more: bool) -> None:
    for stream in ("out", "err"):
        job = a_job(1, State.RUNNING, **{f"{stream}_bytes": size, f"{stream}_received": received})
        assert job.has_more_data is more
