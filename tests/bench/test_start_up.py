"""The cost of a local verb, against a bare Typer program and against the same verb with a short history.

Asserted are the bounds of ``get`` of 100 jobs and of ``start`` (1.3 times the bare program, although 1.15 and 1.25 are
printed), and of a verb beside ten thousand finished jobs (1.2). Only printed are those of ``start --wait``, of
``start`` beside ten thousand running jobs, of five hundred jobs in one request, and how late an end is told.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

import pytest
from bench.bench_tools import BARE, once, ratio, rjob_command
from bench.owners import write_history, write_running

from rjob.core.manager import JobManager
from rjob.models import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from world import World

pytestmark = pytest.mark.bench


def bare(rjob: World, verb: str) -> Callable[[], float]:
    return lambda: once([sys.executable, str(BARE), verb], rjob.env)


def verb(rjob: World, *args: str, home: Path | None = None) -> Callable[[], float]:
    env = rjob.env | ({"RJOB_HOME": str(home)} if home else {})
    return lambda: once([*rjob_command(), *args], env)


def test_get_of_100_jobs(rjob: World, tell: Callable[..., None]) -> None:
    write_history(rjob.owner, 1, 100)
    found = ratio(verb(rjob, "get", "--all"), bare(rjob, "get"))
    tell("rjob get --all, 100 jobs / bare Typer + tabulate", found, "1.15")
    assert found[0] <= 1.3


def test_start(rjob: World, tell: Callable[..., None]) -> None:
    found = ratio(verb(rjob, "start", "true"), bare(rjob, "start"))
    tell("rjob start / bare Typer that spawns sh", found, "1.25")
    assert found[0] <= 1.3


def test_start_and_wait(rjob: World, tell: Callable[..., None]) -> None:
    found = ratio(verb(rjob, "start", "--wait", "true"), verb(rjob, "start", "true"))
    tell("rjob start --wait true / rjob start true", found, "1.5")


def test_start_beside_ten_thousand_running_jobs(rjob: World, tell: Callable[..., None]) -> None:
    few, many = rjob.root / "few", rjob.root / "many"
    for home, count in ((few, 10), (many, 10_000)):
        write_running(home / rjob.env["RJOB_MACHINE"], count)
    found = ratio(verb(rjob, "start", "true", home=many), verb(rjob, "start", "true", home=few))
    tell("rjob start, 10,000 running jobs / 10", found, "1.3")


async def test_five_hundred_jobs_in_one_request(
    rjob: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in rjob.env.items():
        monkeypatch.setenv(key, value)
    async with JobManager() as jobs:
        for count in (50, 500):
            begin = time.perf_counter()
            started = await jobs.start([JobSpec(argv=("true",))] * count)
            seconds = time.perf_counter() - begin
            assert len(started.jobs) == count
            with capsys.disabled():
                print(f"\n{count} jobs in one request: {count / seconds:.0f} a second (wanted: 200)")


def test_how_late_an_end_is_told(rjob: World, capsys: pytest.CaptureFixture[str]) -> None:
    late = []
    for _ in range(15):
        ref = rjob.shell("sleep 0.5; date +%s%N")
        rjob("wait", ref)
        late.append(time.time() - int(rjob("receive", ref).text) / 1e9)
    with capsys.disabled():
        print(f"\nfrom a job's last word to the end of wait and receive: {statistics.median(late) * 1000:.0f} ms")


@pytest.mark.parametrize("args", [["start", "true"], ["get", "17"], ["get"], ["receive", "17"]], ids=" ".join)
def test_ten_thousand_finished_jobs(rjob: World, tell: Callable[..., None], args: list[str]) -> None:
    """Measure with job 1 running all the time."""
    small, large = rjob.root / "small", rjob.root / "large"
    for home, count in ((small, 20), (large, 10_000)):
        rjob.start("sleep", "600", env={"RJOB_HOME": str(home)})
        write_history(home / rjob.env["RJOB_MACHINE"], 2, count)
    found = ratio(verb(rjob, *args, home=large), verb(rjob, *args, home=small))
    tell(f"rjob {' '.join(args)}, 10,000 finished jobs / 20", found, "1.2")
    for home in (small, large):
        rjob("stop", "1", env={"RJOB_HOME": str(home)})
    assert found[0] <= 1.2
