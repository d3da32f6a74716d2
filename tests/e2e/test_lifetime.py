"""What is said of a job is true, whatever became of its processes, its machine and its disk."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from world import World

from world import alive, wait_until


def pids(world: World, ref: str) -> tuple[int, int]:
    """The supervisor's and the command's pid."""
    folder = world.folder(ref)
    return int((folder / "identity").read_text().split()[0]), int((folder / "main").read_text().split()[0])


def test_a_killed_supervisor_leaves_the_job_running_with_the_reason(rjob: World) -> None:
    ref = rjob.shell("sleep 60 & sleep 61")
    supervisor, command = pids(rjob, ref)
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not alive(supervisor))
    job = rjob.job(ref)
    assert job["state"] == "Running"
    assert "supervisor" in job["reason"]
    rjob("stop", ref)
    assert rjob.job(ref)["state"] == "Stopped"
    assert not alive(command)
    assert not rjob.processes()


def test_everything_killed_is_lost_and_stays_lost(rjob: World) -> None:
    ref = rjob.start("sleep", "60")
    for pid in pids(rjob, ref):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not rjob.processes())
    job = rjob.job(ref)
    assert (job["state"], job["exit_code"], job["signal"]) == ("Lost", None, None)
    assert "killed" in job["reason"]
    assert rjob("wait", ref, status=125).status == 125
    # The finding was recorded: a later reboot does not change it.
    identity = rjob.folder(ref) / "identity"
    identity.write_text(identity.read_text().replace("-", "0"))
    assert rjob.job(ref)["reason"] == job["reason"]
    assert [event["event"] for event in rjob.events()] == ["start", "end"]
    # The hint that this end was to be journalled is gone, too.
    assert list((rjob.owner / "ends").iterdir()) == []


def test_another_boot_means_lost(rjob: World) -> None:
    ref = rjob.start("sleep", "60")
    identity = rjob.folder(ref) / "identity"
    supervisor, command = pids(rjob, ref)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    identity.write_text(identity.read_text().replace(boot, "00000000-0000-0000-0000-000000000000"))
    job = rjob.job(ref)
    assert job["state"] == "Lost"
    assert "rebooted" in job["reason"]
    # These pids are another boot's: whatever bears them now is not the job's.
    rjob("stop", ref, status=None)
    assert alive(supervisor)
    assert alive(command)


def now_in_ticks() -> int:
    """The time since boot, as /proc counts it."""
    return int(float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK"))


def test_a_reused_pid_is_not_the_job_and_is_never_killed(rjob: World) -> None:
    ref = rjob.start("sleep", "60")
    for pid in pids(rjob, ref):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not rjob.processes())
    # No number comes round again within the hundredth of a second that start times are counted in.
    begins = [int((rjob.folder(ref) / "identity").read_text().split()[1])]
    begins.append(int((rjob.folder(ref) / "main").read_text().split()[1]))
    wait_until(lambda: now_in_ticks() > max(begins) + 1, what="another tick")
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        folder = rjob.folder(ref)
        for name in ("identity", "main"):
            words = (folder / name).read_text().split()
            (folder / name).write_text(" ".join([str(stranger.pid), *words[1:]]) + "\n")
        job = rjob.job(ref)
        assert job["state"] == "Lost", job
        rjob("stop", ref, status=None)
        rjob("signal", ref, "KILL", status=1)
        rjob("remove", ref)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_zombie_is_dead(rjob: World) -> None:
    """The supervisor is gone, and the command is a zombie of somebody who does not reap it."""
    ref = rjob.start("sleep", "60")
    for pid in pids(rjob, ref):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not rjob.processes())
    zombie = subprocess.Popen([sys.executable, "-c", "pass"], start_new_session=True)
    try:
        stat = Path(f"/proc/{zombie.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        begin = stat.read_text().rpartition(")")[2].split()[19]
        folder = rjob.folder(ref)
        words = (folder / "identity").read_text().split()
        (folder / "identity").write_text(" ".join([str(zombie.pid), begin, *words[2:]]) + "\n")
        (folder / "main").write_text(f"{zombie.pid} {begin}\n")
        assert rjob.job(ref)["state"] == "Lost"
    finally:
        zombie.wait()


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 512)
            except OSError:
                return


@pytest.fixture
def small_disk(rjob: World, as_root: None) -> Path:
    """A file system of 512 KiB that holds the jobs."""
    rjob.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "none", rjob.home], check=True)
    return rjob.home


def test_a_full_disk_never_makes_a_failure_look_like_success(rjob: World, small_disk: Path) -> None:
    try:
        gates = [rjob.root / "gate0", rjob.root / "gate4"]
        for gate in gates:
            os.mkfifo(gate)
        refs = [rjob.shell(f"read x <{gate}; echo output; exit {gate.name[-1]}") for gate in gates]
        fill(small_disk / "filler")
        for gate in gates:
            gate.write_text("go\n")
        assert rjob.ended(refs[1])["exit_code"] == 4
        # echo may have failed, but exit was asked to say 0: the record is what the shell said.
        assert rjob.ended(refs[0])["state"] == "Completed"
        assert (rjob.folder(refs[0]) / "exit").read_text().split()[1] == "0"
        refused = rjob("start", "true", status=1)
        assert re.search("space|write", refused.errors)
        (small_disk / "filler").unlink()
        assert rjob.ended(rjob.start("true"))["state"] == "Completed"
    finally:
        rjob.close()
        subprocess.run(["umount", "-l", small_disk], check=True)


def test_a_retry_of_a_job_without_its_specification_says_so(rjob: World) -> None:
    ref = rjob.start("true")
    rjob("wait", ref)
    (rjob.folder(ref) / "spec").unlink()
    refused = rjob("retry", ref, status=1)
    assert "spec is missing" in refused.errors
    assert "no space" not in refused.errors
