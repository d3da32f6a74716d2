"""A client of the fault run: real ``rjob`` commands, drawn at random and run in turn, and what they received."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from faults.record import Call, Finding
from faults.witness import Portion, Tracked, draw_plan
from world import RJOB

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from faults.record import Record
    from faults.witness import Plan
    from world import World

LONGEST = 45.0
"""Seconds after which a command counts as hanging; each of those below should need less than a fifth of it."""
REDIRECTIONS = (">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", "<&- 2>&-")
_VERBS = {
    "start": 5,
    "receive": 4,
    "head": 3,
    "file": 1,
    "follow": 2,
    "wait": 2,
    "glance": 1,
    "get": 2,
    "stop": 2,
    "remove": 1,
    "force": 1,
    "retry": 1,
    "prune": 1,
}


class Shared:
    """The shared state of an episode's clients.

    Attributes:
        world: The home, and the environment of commands.
        host: The host whose jobs the commands concern; empty for this machine.
        record: The record of what happens.
        witness: The file in which jobs note that they ran.
        jobs: The jobs whose start was confirmed.
        plans: Each job that was to be started, and how often that was tried.
    """

    def __init__(self, world: World, record: Record, host: str = "") -> None:
        self.world = world
        self.host = host
        self.record = record
        self.witness: Path = world.root / "witness"
        self.jobs: list[Tracked] = []
        self.plans: dict[str, tuple[Plan, int]] = {}
        self.lock = threading.Lock()

    def try_to_start(self, plan: Plan) -> None:
        """Note that a job is about to be started, or started again."""
        with self.lock:
            self.plans[plan.name] = (plan, self.plans.get(plan.name, (plan, 0))[1] + 1)

    def confirm(self, plan: Plan, ref: str) -> None:
        """Note that a start was confirmed."""
        with self.lock:
            self.jobs.append(Tracked(plan, ref))

    def run(
        self, *words: str, streams: str = "", take: int | None = None, ref: str = "", limit: float = LONGEST
    ) -> Call:
        """Run a command to its end, and record it.

        Args:
            words: Its arguments.
            streams: How the shell redirects its streams.
            take: The number of bytes after which the reader of standard output leaves; None for never.
            ref: The job that the command concerns.
            limit: Seconds after which the command counts as hanging.
        """
        number = self.record.next_number()
        command = [*RJOB, *words]
        if streams:
            command = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
        begin = time.monotonic()
        child = subprocess.Popen(
            command,
            env=self.world.env,
            cwd=self.world.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err, hung = _talk(child, take, limit)
        call = Call(
            number, words[0], words, child.pid, begin, time.monotonic(), child.returncode, out, err, streams, ref, hung
        )
        self.record.add(call)
        return call


class Client:
    """A client that draws commands and runs them.

    Args:
        name: Its name; the names of its jobs begin with it.
        shared: Its shared state with the other client.
        random: The random generator.
        redirected: Whether its commands may be given closed or full streams.
    """

    def __init__(self, name: str, shared: Shared, random: Random, *, redirected: bool = False) -> None:
        self._name = name
        self._shared = shared
        self._random = random
        self._redirected = redirected
        self._at = ("-H", shared.host) if shared.host else ()

    def work(self, count: int) -> None:
        """Run this number of commands."""
        self.start()
        for _ in range(count - 1):
            action = self._random.choices(list(_VERBS), list(_VERBS.values()))[0]
            try:
                getattr(self, action)()
            except Exception as error:
                self._shared.record.add(Finding("the fault run itself", f"{action}: {error!r}"))

    def start(self) -> None:
        """Start a job."""
        name = f"{self._name}{len(self._shared.plans)}x{self._random.randrange(1000)}"
        plan = draw_plan(self._random, name)
        form = self._random.choice(["-q", "-q", "--json"])
        limit = ("--time-limit", plan.limit) if plan.limit else ()
        self._shared.try_to_start(plan)
        call = self._run("start", form, *self._at, "-n", name, *limit, "-c", plan.line(self._shared.witness))
        if call.status == 0:
            self._shared.confirm(plan, _ref_of(call, form))

    def retry(self) -> None:
        """Start a job again."""
        if job := self._pick():
            self._shared.try_to_start(job.plan)
            call = self._run("retry", "-q", job.ref, ref=job.ref)
            if call.status == 0:
                self._shared.confirm(job.plan, _ref_of(call, "-q"))

    def receive(self) -> None:
        """Receive what is new, or what is new of one stream."""
        only = self._random.choice([(), (), ("--stream", "out"), ("--stream", "err")])
        if job := self._pick():
            with job.receiving:
                call = self._run("receive", *only, job.ref, ref=job.ref)
                self._take(job, call)

    def follow(self) -> None:
        """Receive until the job ends."""
        if (job := self._pick()) and job.plan.ends:
            with job.receiving:
                self._take(job, self._run("receive", "-f", job.ref, ref=job.ref))

    def head(self) -> None:
        """Receive into a pipe whose reader leaves early."""
        if job := self._pick():
            with job.receiving:
                take = self._random.choice([0, 1, 10, 100, 1000, 10000])
                call = self._run("receive", "--stream", "out", job.ref, take=take, ref=job.ref)
                self._take(job, call, torn="reader" if take == len(call.out) else "")

    def file(self) -> None:
        """Receive into a file."""
        if job := self._pick():
            with job.receiving:
                number = self._random.randrange(10**9)
                path = self._shared.world.root / f"received-{self._name}-{number}"
                call = self._run("receive", "--stream", "out", "-o", str(path), job.ref, ref=job.ref)
                self._add(job, "out", path.read_bytes() if path.exists() else b"", "", call)

    def wait(self) -> None:
        """Wait for a job that ends by itself."""
        if (job := self._pick()) and job.plan.ends:
            self._run("wait", job.ref, ref=job.ref)

    def glance(self) -> None:
        """Wait for a job for a short time."""
        if job := self._pick():
            self._run("wait", "--timeout", "0.3", job.ref, ref=job.ref)

    def get(self) -> None:
        """Show all jobs, or one."""
        job = self._pick()
        if job and self._random.random() < 0.5:
            self._run("get", "--json", job.ref, ref=job.ref)
        else:
            self._run("get", "--all", "--json", *self._at)

    def stop(self) -> None:
        """Stop a job."""
        if job := self._pick():
            self._run("stop", "--grace", "1", job.ref, ref=job.ref)

    def remove(self) -> None:
        """Remove a job that may not have ended."""
        if job := self._pick():
            self._run("remove", job.ref, ref=job.ref)

    def force(self) -> None:
        """Remove a job, whether or not it has ended."""
        if job := self._pick():
            self._run("remove", "--force", job.ref, ref=job.ref)

    def prune(self) -> None:
        """Remove the older finished jobs."""
        self._run("prune", "--keep", str(self._random.randint(1, 4)), *self._at)

    def _pick(self) -> Tracked | None:
        with self._shared.lock:
            known = [job for job in self._shared.jobs if job.ref]
        # Faults mostly hit the newest jobs.
        return self._random.choice(known[-5:]) if known else None

    def _run(self, *words: str, take: int | None = None, ref: str = "") -> Call:
        streams = ""
        if self._redirected and take is None and self._random.random() < 0.5:
            streams = self._random.choice(REDIRECTIONS)
        return self._shared.run(*words, streams=streams, take=take, ref=ref)

    def _take(self, job: Tracked, call: Call, torn: str = "") -> None:
        """Note what a receiver got."""
        self._add(job, "out", call.out, torn, call)
        self._add(job, "err", own_bytes(call.err), "", call)

    def _add(self, job: Tracked, stream: str, data: bytes, torn: str, call: Call) -> None:
        self._shared.record.receive(job, stream, portion_of(call, data, torn))


_INTERPRETER = re.compile(
    rb"Fatal Python error: init_|Could not import runpy|Traceback|Exception ignored in"
    rb"|Failed checking if argv|python[\d.]*: failed to set"
)


def own_bytes(err: bytes) -> bytes:
    """Return the job's bytes in a receiver's standard error, without rjob's own messages after them.

    Cut off the interpreter's messages too, which a signal before the program's first line makes it print.
    """
    ours = re.split(rb"\n?rjob: interrupted|rjob: ", err, maxsplit=1)[0]
    return _INTERPRETER.split(ours, maxsplit=1)[0]


def died_early(err: bytes) -> bool:
    """Tell whether a signal ended the interpreter before the program's first line."""
    return _INTERPRETER.search(err) is not None and (b"/rjob/" not in err or b"_get_module_details" in err)


def portion_of(call: Call, data: bytes, torn: str = "") -> Portion:
    """Make a portion of the bytes that one call received of one stream of a job."""
    killed = call.hung or call.status == -9
    return Portion(data, "killed" if killed else torn, call.number, call.status)


def _ref_of(call: Call, form: str) -> str:
    """Return the reference that ``start`` printed; empty if it had nowhere to print it."""
    if form == "-q":
        return call.out.decode().strip()
    return str(json.loads(call.out)["jobs"][0]["ref"]) if call.out else ""


def _talk(child: subprocess.Popen[bytes], take: int | None, limit: float) -> tuple[bytes, bytes, bool]:
    """Read what a command prints until it ends; if ``take`` is set, only that many bytes of standard output."""
    assert child.stdout
    out = b""
    if take is not None:
        # No byte more: what stays in the pipe counts as not received.
        while len(out) < take and (data := os.read(child.stdout.fileno(), take - len(out))):
            out += data
        child.stdout.close()
        child.stdout = None
    try:
        rest, err = child.communicate(timeout=limit)
        return out + (rest or b""), err, False
    except subprocess.TimeoutExpired:
        child.kill()
        rest, err = child.communicate()
        return out + (rest or b""), err, True
