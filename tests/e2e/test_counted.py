"""What was written counts as received, whatever ends the program; what a reader left begins with a whole line."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from world import World

LINES = b"".join(b"%d\n" % number for number in range(1, 2_000_001))


@pytest.fixture
def big(rjob: World) -> str:
    ref = rjob.start("seq", "2000000")
    rjob.ended(ref)
    return ref


@pytest.mark.parametrize("follow", [[], ["-f"], ["-f", "--prefix"]], ids=["receive", "follow", "loop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_repeats_nothing(rjob: World, big: str, follow: list[str], number: int) -> None:
    child = rjob.popen("receive", *follow, big)
    assert child.stdout is not None
    # A slow reader: most of it is still to come.
    first = b""
    while len(first) < 300_000:
        # Not the file object: what its buffer holds communicate() does not see.
        first += os.read(child.stdout.fileno(), 5000)
    child.send_signal(number)
    rest, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number, err
    got = first + rest
    if "--prefix" in follow:
        got = b"\n".join(line.removeprefix(b"1: ") for line in got.split(b"\n"))
    assert len(got) < len(LINES)
    assert got + rjob("receive", big).out == LINES


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


@pytest.mark.parametrize("follow", [[], ["-f"]], ids=["receive", "follow"])
def test_a_file_that_cannot_take_all_of_it(rjob: World, big: str, follow: list[str]) -> None:
    """A limit on its size stands for a full disk: a part is written, then comes the error."""
    log = rjob.root / "log"
    child = rjob.popen("receive", *follow, big, "-o", str(log), preexec_fn=limited)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, b"cannot write" in err) == (125 if follow else 1, True)
    assert log.stat().st_size == 1_000_000
    rjob("receive", big, "-o", str(log))
    assert log.read_bytes() == LINES


def test_a_file_there_that_cannot_take_all_of_it(rjob: World, big: str) -> None:
    log = rjob.root / "log"
    child = rjob.popen("receive", "--to-host-file", str(log), big, preexec_fn=limited)
    child.communicate(timeout=60)
    assert child.returncode == 1
    assert log.stat().st_size == 1_000_000
    rjob("receive", "--to-host-file", str(log), big)
    assert log.read_bytes() == LINES


def test_nothing_is_counted_where_nothing_can_be_written(rjob: World, big: str) -> None:
    assert "No space left" in rjob("receive", big, "-o", "/dev/full", status=1).errors
    assert rjob.job(big)["received_bytes"]["out"] == 0


def test_a_reader_that_goes_leaves_a_whole_line(rjob: World, big: str) -> None:
    taken: list[int] = []
    for count in (1, 2, 3):
        end, begin = os.pipe()
        reader = subprocess.Popen(["head", f"-n{count}"], stdin=end, stdout=subprocess.PIPE)
        child = rjob.popen("receive", big, stdout=begin)
        os.close(end)
        os.close(begin)
        got, _ = reader.communicate(timeout=30)
        child.communicate(timeout=30)
        at = rjob.job(big)["received_bytes"]["out"]
        assert LINES[at - 1 : at] == b"\n"
        place = LINES.index(b"\n" + got) + 1 if taken else 0
        assert len(got.splitlines()) == count
        assert place == (taken[-1] if taken else 0)
        taken.append(at)
    assert taken == sorted(set(taken))


def test_bytes_without_lines_keep_their_place(rjob: World) -> None:
    ref = rjob.start("head", "-c", "3000000", "/dev/zero")
    rjob.ended(ref)
    child = rjob.popen("receive", ref)
    assert child.stdout is not None
    got = 0
    while got < 200_001:
        got += len(os.read(child.stdout.fileno(), 5001))
    child.stdout.close()
    child.wait(timeout=30)
    assert child.stderr is not None
    child.stderr.close()
    assert rjob.job(ref)["received_bytes"]["out"] == got
