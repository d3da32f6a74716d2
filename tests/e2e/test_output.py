"""What users see of a job's output, through the real command."""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from world import World

from world import wait_until

MIB = 1024 * 1024


def test_stdout_and_stderr_are_kept_apart_and_come_home_once(rjob: World) -> None:
    ref = rjob.shell("printf out; printf err >&2")
    rjob.ended(ref)
    first = rjob("receive", ref)
    assert (first.out, first.err) == (b"out", b"err")
    second = rjob("receive", ref)
    assert (second.out, second.err) == (b"", b"")
    assert rjob.job(ref)["has_more_data"] is False


def test_random_bytes_arrive_as_they_are(rjob: World) -> None:
    data = os.urandom(3 * MIB) + bytes(range(256)) + b"\0\n\0"
    source = rjob.root / "data"
    source.write_bytes(data)
    ref = rjob.start("cat", str(source))
    rjob.ended(ref)
    assert rjob("receive", ref).out == data
    ref = rjob.shell(f"cat {source} >&2")
    rjob.ended(ref)
    assert rjob("receive", ref).err == data


def test_256_mib_come_home_exactly_and_in_little_memory(rjob: World) -> None:
    ref = rjob.start("head", "-c", str(256 * MIB), "/dev/urandom")
    rjob.ended(ref)
    with open(rjob.root / "received", "wb") as file:
        child = rjob.popen("receive", ref, stdout=file)
        peak = 0
        while child.poll() is None:
            try:
                peak = max(peak, psutil.Process(child.pid).memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.005)
    assert child.wait() == 0
    assert child.stderr is not None
    child.stderr.close()

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    assert digest(rjob.root / "received") == digest(rjob.folder(ref) / "out")
    assert (rjob.root / "received").stat().st_size == 256 * MIB
    assert 0 < peak <= 80 * MIB


def test_partial_receives_make_up_the_whole(rjob: World) -> None:
    ref = rjob.shell("for i in 1 2 3 4 5 6; do echo line $i; echo err $i >&2; sleep 0.15; done")
    out = err = b""
    while True:
        state = rjob.job(ref)["state"]
        done = rjob("receive", ref)
        out, err = out + done.out, err + done.err
        if state != "Running":
            break
    assert out == b"".join(b"line %d\n" % i for i in range(1, 7))
    assert err == b"".join(b"err %d\n" % i for i in range(1, 7))


def test_a_reader_that_has_had_enough_loses_nothing(rjob: World) -> None:
    ref = rjob.start("seq", "1", "200000")
    rjob.ended(ref)
    whole = rjob("receive", ref, "--keep").out
    end, begin = os.pipe()
    reader = subprocess.Popen(["head", "-c", "5000"], stdin=end, stdout=subprocess.PIPE)
    child = rjob.popen("receive", ref, stdout=begin)
    os.close(end)
    os.close(begin)
    got, _ = reader.communicate(timeout=30)
    child.communicate(timeout=30)
    moved = rjob.job(ref)["received_bytes"]["out"]
    # head may have read more than it printed, but what stayed in the pipe was not received.
    assert got == whole[:5000]
    # The cursor stands at the beginning of the line that was cut.
    assert whole.rindex(b"\n", 0, 5000) + 1 <= moved < 5000 + 65536
    assert whole[:moved].endswith(b"\n")
    assert rjob("receive", ref).out == whole[moved:]


def test_what_fits_into_the_pipe_of_a_reader_that_goes_is_not_lost(rjob: World) -> None:
    ref = rjob.start("seq", "1", "5000")
    rjob.ended(ref)
    # It reads nothing at all.
    end, begin = os.pipe()
    reader = subprocess.Popen(["sleep", "0.5"], stdin=end)
    child = rjob.popen("receive", ref, stdout=begin)
    os.close(end)
    os.close(begin)
    child.communicate(timeout=30)
    reader.wait()
    assert rjob.job(ref)["received_bytes"]["out"] == 0
    assert len(rjob("receive", ref).out.splitlines()) == 5000


@pytest.mark.parametrize("option", [["--keep"], ["--all"], ["--tail", "2"]])
def test_looking_moves_nothing(rjob: World, option: list[str]) -> None:
    ref = rjob.shell("printf 'a\\nb\\nc\\n'")
    rjob.ended(ref)
    expected = b"b\nc\n" if "--tail" in option else b"a\nb\nc\n"
    assert rjob("receive", ref, *option).out == expected
    assert rjob("receive", ref, *option).out == expected
    assert rjob("receive", ref).out == b"a\nb\nc\n"
    assert rjob("receive", ref, *option).out == (b"" if option == ["--keep"] else expected)


def test_following_ends_with_the_job_and_its_status(rjob: World) -> None:
    ref = rjob.shell("echo one; sleep 0.5; echo two; echo three >&2; exit 9")
    done = rjob("receive", "-f", ref, status=9)
    assert (done.out, done.err) == (b"one\ntwo\n", b"three\n")
    assert rjob("receive", ref).out == b""


