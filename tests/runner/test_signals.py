"""Signals, stops and time limits with real processes: they reach all processes of a job, and no others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_points import runner_with
from runner.conftest import PYTHON, SYSTEM_PATH, Host, launch_of
from runner.jobs import FOREVER, stop, wait_for_line
from runner.sabotage import Sabotage, final
from world import alive, need, processes_with, wait_until

from rjob.models import JobSpec, State
from rjob.runner.posix import RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def neighbour(any_host: Host) -> Iterator[str]:
    """Provide a job with children beside an unrelated process; check at the end that all of them live on."""
    job = any_host.line("sleep 600 & sleep 600 & wait")
    stranger = subprocess.Popen(
        ["sleep", "600"], start_new_session=True, env={"RJOB_INSTANCE": "", "PATH": SYSTEM_PATH}
    )
    # Keep the list that met the condition: during exec, a process shows no environment for an instant.
    before = wait_until(
        lambda: len(found := processes_with(f"RJOB_INSTANCE={job}")) == 3 and found, what="the neighbour"
    )
    yield job
    try:
        assert processes_with(f"RJOB_INSTANCE={job}") == before
        assert alive(any_host.supervisor(job))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]


def test_a_signal_goes_to_the_main_process_alone(any_host: Host, neighbour: str) -> None:
    job = any_host.line("trap 'echo got' USR1; sleep 600 & echo ready; while :; do sleep 0.05; done")
    wait_for_line(any_host, job)
    assert any_host.change("signal", "USR1", jobs=[job]).done == [f"signalled {job}"]
    wait_for_line(any_host, job, b"got\n")
    assert any_host.running(job)
    assert any_host.change("signal", "KILL", jobs=[job]).done == [f"signalled {job}"]
    verdict = any_host.ended(job)
    assert (verdict.state, verdict.signal, verdict.exit_code) == (State.FAILED, 9, None)
    assert any_host.change("signal", "TERM", jobs=[job]).done == [f"ended {job}"]


def test_suspend_and_resume_the_whole_tree(any_host: Host, neighbour: str) -> None:
    job = any_host.line("(while :; do echo x; sleep 0.02; done) & wait")
    wait_for_line(any_host, job, b"x\n")
    assert any_host.change("tree", "STOP", jobs=[job]).done == [f"signalled {job}"]
    assert any_host.verdict(job).state is State.SUSPENDED
    tree = processes_with(f"RJOB_INSTANCE={job}")
    assert len(tree) >= 2
    assert {state_of(pid) for pid in tree} == {"T"}
    size = len(any_host.out(job))
    assert any_host.change("tree", "CONT", jobs=[job]).done == [f"signalled {job}"]
    wait_until(lambda: len(any_host.out(job)) > size, what="more output")
    assert any_host.running(job)
    any_host.change("tree", "STOP", jobs=[job])
    assert stop(any_host, job) == [["stopped", job]]
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.signal) == (State.STOPPED, 15)
    assert any_host.change("tree", "CONT", jobs=[job]).done == [f"ended {job}"]


def test_stop_ends_everything_of_a_job(any_host: Host, neighbour: str) -> None:
    need("setsid", SYSTEM_PATH)
    # Processes that ignore TERM, that have sessions of their own, and that have lost their parent.
    children = "setsid sleep 600 & (sleep 600 &) & (setsid sleep 600 &) & sleep 600 &"
    line = f"trap '' TERM; {children} echo ready; while :; do sleep 600; done"
    job = any_host.line(line)
    wait_for_line(any_host, job)
    wait_until(lambda: len(processes_with(f"RJOB_INSTANCE={job}")) >= 5, what="the tree")
    tree = processes_with(f"RJOB_INSTANCE={job}")
    began = time.monotonic()
    assert stop(any_host, job, grace=0.5) == [["stopped", job]]
    assert time.monotonic() - began < 15
    assert [pid for pid in tree if alive(pid)] == []
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.signal, verdict.exit_code) == (State.STOPPED, 9, None)
    any_host.settled(job)


def test_stop_ends_a_job_that_is_becoming_its_command(host: Host) -> None:
    host.install()
    with Sabotage(host, runner_with("started", f"until [ -e {host.root}/go ]; do sleep 0.05; done")):
        job = host.line(f"echo x >{host.root}/ran; sleep 600")
        stop(host, job)
    (host.root / "go").touch()
    assert final(host, job).state is State.STOPPED
    assert not (host.root / "ran").exists()


@pytest.mark.parametrize(("operation", "signal_name"), [("signal", "USR1"), ("tree", "STOP")])
def test_a_process_of_another_user_is_reported(host: Host, operation: str, signal_name: str) -> None:
    """The main process may be one of sudo's."""
    host.install()
    job = host.line(f"echo ready; {FOREVER}")
    wait_for_line(host, job)
    with Sabotage(host, b"kill() { return 1; }\n" + RUNNER.script):
        answer = host.change(operation, signal_name, jobs=[job])
    assert answer.done == [f"denied {job}"]
    assert not (host.folder(job) / "signals").exists()
    stop(host, job)


def test_stop_takes_a_crowd(any_host: Host, neighbour: str) -> None:
    job = any_host.line("n=0; while [ $n -lt 200 ]; do sleep 600 & n=$((n + 1)); done; echo ready; wait")
    wait_for_line(any_host, job)
    tree = processes_with(f"RJOB_INSTANCE={job}")
    assert len(tree) >= 200
    assert stop(any_host, job) == [["stopped", job]]
    assert [pid for pid in tree if alive(pid)] == []


