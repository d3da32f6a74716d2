"""What becomes of its client changes nothing for a job that was accepted: through the real command."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from fault_points import keep, runner_with
from world import wait_until

if TYPE_CHECKING:
    from world import World


@pytest.mark.parametrize("point", ["claimed", "main-written"])
def test_a_job_whose_client_and_runner_are_killed_while_it_begins_runs(rjob: World, point: str) -> None:
    """Nobody is left to read that the job is about to run."""
    go = rjob.root / "go"
    keep(rjob, runner_with(point, f'until [ -e "{go}" ]; do sleep 0.01; done'))
    for number in range(1, 6):
        go.unlink(missing_ok=True)
        witness = rjob.root / f"ran-{number}"
        client = rjob.popen("start", "-c", f"echo ran >>{witness}; exit 3")
        identity = wait_until(lambda number=number: list(rjob.owner.glob(f"ids/{number}")), what="the job")  # type: ignore[misc]
        folder = rjob.folder(str(number))
        assert identity
        wait_until((folder / "identity").exists, what="the claim")
        runner = [pid for pid in rjob.processes() if pid != client.pid and is_runner(pid)]
        for pid in [client.pid, *runner]:
            os.kill(pid, signal.SIGKILL)
        client.communicate()
        go.touch()
        job = rjob.ended(str(number))
        assert (job["state"], job["exit_code"]) == ("Failed", 3), job
        assert witness.read_text() == "ran\n"
        assert rjob("receive", str(number)).out == b""


def is_runner(pid: int) -> bool:
    """Whether a process serves a request: it got the bootstrap, and is no supervisor."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            words = file.read(1 << 20).split(b"\0")
    except OSError:
        return False
    return any(word.startswith(b'eval "$1"; rj_open') for word in words)
