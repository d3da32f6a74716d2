"""What a job writes is brought home exactly and once, from every place."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from promises.place import ONE_HOST
from world import Gate, alive, wait_until

if TYPE_CHECKING:
    from subprocess import Popen

    from promises.place import Place
    from world import World

MIB = 1024 * 1024


def test_output_is_bytes_and_comes_home_once(rjob: World, at: Place) -> None:
    data = os.urandom(3 * MIB) + bytes(range(256)) + b"\0\n\0"
    other = os.urandom(700_000)
    (at.home / "data").write_bytes(data)
    (at.home / "other").write_bytes(other)
    ref = at.run("-c", 'cat "$HOME/data" & cat "$HOME/other" >&2; wait')["ref"]
    kept = rjob("receive", "--keep", ref)
    assert (kept.out, kept.err) == (data, other)
    target = rjob.root / "file"
    target.write_text("before\n")
    assert rjob("receive", ref, "-o", target, "--stream", "out")[1:] == (b"", b"")
    assert target.read_bytes() == b"before\n" + data
    assert rjob("receive", ref)[1:] == (b"", other)
    assert rjob("receive", ref)[1:] == (b"", b"")
    assert rjob.job(ref)["has_more_data"] is False
    assert rjob("receive", "--all", ref).out == data


def test_128_mib_come_home_exactly_and_in_little_memory(rjob: World, at: Place) -> None:
    ref = at.run("head", "-c", str(128 * MIB), "/dev/urandom")["ref"]
    received = rjob.root / "received"
    peak = 0
    with received.open("wb") as file:
        child = rjob.popen("receive", ref, stdout=file)
        while child.poll() is None:
            peak = max(peak, _peak_memory(child.pid))
            time.sleep(0.02)
    _, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert received.stat().st_size == 128 * MIB
    assert subprocess.run(["cmp", received, at.folder(ref) / "out"], check=False).returncode == 0
    assert 0 < peak <= 64 * MIB
    received.unlink()
    (at.folder(ref) / "out").unlink()


def _peak_memory(pid: int) -> int:
    """Return how many bytes of memory a process has ever held at once; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def test_looking_moves_nothing(rjob: World, at: Place) -> None:
    ref = at.run("-c", "seq 100000; seq 10 >&2")["ref"]
    out, err = (b"".join(b"%d\n" % number for number in range(1, count + 1)) for count in (100_000, 10))
    last = (b"99999\n100000\n", b"9\n10\n")
    assert rjob("receive", ref, "--keep")[1:] == (out, err)
    assert rjob("receive", ref, "--all")[1:] == (out, err)
    assert rjob("receive", ref, "--tail", "2")[1:] == last
    assert rjob("receive", ref)[1:] == (out, err)
    assert rjob("receive", ref, "--keep")[1:] == (b"", b"")
    assert rjob("receive", ref, "--all")[1:] == (out, err)
    assert rjob("receive", ref, "--tail", "2")[1:] == last


@pytest.mark.parametrize("place", ONE_HOST)
def test_partial_receives_make_up_the_whole(rjob: World, at: Place) -> None:
    gates = {number: Gate(at.home / f"gate{number}") for number in (1, 2, 3)}
    steps = [f"echo err {number} >&2; echo line {number}; {gate.line}" for number, gate in gates.items()]
    ref = at.shell("; ".join(steps))
    parts = []
    for number, gate in gates.items():
        at.wait_for_output(ref, b"line %d\n" % number)
        parts.append(rjob("receive", ref)[1:])
        gate.open()
    assert parts == [(b"line %d\n" % number, b"err %d\n" % number) for number in (1, 2, 3)]
    assert rjob.ended(ref)["has_more_data"] is False


@pytest.mark.parametrize("place", ONE_HOST)
def test_one_stream_and_both_in_one(rjob: World, at: Place) -> None:
    ref = at.run("-c", "echo out; echo err >&2")["ref"]
    assert rjob("receive", "--stream", "err", ref)[1:] == (b"", b"err\n")
    assert rjob("receive", ref)[1:] == (b"out\n", b"")
    merged = at("start", "-q", "-f", "--merge", "-c", "echo 1; echo 2 >&2; echo 3")
    assert (merged.out, merged.err) == (b"1\n2\n3\n", b"")


