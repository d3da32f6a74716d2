"""Fixtures for the runner's tests: machines with a home of their own, asked as a client asks, in real shells."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runner.exchange import ERR, OUT, Exchange, Machine
from runner.memory_host import MemoryHost
from world import drop_cgroups, kill_processes_with, need, processes_with, wait_until

from rjob.models import JobSpec, State
from rjob.runner import launch as launching
from rjob.runner.launch import Launch
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker
from rjob.runner.states import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytest.register_assert_rewrite("runner.sabotage", "runner.jobs")

SHELLS = ("dash", "bash", "busybox", "ksh", "mksh", "yash")
"""The shells that the runner has to work under, as ``sh``."""

PYTHON = os.path.realpath(sys.executable)
"""The interpreter itself, not a wrapper script that finds it."""

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
MACHINE = "test-machine"


def launch_of(spec: JobSpec, uuid: str) -> Launch:
    """Prepare a job for the runner under test."""
    return launching.launch_of(RUNNER, spec, uuid)


class Host(Machine):
    """A machine for one test, with the POSIX runner.

    Attributes:
        root: A folder for the test.
        home: Its ``RJOB_HOME``.
        env: The environment in which operations are performed.
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
        """Return the path of the runner that is kept on the machine."""
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
        """Install the runner, as a client does."""
        marker = new_marker()
        exchange = self.spawn(RUNNER.installer(), marker)
        exchange.say(RUNNER.install_request(marker, str(self.home)))
        exchange.hang_up()
        exchange.finish()

    def begin(self, marker: str, data: bytes, *, env: Mapping[str, str] | None = None) -> Exchange:
        if not self.script.exists():
            self.install()
        exchange = self.spawn(RUNNER.words(), marker, env=env)
        exchange.say(data)
        return exchange

    # ------------------------------------------------------------------------------------------------ jobs

    def launch_of(self, spec: JobSpec, uuid: str) -> Launch:
        return launch_of(spec, uuid)

    def say_spec(self, status: int = 0, out: str = OUT, err: str = ERR, *, gate: str = "", **more: Any) -> JobSpec:
        wait = f"until [ -e {self.file(gate)} ]; do sleep 0.05; done; " if gate else ""
        says = f"printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2"
        return JobSpec(line=f"{wait}{says}; exit {status}", **more)

    def forever_spec(self, **more: Any) -> JobSpec:
        return JobSpec(line=f'echo "$RJOB_INSTANCE" >>{self.root}/began; echo began; exec sleep 600', **more)

    def release(self, gate: str) -> None:
        (self.root / gate).touch()

    def begun(self, uuid: str) -> int:
        wait_until((self.root / "began").exists, what="a job that runs for ever")
        return (self.root / "began").read_text().split().count(uuid)

    def kill(self, uuid: str) -> None:
        for pid in (self.supervisor(uuid), self.pid(uuid)):
            os.kill(pid, signal.SIGKILL)

    def file(self, name: str) -> str:
        return str(self.root / name)

    def content(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def half_made(self) -> list[str]:
        return [path.name for path in (self.owner / "new").iterdir()]

    def start(self, *argv: str, **more: Any) -> str:
        """Start an argument vector; return its instance id."""
        return self.start_spec(JobSpec(argv=argv, **more))

    def line(self, line: str, **more: Any) -> str:
        """Start a shell line; return its instance id."""
        return self.start_spec(JobSpec(line=line, **more))

    def ended(self, uuid: str, *, seconds: float = 30.0) -> Verdict:
        """Wait for a job's exit record; return how the job ended."""
        wait_until((self.folder(uuid) / "exit").exists, seconds=seconds, what=f"the end of {uuid}")
        return self.verdict(uuid)

    def settled(self, uuid: str) -> None:
        """Wait until a job's end is in the registry and its supervisor has gone."""
        end = f',"instance":"{uuid}",'
        wait_until(
            lambda: any('"event":"end"' in line and end in line for line in self.journal()), what="the journalled end"
        )
        wait_until(lambda: not processes_with(f"RJOB_SUPERVISES={uuid}"), what="the end of the supervisor")

    def journal(self) -> list[str]:
        """Return the lines of the registry so far."""
        return (self.owner / "registry.jsonl").read_text().splitlines()

    def out(self, uuid: str, stream: str = "out") -> bytes:
        return (self.folder(uuid) / stream).read_bytes()

    def pid(self, uuid: str) -> int:
        """Return the id of the job's main process."""
        return int((self.folder(uuid) / "main").read_text().split()[0])

    def supervisor(self, uuid: str) -> int:
        return int((self.folder(uuid) / "identity").read_text().split()[0])

    def running(self, uuid: str) -> bool:
        return self.verdict(uuid).state is State.RUNNING

    # ------------------------------------------------------------------------------------------------ the end

    def close(self) -> None:
        """Kill every process that this machine has started."""
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
        kill_processes_with(f"RJOB_HOME={self.home}")


def shell_folder(root: Path, shell: str) -> Path:
    """Make a folder in which ``sh`` is that shell; for busybox, it holds all of busybox's utilities too.

    Skip the test if the shell is not installed.
    """
    folder = root / f"bin-{shell}"
    if folder.exists():
        return folder
    found = need(shell, SYSTEM_PATH)
    folder.mkdir(parents=True)
    if shell == "busybox":
        subprocess.run([found, "--install", "-s", str(folder)], check=True)
    else:
        (folder / "sh").symlink_to(found)
    return folder


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Provide a function that makes machines; at the end, kill what they have started."""
    made: list[Host] = []

    def make(shell: str = "dash", **more: Any) -> Host:
        made.append(Host(tmp_path, shell, **more))
        return made[-1]

    with ExitStack() as closing:
        yield make
        closing.callback(drop_cgroups, tmp_path)
        for host in made:
            closing.callback(host.close)


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """Provide a machine whose ``sh`` is dash."""
    return make_host()


@pytest.fixture(params=SHELLS)
def any_host(request: pytest.FixtureRequest, make_host: Callable[..., Host]) -> Host:
    """Provide a machine for each of the shells."""
    return make_host(request.param)


@pytest.fixture(params=[*SHELLS, "memory"])
def machine(request: pytest.FixtureRequest, make_host: Callable[..., Host]) -> Iterator[Machine]:
    """Provide a machine of each kind: the POSIX runner under each of the shells, and the runner in memory."""
    if request.param != "memory":
        yield make_host(request.param)
        return
    host = MemoryHost()
    yield host
    host.close()
