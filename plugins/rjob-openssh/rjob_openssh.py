"""Owns the ``openssh`` scheme: hosts reached through the system's ``ssh``.  It is the worked example of a transport."""

import asyncio
import contextlib
import os
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process as Child, create_subprocess_exec
from collections.abc import Sequence

from rjob import errors
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Stream, Transport, command_line

_COMPLAINTS = {  # what is in the last line that ssh says before it ends with 255, and which error that is
    "Host key verification failed": errors.HostKeyRejected,
    "Permission denied (": errors.AuthenticationFailed,
    "Too many authentication failures": errors.AuthenticationFailed,
    "timed out": errors.TimedOut,
}


class OpenSSHTransport(Transport):
    """A host as ``ssh`` knows it."""

    scheme = "openssh"  # the URL scheme, and the name of the entry point in pyproject.toml

    async def connect(self) -> Connection:
        """Log in once, so that a host out of reach is found out here; the commands will share this connection."""
        if not self.target.host:
            raise errors.UsageError(f"no host in {self.target.name!r}", hint="write openssh://[user@]host[:port]")
        get = self.settings.get
        options = {"User": self.target.user or get("user"), "Port": self.target.port or get("port")}
        options |= {"HostName": get("hostname"), "IdentityFile": get("identity_file")}
        options |= {"UserKnownHostsFile": get("known_hosts"), "ConnectTimeout": round(get("connect_timeout", 15)) or 1}
        # Asking is for people: without a terminal, ssh has to fail rather than wait for an answer.
        options |= {"BatchMode": "no" if os.isatty(0) else "yes", "RemoteCommand": "none", "LogLevel": "ERROR"}
        words = [f'-o{name}="{value}"' for name, value in options.items() if value]
        words += [f"-F{get('ssh_config')}"] if get("ssh_config") else []
        connection = _Connection(["ssh", "-T", "-a", "-x", *words], self.target.host, self.target.name)
        if b"\ncontrolpath " not in (await connection.ask("-G"))[1]:  # else it is the user's own to rule
            connection.ssh += [f"-oControlPath={_private_folder()}/%C", "-oControlPersist=60"]
        status, said = await connection.ask("-oControlMaster=auto")
        if status == 255:
            raise connection.error(said, errors.ConnectFailed)
        return connection


class _Connection(Connection):
    """Commands by way of one ssh process each, which share the connection of a ControlMaster in the background."""

    def __init__(self, ssh: list[str], host: str, name: str) -> None:
        self.ssh, self._host, self._name = ssh, host, name
        self.processes: set[_Process] = set()

    async def ask(self, *options: str) -> tuple[int, bytes]:
        """The status of a short call of ssh, and what it says; to a file, as a master's proxy holds a pipe open."""
        with tempfile.TemporaryFile() as file:
            words = [*self.ssh, *options, "--", self._host, "true"]
            child = await create_subprocess_exec(*words, stdin=DEVNULL, stdout=file, stderr=STDOUT)
            status = await child.wait()
            file.seek(0)
            return status, file.read()

    def error(self, said: bytes, otherwise: type[errors.TransportError]) -> errors.TransportError:
        """The error that ssh's last line stands for."""
        last = said.decode(errors="replace").strip().rpartition("\n")[2].rstrip(".")
        kind = next((kind for words, kind in _COMPLAINTS.items() if words in last), otherwise)
        return kind(last or "the connection broke", host=self._name)

    async def run(self, argv: Sequence[str]) -> Process:
        words = [*self.ssh, "-oControlMaster=no", "--", self._host, command_line(argv)]
        child = await create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=CHUNK)
        self.processes.add(process := _Process(child, self))
        return process

    async def close(self) -> None:
        await asyncio.gather(*(process.close() for process in self.processes))


class _Process(Process):
    """One ssh process."""

    def __init__(self, child: Child, connection: _Connection) -> None:
        assert child.stdin and child.stdout and child.stderr  # noqa: PT018
        self._child, self._stdin, self._connection = child, child.stdin, connection
        self._streams: dict[Stream, asyncio.StreamReader] = {"out": child.stdout, "err": child.stderr}
        # One read of each stream is always under way, or done and waiting to be fetched.
        self._reads = {name: asyncio.create_task(stream.read(CHUNK)) for name, stream in self._streams.items()}
        self._tails = {"out": b"", "err": b""}

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it no longer reads: see Process.write
            self._stdin.write(data)
            await self._stdin.drain()  # waits while the command takes no more

    async def write_eof(self) -> None:
        self._stdin.close()

    async def read(self, size: int = CHUNK) -> Chunk | None:
        while self._reads:
            await asyncio.wait(self._reads.values(), return_when=asyncio.FIRST_COMPLETED)
            name = next(name for name, task in self._reads.items() if task.done())
            if data := self._reads.pop(name).result():
                self._reads[name] = asyncio.create_task(self._streams[name].read(size))
                self._tails[name] = (self._tails[name] + data)[-1024:]
                return Chunk(name, data)
        await self.wait()  # raises if the streams ended because the connection did
        return None

    async def wait(self) -> int | None:
        status = await self._child.wait()
        if status == 255:  # ssh's own, the command's, or a signal
            error = self._connection.error(self._tails["err"], errors.ConnectionLost)
            if not isinstance(error, errors.ConnectionLost) or (await self._connection.ask("-Ocheck"))[0]:
                raise error
        return status

    async def close(self) -> None:
        """End ssh, so that the host closes the command's streams."""
        self._connection.processes.discard(self)
        for task in self._reads.values():
            task.cancel()
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            self._child.terminate()
            await asyncio.wait_for(self._child.communicate(), 5)


def _private_folder() -> str:
    """A folder that only this user can use, with a short name: a socket's path has room for about 100 letters."""
    folder = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/rjob-ssh-{os.getuid()}"  # noqa: S108  (checked below)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if (found.st_mode, found.st_uid) != (0o040700, os.getuid()):  # a folder, and no link to one
        raise errors.ConnectFailed(f"{folder} is not a folder of yours alone", hint="remove it, or set XDG_RUNTIME_DIR")
    return folder


@hookimpl
def rjob_transports() -> list[type[Transport]]:
    """What rjob calls once the entry point has led it to this module."""
    return [OpenSSHTransport]
