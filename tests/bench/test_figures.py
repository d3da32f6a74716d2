"""The figures that docs/explanation/powershell.md compares: milliseconds, and ratios to ``python -c pass``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from bench.bench_tools import once, rjob_command
from bench.owners import write_history

from rjob.testing.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from world import World

pytestmark = pytest.mark.bench


@pytest.fixture
def figure(rjob: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Provide a function that times something in turn with ``python -c pass`` and prints both."""

    def measure(name: str, action: Callable[[], float], rounds: int = 9) -> None:
        python = [sys.executable, "-c", "pass"]
        action()
        pairs = [(action(), once(python, rjob.env)) for _ in range(rounds)]
        middle = statistics.median(a for a, _ in pairs) * 1000
        ratio = statistics.median(a / b for a, b in pairs)
        with capsys.disabled():
            print(f"\n{name}: {middle:.0f} ({ratio:.1f})")

    return measure


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def verb(rjob: World, *args: str) -> Callable[[], float]:
    return lambda: once([*rjob_command(), *args], rjob.env)


def round_trip(rjob: World, *options: str) -> Callable[[], float]:
    """Make an action of three commands: start a job, wait for it, receive its output."""

    def action() -> None:
        start = [*rjob_command(), "start", "-q", *options, "echo", "1"]
        ref = subprocess.run(start, env=rjob.env, capture_output=True, text=True, check=True).stdout.strip()
        once([*rjob_command(), "wait", ref], rjob.env)
        once([*rjob_command(), "receive", ref], rjob.env)

    return lambda: timed(action)


def test_local(rjob: World, figure: Callable[..., None]) -> None:
    figure("start-up", verb(rjob, "--version"))
    figure("start-wait-receive", round_trip(rjob))
    figure("start", verb(rjob, "start", "true"))
    figure("the same in one command: start -f", verb(rjob, "start", "-f", "echo", "1"))

    def stop() -> float:
        rjob.start("sleep", "1000")
        return once([*rjob_command(), "stop", "last"], rjob.env)

    figure("stop", stop)


def test_twenty_at_once(rjob: World, figure: Callable[..., None]) -> None:
    def action() -> None:
        children = [rjob.popen("start", "-f", "echo", "1") for _ in range(20)]
        for child in children:
            child.communicate()

    figure("twenty-jobs, start -f", lambda: timed(action), rounds=5)


def test_listing_1000(rjob: World, figure: Callable[..., None]) -> None:
    write_history(rjob.owner, 1, 1000)
    figure("list-1000", verb(rjob, "get", "--all"))


def test_receiving(rjob: World, figure: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    million = rjob.shell('i=0; seq 1 1000000 | sed "s/^/line /"')
    lines = rjob.start(
        "sh", "-c", "yes 123456789012345678901234567890123456789012345678901234567890123 | head -n 262144"
    )
    rjob.ended(million)
    rjob.ended(lines)
    figure("receive-million", verb(rjob, "receive", "--all", million))
    figure("receive-16-mib", verb(rjob, "receive", "--all", lines))
    child = subprocess.Popen([*rjob_command(), "receive", "--all", million], env=rjob.env, stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        try:
            peak = max(peak, psutil.Process(child.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            break
    with capsys.disabled():
        print(f"\nmemory-client: {peak / 2**20:.0f} MiB")


def test_latency(rjob: World, capsys: pytest.CaptureFixture[str]) -> None:
    ref = rjob.start("sh", "-c", "while :; do date +%s%N; sleep 0.053; done")
    child = rjob.popen("receive", "-f", ref)
    assert child.stdout is not None
    delays = []
    for line in child.stdout:
        delays.append(time.time() - int(line) / 1e9)
        if len(delays) == 65:
            break
    child.kill()
    child.communicate()
    rjob("stop", ref)
    with capsys.disabled():
        print(f"\nline-latency: {statistics.median(delays[5:]) * 1000:.1f} ms, of which date's own end is a part")


def test_memory(rjob: World, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(100):
        rjob.start("sleep", "300")
    pids = [int(path.read_text().split()[0]) for path in rjob.owner.glob("jobs/*/identity")]
    sizes = [psutil.Process(pid).memory_full_info().pss / 1024 for pid in pids]
    rjob("stop", "1-100")
    with capsys.disabled():
        print(f"\nmemory-running: {statistics.mean(sizes):.0f} KiB")


def test_remote(rjob: World, figure: Callable[..., None], tmp_path: Path) -> None:
    home = tmp_path / "host"
    home.mkdir()
    names = [f"web{number}" for number in range(1, 11)]
    with Sshd(names, env={"HOME": str(home), "RJOB_MACHINE": "web"}) as sshd:
        rjob.config.write_text(f'[defaults]\nssh_config = "{sshd.ssh_config}"\n')
        figure("ssh HOST echo 1", lambda: once(["ssh", "-F", str(sshd.ssh_config), "web1", "echo", "1"], rjob.env))
        figure("remote-start-wait-receive, start -f", verb(rjob, "start", "-f", "-H", "web1", "echo", "1"))
        figure("remote-start-wait-receive", round_trip(rjob, "-H", "web1"))
        figure("ten-hosts, start -f", verb(rjob, "start", "-f", "-H", "web[1-10]", "echo", "1"), rounds=5)
