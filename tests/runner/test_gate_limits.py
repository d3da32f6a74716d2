"""Limits on what a host may send: a reply without end is an error or costs no memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from rjob.errors import ProtocolError
from rjob.runner import facts as gate
from rjob.runner.facts import Facts, JobFacts
from rjob.runner.protocol import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

MARKER = "0123456789abcdef" * 2
A = "11111111-2222-3333-4444-555555555555"


def flood(line: str, *, numbered: bool = False) -> Iterable[str]:
    for count in range(100_000_000):
        yield line.replace("N", f"{count:08x}") if numbered else line


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "x " * 300_000,
        "job N 1",
        "N-2222-3333-4444-555555555555/start:{}",
        "N-2222-3333-4444-555555555555/error:" + "y" * 100_000,
        f"{A}/job.json:" + "z" * 10_000_000,
        f"selected {A} " + "aa " * 100_000,
        "N-2222-3333-4444-555555555555/1/host:x",
        "N-2222-3333-4444-555555555555/1/host:" + "y" * 5_000,
        "owner N x",
    ],
    ids=lambda line: line[:20],
)
def test_a_reply_without_end_is_an_error_or_costs_nothing(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ROOM", "_JOBS", "_ANSWERS"):
        monkeypatch.setattr(gate, name, getattr(gate, name) // 20)
    facts = Facts()
    tracemalloc.start()
    try:
        for count, text in enumerate(flood(line, numbered="N" in line)):
            facts.add(text)
            if count * len(text) > 400_000_000 or count > 300_000:
                break
    except ProtocolError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 60 * 1024 * 1024


@pytest.mark.parametrize("line", [b"\n", b"x\n", b"beat\n", MARKER.encode() + b" beat\n"])
def test_lines_without_end_are_an_error(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rjob.runner.protocol._TEXT_LIMIT", 4_000_000)
    reply = Reply(MARKER)
    reply.feed("out", f"{MARKER} begin\n".encode())
    piece = line * (65536 // len(line))

    def talk() -> None:
        for _ in range(10_000):
            reply.feed("out", piece)

    with pytest.raises(ProtocolError, match="does not end"):
        talk()


class CountedBytes(bytes):
    """Bytes that count how many of them are copied or searched."""

    handled = 0

    def __add__(self, other: Any) -> CountedBytes:
        return self._counted(super().__add__(other))

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return self._counted(part) if isinstance(part, bytes) else part

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start, end)
        CountedBytes.handled += (found if found >= 0 else len(self)) - start
        return found

    @staticmethod
    def _counted(data: bytes) -> CountedBytes:
        CountedBytes.handled += len(data)
        return CountedBytes(data)


def handled_for(count: int, pieces: int) -> int:
    """Read short lines; return how many bytes the parser has copied or searched."""
    reply = Reply(MARKER)
    reply.feed("out", f"{MARKER} begin\n".encode())
    reply._buffer = CountedBytes(reply._buffer)
    CountedBytes.handled = 0
    lines = b"a\n" * (count // pieces)
    assert sum(len(reply.feed("out", lines)) for _ in range(pieces)) == count
    assert CountedBytes.handled >= 2 * count
    return CountedBytes.handled


def test_many_short_lines_are_read_in_time_that_grows_with_them_alone() -> None:
    """Count the bytes that are copied or searched; their number, unlike the time, is exact."""
    assert handled_for(40_000, 1) < 2.1 * handled_for(20_000, 1)
    assert handled_for(40_000, 100) < 2.1 * handled_for(20_000, 50)


def test_a_record_of_brackets_is_none() -> None:
    job = JobFacts(A, "m")
    job.add("start", '{"id":1,"argv":[' + "[]," * 5_000_000 + "[]]}")
    assert job.record is None


def test_a_job_has_so_many_children_and_no_more() -> None:
    facts = Facts.read(f"./{A}/{number}/host:web" for number in (0, 1, 10_000, 10_001, 10**17))
    assert list(facts.jobs[A].children) == [1, 10_000]


def test_children_count_as_jobs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_JOBS", 100)
    with pytest.raises(ProtocolError, match="more than can be held"):
        Facts.read(f"./{A}/{number}/host:web" for number in range(1, 102))
