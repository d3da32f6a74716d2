"""What the runner's tests stand on: a machine with a home of its own, asked as a client asks, in real shells."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from world import drop_cgroups, processes_with, wait_until

from rjob.models import JobSpec, State
from rjob.runner import launch as launching
from rjob.runner.facts import Facts, JobFacts
from rjob.runner.launch import Launch, start_request
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import Absent, Bytes, Data, Event, Line, Ready, Reply, new_marker, request
from rjob.runner.states import Verdict, derive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

pytest.register_assert_rewrite("runner.sabotage", "runner.jobs")

SHELLS = ("dash", "bash", "busybox", "ksh", "mksh", "yash")
"""Every shell that the runner has to work under, as ``sh``."""

# Real shells take their time, and a machine serves many examples.
settings.register_profile(
    "runner",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("runner")

PYTHON = os.path.realpath(sys.executable)
"""An interpreter that needs no wrapper script to find it."""

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
MACHINE = "test-machine"


def launch_of(spec: JobSpec, uuid: str) -> Launch:
    """A job for the runner under test."""
    return launching.launch_of(RUNNER, spec, uuid)


class Answer:
    """A whole reply.

    Attributes:
        facts: What its lines tell.
        lines: Its lines.
        data: Its bytes by job and stream.
        offsets: Where those bytes begin.
        absent: Whether there was no runner to give one.
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
        """Its lines that tell what was done to jobs."""
        words = ("signalled", "ended", "apart", "stopped", "survivors", "removed", "busy", "absent")
        return [line for line in self.lines if line.split()[:1] and line.split()[0] in words]

    def words(self, first: str) -> list[list[str]]:
        """The words after ``first`` of the lines that begin with it."""
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
        """Say lines."""
        self.say("".join(line + "\n" for line in lines).encode())

    @property
    def ready(self) -> int:
        """How often the runner has said that it waits for more."""
        return self.events.count(Ready())

    def hang_up(self) -> None:
        """End its standard input, as a client that goes does."""
        assert self.process.stdin
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def read_until(self, condition: Callable[[], Any], *, seconds: float = 60.0) -> bool:
        """Read until a condition holds; say whether it does, or everything ended before."""
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
        """Read the rest of the reply."""
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


