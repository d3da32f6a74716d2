"""``rjob registry rebuild`` mends every list, and loses nothing wherever it is killed."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from fault_points import runner_with
from world import wait_until

from rjob.runner.posix import RUNNER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from world import World

POINTS = [
    "owner-made",
    "locked",
    "job-listed",
    "registry-rewritten",
    "registry-replaced",
    "strays-dropped",
    "next-written",
    "unlocked",
]


def put(rjob: World, script: bytes) -> None:
    """Replace the cached runner, as its installer does."""
    path = rjob.home / "runner" / RUNNER.name
    path.with_name("new").write_bytes(script)
    path.with_name("new").replace(path)


@pytest.fixture
def jobs(rjob: World) -> list[str]:
    """Three finished jobs and one that runs."""
    refs = [rjob.start("-n", f"n{number}", "sh", "-c", "echo out; exit 3") for number in (1, 2, 3)]
    rjob("wait", *refs, status=None)
    rjob("receive", refs[0])
    running = rjob.start("sleep", "600")
    wait_until(lambda: not [*rjob.owner.glob("lock*")], what="a free lock")
    wait_until(lambda: len(list(rjob.owner.glob("live/*"))) == 1, what="the journalled ends")
    return [*refs, running]


def lines(rjob: World) -> list[str]:
    return sorted((rjob.owner / "registry.jsonl").read_text().splitlines())


def damage_ids(owner: Path) -> None:
    (owner / "ids" / "1").unlink()
    shutil.copy(owner / "ids" / "3", owner / "ids" / "2")
    (owner / "ids" / "77").write_text("11111111-2222-3333-4444-555555555555\n")
    (owner / "ids" / "x").mkdir()


def damage_live(owner: Path) -> None:
    for path in (owner / "live").iterdir():
        path.unlink()
    shutil.copy(owner / "ids" / "1", owner / "live" / "1")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda owner: None,
    "ids": damage_ids,
    "live": damage_live,
    "ids lost": lambda owner: shutil.rmtree(owner / "ids"),
    "registry lost": lambda owner: (owner / "registry.jsonl").unlink(),
    "next lost": lambda owner: (owner / "next").unlink(),
}


def whole(rjob: World, jobs: list[str], before: list[str], *, next_id: int) -> None:
    """Everything is as it was."""
    assert sorted(os.listdir(rjob.owner / "ids")) == jobs
    assert os.listdir(rjob.owner / "live") == [jobs[-1]]
    assert rjob("get", "--all", "-q").text.split() == jobs
    told = rjob("get", *jobs, "--json").json["jobs"]
    assert [job["ref"] for job in told] == jobs
    assert told[0]["received_bytes"]["out"] == 4
    assert lines(rjob) == before
    assert (rjob.owner / "next").read_text().split()[0] == str(next_id)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_it_mends(rjob: World, jobs: list[str], damage: Callable[[Path], object]) -> None:
    before = lines(rjob)
    damage(rjob.owner)
    rjob("registry", "rebuild")
    # The entry of a job that nobody knows tells of a number all the same.
    whole(rjob, jobs, before, next_id=78 if damage is damage_ids else 5)


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_loses_nothing(rjob: World, jobs: list[str], point: str) -> None:
    before = lines(rjob)
    # rebuild is asked for again by itself when its runner is killed, so let it be killed every time.
    put(rjob, runner_with(point, "kill -KILL $$"))
    rjob("registry", "rebuild", status=1)
    put(rjob, RUNNER.script)
    assert rjob("get", "--all", "-q").text.split() == jobs
    assert rjob("get", "-q", *jobs).text.split() == jobs
    assert [json.loads(line) for line in lines(rjob)]
    assert lines(rjob) == before
    rjob("registry", "rebuild")
    whole(rjob, jobs, before, next_id=5)


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_over_damage_it_can_be_repeated(rjob: World, jobs: list[str], point: str) -> None:
    before = lines(rjob)
    shutil.rmtree(rjob.owner / "ids")
    put(rjob, runner_with(point, "kill -KILL $$"))
    rjob("registry", "rebuild", status=1)
    put(rjob, RUNNER.script)
    rjob("registry", "rebuild")
    whole(rjob, jobs, before, next_id=5)
    assert rjob.start("true") == "5"
