"""Places where jobs run: this machine, and a host over each transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from world import processes_with, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.host import Host
    from world import Done, World

    from rjob.testing.sshd import Sshd

PLACES = ("here", "ssh", "openssh")
"""Every place: this machine, and a host over each transport."""

ONE_HOST = ("here", "ssh")
"""The places for what no transport can change: it is decided by the command line or by the runner."""


class Place:
    """Aim ``rjob`` at one place, and look at what it leaves there.

    A call puts ``-H`` in front of the arguments where the place is a host. What is done to a reference needs none: a
    reference names its host, so tests give it to ``rjob`` itself, as users do.

    Args:
        rjob: The command.
        host: The host. None for this machine.

    Attributes:
        server: The host's SSH server. None for this machine.
        machine: The machine id.
        home: The home directory of jobs.
        directory: Where a job begins that is given no directory.
        rjob_home: Where rjob keeps its files.
        owner: The machine's folder in there.
        option: What aims a command at it: ``-H NAME``, or nothing.
    """

    def __init__(self, rjob: World, host: Host | None = None) -> None:
        self._rjob = rjob
        self._place = host or rjob
        self.server: Sshd | None = host.server if host else None
        self.machine = host.machine if host else rjob.env["RJOB_MACHINE"]
        self.home: Path = host.home if host else rjob.root / "home"
        self.directory = host.home if host else rjob.root
        self.rjob_home = host.rjob_home if host else rjob.home
        self.owner = self._place.owner
        self._suffix = f"@{host.name}" if host else ""
        self.option = ("-H", host.name) if host else ()

    def __call__(self, verb: str, *args: str | Path, **kwargs: Any) -> Done:
        """Run a verb, such as ``registry rebuild``, for this place; see ``World``."""
        return self._rjob(*verb.split(), *self.option, *args, **kwargs)

    def ref(self, job: str | int) -> str:
        """Return the reference of one of this place's jobs, from its number or name."""
        return f"{job}{self._suffix}"

    def start(self, *args: str, **kwargs: Any) -> str:
        """Start a job; return its reference."""
        return self("start", "-q", *args, **kwargs).text.strip()

    def shell(self, line: str, *options: str) -> str:
        """Start a shell line as a job; return its reference."""
        return self.start(*options, "-c", line)

    def run(self, *args: str, **kwargs: Any) -> dict[str, Any]:
        """Start a job and wait for its end; return the job, as ``--json`` has it."""
        (job,) = self("start", "--wait", "--json", *args, status=None, **kwargs).json["jobs"]
        return dict(job)

    def folder(self, ref: str) -> Path:
        """Return a job's folder."""
        return self._place.folder(ref)

    def wait_for_output(self, ref: str, text: bytes = b"ready\n") -> None:
        """Wait until a job's standard output holds a text."""
        out = self.folder(ref) / "out"
        wait_until(lambda: out.exists() and text in out.read_bytes(), what=f"{text!r} of job {ref}")

    def events(self) -> list[dict[str, Any]]:
        """Return the registry's events; every line must be one."""
        return self._place.events()

    def processes(self) -> set[int]:
        """Return the processes of rjob and its jobs at this place, with clients that run here."""
        return set(self._place.processes())


def processes_of(job: dict[str, Any]) -> list[int]:
    """Return the living processes of a job, as ``--json`` has it."""
    return processes_with(f"RJOB_INSTANCE={job['instance_id']}")
