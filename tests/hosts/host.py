"""Hosts of a test's own: private SSH servers that are machines to rjob, and the bad lines that lead to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import processes_with, wait_until

from rjob.testing.sshd import Sshd, SshdUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from world import World

TRANSPORTS = ["ssh", "openssh"]
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


class Host:
    """A machine that rjob reaches over SSH.

    Attributes:
        name: What the settings file calls it.
        home: The home directory there.
        machine: Its machine id.
        server: Its SSH server.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        *,
        home: Path | None = None,
        machine: str | None = None,
        shell: Sequence[str] = ("sh",),
        path: str = SYSTEM_PATH,
        env: Mapping[str, str] | None = None,
        lines: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.home = home or root / f"home-of-{name}"
        self.home.mkdir(parents=True, exist_ok=True)
        self.machine = machine or f"machine-{name}"
        env = {"HOME": str(self.home), "RJOB_MACHINE": self.machine, "PATH": path} | dict(env or {})
        # The server takes the first line of a kind: this one may hold quotes.
        words = " ".join(json.dumps(f"{key}={value}") for key, value in env.items())
        self.server = Sshd(env=env, shell=shell, lines=[*lines, f"SetEnv {words}"], folder=root / f"sshd-of-{name}")

    @property
    def rjob_home(self) -> Path:
        """Where rjob's files are there."""
        return self.home / ".local/state/rjob"

    @property
    def owner(self) -> Path:
        """The machine's own folder in there."""
        return self.rjob_home / self.machine

    def folder(self, ref: str) -> Path:
        """A job's folder."""
        return self.owner / "jobs" / (self.owner / "ids" / ref.partition("@")[0]).read_text().strip()

    def events(self) -> list[dict[str, Any]]:
        """The events of the registry there; every line must be one."""
        return [json.loads(line) for line in (self.owner / "registry.jsonl").read_text().splitlines()]

    def processes(self) -> list[int]:
        """Whatever of this host's lives: jobs and what serves requests."""
        return processes_with(f"HOME={self.home}")

    def settings(self) -> dict[str, Any]:
        """What the settings file must say for it to be reached."""
        return {
            "hostname": "127.0.0.1",
            "port": self.server.port,
            "user": self.server.user,
            "identity_file": str(self.server.client_key),
            "known_hosts": str(self.server.known_hosts),
        }

    def close(self) -> None:
        """End everything of it."""
        self.server.stop()
        for _ in range(100):
            left = self.processes()
            if not left:
                return
            kill(left)
            time.sleep(0.02)


