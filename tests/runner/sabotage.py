"""Runners that die at a fault point, and what must hold of an owner's files whatever has died."""

from __future__ import annotations

import json
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.conftest import Host, launch_of
from runner.exchange import Exchange
from world import processes_with, wait_until

from rjob.errors import RjobError
from rjob.models import JobSpec, State
from rjob.runner.launch import Launch, start_request
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker, request

if TYPE_CHECKING:
    from rjob.runner.states import Verdict


DEAD = 2**22 + 5
"""A process id that no process can have."""


def counting(host: Host) -> Launch:
    """Make a job that writes a line to a file each time it runs."""
    return launch_of(JobSpec(line=f'echo "$RJOB_INSTANCE" >>{host.root}/ran'), str(uuids.uuid4()))


def runs(host: Host, uuid: str) -> int:
    try:
        return (host.root / "ran").read_text().split().count(uuid)
    except FileNotFoundError:
        return 0


def events(host: Host) -> list[dict[str, Any]]:
    """Return the registry's events; fail if a line is not whole."""
    return [json.loads(line) for line in (host.owner / "registry.jsonl").read_text().splitlines() if line]


def next_id(host: Host) -> int:
    return int((host.owner / "next").read_text().split()[0])


def quiet(host: Host) -> None:
    """Wait until no process of the machine lives."""
    wait_until(lambda: not processes_with(f"RJOB_HOME={host.home}"), what="silence")


def launch_bytes(host: Host, launch: Launch) -> bytes:
    lines, body = start_request([launch])
    return request(new_marker(), "start", *lines, body=body, home=str(host.home))


def send(host: Host, data: bytes) -> Exchange:
    """Send these bytes as a request; accept any reply."""
    exchange = host.spawn(RUNNER.words(), data.partition(b"\n")[0].decode() or "none")
    exchange.say(data)
    exchange.hang_up()
    try:
        exchange.read_until(lambda: exchange.reply.ended)
    except RjobError:
        pass
    exchange.close()
    return exchange


def snapshot(host: Host) -> dict[str, bytes]:
    """Return the content of every file in the owner's folder."""
    if not host.owner.exists():
        return {}
    return {str(path.relative_to(host.owner)): path.read_bytes() for path in host.owner.rglob("*") if path.is_file()}


class Sabotage:
    """A context in which a variant stands in the place of the kept runner."""

    def __init__(self, host: Host, script: bytes) -> None:
        self.host = host
        self.script = script

    def __enter__(self) -> None:
        self._put(self.script)

    def __exit__(self, *_: object) -> None:
        self._put(RUNNER.script)

    def _put(self, script: bytes) -> None:
        # Renamed into place, as the installer does: a process may be reading the old file.
        new = self.host.script.with_name("new")
        new.write_bytes(script)
        new.replace(self.host.script)


def kept_promises(host: Host, where: str) -> None:
    """Check what must hold of the registry at any time."""
    told = events(host)
    starts = [event for event in told if event["event"] == "start"]
    assert len({event["id"] for event in starts}) == len(starts), f"an id twice, after {where}"
    assert len({event["instance"] for event in starts}) == len(starts), f"a start twice, after {where}"
    for event in starts:
        folder = host.folder(event["instance"])
        if folder.exists():
            assert int((folder / "id").read_text()) == event["id"], where
            assert (host.owner / "ids" / str(event["id"])).read_text().strip() == event["instance"], where
        assert event["id"] < next_id(host), where
    for folder in (host.owner / "jobs").iterdir():
        assert folder.name in {event["instance"] for event in starts}, f"no start event, after {where}"
    ends = [event["instance"] for event in told if event["event"] == "end"]
    assert len(set(ends)) == len(ends), f"an end twice, after {where}"


def final(host: Host, uuid: str) -> Verdict:
    """Wait until a job's state is final; return it."""
    wait_until(lambda: host.verdict(uuid).state not in (State.RUNNING, State.NOT_STARTED), what="an end")
    return host.verdict(uuid)


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def begin_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
