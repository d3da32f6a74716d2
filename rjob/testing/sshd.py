"""A private OpenSSH server for tests: its own keys and port, the current user, no trace in the system."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

_BASE = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
MaxStartups 100:30:200
"""


class SshdUnavailable(RuntimeError):
    """No OpenSSH server is installed, or it does not start."""


class Sshd:
    """A private OpenSSH server on a free port of the loopback interface.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    Args:
        aliases: The ``Host`` names of the server in :attr:`ssh_config`.
        env: Environment variables for every command; ``HOME`` among them sets the commands' home.
        shell: The login shell to simulate, for example ``("busybox", "sh")``; None for the account's own.
        lines: Further lines of sshd_config; they override this class's.
        config_lines: Further lines of ssh_config for the aliases.
        folder: The folder for keys and configuration; None for a temporary folder that :meth:`stop` removes.

    Attributes:
        port: The port it listens on, once started.
        ssh_config: A file for ``ssh -F`` with which the aliases reach this server and trust it.
        known_hosts: The file with its host key.
        client_key: A private key that it accepts.
        user: The account that may log in: the current user's.
    """

    def __init__(
        self,
        aliases: Iterable[str] = ("private",),
        *,
        env: Mapping[str, str] | None = None,
        shell: Sequence[str] | None = None,
        lines: Iterable[str] = (),
        config_lines: Iterable[str] = (),
        folder: Path | None = None,
    ) -> None:
        self.aliases = tuple(aliases)
        self.user = getpass.getuser()
        self.port = 0
        self._env = dict(env or {})
        self._shell = tuple(shell or ())
        self._lines = tuple(lines)
        self._config_lines = tuple(config_lines)
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="rjob-sshd-"))
        self.ssh_config = self.folder / "ssh_config"
        self.known_hosts = self.folder / "known_hosts"
        self.client_key = self.folder / "client_key"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self, *, timeout: float = 20) -> Self:
        """Start the server and wait until it answers.

        Args:
            timeout: Seconds to wait.

        Raises:
            SshdUnavailable: sshd or ssh-keygen is not installed, or sshd does not come up.
        """
        program = _find("sshd")
        self.folder.mkdir(parents=True, exist_ok=True)
        for key in ("host_key", "client_key"):
            self._make_key(self.folder / key)
        shutil.copy(self.folder / "client_key.pub", self.folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # Debian's sshd exits without it
        deadline = time.monotonic() + timeout
        while not self._try_to_start(program, deadline):
            pass  # another process was faster to take the port
        self._write_client_files()
        return self

    def stop(self) -> None:
        """End the server and the sessions that it still serves, and nothing else."""
        if self._server is not None:
            sessions = self.session_pids()
            _signal(self._server.pid, signal.SIGTERM)
            for pid in sessions:
                _signal(pid, signal.SIGKILL)
            self._server.wait()
            self._server = None
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def session_pids(self) -> list[int]:
        """Return the processes that serve open connections, with their descendants, except commands that left them."""
        if self._server is None:
            return []
        return _descendants(self._server.pid)

    def drop_connections(self) -> None:
        """Kill the processes that serve open connections, as if the network had failed; the server goes on."""
        for pid in self.session_pids():
            _signal(pid, signal.SIGKILL)

    def new_host_key(self) -> None:
        """Give the server another host key, which it uses from its next start on."""
        self._make_key(self.folder / "host_key", again=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_key(self, path: Path, *, again: bool = False) -> None:
        if again:
            path.unlink()
        if not path.exists():
            command = [_find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "rjob-test", "-f", str(path)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def _try_to_start(self, program: str, deadline: float) -> bool:
        if not self.port:
            self.port = free_port()
        (self.folder / "sshd_config").write_text(self._server_config())
        log = self.folder / "sshd.log"
        with log.open("wb") as errors:
            self._server = subprocess.Popen(
                [program, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        while time.monotonic() < deadline:
            if self._server.poll() is not None:
                text = log.read_text(errors="replace")
                if "Address already in use" in text:
                    self.port = 0
                    return False
                raise SshdUnavailable(f"sshd ended at once: {text.strip()}")
            if b"Server listening" in log.read_bytes():
                return True
            time.sleep(0.01)
        self.stop()
        raise SshdUnavailable("sshd does not answer")

    def _server_config(self) -> str:
        lines = [*self._lines, *_BASE.format(port=self.port, folder=self.folder).splitlines()]
        if self._env:
            # Keeps the account's shell, which runs the wrapper, from reading the account's own profile.
            lines.append("SetEnv " + " ".join(f'"{name}={value}"' for name, value in self._env.items()))
        if self._env or self._shell:
            lines.append(f"ForceCommand {self._wrapper()}")
        return "\n".join(lines) + "\n"

    def _wrapper(self) -> Path:
        """Write the script that runs every command: SetEnv alone sets HOME, but neither the directory nor the shell."""
        script = self.folder / "wrapper"
        env = dict(self._env)
        shell = self._shell
        if shell:
            found = shutil.which(shell[0])
            if found is None:
                raise SshdUnavailable(f"no {shell[0]} here")
            shell = (found, *shell[1:])
            env.setdefault("SHELL", found)
        exports = [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
        run = " ".join(map(shlex.quote, shell)) if shell else '"$SHELL"'
        body = [
            *exports,
            'cd "$HOME" || exit 255',
            "command=$SSH_ORIGINAL_COMMAND",
            "unset SSH_ORIGINAL_COMMAND",
            f'exec {run} -c "$command"',
        ]
        script.write_text("#!/bin/sh\n" + "\n".join(body) + "\n")
        script.chmod(0o700)
        return script

    def _write_client_files(self) -> None:
        kind, data = (self.folder / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {data}\n")
        options = [
            "HostName 127.0.0.1",
            f"Port {self.port}",
            f"User {self.user}",
            f"IdentityFile {self.client_key}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {self.known_hosts}",
            "GlobalKnownHostsFile none",
            "StrictHostKeyChecking yes",
        ]
        body = "".join(f"    {line}\n" for line in [*self._config_lines, *options])
        self.ssh_config.write_text(f"Host {' '.join(self.aliases)}\n{body}")


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _find(program: str) -> str:
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        raise SshdUnavailable(f"{program} is not installed (the package is called openssh-server)")
    return found


def _descendants(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True)
    children: dict[int, list[int]] = {}
    for line in listing.stdout.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found.extend(below)
        todo.extend(below)
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
