"""A job that is removed while somebody looks at it: gone is an answer, on the real command line."""

from __future__ import annotations

import os
import pty
import select
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from fault_points import keep, runner_with
from world import naps, wait_until

if TYPE_CHECKING:
    from world import World

AWAY = "job 1 was removed meanwhile"


@pytest.mark.parametrize("verb", [["wait"], ["wait", "--any"], ["receive", "-f"]], ids=["wait", "any", "follow"])
def test_a_viewer_of_a_removed_job_is_told(rjob: World, verb: list[str]) -> None:
    ref = rjob.start("sleep", "60")
    viewers = [rjob.popen(*verb, ref) for _ in range(4)]
    wait_until(lambda: all(naps(viewer.pid) for viewer in viewers), what="the viewers' runners")
    rjob("remove", "--force", ref)
    for viewer in viewers:
        out, err = viewer.communicate(timeout=20)
        # It may have seen how the job ended before the job went.
        assert viewer.returncode in (125, 143), err
        assert viewer.returncode == 143 or (out, AWAY in err.decode()) == (b"", True)
    wait_until(lambda: not rjob.processes(), what="the end of every process")


def test_waiting_for_others_goes_on(rjob: World) -> None:
    gate = rjob.root / "gate"
    gone, other = rjob.start("sleep", "60"), rjob.shell(f"until [ -e '{gate}' ]; do sleep 0.05; done; exit 3")
    waiting = rjob.root / "waiting"
    keep(rjob, runner_with("looking-on", f'true >"{waiting}"'))
    viewer = rjob.popen("wait", "--json", gone, other)
    wait_until(waiting.exists, what="the waiting runner")
    # Without a moment in which its end could be seen.
    (rjob.folder(gone)).rename(rjob.root / "taken")
    used = sum(psutil.Process(viewer.pid).cpu_times()[:2])
    # Not to wait for something: for that long it must wait on, idly.
    time.sleep(1.5)
    assert viewer.poll() is None
    assert sum(psutil.Process(viewer.pid).cpu_times()[:2]) - used < 0.4
    gate.touch()
    out, err = viewer.communicate(timeout=20)
    assert viewer.returncode == 125
    assert b'"code": "not-found"' in out
    assert AWAY in err.decode()
    assert b'"exit_code": 3' in out


@pytest.mark.parametrize("verb", [["wait", "--any"], ["receive", "-f"], ["wait", "--timeout", "30"]])
def test_a_folder_that_vanishes_is_gone(rjob: World, verb: list[str]) -> None:
    ref = rjob.start("sleep", "60")
    looking = rjob.root / "looking"
    keep(rjob, runner_with("streaming" if "receive" in verb else "looking-on", f'true >"{looking}"'))
    viewer = rjob.popen(*verb, ref)
    wait_until(looking.exists, what="the viewer's runner")
    rjob.folder(ref).rename(rjob.root / "taken")
    _, err = viewer.communicate(timeout=20)
    assert viewer.returncode == 125
    assert AWAY in err.decode()


def test_start_and_wait(rjob: World) -> None:
    waiting = rjob.root / "waiting"
    keep(rjob, runner_with("looking-on", f'true >"{waiting}"'))
    viewer = rjob.popen("start", "--wait", "sleep", "60")
    wait_until(waiting.exists, what="the waiting runner")
    rjob.folder("1").rename(rjob.root / "taken")
    _, err = viewer.communicate(timeout=20)
    assert viewer.returncode == 125
    assert AWAY in err.decode()


def test_a_watched_table_ends_with_its_jobs(rjob: World) -> None:
    ref = rjob.start("true")
    rjob.ended(ref)
    ours, theirs = pty.openpty()
    viewer = rjob.popen("get", "--watch", ref, stdout=theirs)
    os.close(theirs)
    shown = b""
    while b"Completed" not in shown:
        assert select.select([ours], [], [], 20)[0], shown
        shown += os.read(ours, 4096)
    rjob("remove", ref)
    _, err = viewer.communicate(timeout=20)
    os.close(ours)
    assert (viewer.returncode, AWAY in err.decode()) == (1, True)


def test_wait_tells_the_owner_of_a_job_that_ran(rjob: World) -> None:
    """The runner's reply begins as every other one."""
    ref = rjob.start("sleep", "0.5")
    (waited,) = rjob("wait", "--json", ref).json["jobs"]
    (seen,) = rjob("get", "--json", ref).json["jobs"]
    assert waited == seen
    assert waited["machine"] == "test-machine"
    assert waited["owner"]
    (started,) = rjob("start", "--wait", "--json", "sleep", "0.3").json["jobs"]
    assert started == rjob.job(started["ref"])
