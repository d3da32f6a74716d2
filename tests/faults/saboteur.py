"""The thread that injects faults into an episode while clients work."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from faults.decoy import Decoy, decoy_with_pid
from faults.processes import kill_frozen, look_around
from faults.record import Fault, Finding

from rjob.runner.posix import RUNNER

if TYPE_CHECKING:
    from random import Random

    from faults.client import Shared
    from faults.disk import Disk
    from faults.processes import Seen
    from hosts.host import Host

KINDS = ("kill", "step", "disk", "folder", "streams", "interrupt", "cut")
"""The kinds of main faults of an episode. The first two may also join another one."""
_WEIGHTS = {
    "client": 3,
    "runner": 5,
    "helper": 5,
    "command": 2,
    "supervisor": 1,
    "claimant": 2,
    "watcher": 2,
    "recorder": 2,
}


def step_names() -> list[str]:
    """Return the names of the runner's fault points, its lines ``#@ NAME``."""
    lines = (line.strip() for line in RUNNER.script.decode().splitlines())
    return [line.split()[1] for line in lines if line.startswith("#@ ")]


def dying_at(name: str, mark: Path) -> bytes:
    """Return a runner whose first process to reach a fault point stops there, to be killed.

    Args:
        name: The fault point.
        mark: The folder that this process creates, with its id in it; once it is there, others pass by.
    """
    # Restore the exit status from before the fault point for the code after it.
    halt = f'rj_fault=$?; mkdir {mark} 2>/dev/null && echo $$ >{mark}/pid && kill -STOP $$; (exit "$rj_fault")'
    lines = RUNNER.script.decode().split("\n")
    return "\n".join(halt if line.split()[:2] == ["#@", name] else line for line in lines).encode()