def test_two_followers_see_everything_and_leave_nothing(rjob: World) -> None:
    ref = rjob.shell("for i in $(seq 30); do echo $i; sleep 0.1; done")
    children = [rjob.popen("receive", "-f", ref) for _ in range(2)]
    expected = b"".join(b"%d\n" % i for i in range(1, 31))
    assert [child.communicate(timeout=30)[0] for child in children] == [expected, expected]
    wait_until(lambda: not rjob.processes(), seconds=5, what="the end of every process")


def test_an_abandoned_follower_is_gone_within_five_seconds(rjob: World) -> None:
    ref = rjob.start("sleep", "60")
    before = set(rjob.processes())
    child = rjob.popen("receive", "-f", ref)
    wait_until(lambda: any("tail" in _name(pid) for pid in rjob.processes()), what="tail")
    child.kill()
    child.communicate()
    wait_until(lambda: set(rjob.processes()) <= before, seconds=5, what="the end of the follower")
    waiter = rjob.popen("wait", ref)
    wait_until(lambda: len(rjob.processes()) >= len(before) + 3, what="the waiting runner")
    waiter.kill()
    waiter.communicate()
    wait_until(lambda: set(rjob.processes()) <= before, seconds=5, what="the end of the waiter")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def test_a_followed_line_shows_at_once(rjob: World) -> None:
    """Not a benchmark: a bound that polling for changes would not keep."""
    ref = rjob.start("sh", "-c", "while :; do date +%s%N; sleep 0.11; done")
    child = rjob.popen("receive", "-f", ref)
    assert child.stdout is not None
    delays = []
    for line in child.stdout:
        delays.append(time.time() - int(line) / 1e9)
        if len(delays) == 25:
            break
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    assert statistics.median(delays[5:]) < 0.05
    assert rjob.job(ref)["state"] == "Running"


def test_ctrl_c_ends_the_viewer_and_says_how_to_come_back(rjob: World) -> None:
    ref = rjob.shell("echo hello; sleep 60")
    child = rjob.popen("receive", "-f", ref)
    assert child.stdout is not None
    assert child.stdout.readline() == b"hello\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=10)
    assert child.returncode == 130
    assert f"rjob receive -f {ref}" in err.decode()
    assert rjob.job(ref)["state"] == "Running"
    # What was shown was received.
    assert rjob("receive", ref).out == b""


def test_output_into_a_file_is_appended(rjob: World) -> None:
    target = rjob.root / "log"
    target.write_text("before\n")
    ref = rjob.shell("echo after")
    rjob.ended(ref)
    assert rjob("receive", ref, "-o", str(target)).out == b""
    assert target.read_text() == "before\nafter\n"


def test_output_into_a_file_on_the_owner(rjob: World) -> None:
    gate = rjob.root / "gate"
    ref = rjob.shell(f"echo new; echo bad >&2; until [ -e '{gate}' ]; do sleep 0.05; done; echo more")
    wait_until(lambda: rjob.job(ref)["output_bytes"]["err"], what="output")
    target = rjob.root / "a 'file"
    assert rjob("receive", ref, "--to-host-file", str(target)).out == b""
    assert target.read_bytes() == b"new\nbad\n"
    gate.touch()
    rjob.ended(ref)
    rjob("receive", ref, "--to-host-file", str(target), "--rm")
    assert target.read_bytes() == b"new\nbad\nmore\n"
    rjob("get", ref, status=1)
    other = rjob.shell("echo x")
    rjob.ended(other)
    refused = rjob("receive", other, "--to-host-file", "/no/such/folder/file", status=1)
    assert "/no/such/folder/file" in refused.errors
    rjob("receive", other, "--to-host-file", "below-home")
    assert (rjob.root / "home" / "below-home").read_text() == "x\n"


def test_receive_and_remove(rjob: World) -> None:
    ref = rjob.shell("echo last words")
    rjob.ended(ref)
    assert rjob("receive", "--rm", ref).out == b"last words\n"
    rjob("get", ref, status=1)
    running = rjob.shell("echo early; sleep 60")
    wait_until(lambda: rjob.job(running)["output_bytes"]["out"], what="output")
    rjob("receive", "--rm", running, status=None)
    assert rjob.job(running)["state"] == "Running"


def test_one_stream(rjob: World) -> None:
    ref = rjob.shell("echo out; echo err >&2")
    rjob.ended(ref)
    assert rjob("receive", "--stream", "err", ref)[1:] == (b"", b"err\n")
    assert rjob("receive", ref)[1:] == (b"out\n", b"")


def test_merged_streams_keep_their_order(rjob: World) -> None:
    ref = rjob.shell("echo 1; echo 2 >&2; echo 3", "--merge")
    rjob.ended(ref)
    assert rjob("receive", ref)[1:] == (b"1\n2\n3\n", b"")


def test_start_and_follow_stops_the_job_when_asked_to(rjob: World) -> None:
    child = rjob.popen("start", "-f", "--stop-on-exit", "-c", "echo up; sleep 60")
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == 130
    assert rjob.ended("1")["state"] == "Stopped"
