"""A job that cuts its own output short: that is said once, and nothing that is there is lost."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from world import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World

SAID = "rjob: job 1: its stdout shrank from 30 to 6 bytes; what was cut off is lost\n"
LONG = "x" * 29


@pytest.fixture
def cut(rjob: World) -> str:
    """A job of whose 30 bytes of output, all received, 6 other ones are left."""
    gate = rjob.root / "gate"
    ref = rjob.shell(f"echo {LONG}; until [ -e '{gate}' ]; do sleep 0.05; done; echo short >/dev/stdout")
    wait_until(lambda: rjob.job(ref)["output_bytes"]["out"] == 30, what="output")
    assert rjob("receive", ref).out == f"{LONG}\n".encode()
    gate.touch()
    assert rjob.ended(ref)["output_bytes"]["out"] == 6
    return ref


def test_receive(rjob: World, cut: str) -> None:
    assert rjob.job(cut)["has_more_data"] is True
    done = rjob("receive", cut)
    assert (done.out, done.errors) == (b"short\n", SAID)
    job = rjob.job(cut)
    assert (job["received_bytes"]["out"], job["has_more_data"]) == (6, False)
    assert [event["out"] for event in rjob.events() if event["event"] == "received"] == [30, 0, 6]
    assert rjob("receive", cut)[1:] == (b"", b"")


def test_keep_leaves_all_of_it_new(rjob: World, cut: str) -> None:
    assert rjob("receive", "--keep", cut)[1:] == (b"short\n", SAID.encode())
    assert rjob("receive", "--keep", cut)[1:] == (b"short\n", b"")
    assert rjob("receive", cut)[1:] == (b"short\n", b"")


def test_receive_and_remove(rjob: World, cut: str) -> None:
    assert rjob("receive", "--rm", cut).out == b"short\n"
    rjob("get", cut, status=1)


def test_into_a_file_there(rjob: World, cut: str) -> None:
    done = rjob("receive", "--to-host-file", str(rjob.root / "log"), cut)
    assert ((rjob.root / "log").read_bytes(), done.errors) == (b"short\n", SAID)
    assert rjob.job(cut)["received_bytes"]["out"] == 6


def test_follow_after_it(rjob: World, cut: str) -> None:
    assert rjob("receive", "-f", cut)[1:] == (b"short\n", SAID.encode())


def test_follow_through_it(rjob: World) -> None:
    gates = [rjob.root / "gate1", rjob.root / "gate2"]
    waits = [f"until [ -e '{gate}' ]; do sleep 0.05; done" for gate in gates]
    ref = rjob.shell(
        f"echo {LONG}; {waits[0]}; echo short >/dev/stdout; echo oops >&2; {waits[1]}; seq 100000 >>/dev/stdout"
    )
    child = rjob.popen("receive", "-f", ref)
    assert child.stdout is not None
    assert child.stdout.readline() == f"{LONG}\n".encode()
    gates[0].touch()
    assert child.stdout.readline() == b"short\n"
    gates[1].touch()
    out, err = child.communicate(timeout=30)
    assert (child.returncode, err.decode()) == (0, SAID.replace("short", "") + "oops\n")
    assert out == b"".join(b"%d\n" % number for number in range(1, 100001))
    job = rjob.job(ref)
    assert (job["received_bytes"], job["has_more_data"]) == (job["output_bytes"], False)


@pytest.fixture
def no_inotify(rjob: World) -> Iterator[None]:
    """A helper of the same user holds every inotify instance that there is."""
    libc = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(libc, "inotify_init"):
        pytest.skip("no inotify here")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 300:
        pytest.skip("too few open files are allowed")
    code = (
        "import ctypes, sys\n"
        "libc, count = ctypes.CDLL(None), 0\n"
        "while count < 10000 and libc.inotify_init() >= 0: count += 1\n"
        "print(count, flush=True)\n"
        "sys.stdin.read()\n"
    )
    helper = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert helper.stdout is not None
    helper.stdout.readline()
    probe = libc.inotify_init()
    if probe >= 0:
        os.close(probe)
    yield
    helper.communicate()
    if probe >= 0:
        pytest.skip("the limit of inotify instances was not reached")


def test_what_tail_says_is_no_output(rjob: World, no_inotify: None) -> None:
    ref = rjob.shell("for i in 1 2 3 4 5 6; do echo out $i; echo err $i >&2; sleep 0.3; done; exit 4")
    done = rjob("receive", "-f", ref, status=4)
    assert done.out == b"".join(b"out %d\n" % number for number in range(1, 7))
    assert done.err == b"".join(b"err %d\n" % number for number in range(1, 7))
    job = rjob.job(ref)
    assert (job["received_bytes"], job["has_more_data"]) == (job["output_bytes"], False)