class Saboteur(threading.Thread):
    """A thread that injects faults at random moments, until it is told to end.

    Args:
        shared: The shared state of the episode's clients.
        random: The random generator.
        kinds: The kinds of faults.
        home: The folder of rjob's files.
        owner: The owner's folder in it.
        marks: The variables that mark the episode's processes.
        disk: The home's file system; None if it has none of its own.
        host: The host; None for this machine.
    """

    def __init__(
        self,
        shared: Shared,
        random: Random,
        kinds: tuple[str, ...],
        *,
        home: Path,
        owner: Path,
        marks: frozenset[bytes],
        disk: Disk | None = None,
        host: Host | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self._shared = shared
        self._random = random
        self._kinds = [kind for kind in kinds if kind != "streams"]
        self._home = home
        self._owner = owner
        self._marks = marks
        self._disk = disk
        self._host = host
        self._over = threading.Event()
        self._record = shared.record
        self.decoys: list[Decoy] = []
        self.removed: set[str] = set()
        """The instance ids whose folders were removed."""

    def run(self) -> None:
        """Inject faults until :meth:`end` is called."""
        self._stand_beside()
        while not self._over.is_set():
            kind = self._random.choice(self._kinds) if self._kinds else ""
            self._pause(0.01, 0.12 if kind in ("kill", "interrupt", "step") else 0.8)
            if kind and not self._over.is_set():
                try:
                    self._stand_near()
                    self._inject(kind)
                except Exception as error:
                    self._record.add(Finding("the fault run itself", f"{kind}: {error!r}"))

    def _inject(self, kind: str) -> None:
        faults = {
            "kill": self._kill,
            "step": self._step,
            "disk": self._fill,
            "folder": self._remove_folder,
            "interrupt": self._interrupt,
            "cut": self._cut,
        }
        faults[kind]()

    def end(self) -> None:
        """Inject nothing more, and undo what can be undone."""
        self._over.set()
        self.join()
        if self._disk:
            self._disk.empty()

    def _pause(self, shortest: float, longest: float) -> None:
        self._over.wait(self._random.uniform(shortest, longest))

    def _note(self, kind: str, what: str, begin: float) -> None:
        self._record.add(Fault(kind, what, begin, time.monotonic()))

    def _kill(self) -> None:
        """Wait for a process of a random role, and kill it a random moment later."""
        role = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline and not self._over.is_set():
            present = [seen for seen in look_around(self._marks) if seen.role == role]
            if not present:
                continue
            victim = self._random.choice(present)
            time.sleep(self._random.choice([0, 0.003, 0.01, 0.03, 0.1]) * self._random.random())
            begin = time.monotonic()
            if seen := kill_frozen(victim.pid, self._marks):
                self._record.kill(seen, begin)
                self._take_the_place_of(seen)
                return

    def _interrupt(self) -> None:
        clients = [seen for seen in look_around(self._marks) if seen.role == "client"]
        if clients:
            number = self._random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
            victim = self._random.choice(clients)
            begin = time.monotonic()
            try:
                os.kill(victim.pid, number)
            except ProcessLookupError:
                return
            self._note("interrupt", f"{number.name} to {victim.pid} {' '.join(victim.words[3:6])}", begin)

    def _step(self) -> None:
        names = step_names()
        if not names:
            self._record.skipped["steps: the runner has no lines '#@ NAME'"] = 1
            self._kill()
            return
        name = self._random.choice(names)
        begin = time.monotonic()
        mark = self._shared.world.root / f"step-{time.monotonic_ns()}"
        runner = self._home / "runner" / RUNNER.name
        self._replace(runner, dying_at(name, mark))
        deadline = time.monotonic() + 2
        while not mark.exists() and time.monotonic() < deadline and not self._over.is_set():
            time.sleep(0.005)
        self._replace(runner, RUNNER.script)
        # A process may still run the changed runner: the mark lets it pass by.
        if _make(mark):
            self._note("step", f"{name}, not reached", begin)
            return
        pid = _number_in(mark / "pid")
        killed = time.monotonic()
        if pid and (seen := kill_frozen(pid, self._marks)):
            self._record.kill(seen, killed)
            self._take_the_place_of(seen)
        self._note("step", name, begin)

    def _replace(self, path: Path, text: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_name(f"new.{self._random.randrange(10**6)}")
        new.write_bytes(text)
        new.chmod(0o600)
        new.replace(path)

    def _fill(self) -> None:
        assert self._disk
        runner = self._home / "runner" / RUNNER.name
        # Without space for the runner too, nothing can work.
        if not runner.exists():
            return
        begin = time.monotonic()
        self._disk.fill(self._random.choice([0, 0, 0, 4096, 16384]))
        self._pause(0.3, 1.5)
        self._disk.empty()
        self._note("disk", "full", begin)

    def _remove_folder(self) -> None:
        what = self._random.choice(["job", "ids", "live", "new", "runner", "runner"])
        path = self._home / "runner" if what == "runner" else self._owner / what
        if what == "job":
            folders = sorted((self._owner / "jobs").glob("*-*"))
            if not folders:
                return
            path = self._random.choice(folders)
            self.removed.add(path.name)
        begin = time.monotonic()
        shutil.rmtree(path, ignore_errors=True)
        if what in ("ids", "live"):
            self._pause(0.0, 0.5)
            self._shared.run("registry", "rebuild", limit=60)
        self._note("folder", what, begin)

    def _cut(self) -> None:
        assert self._host
        begin = time.monotonic()
        cut = []
        for pid in self._host.server.session_pids():
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                if name.startswith("sshd"):
                    os.kill(pid, signal.SIGKILL)
                    cut.append(pid)
            except (OSError, ProcessLookupError):
                continue
        if cut:
            self._note("cut", f"sshd {cut}", begin)

    def _stand_beside(self) -> None:
        """Start a decoy without any job's id, and one with the id of a job of another home."""
        other = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"
        self._add("a stranger", {})
        self._add("a job of another home", {"RJOB_INSTANCE": other, "RJOB_ID": "1"})

    def _stand_near(self) -> None:
        """Sometimes start a decoy that has a job's id in a variable of another name."""
        jobs = sorted(path.name for path in (self._owner / "jobs").glob("*-*"))
        if jobs and self._random.random() < 0.15:
            self._add("a neighbour that speaks of a job", {"OUTER_RJOB_INSTANCE": self._random.choice(jobs)})

    def _take_the_place_of(self, seen: Seen) -> None:
        """Start a decoy under the id of a killed process: it notes signals that are sent to the stale id."""
        if not (seen.of_a_job or seen.role == "helper"):
            return
        what = f"a stranger with the id of a killed {seen.role} ({' '.join(seen.words)[:60]})"
        decoy = decoy_with_pid(seen.pid, self._log(), what)
        if decoy:
            self.decoys.append(decoy)

    def _add(self, what: str, env: dict[str, str]) -> None:
        self.decoys.append(Decoy(self._log(), what, env))

    def _log(self) -> Path:
        return self._shared.world.root / f"decoy-{time.monotonic_ns()}"


def _make(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _number_in(path: Path) -> int:
    """Read the number that a process is about to write into a file; 0 if it never comes."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.002)
    return 0