def kill(pids: Iterable[int]) -> None:
    """End processes at once."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Hosts:
    """The hosts of one test, and the settings file that names them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hosts: list[Host] = []
        self._tables: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, list[str]] = {}
        # A socket's path must be short.
        self._sockets = Path(tempfile.mkdtemp(prefix="rjob-"))
        nothing = world.root / "ssh_config"
        nothing.touch()
        world.env |= {"XDG_RUNTIME_DIR": str(self._sockets), "RJOB_SSH_CONFIG": str(nothing)}

    def add(self, name: str, transport: str = "ssh", *, settings: Mapping[str, Any] | None = None, **host: Any) -> Host:
        """Start a host, and name it in the settings.

        Args:
            name: What to call it.
            transport: How rjob reaches it.
            settings: Further settings of it.
            host: See Host.
        """
        try:
            made = Host(name, self._world.root, **host)
            made.server.start()
        except SshdUnavailable as error:
            pytest.skip(str(error))
        self._hosts.append(made)
        self.know(name, made, transport=transport, **(settings or {}))
        return made

    def know(self, name: str, host: Host | None = None, **settings: Any) -> None:
        """Give a host a table in the settings file, or change it."""
        if settings.get("transport") == "openssh":
            pytest.importorskip("rjob_openssh")
            settings = {"ssh_config": self._world.env["RJOB_SSH_CONFIG"]} | settings
        table = self._tables.setdefault(name, {})
        table |= (host.settings() if host else {}) | settings
        self._write()

    def group(self, name: str, *members: str) -> None:
        """Give hosts a name in common."""
        self._groups[name] = list(members)
        self._write()

    def sockets(self) -> Path:
        """A new folder for the sockets of shared connections, so that nothing is shared with earlier commands."""
        return Path(tempfile.mkdtemp(dir=self._sockets))

    def close(self) -> None:
        """End everything of all hosts."""
        for host in self._hosts:
            host.close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _write(self) -> None:
        lines = []
        for name, table in self._tables.items():
            lines += [f'[hosts."{name}"]', *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        lines += ["[groups]", *(f"{name} = {json.dumps(members)}" for name, members in self._groups.items())]
        self._world.config.write_text("\n".join(lines) + "\n")


class Line:
    """A bad line to a server: a proxy on the loopback interface that can be cut.

    Args:
        port: The server's port.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._limits: dict[str, list[int]] = {"up": [], "down": []}
        self.counts: list[dict[str, int]] = []
        """For each connection so far: how many bytes went ``up`` to the server and ``down`` from it."""
        self.flowing = threading.Event()
        """Cleared, everything stands still, as when the network is gone and nobody says so."""
        self.flowing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_next(self, direction: str, *limits: int) -> None:
        """Cut the next connections after so many bytes in a direction; those after them are left alone."""
        self._limits = {"up": [], "down": [], direction: list(limits)}

    def cut(self) -> None:
        """Cut every connection now."""
        with self._lock:
            victims, self._open = self._open, []
        for end in victims:
            _break(end)

    def close(self) -> None:
        """Take no more connections, and cut those there are."""
        self._listener.close()
        self.flowing.set()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                return
            limits = {way: limit.pop(0) if limit else None for way, limit in self._limits.items()}
            count = {"up": 0, "down": 0}
            with self._lock:
                self._open += [client, server]
                self.counts.append(count)
            for way, source, target in (("up", client, server), ("down", server, client)):
                arguments = (way, source, target, limits[way], count)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(
        self, way: str, source: socket.socket, target: socket.socket, limit: int | None, count: dict[str, int]
    ) -> None:
        try:
            while limit is None or count[way] < limit:
                data = source.recv(65536 if limit is None else min(65536, limit - count[way]))
                if not data:
                    break
                count[way] += len(data)
                self.flowing.wait()
                target.sendall(data)
        except OSError:
            pass
        _break(target)
        _break(source)


def _break(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


def whole_life(rjob: World, host: Host) -> None:
    """What every host must be able to do: start, follow, tell, stop, remove."""
    at = ("-H", host.name)
    ref = rjob.start(*at, "-n", "a life", "-c", "echo out; echo err >&2; sleep 0.3; exit 7")
    assert ref == f"1@{host.name}"
    done = rjob("receive", "-f", ref, status=7)
    assert (done.out, done.err) == (b"out\n", b"err\n")
    words = ["", "a  b", "'", '"', "$HOME", "\\", "\n", "é😀", "!", "*"]
    exact = rjob.start(*at, "printf", "%s|", *words)
    rjob("wait", exact)
    assert rjob("receive", exact).text == "|".join(words) + "|"
    long = rjob.start(*at, "sh", "-c", "echo ready; sleep 300 & wait")
    wait_until((host.folder(long) / "out").read_text, what="the job's beginning")
    jobs = {job["ref"]: job for job in rjob("get", *at, "--json").json["jobs"]}
    assert {ref: job["state"] for ref, job in jobs.items()} == {ref: "Failed", exact: "Completed", long: "Running"}
    rjob("stop", long)
    assert rjob.job(long)["state"] == "Stopped"
    assert not processes_with(f"RJOB_INSTANCE={jobs[long]['instance_id']}")
    rjob("remove", ref, exact, long)
    assert rjob("get", "-q", *at, "--all").text == ""
    wait_until(lambda: not host.processes(), seconds=5, what="the end of everything on the host")


def tools_without(folder: Path, *missing: str) -> str:
    """A PATH that holds what the system has, but for some programs."""
    folder.mkdir()
    for place in ("/usr/bin", "/bin"):
        for name in os.listdir(place):
            if not any(name == one or name.startswith(f"{one}.") for one in missing) and not (folder / name).exists():
                (folder / name).symlink_to(f"{place}/{name}")
    return str(folder)


def script(path: Path, body: str) -> str:
    """A program of a test's own."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)
