"""The real ``rjob`` command in a home of its own, and small helpers that tests share."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

RJOB = [sys.executable, "-m", "rjob"]
"""The command, run by the interpreter that runs the tests, so the rjob installed there is tested."""

requires_root = pytest.mark.usefixtures("as_root")
"""Marks a test that only root can run: it mounts, gives files away or makes namespaces."""


def need(program: str, path: str | None = None) -> str:
    """Find a program that a test cannot do without; skip the test if it is missing.

    In CI conftest.py makes a failure of a skip.

    Args:
        program: Its name.
        path: The folders to look in, as in ``PATH``; None for this process's.

    Returns:
        Its path.
    """
    found = shutil.which(program, path=path)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def wait_until(condition: Callable[[], Any], *, seconds: float = 30.0, what: str = "the condition") -> Any:
    """Wait until a condition holds.

    Args:
        condition: Called again and again; its first true value is returned.
        seconds: The time after which the test fails.
        what: The name of the condition, for the error message.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        time.sleep(0.02)


class Gate:
    """Hold a job up until the test lets it go on, once.

    Args:
        path: Where to make the FIFO.

    Attributes:
        path: Where it is.
        line: The shell command that the job waits with.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.line = f"read x <'{path}'"
        os.mkfifo(path)

    def open(self) -> None:
        """Wait until the job waits, and let it go on."""
        end = wait_until(self._reached, what="the job at its gate")
        os.write(end, b"go\n")
        os.close(end)

    def _reached(self) -> int | None:
        try:
            return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None


class Done(NamedTuple):
    """The result of a finished ``rjob``."""

    status: int
    out: bytes
    err: bytes

    def __bool__(self) -> bool:
        """Raise TypeError: a tuple is always true, so ``assert rjob(…)`` would check nothing."""
        raise TypeError("a finished command is neither true nor false: look at its fields")

    @property
    def text(self) -> str:
        """Return its standard output as text."""
        return self.out.decode()

    @property
    def errors(self) -> str:
        """Return its standard error as text."""
        return self.err.decode("utf-8", "replace")

    @property
    def json(self) -> dict[str, Any]:
        """Parse its standard output as JSON."""
        value: dict[str, Any] = json.loads(self.out)
        return value


class World:
    """One home for jobs, and the ``rjob`` command in it.

    Attributes:
        root: A folder for the test.
        home: ``RJOB_HOME``.
        env: The environment of the commands.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "rjob-home"
        user = root / "home"
        user.mkdir(parents=True, exist_ok=True)
        keep = {
            key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR", "COVERAGE_PROCESS_START") if key in os.environ
        }
        self.config = root / "config.toml"
        self.config.touch()
        self.env = keep | {
            "HOME": str(user),
            "RJOB_HOME": str(self.home),
            "RJOB_CONFIG": str(self.config),
            "RJOB_MACHINE": "test-machine",
        }

    def popen(self, *args: str | Path, **kwargs: Any) -> subprocess.Popen[bytes]:
        """Start ``rjob`` and leave it running."""
        env = self.env | {key: str(value) for key, value in kwargs.pop("env", {}).items()}
        streams: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | kwargs
        cwd = streams.pop("cwd", self.root)
        command = [*RJOB, *map(str, args)]
        return subprocess.Popen(command, env=env, cwd=cwd, **streams)

    def __call__(
        self, *args: str | Path, input: bytes = b"", status: int | None = 0, timeout: float = 60, **kwargs: Any
    ) -> Done:
        """Run ``rjob`` to its end.

        Args:
            args: Its arguments.
            input: Its standard input.
            status: The exit status that it must have; None allows any.
            timeout: Seconds after which it is killed and the test fails.
            kwargs: ``env`` (further variables), ``cwd``.
        """
        child = self.popen(*args, stdin=subprocess.PIPE, **kwargs)
        try:
            out, err = child.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            raise AssertionError(f"rjob {args} did not end within {timeout} s: {err!r}") from None
        done = Done(child.returncode, out, err)
        assert status is None or done.status == status, f"rjob {args}: {done}"
        return done

    def start(self, *args: str, **kwargs: Any) -> str:
        """Start a job; return its reference."""
        return self("start", "-q", *args, **kwargs).text.strip()

    def shell(self, line: str, *options: str) -> str:
        """Start a shell line as a job; return its reference."""
        return self.start(*options, "-c", line)

    def job(self, ref: str, *options: str) -> dict[str, Any]:
        """Return a job as ``--json`` shows it."""
        (job,) = self("get", ref, "--json", *options).json["jobs"]
        return dict(job)

    def ended(self, ref: str, *options: str) -> dict[str, Any]:
        """Wait until a job has ended and return it."""
        done = self("wait", ref, "--timeout", "30", "--json", *options, status=None)
        assert done.json["jobs"], done
        job = dict(done.json["jobs"][0])
        assert job["state"] in ("Completed", "Failed", "Stopped", "Lost"), job
        return job

    @property
    def owner(self) -> Path:
        """Return the folder of the owner that the tests simulate."""
        return self.home / self.env["RJOB_MACHINE"]

    def folder(self, ref: str) -> Path:
        """Return a job's folder."""
        return self.owner / "jobs" / (self.owner / "ids" / ref.partition("@")[0]).read_text().strip()

    def events(self) -> list[dict[str, Any]]:
        """Return the registry's events; fail if a line is none."""
        return [json.loads(line) for line in (self.owner / "registry.jsonl").read_text().splitlines()]

    def processes(self) -> list[int]:
        """Return the ids of processes whose environment names this world's home."""
        return processes_with(f"RJOB_HOME={self.home}")

    def close(self) -> None:
        """Kill every process that this world has started."""
        kill_processes_with(f"RJOB_HOME={self.home}")


