"""Viewers survive the loss of their connections."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import pytest
from hosts.host import TRANSPORTS, Line
from world import Gate, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosts.host import Host, Hosts
    from world import World

AT = ("-H", "gpu")
both = pytest.mark.parametrize("transport", TRANSPORTS)
NUMBERS = b"".join(b"%d\n" % number for number in range(1, 101))
COUNTING = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo $i; echo $i >&2; sleep 0.02; done; exit 6"


@pytest.fixture
def gate(gpu: Host) -> Gate:
    """A gate that the counting job waits at after its first line."""
    return Gate(gpu.home / "gate")


def counting(rjob: World, gate: Gate) -> str:
    return rjob.start(*AT, "-c", f"echo 1; {gate.line}; seq 2 100; exit 6")


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
def test_a_waiter_comes_back(rjob: World, gpu: Host, gate: Gate) -> None:
    ref = counting(rjob, gate)
    client = rjob.popen("wait", ref)
    seen: frozenset[int] = frozenset()
    for _ in range(2):
        seen = serving(gpu, seen=seen)
        assert client.poll() is None
        gpu.server.drop_connections()
    serving(gpu, seen=seen)
    gate.open()
    _, err = client.communicate(timeout=60)
    assert client.returncode == 6
    assert re.fullmatch(rb"Job 1@gpu failed \(exit status 6\): .*\n", err), err


@pytest.mark.parametrize("verb", [["receive", "-f"], ["wait"]], ids=["follow", "wait"])
def test_a_viewer_gets_over_a_server_that_is_away_for_a_while(
    rjob: World, gpu: Host, gate: Gate, verb: list[str]
) -> None:
    ref = counting(rjob, gate)
    client = rjob.popen(*verb, ref)
    serving(gpu)
    gpu.server.stop()
    # Not to wait for something: that long it is away.
    time.sleep(2)
    gpu.server.start()
    gate.open()
    out, err = client.communicate(timeout=60)
    assert client.returncode == 6, err
    assert verb == ["wait"] or out == NUMBERS


def test_a_line_that_falls_silent_is_noticed(rjob: World, gpu: Host, hosts: Hosts, line: Line, gate: Gate) -> None:
    """As when a machine falls asleep or a cable is drawn: nobody says that the connection is gone."""
    hosts.know("gpu", keepalive=0.3)
    ref = counting(rjob, gate)
    client = rjob.popen("receive", "-f", ref, bufsize=0)
    assert client.stdout is not None
    begun = client.stdout.readline()
    connections = len(line.counts)
    line.flowing.clear()
    wait_until(lambda: len(line.counts) > connections, what="another connection")
    line.flowing.set()
    gate.open()
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
