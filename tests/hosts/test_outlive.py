"""Jobs outlive their connections, and viewers survive the loss of theirs."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest
from hosts.host import TRANSPORTS, Line, kill
from world import alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen

    from hosts.host import Host, Hosts
    from world import World

AT = ("-H", "gpu")
both = pytest.mark.parametrize("transport", TRANSPORTS)
NUMBERS = b"".join(b"%d\n" % number for number in range(1, 101))
COUNTING = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo $i; echo $i >&2; sleep 0.04; done; exit 6"


@pytest.fixture
def line(hosts: Hosts, gpu: Host) -> Iterator[Line]:
    """A line to the host that can be cut."""
    made = Line(gpu.server.port)
    gpu.server.known_hosts.write_text(
        gpu.server.known_hosts.read_text().replace(f"]:{gpu.server.port}", f"]:{made.port}")
    )
    hosts.know("gpu", port=made.port)
    yield made
    made.close()


def serving(gpu: Host, *, seen: frozenset[int] = frozenset()) -> frozenset[int]:
    """Wait for what serves a request there and is none of those seen before; all of it so far."""
    wait_until(lambda: _serving(gpu) - seen, what="the process that serves the viewer")
    return seen | _serving(gpu)


def _serving(gpu: Host) -> set[int]:
    return set(gpu.server.session_pids()).intersection(gpu.processes())


@both
def test_a_job_outlives_its_client_its_session_and_the_server(rjob: World, gpu: Host) -> None:
    gate = gpu.home / "gate"
    os.mkfifo(gate)
    ref = rjob.start(*AT, "-c", f"echo begun; read x <{gate}; echo $x; exit 5")
    client = rjob.popen("receive", "-f", ref, bufsize=0)
    assert client.stdout is not None
    assert client.stdout.readline() == b"begun\n"
    client.kill()
    client.communicate()
    kill(gpu.server.session_pids())
    gpu.server.stop()
    assert "gpu" in rjob("get", ref, status=1).errors
    with gate.open("w") as file:
        file.write("still here\n")
    wait_until((gpu.folder(ref) / "exit").exists, what="the end of the job")
    gpu.server.start()
    job = rjob.job(ref)
    assert (job["state"], job["exit_code"]) == ("Failed", 5)
    rjob("wait", ref, status=5)
    assert rjob("receive", "--all", ref).out == b"begun\nstill here\n"


def test_a_job_outlives_a_client_killed_at_once_after_the_start(rjob: World, gpu: Host) -> None:
    client = rjob.popen("start", *AT, "--wait", "-c", "sleep 1; exit 4")
    wait_until(lambda: list(gpu.owner.glob("jobs/*/main")), what="the job's beginning")
    client.kill()
    client.communicate()
    kill(gpu.server.session_pids())
    rjob("wait", "1@gpu", status=4)


@both
def test_a_follower_comes_back_and_tells_everything_once(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "-c", COUNTING)
    client = rjob.popen("receive", "-f", ref, bufsize=0)
    assert client.stdout is not None
    begun = b""
    for number in (20, 60):
        while not begun.endswith(b"\n%d\n" % number):
            begun += client.stdout.readline()
        gpu.server.drop_connections()
    out, err = client.communicate(timeout=60)
    assert (client.returncode, begun + out, err) == (6, NUMBERS, NUMBERS)
    assert rjob("receive", ref)[1:] == (b"", b"")


@both
def test_a_waiter_comes_back(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "-c", COUNTING)
    client = rjob.popen("wait", ref)
    seen: frozenset[int] = frozenset()
    for _ in range(2):
        seen = serving(gpu, seen=seen)
        assert client.poll() is None
        gpu.server.drop_connections()
    _, err = client.communicate(timeout=60)
    assert client.returncode == 6
    assert re.fullmatch(rb"Job 1@gpu failed \(exit status 6\): .*\n", err), err


@pytest.mark.parametrize("verb", [["receive", "-f"], ["wait"]], ids=["follow", "wait"])
def test_a_viewer_gets_over_a_server_that_is_away_for_a_while(rjob: World, gpu: Host, verb: list[str]) -> None:
    ref = rjob.start(*AT, "-c", COUNTING)
    client = rjob.popen(*verb, ref)
    serving(gpu)
    gpu.server.stop()
    # Not to wait for something: that long it is away.
    time.sleep(2)
    gpu.server.start()
    out, err = client.communicate(timeout=60)
    assert client.returncode == 6, err
    assert verb == ["wait"] or out == NUMBERS


def test_a_line_that_falls_silent_is_noticed(rjob: World, gpu: Host, hosts: Hosts, line: Line) -> None:
    """As when a machine falls asleep or a cable is drawn: nobody says that the connection is gone."""
    hosts.know("gpu", keepalive=0.3)
    ref = rjob.start(*AT, "-c", COUNTING)
    client = rjob.popen("receive", "-f", ref, bufsize=0)
    assert client.stdout is not None
    begun = client.stdout.readline()
    connections = len(line.counts)
    line.flowing.clear()
    wait_until(lambda: len(line.counts) > connections, what="another connection")
    line.flowing.set()
    out, err = client.communicate(timeout=60)
    assert (client.returncode, begun + out) == (6, NUMBERS), err
    wait_until(lambda: not gpu.processes(), what="the end of every process on the host")


def test_a_receive_that_is_cut_short_loses_nothing(rjob: World, gpu: Host, line: Line) -> None:
    data = os.urandom(3_000_000)
    (gpu.home / "data").write_bytes(data)
    ref = rjob.start(*AT, "cat", str(gpu.home / "data"))
    rjob("wait", ref)
    line.cut_next("down", 1_000_000)
    first = rjob("receive", ref, status=None)
    again = rjob("receive", ref)
    # Whatever came home the first time, and was counted, the second brings the rest.
    assert first.out + again.out == data
    if first.status:
        assert "gpu" in first.errors
        assert "Traceback" not in first.errors


def _viewing(rjob: World, gpu: Host, verb: list[str], ref: str, before: set[int]) -> Popen[bytes]:
    client = rjob.popen(*verb, ref)
    wait_until(lambda: len(set(gpu.processes()) - before) >= 2, what="the viewer's processes on the host")
    return client


@both
@pytest.mark.parametrize("verb", [["receive", "-f"], ["wait"]], ids=["follow", "wait"])
def test_nothing_of_a_killed_viewer_stays_on_the_host(rjob: World, gpu: Host, verb: list[str]) -> None:
    ref = rjob.start(*AT, "sleep", "60")
    wait_until((gpu.folder(ref) / "main").exists)
    before = set(gpu.processes())
    client = _viewing(rjob, gpu, verb, ref, before)
    client.send_signal(signal.SIGKILL)
    client.communicate()
    wait_until(lambda: set(gpu.processes()) <= before, seconds=5, what="the end of what served the viewer")
    client = _viewing(rjob, gpu, verb, ref, before)
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=10)
    assert client.returncode == 130
    assert ref in err.decode()
    wait_until(lambda: set(gpu.processes()) <= before, seconds=5, what="the end of what served the viewer")
    assert all(alive(pid) for pid in before)
    assert rjob.job(ref)["state"] == "Running"