class Host:
    """A machine for one test.

    Attributes:
        root: A folder for the test.
        home: ``RJOB_HOME`` there.
        env: The environment that operations are asked in.
    """

    def __init__(self, root: Path, shell: str = "dash", *, home: Path | None = None) -> None:
        self.root = root
        self.shell = shell
        self.home = home or root / "rjob-home"
        user = root / "home"
        user.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": f"{shell_folder(root, shell)}:{SYSTEM_PATH}",
            "HOME": str(user),
            "RJOB_HOME": str(self.home),
            "RJOB_MACHINE": MACHINE,
        }
        self.asked: list[Exchange] = []
        self.space = ""

    @property
    def owner(self) -> Path:
        return self.home / MACHINE / "spool" / self.space if self.space else self.home / MACHINE

    @property
    def script(self) -> Path:
        """The runner as it is kept on the machine."""
        return self.home / "runner" / RUNNER.name

    def folder(self, uuid: str) -> Path:
        return self.owner / "jobs" / uuid

    # ------------------------------------------------------------------------------------------------ asking

    def spawn(self, argv: list[str], marker: str, *, env: Mapping[str, str] | None = None) -> Exchange:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env if env is None else dict(env),
            cwd=self.root,
            start_new_session=True,
            bufsize=0,
        )
        exchange = Exchange(process, marker)
        self.asked.append(exchange)
        return exchange

    def install(self) -> None:
        """Send the runner, as a client does."""
        marker = new_marker()
        exchange = self.spawn(RUNNER.installer(), marker)
        exchange.say(RUNNER.install_request(marker, str(self.home)))
        exchange.hang_up()
        exchange.finish()

    def open(
        self,
        operation: str,
        *lines: str | bytes,
        body: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Exchange:
        """Ask and keep talking."""
        if not self.script.exists():
            self.install()
        marker = new_marker()
        exchange = self.spawn(RUNNER.words(), marker, env=env)
        exchange.say(request(marker, operation, *lines, body=body, home=str(self.home), space=self.space))
        return exchange

    def ask(
        self, operation: str, *lines: str | bytes, body: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask for an operation whose client has no more to say."""
        exchange = self.open(operation, *lines, body=body, env=env)
        exchange.hang_up()
        return exchange.finish()

    def change(self, operation: str, *words: str, jobs: Sequence[str]) -> Answer:
        """Ask for an operation that lets its client choose: it chooses all of these jobs."""
        exchange = self.open(operation, *words, *(f"instance {job}" for job in jobs))
        exchange.read_until(lambda: exchange.ready or exchange.reply.ended)
        exchange.order(*jobs, "end")
        return exchange.finish()

    def collect(self, *orders: str, selectors: Sequence[str] = ()) -> Exchange:
        """Begin to collect, with these orders."""
        exchange = self.open("collect", *selectors)
        exchange.order(*orders)
        return exchange

    def read(self, job: str, out: str = "0", err: str = "0") -> Answer:
        """What there is of a job's streams from these places on."""
        return self.collect(f"add {job} {out} {err}", "once", "end").finish()

    # ------------------------------------------------------------------------------------------------ jobs

    def launch(self, *launches: Launch, env: Mapping[str, str] | None = None) -> Answer:
        lines, body = start_request(launches)
        return self.ask("start", *lines, body=body, env=env)

    def start_spec(self, spec: JobSpec, *, env: Mapping[str, str] | None = None) -> str:
        uuid = str(uuids.uuid4())
        answer = self.launch(launch_of(spec, uuid), env=env)
        assert answer.words("started") == [[uuid]], answer.lines
        return uuid

    def start(self, *argv: str, **more: Any) -> str:
        """Start an argument vector; return its instance id."""
        return self.start_spec(JobSpec(argv=argv, **more))

    def line(self, line: str, **more: Any) -> str:
        """Start a shell line."""
        return self.start_spec(JobSpec(line=line, **more))

    def job(self, uuid: str) -> JobFacts:
        return self.ask("facts", f"instance {uuid}").facts.jobs[uuid]

    def verdict(self, uuid: str) -> Verdict:
        return derive(self.job(uuid))

    def ended(self, uuid: str, *, seconds: float = 30.0) -> Verdict:
        """How a job ended, once its exit record is there."""
        wait_until((self.folder(uuid) / "exit").exists, seconds=seconds, what=f"the end of {uuid}")
        return self.verdict(uuid)

    def settled(self, uuid: str) -> None:
        """Wait until a job's end is in the journal and nothing of it works any more."""
        end = f',"instance":"{uuid}",'
        wait_until(
            lambda: any('"event":"end"' in line and end in line for line in self.journal()), what="the journalled end"
        )
        wait_until(lambda: not processes_with(f"RJOB_SUPERVISES={uuid}"), what="the end of the supervisor")

    def journal(self) -> list[str]:
        """The lines of the registry so far."""
        return (self.owner / "registry.jsonl").read_text().splitlines()

    def out(self, uuid: str, stream: str = "out") -> bytes:
        return (self.folder(uuid) / stream).read_bytes()

    def pid(self, uuid: str) -> int:
        """The job's main process."""
        return int((self.folder(uuid) / "main").read_text().split()[0])

    def supervisor(self, uuid: str) -> int:
        return int((self.folder(uuid) / "identity").read_text().split()[0])

    def running(self, uuid: str) -> bool:
        return self.verdict(uuid).state is State.RUNNING

    # ------------------------------------------------------------------------------------------------ the end

    def close(self) -> None:
        """End every process that this machine has started, by pid."""
        for exchange in self.asked:
            if exchange.process.poll() is None:
                exchange.process.kill()
            exchange.process.wait()
            for stream in (exchange.process.stdin, exchange.process.stdout, exchange.process.stderr):
                if stream and not stream.closed:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass
        for _ in range(50):
            left = processes_with(f"RJOB_HOME={self.home}")
            if not left:
                return
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)


def shell_folder(root: Path, shell: str) -> Path:
    """A folder in which ``sh`` is that shell; for busybox every other utility is its own, too."""
    folder = root / f"bin-{shell}"
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    found = shutil.which(shell, path=SYSTEM_PATH)
    assert found, f"{shell} is not installed"
    if shell == "busybox":
        subprocess.run([found, "--install", "-s", str(folder)], check=True)
    else:
        (folder / "sh").symlink_to(found)
    return folder


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Makes machines, and ends what they have started."""
    made: list[Host] = []

    def make(shell: str = "dash", **more: Any) -> Host:
        made.append(Host(tmp_path, shell, **more))
        return made[-1]

    yield make
    for host in made:
        host.close()
    drop_cgroups(tmp_path)


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """A machine whose ``sh`` is dash."""
    return make_host()


@pytest.fixture(params=SHELLS)
def any_host(request: pytest.FixtureRequest, make_host: Callable[..., Host]) -> Host:
    """A machine, under each of the shells."""
    return make_host(request.param)
