"""A job lives until it ends, is signalled or stopped, whoever started it: at every place."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from promises.place import ONE_HOST, processes_of
from world import RJOB, Gate, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promises.place import Place
    from world import World


TICKING = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda number, frame: os.write(1, b"got it\\n"))
os.write(1, b"ready\\n")
while True:
    time.sleep(0.05)
    os.write(1, b"tick\\n")
"""


@pytest.fixture
def neighbour(rjob: World, at: Place) -> Iterator[str]:
    """Start another job, and a process of nobody's, that must live on."""
    ref = at.start("-n", "neighbour", "sleep", "300")
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    yield ref
    alive = stranger.poll() is None
    stranger.kill()
    stranger.wait()
    assert alive
    assert rjob.job(ref)["state"] == "Running"


# ------------------------------------------------------------------------------------------------ stop and signals


@pytest.mark.parametrize("place", ONE_HOST)
def test_stop_takes_all_of_a_job_and_nothing_else(rjob: World, at: Place, neighbour: str) -> None:
    plain = at.shell("echo before; echo ready; sleep 300; echo after")
    stubborn = at.shell("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    for ref in (plain, stubborn):
        at.wait_for_output(ref)
    rjob("stop", plain)
    begin = time.monotonic()
    rjob("stop", stubborn, "--grace", "0.5")
    assert 0.4 < time.monotonic() - begin < 10
    jobs = rjob("get", plain, stubborn, "--json").json["jobs"]
    assert [processes_of(job) for job in jobs] == [[], []]
    assert [(job["state"], job["exit_code"], job["signal"]) for job in jobs] == [
        ("Stopped", None, signal.SIGTERM),
        ("Stopped", None, signal.SIGKILL),
    ]
    assert rjob("receive", plain).out == b"before\nready\n"
    rjob("wait", plain, status=143)


def test_signal_suspend_resume_and_stop(rjob: World, at: Place) -> None:
    ref = at.start("python3", "-c", TICKING)
    at.wait_for_output(ref)
    rjob("signal", ref, "USR1")
    at.wait_for_output(ref, b"got it\n")
    assert rjob.job(ref)["state"] == "Running"
    rjob("signal", ref, "NOSUCH", status=2)
    rjob("suspend", ref)
    size = (at.folder(ref) / "out").stat().st_size
    job = rjob.job(ref)
    assert (job["state"], job["output_bytes"]["out"]) == ("Suspended", size)
    rjob("resume", ref)
    assert rjob.job(ref)["state"] == "Running"
    wait_until(lambda: (at.folder(ref) / "out").stat().st_size > size, what="more output")
    rjob("suspend", ref)
    # A suspended job is stopped as any other, by the first signal.
    rjob("stop", ref, "--grace", "1")
    job = rjob.job(ref)
    assert (job["state"], job["signal"]) == ("Stopped", signal.SIGTERM)
    assert not processes_of(job)
    wait_until(lambda: not at.processes(), what="the end of all that was started there")


@pytest.mark.parametrize("place", ONE_HOST)
def test_a_job_that_is_suspended_while_it_starts_a_process_is_suspended(rjob: World, at: Place) -> None:
    """A parent that waits in vfork until its child has called exec cannot halt: with the child halted, nothing runs."""
    gate = Gate(at.home / "gate")
    opens = f"[(os.POSIX_SPAWN_OPEN, 0, {gate.path!r}, os.O_RDONLY, 0)]"
    spawn = f"os.posix_spawn('/bin/cat', ['cat'], {{}}, file_actions={opens})"
    ref = at.start("python3", "-c", f"import os; print('ready', flush=True); os.waitpid({spawn}, 0)")
    at.wait_for_output(ref)
    main = psutil.Process(int((at.folder(ref) / "main").read_text().split()[0]))
    wait_until(lambda: main.status() == psutil.STATUS_DISK_SLEEP, what="vfork")
    rjob("suspend", ref)
    assert [child.status() for child in main.children()] == [psutil.STATUS_STOPPED]
    assert rjob.job(ref)["state"] == "Suspended"
    rjob("resume", ref)
    assert rjob.job(ref)["state"] == "Running"
    gate.open()
    assert rjob.ended(ref)["state"] == "Completed"


@pytest.mark.parametrize("place", ONE_HOST)
def test_a_signal_that_ends_a_job_is_told_and_stopping_what_has_ended_changes_nothing(rjob: World, at: Place) -> None:
    killed, failed = at.start("sleep", "300"), at.shell("exit 3")
    rjob("signal", killed, "KILL")
    jobs = rjob("wait", killed, failed, "--json", status=1).json["jobs"]
    assert [(job["state"], job["exit_code"], job["signal"]) for job in jobs] == [
        ("Failed", None, 9),
        ("Failed", 3, None),
    ]
    rjob("stop", killed, failed)
    assert rjob("get", killed, failed, "--json").json["jobs"] == jobs


def test_a_time_limit(rjob: World, at: Place) -> None:
    job = at.run("--time-limit", "1", "-c", "echo begun; sleep 300")
    assert (job["state"], job["signal"]) == ("Failed", signal.SIGTERM)
    assert "time limit" in job["reason"]
    assert not processes_of(job)
    rjob("wait", job["ref"], status=143)
    assert at.run("--time-limit", "300", "true")["state"] == "Completed"
    wait_until(lambda: not at.processes(), seconds=5, what="the end of the watcher")


# --------------------------------------------------------------------------------------------------- who started it


def test_a_job_outlives_its_client_its_session_and_the_server(rjob: World, at: Place) -> None:
    gate = Gate(at.home / "gate")
    words = [*RJOB, "start", *at.option, "-c", f"echo begun; {gate.line}; echo $x; exit 5"]
    shell = subprocess.Popen(
        ["sh", "-c", '"$@"; echo ready; sleep 60', "sh", *words],
        env=rjob.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert shell.stdout is not None
    assert b"ready\n" in iter(shell.stdout.readline, b"")
    ref = at.ref(1)
    follower = rjob.popen("receive", "-f", ref, bufsize=0)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"begun\n"
    for number in (signal.SIGHUP, signal.SIGKILL):
        subprocess.run(["kill", f"-{int(number)}", "--", f"-{shell.pid}"], check=True)
    shell.communicate()
    follower.kill()
    follower.communicate()
    if at.server:
        at.server.drop_connections()
        at.server.stop()
        assert "gpu" in rjob("get", ref, status=1).errors
    else:
        assert rjob.job(ref)["state"] == "Running"
    gate.open()
    wait_until((at.folder(ref) / "exit").exists, what="the end of the job")
    if at.server:
        at.server.start()
    job = rjob.job(ref)
    assert (job["state"], job["exit_code"]) == ("Failed", 5)
    rjob("wait", ref, status=5)
    assert rjob("receive", "--all", ref).out == b"begun\ngo\n"


def test_a_job_outlives_a_client_killed_at_once_after_the_start(rjob: World, at: Place) -> None:
    gate = Gate(at.home / "gate")
    client = rjob.popen("start", *at.option, "--wait", "-c", f"{gate.line}; exit 4")
    wait_until(lambda: list(at.owner.glob("jobs/*/main")), what="the job's beginning")
    client.kill()
    client.communicate()
    if at.server:
        at.server.drop_connections()
    gate.open()
    rjob("wait", at.ref(1), status=4)
