"""Helpers for the tests of real jobs: shell lines, programs, and waiting for output."""

from __future__ import annotations

import uuid as uuids
from typing import TYPE_CHECKING

from runner.conftest import SYSTEM_PATH, Host, launch_of
from world import need, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rjob.models import JobSpec

FOREVER = "exec sleep 600"


def stop(host: Host, *jobs: str, signal_name: str = "TERM", grace: float = 1.0) -> list[list[str]]:
    answer = host.change("stop", signal_name, str(round(grace * 10)), jobs=jobs)
    return [line.split() for line in answer.done]


def wait_for_line(host: Host, job: str, line: bytes = b"ready\n") -> None:
    wait_until(lambda: line in host.out(job), what=f"{line!r} from the job")


def dumper(folder: Path, name: str = "dump") -> str:
    """Create a program that writes each of its arguments with a NUL after it."""
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{need('dash', SYSTEM_PATH)}\n[ $# -eq 0 ] || printf '%s\\0' \"$@\"\n")
        path.chmod(0o755)
    return str(path)


def run_all(host: Host, specs: Sequence[JobSpec]) -> list[str]:
    """Start jobs with one request; return their instance ids once all have ended."""
    launches = [launch_of(spec, str(uuids.uuid4())) for spec in specs]
    answer = host.launch(*launches)
    names = [launch.uuid for launch in launches]
    assert sorted(answer.words("started")) == sorted([name] for name in names), answer.lines
    for name in names:
        wait_until((host.folder(name) / "exit").exists, what="the end of a job")
    return names
