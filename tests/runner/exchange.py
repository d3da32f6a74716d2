"""Requests under way, their replies, and the base class of machines, which are asked with them."""

from __future__ import annotations

import os
import select
import subprocess
import time
import uuid as uuids
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from world import wait_until

from rjob.models import JobSpec
from rjob.runner.facts import Facts, JobFacts
from rjob.runner.launch import Launch, start_request
from rjob.runner.protocol import Absent, Bytes, Data, Event, Line, Ready, Reply, new_marker, request
from rjob.runner.states import Verdict, derive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class Answer:
    """A complete reply.

    Attributes:
        facts: The facts in its lines.
        lines: Its lines.
        data: Its bytes, by job and stream.
        offsets: The offset in the stream at which those bytes begin.
        absent: Whether no runner was there to reply.
    """

    def __init__(self) -> None:
        self.facts = Facts()
        self.lines: list[str] = []
        self.data: dict[tuple[str, str], bytes] = {}
        self.offsets: dict[tuple[str, str], int] = {}
        self.absent = False
        self._key = ("", "out")

    def take(self, event: Event) -> None:
        if isinstance(event, Line):
            self.lines.append(event.text)
            self.facts.add(event.text)
        elif isinstance(event, Data):
            job, _, stream = event.name.partition("/")
            self._key = (job, stream)
            self.offsets.setdefault(self._key, event.offset)
            self.data.setdefault(self._key, b"")
        elif isinstance(event, Bytes):
            self.data[self._key] += event.data
        elif isinstance(event, Absent):
            self.absent = True

    @property
    def done(self) -> list[str]:
        """Return the lines that say what was done to jobs."""
        words = ("signalled", "ended", "denied", "apart", "stopped", "survivors", "removed", "busy", "absent")
        return [line for line in self.lines if line.split()[:1] and line.split()[0] in words]

    def words(self, first: str) -> list[list[str]]:
        """Return the words after ``first`` of each line that begins with it."""
        return [line.split()[1:] for line in self.lines if line.split()[:1] == [first]]