def copy_owner(source: Path, target: Path) -> None:
    """Copy a machine's folder from the tests' data; what a checkout lets a group write would be refused."""
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o022)


def drop_cgroups(root: Path) -> None:
    """Remove the cgroups of jobs whose supervisors were killed, for every owner below a folder."""
    for note in root.rglob("jobs/*/cgroup"):
        with contextlib.suppress(OSError):
            os.rmdir(note.read_text().strip())


def _read_all(descriptor: int) -> bytes:
    """Read a descriptor to its end."""
    parts = []
    while data := os.read(descriptor, 65536):
        parts.append(data)
    return b"".join(parts)


def processes_with(mark: str) -> list[int]:
    """Return the ids of the living processes whose environment contains ``mark``, this process excepted."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # Not read_bytes: closing its file may fail too if the process ends while it is read.
            descriptor = os.open(entry / "environ", os.O_RDONLY)
        except OSError:
            continue
        try:
            environment = _read_all(descriptor).split(b"\0")
        except OSError:
            continue
        finally:
            os.close(descriptor)
        if mark.encode() in environment and int(entry.name) != os.getpid() and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def kill_processes_with(mark: str, *, seconds: float = 30.0) -> None:
    """Kill the processes whose environment contains ``mark``, each by its id, until there are none.

    Args:
        mark: ``NAME=VALUE``.
        seconds: The time after which it fails, and names the processes that are left.
    """
    deadline = time.monotonic() + seconds
    while left := processes_with(mark):
        if time.monotonic() > deadline:
            raise AssertionError(f"these processes with {mark} cannot be killed: {[_described(pid) for pid in left]}")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)


def _described(pid: int) -> str:
    """Return a process's id and command line, as far as it still exists."""
    with contextlib.suppress(OSError):
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().decode(errors='replace')[:100]!r}"
    return str(pid)


def naps(client: int) -> bool:
    """Tell whether this client's runner sleeps between two checks: by then it has seen its jobs."""
    try:
        return any(process.name() == "sleep" for process in psutil.Process(client).children(recursive=True))
    except psutil.NoSuchProcess:
        return False


def handles_signals(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM: from then on an interruption is heard."""
    try:
        with open(f"/proc/{pid}/status") as file:
            caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    except (OSError, StopIteration):
        return False
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def alive(pid: int) -> bool:
    """Tell whether a process lives; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].split()[0] not in b"ZX"
    except (OSError, IndexError):
        return False
