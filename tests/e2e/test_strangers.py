"""Nobody is signalled but a job's own processes: through the real command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import alive, processes_with, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World

RECORDER = """
import signal, sys, time
for number in (1, 2, 15, 18):
    signal.signal(number, lambda number, frame: print(number, flush=True))
print("ready", flush=True)
time.sleep(600)
"""
"""A program that prints each signal that it gets."""


class Decoy:
    """A process that is no job's, but looks like one's in some way; it tells which signals it got."""

    def __init__(self, root: Path, **env: str) -> None:
        self.log = root / f"decoy-{len(list(root.glob('decoy-*')))}"
        with self.log.open("wb") as log:
            command = [sys.executable, "-c", RECORDER]
            self.process = subprocess.Popen(command, stdout=log, env=os.environ | env, start_new_session=True)
        wait_until(self.log.read_text, what="the decoy")

    @property
    def unharmed(self) -> bool:
        return self.process.poll() is None and self.log.read_text() == "ready\n"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def decoys() -> Iterator[list[Decoy]]:
    made: list[Decoy] = []
    yield made
    for decoy in made:
        decoy.close()


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def test_the_end_of_a_job_signals_no_watcher_that_is_gone(rjob: World) -> None:
    """Nothing outside the supervisor's own process group gets a signal, whatever number the watcher had."""
    log = rjob.root / "kills"
    ref = rjob.start("--time-limit", "1h", "sleep", "1000")
    folder = rjob.folder(ref)
    supervisor = int((folder / "identity").read_text().split()[0])
    (main,) = (int((folder / "main").read_text().split()[0]),)
    watcher = wait_until(lambda: [pid for pid in children(supervisor) if pid != main], what="the watcher")[0]
    (sleep,) = wait_until(lambda: children(watcher), what="its sleep")
    trace = ["strace", "-f", "-qq", "-e", "trace=kill,tkill,tgkill", "-o", str(log), "-p", str(supervisor)]
    if subprocess.run(["sh", "-c", "command -v strace"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not installed")
    tracer = subprocess.Popen(trace)
    wait_until(lambda: "TracerPid:\t0" not in Path(f"/proc/{supervisor}/status").read_text(), what="the tracer")
    os.kill(sleep, signal.SIGKILL)
    wait_until(lambda: not alive(watcher), what="the watcher's end")
    os.kill(main, signal.SIGKILL)
    tracer.wait(30)
    sent = [line for line in log.read_text().splitlines() if "kill(" in line]
    assert all("kill(0, " in line for line in sent), sent


def test_the_watcher_of_the_time_limit_goes_with_its_job(rjob: World) -> None:
    ref = rjob.start("--time-limit", "1h", "true")
    rjob.ended(ref)
    wait_until(lambda: not rjob.processes(), what="silence")


def test_a_job_that_was_given_the_cookie_of_another_survives_its_stop(rjob: World) -> None:
    victim = rjob.start("sleep", "1000")
    instance = rjob.job(victim)["instance_id"]
    file = rjob.root / "env"
    file.write_text(f"RJOB_INSTANCE={instance}\nRJOB_ID={victim}\n")
    ones = [
        rjob.start("-e", f"RJOB_INSTANCE={instance}", "sleep", "1000"),
        rjob.start("--env-file", str(file), "sleep", "1000"),
        rjob.start("--secret", "RJOB_INSTANCE", "sleep", "1000", env={"RJOB_INSTANCE": instance}),
        rjob.start("sh", "-c", f"RJOB_INSTANCE={instance} sleep 1000; :"),
    ]
    wait_until(lambda: len(processes_with(f"RJOB_INSTANCE={instance}")) == 2, what="the one that says so itself")
    rjob("stop", victim)
    assert [rjob.job(ref)["state"] for ref in ones] == ["Running"] * len(ones)
    rjob("stop", *ones)


def test_a_session_of_another_job_that_claims_the_cookie_survives(rjob: World) -> None:
    victim = rjob.start("sleep", "1000")
    file = rjob.root / "pid"
    instance = rjob.job(victim)["instance_id"]
    line = f"export RJOB_INSTANCE={instance}; setsid sh -c 'echo $$ >{file}; exec sleep 1000' & wait"
    other = rjob.start("-c", line, env={"RJOB_CGROUP": "none"})
    child = int(wait_until(lambda: file.exists() and file.read_text(), what="the session"))
    rjob("stop", victim)
    assert alive(child)
    os.kill(child, signal.SIGKILL)
    rjob("stop", other)


def test_the_cgroup_of_a_job_goes_with_it(rjob: World) -> None:
    ref = rjob.start("sleep", "1000")
    folder = rjob.folder(ref)
    if not (folder / "cgroup").exists():
        pytest.skip("not applicable: no cgroup may be used here")
    cgroup = Path((folder / "cgroup").read_text().strip())
    (cgroup / "below").mkdir()
    for name in ("identity", "main"):
        os.kill(int((folder / name).read_text().split()[0]), signal.SIGKILL)
    wait_until(lambda: rjob.job(ref)["state"] == "Lost", what="the loss")
    rjob("remove", ref)
    assert not cgroup.exists()


def test_a_process_whose_environment_only_mentions_the_job_is_left_alone(rjob: World, decoys: list[Decoy]) -> None:
    ref = rjob.start("sleep", "1000")
    instance = rjob.job(ref)["instance_id"]
    decoys += [
        Decoy(rjob.root, NOTE=f"see RJOB_INSTANCE={instance}"),
        Decoy(rjob.root, NOTE=f"line\nRJOB_INSTANCE={instance}"),
        Decoy(rjob.root, MY_RJOB_INSTANCE=instance),
        Decoy(rjob.root, RJOB_INSTANCE=instance[:-1]),
        Decoy(rjob.root, RJOB_INSTANCE=f"{instance} "),
    ]
    rjob("suspend", ref)
    rjob("resume", ref)
    rjob("stop", ref)
    assert [decoy.unharmed for decoy in decoys] == [True] * len(decoys)


CLEANED = "env -i sh -c 'echo $$ >{0}; trap : TERM HUP; sleep 1000; sleep 1000' & wait"
DETACHED = "env -i setsid sh -c 'echo $$ >{0}; trap : TERM HUP; sleep 1000; sleep 1000' & wait"


@pytest.mark.parametrize("line", [CLEANED, DETACHED], ids=["same session", "own session"])
@pytest.mark.parametrize("cgroup", ["", "none"], ids=["as it is", "without cgroups"])
def test_stop_finds_children_whose_environment_was_cleared(rjob: World, line: str, cgroup: str) -> None:
    file = rjob.root / "pid"
    ref = rjob.start("-c", line.format(file), env={"RJOB_CGROUP": cgroup})
    child = int(wait_until(lambda: file.exists() and file.read_text(), what="the child"))
    rjob("stop", "--grace", "1", ref)
    assert not alive(child)
    assert rjob.job(ref)["state"] == "Stopped"


@pytest.mark.parametrize("cgroup", ["", "none"], ids=["as it is", "without cgroups"])
def test_after_stop_no_script_runs_its_next_command(rjob: World, cgroup: str) -> None:
    for attempt in range(5):
        marks = rjob.root / f"marks{attempt}"
        marks.mkdir()
        one = f"sh -c 'echo >{marks}/ready-$0; sleep 40; touch {marks}/next-$0; sleep 50'"
        line = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do {one} $i & done; wait"
        ref = rjob.start("-c", line, env={"RJOB_CGROUP": cgroup})
        ready = marks.glob
        wait_until(lambda ready=ready: len(list(ready("ready-*"))) == 16, what="the children")  # type: ignore[misc]
        rjob("stop", ref)
        assert list(marks.glob("next-*")) == []
        assert rjob.job(ref)["signal"] == signal.SIGTERM


def test_at_the_time_limit_no_script_runs_its_next_command(rjob: World) -> None:
    one = f"sh -c 'sleep 40; touch {rjob.root}/next-$0; sleep 50'"
    ref = rjob.start("--time-limit", "1", "-c", f"for i in 1 2 3 4 5 6 7 8; do {one} $i & done; wait")
    job = rjob.ended(ref)
    assert (job["state"], job["exit_code"], job["signal"]) == ("Failed", None, signal.SIGTERM)
    wait_until(lambda: not rjob.processes(), what="silence")
    assert list(rjob.root.glob("next-*")) == []


def test_a_polite_job_past_its_time_limit(rjob: World) -> None:
    ref = rjob.start("--time-limit", "1", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
    rjob("wait", ref, status=128 + signal.SIGTERM)
    job = rjob.job(ref)
    assert (job["state"], job["exit_code"], job["signal"]) == ("Failed", None, signal.SIGTERM)
    assert job["reason"] == "its time limit was reached"
    assert "SIGTERM" in rjob("get", ref).text
