"""Delivery: each byte is written once and unchanged, and none counts that no reader took."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING

import pytest
from cli.standin import a_job
from world import wait_until

from rjob.cli.delivery import Delivery, open_file
from rjob.core.sink import ReaderGone
from rjob.errors import RjobError
from rjob.transports.base import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO = a_job(1), a_job(2)


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def read(self, size: int = 1 << 20) -> bytes:
        return os.read(self.reader, size)

    def holds(self) -> int:
        """Return the number of bytes that wait to be read."""
        return int.from_bytes(fcntl.ioctl(self.reader, termios.FIONREAD, bytes(4)), sys.byteorder)

    def hang_up(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def other() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_streams_go_their_own_ways_untouched(pipe: Pipe, other: Pipe) -> None:
    delivery = Delivery(pipe.writer, other.writer)
    data = bytes(range(256)) + b"\r\n\xff"
    delivery.write(ONE, "out", data)
    delivery.write(ONE, "err", b"oops")
    assert pipe.read() == data
    assert other.read() == b"oops"
    assert delivery.held("out") == delivery.held("err") == 0


def test_held_waits_for_the_reader(pipe: Pipe) -> None:
    delivery = Delivery(pipe.writer, pipe.writer)
    delivery.write(ONE, "out", b"x" * 1000)
    before = time.monotonic()

    def read_late() -> None:
        # This makes the reader late; it waits for nothing.
        time.sleep(0.2)
        pipe.read()

    reader = threading.Thread(target=read_late)
    reader.start()
    assert delivery.held("out") == 0
    reader.join()
    assert time.monotonic() - before >= 0.2


def test_what_the_pipe_holds_when_its_reader_goes_was_not_delivered(pipe: Pipe) -> None:
    delivery = Delivery(pipe.writer, pipe.writer)
    delivery.write(ONE, "out", b"x" * 1000)
    assert len(pipe.read(300)) == 300
    pipe.hang_up()
    assert delivery.held("out") == 700
    assert delivery.held("err") == 0


def test_a_shared_pipe_tells_the_streams_apart(pipe: Pipe) -> None:
    delivery = Delivery(pipe.writer, pipe.writer)
    writes: list[tuple[Stream, int]] = [("out", 100), ("err", 20), ("out", 3), ("err", 7)]
    for stream, size in writes:
        delivery.write(ONE, stream, b"x" * size)
    assert len(pipe.read(105)) == 105
    pipe.hang_up()
    assert delivery.held("out") == 3
    assert delivery.held("err") == 15 + 7


def test_a_write_that_nobody_takes(pipe: Pipe) -> None:
    delivery = Delivery(pipe.writer, pipe.writer)
    pipe.hang_up()
    with pytest.raises(ReaderGone) as gone:
        delivery.write(ONE, "out", b"x")
    assert gone.value.written == 0


@pytest.mark.parametrize("prefix", [False, True])
def test_a_reader_that_goes_in_the_middle(pipe: Pipe, prefix: bool) -> None:
    """Check that the bytes written, less those still held, are exactly the bytes read."""
    delivery = Delivery(pipe.writer, pipe.writer, prefix=prefix)
    data = b"".join(b"line %d\n" % number for number in range(100_000))
    got = bytearray()

    def read_some() -> None:
        while len(got) < 300_000:
            got.extend(pipe.read(5000))
        wait_until(lambda: pipe.holds() > 5000, what="a pipe that is full again")
        pipe.hang_up()

    reader = threading.Thread(target=read_some)
    reader.start()
    with pytest.raises(ReaderGone) as gone:
        delivery.write(ONE, "out", data)
    reader.join()
    delivered = gone.value.written - delivery.held("out")
    read = bytes(got)
    if prefix:
        # The last line's prefix may be cut: it is no part of the job's output.
        lines = [
            line.removeprefix(b"1: ") if line.startswith(b"1: ") else b"" for line in read.splitlines(keepends=True)
        ]
        read = b"".join(lines)
    assert data[:delivered] == read


def test_lines_are_prefixed_across_chunks(pipe: Pipe) -> None:
    delivery = Delivery(pipe.writer, pipe.writer, prefix=True)
    for chunk in (b"a", b"b\nc\r", b"d\n", b"\n", b"e"):
        delivery.write(ONE, "out", chunk)
    assert pipe.read() == b"1: ab\n1: c\rd\n1: \n1: e"


def test_half_lines_of_two_jobs_do_not_run_together(pipe: Pipe) -> None:
    delivery = Delivery(pipe.writer, pipe.writer, prefix=True)
    delivery.write(ONE, "out", b"half")
    delivery.write(TWO, "out", b"other\n")
    delivery.write(ONE, "out", b" of it\n")
    assert pipe.read() == b"1: half\n2: other\n1:  of it\n"


def test_a_writer_that_does_not_block_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    delivery = Delivery(pipe.writer, pipe.writer)
    data = os.urandom(300_000)
    writer = threading.Thread(target=delivery.write, args=(ONE, "out", data))
    writer.start()
    got = b""
    while len(got) < len(data):
        got += pipe.read()
    writer.join()
    assert got == data


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"old\n")
    descriptor = open_file(str(file))
    delivery = Delivery(descriptor, descriptor)
    delivery.write(ONE, "out", b"new\n")
    delivery.write(ONE, "err", b"bad\n")
    assert delivery.held("out") == 0
    os.close(descriptor)
    assert file.read_bytes() == b"old\nnew\nbad\n"


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(RjobError, match="cannot write .*: No such file"):
        open_file(str(tmp_path / "no" / "log"))


def test_a_full_disk_is_told() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(RjobError, match="No space left"):
        Delivery(full, full).write(ONE, "out", b"x")
    os.close(full)
