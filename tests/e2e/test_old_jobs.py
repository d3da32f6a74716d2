"""Jobs that version 0.1 has started go on under this one: they are told, waited for, received, stopped and removed."""

from __future__ import annotations

import json
import os
import subprocess
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import naps, wait_until

if TYPE_CHECKING:
    from world import World

OLD = Path(__file__).parent.parent / "data" / "runners" / "posix-0.1.sh"
"""The runner of version 0.1, as it was sent to hosts."""


def start_as_0_1(rjob: World, line: str) -> str:
    """Start a shell line with the runner of version 0.1; return the job's id."""
    kept = rjob.home / "runner" / "posix-0.1"
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    rjob.home.chmod(0o700)
    kept.write_bytes(OLD.read_bytes())
    spec = f"rj_dir='{rjob.root}'%0Aset -- 'sh' '-c' '{line}'%0A"
    record = json.dumps({"type": "BackgroundJob", "command": line, "line": line})[1:]
    words = ["1", str(uuids.uuid4()), "-", "", spec, "", record, "0"]
    request = f"{rjob.home}\nstart {len(words)} 0\n" + "\n".join(words) + "\ngo\n"
    bootstrap = f'IFS= read -r rj_home; rj_self={kept}; . "$rj_self"'
    done = subprocess.run(
        ["sh", "-c", bootstrap, "rjob", "marker"],
        input=request.encode(),
        env=rjob.env,
        cwd=rjob.root,
        capture_output=True,
        check=True,
    )
    answer = [line.split() for line in done.stdout.decode().splitlines()]
    assert ["started", words[1]] in answer, answer
    (number,) = [line[2] for line in answer if line[0] == "job"]
    return number


@pytest.fixture
def gate(rjob: World) -> Path:
    """A pipe that jobs wait at."""
    path = rjob.root / "gate"
    os.mkfifo(path)
    return path


def test_one_that_runs_is_looked_at_to_its_end(rjob: World, gate: Path) -> None:
    ref = start_as_0_1(rjob, f"echo begun; read x <{gate}; echo $x; exit 3")
    assert rjob.job(ref)["state"] == "Running"
    viewers = [rjob.popen("wait", ref), rjob.popen("receive", "-f", "--keep", ref)]
    for viewer in viewers:
        wait_until(lambda viewer=viewer: naps(viewer.pid), what="the viewer")  # type: ignore[misc]
    gate.write_text("go on\n")
    waited, followed = (viewer.communicate(timeout=30) for viewer in viewers)
    assert [viewer.returncode for viewer in viewers] == [3, 3]
    assert (waited[0], followed[0]) == (b"", b"begun\ngo on\n")
    assert rjob("receive", ref).out == b"begun\ngo on\n"
    assert (rjob.job(ref)["state"], rjob.job(ref)["exit_code"]) == ("Failed", 3)
    again = rjob("retry", "-q", ref).text.strip()
    gate.write_text("again\n")
    assert rjob.ended(again)["exit_code"] == 3
    rjob("remove", ref)
    assert rjob("get", "--all", "-q").text.split() == [again]


def test_one_that_runs_is_suspended_stopped_and_removed(rjob: World, gate: Path) -> None:
    ref = start_as_0_1(rjob, "echo begun; sleep 600 & wait")
    beside = rjob.start("sleep", "600")
    rjob("suspend", ref)
    assert rjob.job(ref)["state"] == "Suspended"
    rjob("resume", ref)
    rjob("stop", ref)
    assert (rjob.job(ref)["state"], rjob.job(ref)["signal"]) == ("Stopped", 15)
    assert rjob.job(beside)["state"] == "Running"
    rjob("remove", ref)
    rjob("remove", "--force", beside)
    assert rjob("get", "--all", "-q").text == ""
