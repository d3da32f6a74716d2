"""Owners with a long history, written in the documented format instead of by running jobs."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BEGIN, _END = "2026-11-23T09:09:04Z", "2026-11-23T09:09:05Z"


def write_history(owner: Path, first: int, count: int) -> None:
    """Add finished jobs to an owner.

    Args:
        owner: The owner's folder.
        first: The id of the first one.
        count: The number of jobs.
    """
    for name in ("jobs", "ids", "live", "new"):
        (owner / name).mkdir(parents=True, exist_ok=True)
    with (owner / "registry.jsonl").open("a") as registry:
        for number in range(first, first + count):
            registry.writelines(line + "\n" for line in _job(owner, number))
    (owner / "next").write_text(f"{first + count:<15d} {0:<15d}\n")


def write_running(owner: Path, count: int) -> None:
    """Add jobs that look as if they were running: they are listed as live and have no exit record.

    Args:
        owner: The owner's folder.
        count: The number of jobs.
    """
    write_history(owner, 1, count)
    for number in range(1, count + 1):
        instance = (owner / "ids" / str(number)).read_text()
        (owner / "live" / str(number)).write_text(instance)
        (owner / "jobs" / instance.strip() / "exit").unlink()


def _job(owner: Path, number: int) -> tuple[str, str]:
    instance = str(uuid.uuid4())
    head = {"v": 1, "id": number, "instance": instance}
    command = {"type": "BackgroundJob", "command": "make -C src all test", "argv": ["make", "-C", "src", "all", "test"]}
    start = json.dumps({"v": 1, "event": "start"} | head | {"time": _BEGIN} | command, separators=(",", ":"))
    end = json.dumps({"v": 1, "event": "end"} | head | {"time": _END, "status": 0}, separators=(",", ":"))
    folder = owner / "jobs" / instance
    folder.mkdir()
    files = {
        "start": start + "\n",
        "id": f"{number}\n",
        "spec": "set -- 'true'\n",
        "out": "x\n" * 10,
        "err": "",
        "identity": f"1 1 boot setsid {_BEGIN}\n",
        "main": "1 1\n",
        "exit": f"1 0 - {_END}".ljust(63) + "\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (owner / "ids" / str(number)).write_text(instance + "\n")
    return start, end
