"""The ways to give a job a session of its own: with each, it starts, is received, stops, and survives its caller."""

from __future__ import annotations

import os
import shutil
import signal
import uuid as uuids
from typing import TYPE_CHECKING

import pytest
from runner.conftest import PYTHON, SYSTEM_PATH, Host, launch_of
from runner.jobs import stop, wait_for_line
from world import need, processes_with, wait_until

from rjob.models import JobSpec, State
from rjob.runner.launch import start_request

if TYPE_CHECKING:
    from collections.abc import Callable


UTILITIES = (
    *("sh", "cat", "mv", "rm", "mkdir", "ln", "ls", "date", "sleep", "grep", "tail", "head", "wc", "awk", "sed"),
    *("stat", "chmod", "cp", "tr", "uname", "env", "sort", "id", "df", "kill", "cut", "printf", "find"),
)


@pytest.fixture(params=["setsid", "perl", "python3", "none"])
def rung_host(request: pytest.FixtureRequest, make_host: Callable[..., Host]) -> Host:
    """Provide a machine that has at most one of the programs that give a process a session of its own."""
    host = make_host()
    folder = host.root / "few"
    folder.mkdir()
    for name in UTILITIES:
        if found := shutil.which(name, path=SYSTEM_PATH):
            (folder / name).symlink_to(found)
    if request.param != "none":
        found = PYTHON if request.param == "python3" else need(request.param, SYSTEM_PATH)
        (folder / request.param).symlink_to(found)
    host.env["PATH"] = str(folder)
    assert host.ask("info").words("info")[1] == ["detach", request.param]
    return host


def test_every_rung_starts_receives_and_stops(rung_host: Host) -> None:
    rung = rung_host.ask("info").words("info")[1][1]
    neighbour = rung_host.line("sleep 600 & sleep 600 & wait")
    wait_until(lambda: len(processes_with(f"RJOB_INSTANCE={neighbour}")) == 3)
    job = rung_host.line("trap '' TERM; sleep 600 & echo ready; echo oops >&2; while :; do sleep 600; done")
    wait_for_line(rung_host, job)
    answer = rung_host.read(job, "cursor", "cursor")
    assert (answer.data[job, "out"], answer.data[job, "err"]) == (b"ready\n", b"oops\n")
    assert (os.getsid(rung_host.pid(job)) == rung_host.pid(job)) is (rung != "none")
    assert stop(rung_host, job, grace=0.5) == [["stopped", job]]
    assert processes_with(f"RJOB_INSTANCE={job}") == []
    assert rung_host.verdict(job).state is State.STOPPED
    assert len(processes_with(f"RJOB_INSTANCE={neighbour}")) == 3
    words = ["", "-x", "a=b", "it's", "a\nb"]
    exact = rung_host.start("printf", "%s|", *words)
    rung_host.ended(exact)
    assert rung_host.out(exact).decode() == "|".join(words) + "|"
    for name, status in (("nothing-of-that-name", 127), ("/etc/passwd", 126), ("exit 3", 127)):
        assert rung_host.ended(rung_host.start(name)).exit_code == status


def test_every_rung_survives_the_end_of_the_caller_s_session(rung_host: Host) -> None:
    go = rung_host.root / "go"
    line = f"echo ready; until [ -e {go} ]; do sleep 0.05; done; echo after"
    lines, body = start_request([launch_of(JobSpec(line=line), job := str(uuids.uuid4()))])
    exchange = rung_host.open("collect", "start", *lines, body=body)
    assert exchange.read_until(lambda: exchange.ready)
    wait_for_line(rung_host, job)
    # At the end of a connection, everything in the request's session gets SIGHUP.
    os.killpg(exchange.process.pid, signal.SIGHUP)
    exchange.process.wait(30)
    go.touch()
    assert rung_host.ended(job).exit_code == 0
    assert rung_host.out(job) == b"ready\nafter\n"