class Exchange:
    """A request under way."""

    def __init__(self, process: subprocess.Popen[bytes], marker: str) -> None:
        self.process = process
        self.reply = Reply(marker)
        self.answer = Answer()
        self.events: list[Event] = []

    def say(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def order(self, *lines: str) -> None:
        """Send lines."""
        self.say("".join(line + "\n" for line in lines).encode())

    @property
    def ready(self) -> int:
        """Return how often the runner has said that it waits for orders."""
        # Not list.count: events without fields all equal each other.
        return sum(isinstance(event, Ready) for event in self.events)

    def hang_up(self) -> None:
        """Close its standard input, as a client that ends does."""
        assert self.process.stdin
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def read_until(self, condition: Callable[[], Any], *, seconds: float = 60.0) -> bool:
        """Read until a condition holds; return False if all output ends before that."""
        assert self.process.stdout
        assert self.process.stderr
        names = {self.process.stdout.fileno(): "out", self.process.stderr.fileno(): "err"}
        deadline = time.monotonic() + seconds
        while not condition():
            if not names:
                return False
            ready, _, _ = select.select(list(names), [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no answer within {seconds} s: {self.answer.lines} {self.reply.said!r}")
            for descriptor in ready:
                data = os.read(descriptor, 65536)
                if not data:
                    del names[descriptor]
                    continue
                for event in self.reply.feed(names[descriptor], data):
                    self.events.append(event)
                    self.answer.take(event)
        return True

    def finish(self, *, seconds: float = 60.0) -> Answer:
        """Read the rest of the reply; return the whole of it."""
        whole = self.read_until(lambda: self.reply.ended, seconds=seconds)
        self.close()
        assert whole, f"the reply is not whole: {self.answer.lines} {self.reply.said!r}"
        return self.answer

    def close(self) -> None:
        self.hang_up()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


OUT, ERR = "one\ntwo\nthree\n", "oops\n"
"""What :meth:`Machine.say` writes by default, to standard output and standard error."""


class Machine(ABC):
    """A machine for one test, with any kind of runner, asked through the protocol as a client asks.

    :meth:`say_spec` and :meth:`forever_spec` describe jobs in neutral terms; each kind of machine makes of them what
    it can run.

    Attributes:
        home: The folder of rjob's files on it.
        space: The space that is asked; empty for none.
    """

    home: Path
    space = ""

    # ------------------------------------------------------------------------------------------------ its kind

    @abstractmethod
    def begin(self, marker: str, data: bytes, *, env: Mapping[str, str] | None = None) -> Exchange:
        """Send these bytes and keep the exchange open.

        Args:
            marker: The random word that frames the reply.
            data: The request; it may be cut short.
            env: The environment of the runner, on a machine that has one.
        """

    @abstractmethod
    def launch_of(self, spec: JobSpec, uuid: str) -> Launch:
        """Prepare a job for this machine's runner."""

    @abstractmethod
    def say_spec(self, status: int = 0, out: str = OUT, err: str = ERR, *, gate: str = "", **more: Any) -> JobSpec:
        """Describe a job that writes both texts and exits; with a gate, only after :meth:`release` opens that."""

    @abstractmethod
    def forever_spec(self, **more: Any) -> JobSpec:
        """Describe a job that writes ``began`` and never ends by itself; :meth:`begun` counts its runs."""

    @abstractmethod
    def release(self, gate: str) -> None:
        """Open a gate."""

    @abstractmethod
    def begun(self, uuid: str) -> int:
        """Count how often the command of a :meth:`forever` job has begun."""

    @abstractmethod
    def kill(self, uuid: str) -> None:
        """Kill all processes of a job at once, so that its end is not recorded."""

    @abstractmethod
    def out(self, uuid: str, stream: str = "out") -> bytes:
        """Return what a job has written, without asking the runner."""

    @abstractmethod
    def ended(self, uuid: str, *, seconds: float = 30.0) -> Verdict:
        """Wait until the end of a job is recorded; return how it ended."""

    @abstractmethod
    def settled(self, uuid: str) -> None:
        """Wait until no process works any more for a job that has ended."""

    @abstractmethod
    def file(self, name: str) -> str:
        """Return the path on the machine for a file of that name."""

    @abstractmethod
    def content(self, path: str) -> bytes:
        """Return the content of a file on the machine."""

    @abstractmethod
    def half_made(self) -> list[str]:
        """Return what unfinished requests have left on the machine."""

    # ------------------------------------------------------------------------------------------------ asking

    def open(
        self, operation: str, *lines: str | bytes, body: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Exchange:
        """Send a request and keep the exchange open."""
        marker = new_marker()
        data = request(marker, operation, *lines, body=body, home=str(self.home), space=self.space)
        return self.begin(marker, data, env=env)

    def ask(
        self, operation: str, *lines: str | bytes, body: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Answer:
        """Perform an operation that takes no orders after its request."""
        exchange = self.open(operation, *lines, body=body, env=env)
        exchange.hang_up()
        return exchange.finish()

    def change(self, operation: str, *words: str, jobs: Sequence[str]) -> Answer:
        """Perform an operation that lets its client choose among the selected jobs; choose all of these."""
        exchange = self.open(operation, *words, *(f"instance {job}" for job in jobs))
        exchange.read_until(lambda: exchange.ready or exchange.reply.ended)
        # The facts that follow show the jobs after the operation.
        exchange.answer.facts = exchange.answer.facts.again()
        exchange.order(*jobs, "end")
        return exchange.finish()

    def collect(self, *orders: str, selectors: Sequence[str] = ()) -> Exchange:
        """Begin to collect output, with these orders."""
        exchange = self.open("collect", *selectors)
        exchange.order(*orders)
        return exchange

    def read(self, job: str, out: str = "0", err: str = "0") -> Answer:
        """Read a job's streams from these positions on."""
        return self.collect(f"add {job} {out} {err}", "once", "end").finish()

    # ------------------------------------------------------------------------------------------------ jobs

    def launch(self, *launches: Launch, env: Mapping[str, str] | None = None) -> Answer:
        lines, body = start_request(launches)
        return self.ask("start", *lines, body=body, env=env)

    def start_spec(self, spec: JobSpec, *, env: Mapping[str, str] | None = None) -> str:
        uuid = str(uuids.uuid4())
        answer = self.launch(self.launch_of(spec, uuid), env=env)
        assert answer.words("started") == [[uuid]], answer.lines
        return uuid

    def say(self, *words: Any, **more: Any) -> str:
        """Start :meth:`say_spec`; return its instance id."""
        return self.start_spec(self.say_spec(*words, **more))

    def forever(self, **more: Any) -> str:
        """Start :meth:`forever_spec`; return its instance id."""
        return self.start_spec(self.forever_spec(**more))

    def copy(self, data: bytes) -> str:
        """Start a job that copies its standard input to its output."""
        return self.start_spec(JobSpec(argv=("cat",), stdin=data))

    def done(self, *words: Any, **more: Any) -> str:
        """Start :meth:`say_spec`; return once it has ended and no process works for it any more."""
        job = self.say(*words, **more)
        self.ended(job)
        self.settled(job)
        return job

    def job(self, uuid: str) -> JobFacts:
        return self.ask("facts", f"instance {uuid}").facts.jobs[uuid]

    def verdict(self, uuid: str) -> Verdict:
        return derive(self.job(uuid))

    def wait_for_output(self, job: str, text: bytes = b"began\n") -> None:
        wait_until(lambda: text in self.out(job), what=f"{text!r} from the job")