def test_stop_outruns_what_goes_on_forking(any_host: Host, neighbour: str) -> None:
    job = any_host.line("trap '' TERM; echo ready; while :; do (trap '' TERM; sleep 0.3) & sleep 0.02; done")
    wait_for_line(any_host, job)
    assert stop(any_host, job, grace=0.2) == [["stopped", job]]
    assert processes_with(f"RJOB_INSTANCE={job}") == []


def test_a_process_with_a_strange_name_is_stopped_and_nobody_else(any_host: Host, neighbour: str) -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        # The newline splits its line in /proc/PID/stat, and the second part looks like the stranger's line.
        program = any_host.root / f"x\n{stranger.pid} ("
        shutil.copy(shutil.which("sleep", path=SYSTEM_PATH) or "", program)
        job = any_host.start("env", "-i", str(program), "600")
        pid = any_host.pid(job)
        wait_until(lambda: os.readlink(f"/proc/{pid}/exe") == str(program), what="the strange name")
        assert stop(any_host, job) == [["stopped", job]]
        assert not alive(pid)
        assert any_host.verdict(job).state is State.STOPPED
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("reaction", "status"), [("print('kept', flush=True)", 0), ("sys.exit(5)", 5), ("raise", None)]
)
def test_an_interrupt_reaches_a_program_that_handles_it(any_host: Host, reaction: str, status: int | None) -> None:
    text = "import sys, time\ntry:\n    print('ready', flush=True)\n    time.sleep(600)\n"
    text += f"except KeyboardInterrupt:\n    {reaction}\n"
    job = any_host.start(PYTHON, "-S", "-E", "-c", text)
    wait_for_line(any_host, job)
    assert stop(any_host, job, signal_name="INT", grace=20) == [["stopped", job]]
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.exit_code, verdict.signal) == (State.STOPPED, status, 2)


def test_signals_are_at_their_defaults_in_the_command(any_host: Host) -> None:
    job = any_host.start("grep", "^Sig[IB]", "/proc/self/status")
    any_host.ended(job)
    for line in any_host.out(job).decode().splitlines():
        assert int(line.split()[1], 16) & 0x7FFFFFFF == 0, line


def test_stop_without_a_supervisor(any_host: Host, neighbour: str) -> None:
    job = any_host.line("sleep 600 & sleep 600 & wait")
    wait_until(lambda: len(processes_with(f"RJOB_INSTANCE={job}")) == 3)
    os.kill(any_host.supervisor(job), signal.SIGKILL)
    wait_until(lambda: not alive(any_host.supervisor(job)))
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.reason) == (State.RUNNING, "its supervisor is gone; 3 of its processes live on")
    assert stop(any_host, job) == [["stopped", job]]
    assert any_host.verdict(job).state is State.STOPPED
    assert processes_with(f"RJOB_INSTANCE={job}") == []


def test_a_job_within_a_job_survives_the_outer_one_s_stop(any_host: Host) -> None:
    inner = launch_of(JobSpec(line=FOREVER), str(uuids.uuid4()))
    outer = any_host.line(f"echo ready; {FOREVER}")
    wait_for_line(any_host, outer)
    environ = dict(
        part.split("=", 1) for part in Path(f"/proc/{any_host.pid(outer)}/environ").read_text().split("\0") if part
    )
    assert environ["RJOB_INSTANCE"] == outer
    assert any_host.launch(inner, env=environ).words("started") == [[inner.uuid]]
    assert stop(any_host, outer) == [["stopped", outer]]
    assert any_host.running(inner.uuid)


def test_a_time_limit_ends_the_job(any_host: Host, neighbour: str) -> None:
    job = any_host.line("sleep 600 & echo ready; wait", time_limit=0.5)
    verdict = any_host.ended(job)
    assert (verdict.state, verdict.reason, verdict.signal) == (State.FAILED, "its time limit was reached", 15)
    wait_until(lambda: processes_with(f"RJOB_INSTANCE={job}") == [], what="the end of the tree")


def test_a_time_limit_ends_what_ignores_its_signal(host: Host) -> None:
    job = host.line("(trap '' TERM; while :; do sleep 1; done) & echo ready; wait", time_limit=0.3)
    assert host.ended(job).signal == 15
    assert processes_with(f"RJOB_INSTANCE={job}") != []
    wait_until(lambda: processes_with(f"RJOB_INSTANCE={job}") == [], seconds=30, what="the end of the tree")


def test_a_job_within_its_time_limit_leaves_no_watcher(any_host: Host) -> None:
    job = any_host.line("exit 3", time_limit=600)
    assert any_host.ended(job).exit_code == 3
    any_host.settled(job)
    wait_until(lambda: processes_with(f"RJOB_HOME={any_host.home}") == [], seconds=5, what="the watcher's end")


def test_numbers_of_processes_that_are_others_by_now_are_never_signalled(any_host: Host) -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        job = any_host.line("exit 0")
        any_host.ended(job)
        any_host.settled(job)
        folder = any_host.folder(job)
        (folder / "exit").unlink()
        words = (folder / "identity").read_text().split()
        (folder / "identity").write_text(" ".join([str(stranger.pid), "1", *words[2:]]) + "\n")
        (folder / "main").write_text(f"{stranger.pid} 1\n")
        assert any_host.change("signal", "KILL", jobs=[job]).done == [f"ended {job}"]
        assert any_host.change("tree", "STOP", jobs=[job]).done == [f"ended {job}"]
        assert stop(any_host, job) == [["stopped", job]]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
