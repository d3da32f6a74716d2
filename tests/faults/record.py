"""The record of an episode: calls, faults and killed processes, each with its time, and findings."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from faults.processes import Seen
    from faults.witness import Portion, Tracked


class Call(NamedTuple):
    """One ``rjob`` command that has ended.

    Attributes:
        number: Its number among the calls of the episode.
        verb: The verb.
        words: Its arguments, the verb first.
        pid: Its process id.
        begin: When it began.
        end: When it ended.
        status: Its exit status; negative for a signal.
        out: Its standard output.
        err: Its standard error.
        streams: The redirection of its streams; empty for none.
        ref: The job that it concerned; empty for none or several.
        hung: Whether it had to be killed because it did not end.
    """

    number: int
    verb: str
    words: tuple[str, ...]
    pid: int
    begin: float
    end: float
    status: int
    out: bytes
    err: bytes
    streams: str = ""
    ref: str = ""
    hung: bool = False

    @property
    def told(self) -> str:
        """Describe it and its outcome in a line, for messages."""
        words = " ".join(word if len(word) < 30 else word[:27] + "..." for word in self.words)
        return (
            f"#{self.number} rjob {words} {self.streams} -> {self.status}: {self.err[-400:].decode(errors='replace')!r}"
        )


class Fault(NamedTuple):
    """A fault, and the time that it lasted.

    Attributes:
        kind: Its kind.
        what: What was done.
        begin: When it began.
        end: When it was undone.
    """

    kind: str
    what: str
    begin: float
    end: float


class Finding(NamedTuple):
    """A broken promise.

    Attributes:
        rule: The promise, in few words.
        text: What was seen instead.
    """

    rule: str
    text: str


class Record:
    """What happens in an episode, recorded from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self.begin = time.monotonic()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.victims: list[tuple[Fault, Seen]] = []
        self.findings: list[Finding] = []
        self.received = 0
        """The number of bytes of jobs' output that receivers got."""
        self.skipped: Counter[str] = Counter()
        """What could not be done here, and why."""

    def next_number(self) -> int:
        """Return a number for a call that begins."""
        with self._lock:
            self._number += 1
            return self._number

    def add(self, one: Call | Fault | Finding) -> None:
        """Record a call, a fault or a finding."""
        with self._lock:
            if isinstance(one, Call):
                self.calls.append(one)
            elif isinstance(one, Fault):
                self.faults.append(one)
            else:
                self.findings.append(one)

    def receive(self, job: Tracked, stream: str, portion: Portion) -> None:
        """Record the bytes that one call received of one stream of a job."""
        with self._lock:
            self.received += len(portion.data)
            job.portions[stream].append(portion)

    def kill(self, seen: Seen, begin: float) -> None:
        """Record that a process was killed, between ``begin`` and now."""
        fault = Fault("kill", f"{seen.role} {seen.pid} {' '.join(seen.words)[:100]!r}", begin, time.monotonic())
        with self._lock:
            self.victims.append((fault, seen))
            self.faults.append(fault)

    def hurt(self, instance: str) -> set[str]:
        """Return the roles of those processes of a job that were killed."""
        return {seen.role for _, seen in self.victims if seen.instance == instance}

    def disturbed(self, call: Call) -> set[str]:
        """Return the kinds of faults that a call has met, as far as that can be known.

        A kill counts if it hit the call's own process or a descendant, a process that belongs to neither a job nor
        another call (an orphan, or what an SSH server runs), or a process that a start waits for.
        """
        met = {
            fault.kind
            for fault in self.faults
            if fault.kind != "kill" and fault.begin <= call.end and fault.end >= call.begin
        }
        callers = {one.pid for one in self.calls}
        for fault, seen in self.victims:
            during = fault.begin <= call.end and fault.end >= call.begin
            stray = not seen.of_a_job and callers.isdisjoint((seen.pid, *seen.parents)) and during
            awaited = seen.role in ("claimant", "supervisor") and call.verb in ("start", "retry") and during
            if seen.pid == call.pid or call.pid in seen.parents or stray or awaited:
                met.add("kill")
        return met

    def story(self) -> str:
        """Return everything in order, to help find the cause of a finding."""
        lines = [(call.begin, f"call {call.told} (took {call.end - call.begin:.2f})") for call in self.calls]
        lines += [
            (fault.begin, f"fault {fault.kind} {fault.what} (for {fault.end - fault.begin:.2f})")
            for fault in self.faults
        ]
        told = [f"{at - self.begin:7.3f} {text}" for at, text in sorted(lines)]
        return "\n".join([*told, *(f"finding: {one.rule}: {one.text}" for one in self.findings)])
