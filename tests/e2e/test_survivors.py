"""A command that ended while processes of its live on: through the real command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import alive, wait_until

if TYPE_CHECKING:
    from world import World

LINES = {
    "background": "sleep 1000 & echo $! >>{0}; sleep 1000 & echo $! >>{0}; exit 4",
    "sessions": "setsid sh -c 'echo $$ >>{0}; exec sleep 1000' & setsid sh -c 'echo $$ >>{0}; exec sleep 1000' & "
    "until [ $(wc -l <{0}) = 2 ]; do sleep 0.01; done; exit 4",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("cgroup", ["", "none"], ids=["as it is", "without cgroups"])
def test_they_are_told_and_stopped_and_keep_the_job(rjob: World, line: str, cgroup: str) -> None:
    pids = rjob.root / "pids"
    pids.touch()
    ref = rjob.start("-c", line.format(pids), env={"RJOB_CGROUP": cgroup})
    assert rjob("wait", ref, status=4).status == 4
    living = [int(word) for word in pids.read_text().split()]
    job = wait_until(lambda: "live on" in (rjob.job(ref)["reason"] or "") and rjob.job(ref), what="the reason")
    assert (job["state"], job["exit_code"]) == ("Failed", 4)
    assert "2 of its processes live on" in job["reason"]
    assert "2 of its processes live on" in rjob("get", ref).text
    refused = rjob("remove", ref, status=1)
    assert "live on" in refused.errors
    assert "--force" in refused.errors
    assert rjob("prune").status == 0
    assert all(map(alive, living))
    rjob("stop", ref)
    assert not any(map(alive, living))
    after = rjob.job(ref)
    assert (after["state"], after["exit_code"], after["reason"]) == ("Failed", 4, "exit status 4")
    rjob("remove", ref)


def test_force_ends_them_and_removes_the_job(rjob: World) -> None:
    pids = rjob.root / "pids"
    ref = rjob.shell(LINES["background"].format(pids))
    rjob("wait", ref, status=4)
    wait_until(lambda: "live on" in (rjob.job(ref)["reason"] or ""), what="the reason")
    rjob("remove", "--force", ref)
    assert not any(alive(int(word)) for word in pids.read_text().split())


def test_when_they_have_gone_the_job_is_as_any_other(rjob: World) -> None:
    go = rjob.root / "go"
    ref = rjob.shell(f"until [ -e {go} ]; do sleep 0.05; done & exit 0")
    rjob("wait", ref)
    wait_until(lambda: rjob.job(ref)["reason"], what="the reason")
    go.touch()
    wait_until(lambda: rjob.job(ref)["reason"] is None, what="the end of the last one")
    rjob("remove", ref)


def test_they_are_noted_for_each_of_many_jobs_that_end_together(rjob: World) -> None:
    go = rjob.root / "go"
    waits = f"until [ -e {go} ]; do sleep 0.05; done"
    quiet = [rjob.shell(waits) for _ in range(4)]
    left = [rjob.shell(f"{waits}; sleep 1000 & exit 0") for _ in range(4)]
    # The lock is held until all have ended, so one process journals all ends.
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (rjob.owner / "lock").symlink_to(f"{os.getpid()} {fields[19]} {boot} -")
    go.touch()
    wait_until(lambda: len(list(rjob.owner.glob("jobs/*/exit"))) == 8, what="the ends")
    wait_until(lambda: len(list((rjob.owner / "ends").iterdir())) == 8, what="the hints")
    (rjob.owner / "lock").unlink()
    wait_until(lambda: not list((rjob.owner / "ends").iterdir()), what="the journal")
    wait_until(
        lambda: all(rjob.job(ref)["reason"] == "1 of its processes lives on" for ref in left), what="the reasons"
    )
    assert [rjob.job(ref)["reason"] for ref in quiet] == [None] * 4
    rjob("stop", *left)
    rjob("remove", *quiet, *left)
