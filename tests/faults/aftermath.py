"""The state after an episode, once it has come to rest: jobs as ``get`` shows them, files, processes."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from faults.client import own_bytes, portion_of
from faults.processes import look_around
from faults.record import Finding
from faults.witness import read_witness

if TYPE_CHECKING:
    from pathlib import Path

    from faults.client import Shared
    from faults.processes import Seen
    from faults.record import Call
    from faults.saboteur import Saboteur
    from faults.witness import Testimony, Tracked

FINISHED = ("Completed", "Failed", "Stopped", "Lost")
PROMPT = 15.0
"""Seconds within which every verb must end once no fault lasts; half a second would do on an idle machine."""


class Aftermath:
    """The end of an episode: it comes to rest, and its state is read.

    Args:
        shared: The shared state of the clients.
        saboteur: The thread that injected the faults; it has ended.
        owner: The owner's folder.
        marks: The variables that mark the episode's processes.
        main: The kind of its main fault.
    """

    def __init__(self, shared: Shared, saboteur: Saboteur, *, owner: Path, marks: frozenset[bytes], main: str) -> None:
        self.shared = shared
        self.record = shared.record
        self.saboteur = saboteur
        self.owner = owner
        self.main = main
        self._marks = marks
        self._at = ("-H", shared.host) if shared.host else ()
        self.jobs: dict[str, dict[str, Any]] = {}
        """The jobs by instance id, as ``get --all --json`` shows them at the end."""
        self.tracked: dict[str, Tracked] = {}
        """The confirmed jobs by instance id."""
        self.witness: dict[str, Testimony] = {}
        self.events: list[dict[str, Any]] = []
        """The registry before it is rebuilt."""
        self.stopped: set[str] = set()
        """The instance ids of the jobs that were asked to stop here or before."""

    def find(self, rule: str, text: str) -> None:
        """Note a broken promise."""
        self.record.add(Finding(rule, text))

    def call(self, *words: str, allowed: tuple[int, ...] = (0,), ref: str = "") -> Call:
        """Run a verb that must now succeed, and soon."""
        call = self.shared.run(*words, ref=ref, limit=60)
        if call.end - call.begin > PROMPT:
            self.find("every verb works within seconds afterwards", f"{call.end - call.begin:.1f} s: {call.told}")
        elif allowed and call.status not in allowed:
            self.find("every verb works afterwards", call.told)
        return call

    def settle(self) -> None:
        """Wait until viewers have gone and jobs have ended; stop those that go on; receive the rest."""
        self._wait_for_viewers()
        if self.main == "folder":
            self.call("registry", "rebuild")
        self.read_registry()
        self._note_stops()
        self.look()
        self._end_jobs()
        self.look()
        self._receive_rest()
        self.witness = read_witness(self.shared.witness)
        self._wait_for_processes()

    def look(self) -> None:
        """Ask for all jobs."""
        call = self.call("get", "--all", "--json", *self._at)
        try:
            self.jobs = {job["instance_id"]: job for job in json.loads(call.out)["jobs"]}
        except (ValueError, KeyError) as error:
            self.find("get --json prints JSON", f"{error!r}: {call.told}")
        self._match()

    def read_registry(self) -> None:
        """Read the registry's events, and the removals that a killed runner left in the write-ahead log."""
        self.events = []
        for line in self._lines("registry.jsonl"):
            try:
                self.events.append(json.loads(line))
            except ValueError:
                # A full disk can tear a line; only that line is lost.
                if line and self.main != "disk":
                    self.find("every line of the registry is JSON", repr(line[:200]))
        for line in self._lines("pending"):
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event["event"] == "remove" and event not in self.events:
                    self.events.append(event)

    def _lines(self, name: str) -> list[str]:
        path = self.owner / name
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def of_event(self, name: str) -> list[dict[str, Any]]:
        """Return the registry's events of one kind."""
        return [event for event in self.events if event.get("event") == name]

    def _match(self) -> None:
        """Find the instance id of each confirmed job."""
        starts = self.of_event("start")
        by_id = {event["id"]: event["instance"] for event in starts} | {j["id"]: i for i, j in self.jobs.items()}
        by_name = {event.get("name"): event["instance"] for event in starts}
        for job in self.shared.jobs:
            number = job.ref.partition("@")[0]
            known = by_id.get(int(number)) if number.isdigit() else by_name.get(job.plan.name)
            if known:
                self.tracked[known] = job

    def _note_stops(self) -> None:
        """Find the jobs that a client has asked to stop."""
        by_id = {str(event["id"]): event["instance"] for event in self.of_event("start")}
        for call in self.record.calls:
            if call.verb == "stop" or "--force" in call.words:
                self.stopped.add(by_id.get(call.ref.partition("@")[0], ""))

    def _end_jobs(self) -> None:
        for instance, job in self.jobs.items():
            if job["state"] in FINISHED:
                continue
            tracked = self.tracked.get(instance)
            if tracked and tracked.plan.ends and job["state"] == "Running" and not self.record.hurt(instance):
                self.call("wait", "--timeout", "20", job["ref"], allowed=(), ref=job["ref"])
                continue
            self.stopped.add(instance)
            self.call("stop", "--grace", "1", job["ref"], ref=job["ref"])

    def _receive_rest(self) -> None:
        for instance, tracked in self.tracked.items():
            job = self.jobs.get(instance)
            if job and job["has_more_data"]:
                call = self.call("receive", job["ref"], ref=job["ref"])
                for stream, data in (("out", call.out), ("err", own_bytes(call.err))):
                    self.record.receive(tracked, stream, portion_of(call, data))

    def viewers(self) -> list[Seen]:
        """Return the processes that belong to no job."""
        return [seen for seen in look_around(self._marks) if not seen.of_a_job]

    def _wait_for_viewers(self) -> None:
        if left := _wait_until_none(self.viewers, 10):
            self.find("nothing of a dead client lives on", _told(left))

    def _wait_for_processes(self) -> None:
        """Wait until only such processes remain as a kill explains, then stop what is left of jobs."""

        def unexplained() -> list[Seen]:
            explained = self.saboteur.removed
            left = look_around(self._marks)
            return [seen for seen in left if seen.instance not in explained and not self.record.hurt(seen.instance)]

        if left := _wait_until_none(unexplained, 5):
            self.find("no process lives on without a cause", _told(left))
        for instance in sorted({seen.instance for seen in look_around(self._marks) if seen.role == "command"}):
            if job := self.jobs.get(instance):
                self.call("stop", "--grace", "1", job["ref"], ref=job["ref"])
        left = _wait_until_none(lambda: [seen for seen in look_around(self._marks) if seen.role == "command"], 2)
        if left := [seen for seen in left if seen.instance in self.jobs]:
            self.find("stop ends what is left of a job that has ended", _told(left))


def _wait_until_none(look: Any, seconds: float) -> list[Seen]:
    """Wait until nothing is left, or the time is up; return what is left."""
    deadline = time.monotonic() + seconds
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return list(left)


def _told(left: list[Seen]) -> str:
    return "; ".join(f"{seen.role} {seen.pid} {' '.join(seen.words)[:80]!r}" for seen in left)
