"""Owns the ``openssh`` scheme: hosts reached through the system's ``ssh`` program, which reads its own configuration.

It is also the worked example of a transport.  A transport has three parts: a Transport knows a host, its Connection
runs commands there, and each of these is a Process.  Nothing but rjob's public names is needed for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rjob.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    HostKeyRejected,
    TimedOut,
    TransportError,
    UsageError,
)
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Transport, command_line

if TYPE_CHECKING:
    from asyncio.subprocess import Process as Child
    from collections.abc import Sequence

    from rjob.transports.base import Stream, Target

# What ssh says before it exits with 255, and which error that is.  The first that fits counts.
_COMPLAINTS: list[tuple[str, type[TransportError], str]] = [
    ("Host key verification failed|HOST IDENTIFICATION HAS CHANGED", HostKeyRejected, "log in once with ssh to see"),
    ("Permission denied|Too many authentication failures", AuthenticationFailed, "does ssh let you in by itself?"),
    ("timed out", TimedOut, "is the host up, and the port not filtered?"),
    ("Could not resolve hostname", ConnectFailed, "check the name"),
    ("Connection refused", ConnectFailed, "is sshd running there?"),
    ("Connection (closed|reset)|Broken pipe|not responding|client_loop|mux_client", ConnectionLost, "try again"),
]


class OpenSSHTransport(Transport):
    """A host as ``ssh`` knows it."""

    scheme = "openssh"  # the URL scheme, and the name of the entry point in pyproject.toml

    async def connect(self) -> Connection:
        """Let ssh log in and do nothing, so that a host that cannot be reached is found out here."""
        if not self.target.host:
            raise UsageError(f"no host in {self.target.name!r}", hint="write it as openssh://[user@]host[:port]")
        connection = OpenSSHConnection(self._command(), self.target)
        try:
            await connection.open()
        except ConnectionLost as error:  # what is lost before it was there was never had
            raise ConnectFailed(error.message, transient=True, hint=error.hint, host=error.host) from error
        return connection

    def _command(self) -> list[str]:
        """The ssh command without the host: first what the user set, then what the plugin needs."""
        get = self.settings.get
        options: dict[str, Any] = {
            "-F": get("ssh_config"),
            "-l": self.target.user or get("user"),
            "-p": self.target.port or get("port"),
            "-i": get("identity_file"),
        }
        directives: dict[str, Any] = {
            "HostName": get("hostname"),
            "UserKnownHostsFile": get("known_hosts"),
            "ConnectTimeout": max(1, round(get("connect_timeout", 15))),
            # Asking is for people: without a terminal, ssh has to fail rather than wait for an answer.
            "BatchMode": "no" if sys.stdin is not None and sys.stdin.isatty() else "yes",
            "RemoteCommand": "none",
            "LogLevel": "DEBUG2",  # into a file; less, and it does not tell which status it received
        }
        words = [word for option, value in options.items() if value for word in (option, str(value))]
        words += [word for name, value in directives.items() if value for word in ("-o", f"{name}={value}")]
        return ["ssh", "-T", "-a", "-x", *words]


class OpenSSHConnection(Connection):
    """Commands by way of one ssh process each, which share the connection of a ControlMaster in the background.

    Args:
        ssh: The ssh command without the host.
        target: The machine.
    """

    def __init__(self, ssh: list[str], target: Target) -> None:
        self._ssh, self._target = ssh, target
        self._processes: list[OpenSSHProcess] = []

    async def open(self) -> None:
        """Make ssh open the connection that the commands will share, unless it is there already."""
        configuration = await asyncio.create_subprocess_exec(*self._call("-G"), stdout=PIPE, stderr=DEVNULL)
        if b"\ncontrolpath " not in (await configuration.communicate())[0]:  # else it is the user's own to rule
            self._ssh += ["-o", f"ControlPath={_private_folder()}/%C", "-o", "ControlPersist=60"]
        # The master goes on after this command, and so may a proxy command of its: neither must hold our pipes open.
        async with await self._start(["true"], ["-o", "ControlMaster=auto"], stderr=DEVNULL) as process:
            while await process.read():
                pass

    async def run(self, argv: Sequence[str]) -> Process:
        """Start ``ssh HOST 'command line'``; what the words may hold is for :func:`command_line` to judge."""
        return await self._start(argv, ["-o", "ControlMaster=no"], stderr=PIPE)

    async def close(self) -> None:
        """End what still runs through it; the master ends by itself."""
        for process in self._processes:
            await process.close()

    async def shares(self) -> bool:
        """Whether the shared connection stands."""
        child = await asyncio.create_subprocess_exec(*self._call("-O", "check"), stdout=DEVNULL, stderr=DEVNULL)
        return await child.wait() == 0

    async def _start(self, argv: Sequence[str], options: list[str], *, stderr: int) -> OpenSSHProcess:
        # What ssh itself has to say goes to a file: on stderr, it could not be told from what the command says there.
        descriptor, log = tempfile.mkstemp(prefix="log-", dir=_private_folder())
        os.close(descriptor)
        words = self._call("-E", log, *options) + [command_line(argv)]
        child = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, stderr=stderr, limit=CHUNK)
        self._processes = [process for process in self._processes if process.runs]
        self._processes.append(OpenSSHProcess(child, Path(log), self, self._target.name))
        return self._processes[-1]

    def _call(self, *options: str) -> list[str]:
        return [*self._ssh, *options, "--", str(self._target.host)]


class OpenSSHProcess(Process):
    """One ssh process, and what becomes of it."""

    def __init__(self, child: Child, log: Path, connection: OpenSSHConnection, host: str) -> None:
        self._child, self._log, self._connection, self._host = child, log, connection, host
        streams: dict[Stream, asyncio.StreamReader | None] = {"out": child.stdout, "err": child.stderr}
        self._streams = {name: stream for name, stream in streams.items() if stream is not None}
        self._reads: dict[asyncio.Task[bytes], Stream] = {}  # they outlive a read() that is cancelled: nothing is lost
        self._verdict: asyncio.Task[int | None] | None = None

    @property
    def runs(self) -> bool:
        """Whether ssh has not ended yet."""
        return self._child.returncode is None

    async def write(self, data: bytes) -> None:
        """Send bytes; drain() is what waits while the command takes no more."""
        assert self._child.stdin is not None
        with contextlib.suppress(ConnectionError):  # it no longer reads: see Process.write
            self._child.stdin.write(data)
            await self._child.stdin.drain()

    async def write_eof(self) -> None:
        """End the command's standard input."""
        assert self._child.stdin is not None
        self._child.stdin.close()

    async def read(self, size: int = CHUNK) -> Chunk | None:
        """Wait for bytes of whichever stream has some first."""
        while self._streams:
            for name in set(self._streams) - set(self._reads.values()):
                self._reads[asyncio.create_task(self._streams[name].read(size))] = name
            await asyncio.wait(self._reads, return_when=asyncio.FIRST_COMPLETED)
            done = next(task for task in self._reads if task.done())
            name = self._reads.pop(done)
            if data := done.result():
                return Chunk(name, data)
            del self._streams[name]
        await self.wait()  # raises if the streams ended because the connection did
        return None

    async def wait(self) -> int | None:
        """The command's exit status, or the error that ssh's own 255 stands for."""
        if self._verdict is None:
            self._verdict = asyncio.create_task(self._judge())
        return await asyncio.shield(self._verdict)

    async def close(self) -> None:
        """End ssh: the host closes the command's streams.  The rest is read, so that no pipe stays open."""
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()
        for task in self._reads:
            task.cancel()
        if self._reads:
            await asyncio.wait(self._reads)
        self._reads.clear()
        await self._child.communicate()
        self._log.unlink(missing_ok=True)

    async def _judge(self) -> int | None:
        status = await self._child.wait()
        if status != 255:
            return status if status >= 0 else 128 - status
        text = self._log.read_text(errors="replace")
        if re.search(r"[Ee]xit status (from master )?255", text):
            return 255  # the command's own, for ssh tells what it received
        for pattern, kind, hint in _COMPLAINTS:
            if found := re.search(rf"^(?!debug).*({pattern}).*", text, re.MULTILINE):
                raise kind(found[0].strip().rstrip("."), hint=hint, host=self._host)
        if "rtype exit-signal" in text or await self._connection.shares():
            return None  # a signal ended it, and ssh does not say which
        said = [
            line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("debug", "OpenSSH"))
        ]
        raise ConnectionLost(said[-1] if said else "ssh ended without a word", host=self._host)


def _private_folder() -> str:
    """A folder that only this user can use, with a short name: a socket's path has room for about 100 letters."""
    folder = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/rjob-ssh-{os.getuid()}"  # noqa: S108  (checked below)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConnectFailed(f"{folder} is not a folder of yours alone", hint="remove it, or set XDG_RUNTIME_DIR")
    return folder


@hookimpl
def rjob_transports() -> list[type[Transport]]:
    """What rjob calls once the entry point has led it to this module."""
    return [OpenSSHTransport]
