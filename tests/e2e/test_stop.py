"""Stop takes the whole tree of a job on this machine, however it was made, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_points import keep
from world import alive, processes_with, wait_until

from rjob.runner.posix import RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World


@pytest.fixture
def neighbour(rjob: World) -> Iterator[str]:
    """Another job, and a process of nobody's, that must live on."""
    ref = rjob.shell("sleep 300", "-n", "neighbour")
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    yield ref
    assert rjob.job(ref)["state"] == "Running"
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def stopped(rjob: World, ref: str, *options: str) -> dict[str, object]:
    instance = rjob.job(ref)["instance_id"]
    rjob("stop", ref, *options)
    assert not processes_with(f"RJOB_INSTANCE={instance}")
    job = rjob.job(ref)
    assert job["state"] == "Stopped"
    return job


def ready(rjob: World, ref: str, text: bytes = b"ready\n") -> None:
    wait_until(lambda: text in (rjob.folder(ref) / "out").read_bytes(), what="the job to be ready")


def test_grace_is_given_to_the_whole_tree(rjob: World) -> None:
    mark = rjob.root / "mark"
    child = f"trap 'sleep 0.5; echo tidy >{mark}; exit' TERM; echo ready; while :; do sleep 0.05; done"
    ref = rjob.shell(f'sh -c "{child}" & wait')
    ready(rjob, ref)
    stopped(rjob, ref)
    assert mark.read_text() == "tidy\n"


def test_children_that_made_sessions_of_their_own(rjob: World, neighbour: str) -> None:
    ref = rjob.shell("setsid sh -c 'setsid sleep 301 & sleep 302' & setsid sleep 303 & sleep 0.3; echo ready; wait")
    ready(rjob, ref)
    stopped(rjob, ref)


def test_two_hundred_processes(rjob: World, neighbour: str) -> None:
    ref = rjob.shell("for i in $(seq 200); do sleep 300 & done; echo ready; wait")
    ready(rjob, ref)
    instance = rjob.job(ref)["instance_id"]
    assert len(processes_with(f"RJOB_INSTANCE={instance}")) >= 200
    stopped(rjob, ref)


def test_a_halted_job(rjob: World, neighbour: str) -> None:
    ref = rjob.shell("echo ready; sleep 300")
    ready(rjob, ref)
    os.kill(int((rjob.folder(ref) / "main").read_text().split()[0]), signal.SIGSTOP)
    wait_until(lambda: rjob.job(ref)["state"] == "Suspended")
    stopped(rjob, ref)


def test_a_job_that_may_not_be_signalled_is_reported(rjob: World) -> None:
    """The main process may be another user's, as that of sudo is."""
    ref = rjob.start("sleep", "300")
    keep(rjob, b"kill() { return 1; }\n" + RUNNER.script)
    for verb in (["signal", ref, "USR1"], ["suspend", ref]):
        assert (
            f"job {ref} cannot be signalled: its main process belongs to another user" in rjob(*verb, status=1).errors
        )
    keep(rjob, RUNNER.script)
    assert stopped(rjob, ref)["signal"] == signal.SIGTERM


def test_a_job_within_a_job_lives_on(rjob: World) -> None:
    import sys

    inner = f"{sys.executable} -m rjob start -n inner -c 'sleep 300'"
    ref = rjob.shell(f"{inner}; echo ready; sleep 300")
    ready(rjob, ref)
    stopped(rjob, ref)
    assert rjob.job("inner")["state"] == "Running"
    stopped(rjob, "inner")


def test_another_signal_first(rjob: World) -> None:
    wait = "print('ready', flush=True)\ntry:\n    time.sleep(300)\nexcept KeyboardInterrupt:\n    print('bye')"
    code = f"import time\n{wait}"
    ref = rjob.start("python3", "-c", code)
    ready(rjob, ref)
    job = stopped(rjob, ref, "--signal", "INT")
    assert job["exit_code"] == 0
    assert rjob("receive", ref).out == b"ready\nbye\n"


def test_a_job_that_stops_itself(rjob: World) -> None:
    import sys

    ref = rjob.shell(f"{sys.executable} -m rjob stop $RJOB_ID; sleep 300")
    assert rjob.ended(ref)["state"] == "Stopped"


def test_the_script_for_those_on_the_host(rjob: World) -> None:
    ref = rjob.shell("echo hello; sleep 300")
    ready(rjob, ref, b"hello\n")
    script = str(rjob.home / "rjob")

    def run(*args: str) -> str:
        done = subprocess.run([script, *args], env=rjob.env, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    assert "running" in run("get")
    tail = subprocess.Popen([script, "tail", ref], env=rjob.env, stdout=subprocess.PIPE)
    assert tail.stdout is not None
    lines = iter(tail.stdout.readline, b"")
    assert any(b"hello" in line for line in lines)
    tail.kill()
    tail.communicate()
    run("stop", ref)
    assert rjob.job(ref)["state"] == "Stopped"
    assert not alive(int((rjob.folder(ref) / "main").read_text().split()[0]))
    assert Path(script).stat().st_mode & 0o777 == 0o700