@pytest.mark.parametrize("place", ONE_HOST)
def test_output_into_a_file_on_the_owner(rjob: World, at: Place) -> None:
    gate = Gate(at.home / "gate")
    ref = at.shell(f"echo new; echo bad >&2; echo more; {gate.line}; echo end")
    at.wait_for_output(ref, b"more\n")
    target = at.home / "a 'file"
    assert rjob("receive", ref, "--to-host-file", target).out == b""
    assert target.read_bytes() == b"new\nmore\nbad\n"
    gate.open()
    rjob("wait", ref)
    refused = rjob("receive", ref, "--to-host-file", "/no/such/folder/file", status=1)
    assert "/no/such/folder/file" in refused.errors
    rjob("receive", ref, "--to-host-file", "a 'file", "--rm")
    assert target.read_bytes() == b"new\nmore\nbad\nend\n"
    rjob("get", ref, status=1)


@pytest.mark.parametrize("place", ONE_HOST)
def test_receive_and_remove(rjob: World, at: Place) -> None:
    ref = at.run("-c", "echo last words")["ref"]
    assert rjob("receive", "--rm", ref).out == b"last words\n"
    rjob("get", ref, status=1)
    running = at.shell("echo early; sleep 60")
    at.wait_for_output(running, b"early\n")
    rjob("receive", "--rm", running, status=None)
    assert rjob.job(running)["state"] == "Running"


# ------------------------------------------------------------------------------------------------------ following


def test_every_follower_sees_everything_and_the_job_s_status(rjob: World, at: Place) -> None:
    gate = Gate(at.home / "gate")
    ref = at.shell(f"echo 1; {gate.line}; seq 2 30; echo three >&2; exit 9")
    followers = [rjob.popen("receive", "-f", ref, bufsize=0) for _ in range(2)]
    begun = [follower.stdout.readline() for follower in followers if follower.stdout]
    gate.open()
    rest = [follower.communicate(timeout=30) for follower in followers]
    expected = (b"".join(b"%d\n" % number for number in range(1, 31)), b"three\n")
    assert [(first + out, err) for first, (out, err) in zip(begun, rest, strict=True)] == [expected, expected]
    assert [follower.returncode for follower in followers] == [9, 9]
    assert rjob("receive", ref).out == b""
    wait_until(lambda: not at.processes(), seconds=5, what="the end of every process")


def _viewer(rjob: World, at: Place, verb: tuple[str, ...], ref: str, before: set[int]) -> Popen[bytes]:
    """Start a viewer; return it when processes serve it at the place."""
    viewer = rjob.popen(*verb, ref, bufsize=0)
    wait_until(lambda: len(at.processes() - before - {viewer.pid}) >= 2, what="the viewer's processes")
    return viewer


def test_a_viewer_that_goes_leaves_the_job_and_nothing_else(rjob: World, at: Place) -> None:
    ref = at.shell("echo hello; exec sleep 60")
    at.wait_for_output(ref, b"hello\n")
    before = at.processes()

    def gone() -> None:
        wait_until(lambda: at.processes() <= before, seconds=5, what="the end of what served the viewer")

    for verb in (("receive", "-f"), ("wait",)):
        viewer = _viewer(rjob, at, verb, ref, before)
        if "-f" in verb:
            assert viewer.stdout is not None
            assert viewer.stdout.readline() == b"hello\n"
        viewer.send_signal(signal.SIGINT)
        _, err = viewer.communicate(timeout=10)
        assert viewer.returncode == 130
        # It says how to come back.
        assert f"rjob {' '.join(verb)} {ref}" in err.decode()
        gone()
        viewer = _viewer(rjob, at, verb, ref, before)
        viewer.kill()
        viewer.communicate()
        gone()
    assert all(alive(pid) for pid in before)
    assert rjob.job(ref)["state"] == "Running"
    # What was shown was received.
    assert rjob("receive", ref).out == b""
