"""What goes wrong on the way is made good, or told: through the real command."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_points import runner_with
from world import RJOB, wait_until

from rjob.runner.posix import RUNNER

if TYPE_CHECKING:
    from world import World


def sabotage(rjob: World, point: str, command: str) -> None:
    """Make the cached runner do something once, at a fault point."""
    flag = rjob.root / "sabotaged"
    folder = rjob.home / "runner"
    folder.mkdir(parents=True, mode=0o700)
    rjob.home.chmod(0o700)
    script = runner_with(point, f'[ -e "{flag}" ] || {{ : >"{flag}"; {command}; }}')
    (folder / RUNNER.name).write_bytes(script)


@pytest.mark.parametrize("point", ["owner-made", "committed"])
def test_a_runner_that_is_killed_is_asked_again_and_the_job_runs_once(rjob: World, point: str) -> None:
    sabotage(rjob, point, "kill -KILL $$")
    count = rjob.root / "count"
    ref = rjob.shell(f"echo once >>{count}")
    assert (rjob.root / "sabotaged").exists()
    assert rjob.ended(ref)["state"] == "Completed"
    assert count.read_text() == "once\n"
    assert [event["id"] for event in rjob.events() if event["event"] == "start"] == [int(ref)]


def test_a_follower_whose_runner_is_killed_goes_on(rjob: World) -> None:
    sabotage(rjob, "streaming", "sleep 0.3; kill -KILL $$")
    ref = rjob.shell("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done; exit 3")
    done = rjob("receive", "-f", ref, status=3)
    assert done.out == b"".join(b"%d\n" % number for number in range(1, 9))


def timed_start(rjob: World) -> tuple[subprocess.Popen[bytes], float]:
    return rjob.popen("start", "-q", "-c", "exit 3"), time.monotonic()


def test_64_starts_at_once_while_a_compaction_runs_and_lock_holders_are_killed(rjob: World) -> None:
    rjob.start("true")
    begun = [timed_start(rjob) for _ in range(64)]
    compaction = rjob.popen("registry", "compact")
    killed = 0
    took: dict[int, float] = {}
    while len(took) < len(begun):
        for number, (child, begin) in enumerate(begun):
            if number not in took and child.poll() is not None:
                took[number] = time.monotonic() - begin
        if killed < 5 and kill_lock_holder(rjob):
            killed += 1
        time.sleep(0.005)
    compaction.communicate(timeout=60)
    outcomes = [child.communicate() for child, _ in begun]
    assert killed == 5
    assert all(child.returncode == 0 for child, _ in begun), [err for _, err in outcomes if err]
    refs = sorted(int(out) for out, _ in outcomes)
    assert len(set(refs)) == 64
    for ref in refs:
        rjob("wait", str(ref), status=3)
    starts = [event["id"] for event in rjob.events() if event["event"] == "start"]
    assert sorted(starts) == [1, *refs]
    wait_until(lambda: {e["id"] for e in rjob.events() if e["event"] == "end"} == {1, *refs}, what="every end")
    assert max(took.values()) <= 5 * statistics.median(took.values())


def kill_lock_holder(rjob: World) -> bool:
    """Kill whoever holds the lock, if it is a client's runner; say whether there was one."""
    try:
        pid = int(os.readlink(rjob.owner / "lock").split()[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"rjob" not in words:
            return False
        os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError, IndexError):
        return False
    return True


def test_a_local_verb_loads_nothing_heavy(rjob: World) -> None:
    code = (
        "import sys, json\n"
        "from rjob.cli.app import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'asyncssh', 'winrm', 'rich', 'pydantic', 'asyncio', 'cryptography'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))), file=sys.stderr)\n"
    )
    for line in ("start true", "get", "get 1", "receive 1", "wait 1", "stop 1", "remove 1"):
        words = line.split()
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, env=rjob.env, cwd=rjob.root, capture_output=True, check=True)
        assert json.loads(done.stderr.splitlines()[-1]) == [], words


def test_the_program_and_the_module_are_one(rjob: World) -> None:
    done = subprocess.run([*RJOB, "--version"], env=rjob.env, capture_output=True, check=True)
    assert done.stdout.startswith(b"rjob 0.1")
