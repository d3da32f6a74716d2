"""The cost of following jobs for a minute while nothing happens: processes started, and processor time."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from rjob.core.manager import JobManager
from rjob.models import JobSpec
from rjob.testing.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from world import World

pytestmark = pytest.mark.bench

SECONDS = 60.0
TOOLS = ("cat", "dd", "grep", "head", "ls", "sleep", "stat", "tail", "uname", "wc")
"""The programs that a following runner could start."""


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """Provide a folder of tools, each of which writes a line to a file before it does its work."""
    folder = tmp_path / "counted"
    folder.mkdir()
    for name in TOOLS:
        tool = folder / name
        tool.write_text(f'#!/bin/sh\necho {name} >>{tmp_path}/started\nexec {shutil.which(name)} "$@"\n')
        tool.chmod(0o755)
    return folder


@pytest.fixture
def host(tmp_path: Path, counted: Path) -> Iterator[Sshd]:
    """Provide a machine with those tools."""
    home = tmp_path / "host"
    home.mkdir()
    env = {"HOME": str(home), "RJOB_MACHINE": "web", "PATH": f"{counted}:/usr/bin:/bin", "RJOB_CGROUP": "none"}
    with Sshd(["web"], env=env) as sshd:
        yield sshd


def used(pids: set[int]) -> float:
    """Add up the processor seconds of processes and of those of their children that have ended."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Provide a function that prints a line past pytest's capture."""

    def print_line(line: str) -> None:
        with capsys.disabled():
            print("\n" + line)

    return print_line


@pytest.fixture(params=[1, 100])
def jobs(
    request: pytest.FixtureRequest, rjob: World, host: Sshd, counted: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], int]]:
    """Provide a function that starts quiet jobs, here or on the host, and returns their number."""
    rjob.config.write_text(f'[defaults]\nssh_config = "{host.ssh_config}"\n')
    rjob.env |= {"PATH": f"{counted}:{rjob.env['PATH']}", "RJOB_CGROUP": "none"}
    for key, value in rjob.env.items():
        monkeypatch.setenv(key, value)
    places = []

    async def change(where: str, *, start: bool) -> None:
        async with JobManager() as manager:
            if start:
                started = await manager.start([JobSpec(argv=("sleep", "600"))] * request.param, hosts=[where])
                assert len(started.jobs) == request.param
            else:
                await manager.remove([f"1-{request.param}@{where}"], force=True)

    def begin(where: str) -> int:
        places.append(where)
        asyncio.run(change(where, start=True))
        return int(request.param)

    yield begin
    for where in places:
        asyncio.run(change(where, start=False))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", [".", "web"])
@pytest.mark.parametrize("verb", [["wait"], ["receive", "-f"]], ids=["wait", "follow"])
def test_a_quiet_minute(
    rjob: World, jobs: Callable[[str], int], say: Callable[[str], None], where: str, verb: list[str]
) -> None:
    count = jobs(where)
    before = set(psutil.pids())
    viewer = rjob.popen(*verb, f"1-{count}@{where}")
    time.sleep(20)
    ours = set(psutil.pids()) - before
    log = rjob.root / "started"
    begin = log.read_text().count("\n"), used(ours)
    time.sleep(SECONDS)
    processes, seconds = log.read_text().count("\n") - begin[0], used(ours) - begin[1]
    viewer.send_signal(signal.SIGINT)
    viewer.communicate()
    share = 100 * seconds / SECONDS
    say(f"{' '.join(verb)}, {count} jobs at {where}: {processes} processes, {share:.2f} % of a core, in a minute")
