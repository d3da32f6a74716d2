"""Owns the ``openssh`` scheme: hosts reached through the system's ``ssh``. It is the worked example of a transport."""

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE, create_subprocess_exec
from collections.abc import Sequence
from functools import partial

from rjob.errors import AuthenticationFailed, ConnectFailed, ConnectionLost, HostKeyRejected, TimedOut, UsageError
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Stream, Transport, command_line

# Texts that occur in the last line of ssh's output when it cannot log in, and the error that each stands for.
_COMPLAINTS = {"verification failed": HostKeyRejected, "denied": AuthenticationFailed, "timed out": TimedOut}


class OpenSSHTransport(Transport):
    """A host that ``ssh`` can reach."""

    scheme = "openssh"  # the URL scheme, and the name of the entry point in pyproject.toml

    async def connect(self) -> Connection:
        """Log in once, so that an unreachable host is detected here. All commands share this connection."""
        if not self.target.host:
            raise UsageError(f"no host in {self.target.name!r}", hint="write openssh://[user@]host[:port]")
        target, get, batch = self.target, self.settings.get, "no" if os.isatty(0) else "yes"  # can the user answer?
        key, patience = get("identity_file"), get("connect_timeout", 15)
        if key and not os.access(key, os.F_OK):  # ssh would go on without it
            raise ConnectFailed(f"identity_file: {key}: no such file", host=target.name)
        options = {"-l": target.user or get("user"), "-p": target.port or get("port"), "-oHostName=": get("hostname")}
        options |= {"-F": get("ssh_config"), "-i": key, "-oUserKnownHostsFile=": get("known_hosts")}
        options |= {"-oConnectTimeout=": round(patience) or 1, "-oBatchMode=": batch, "-oLogLevel=": "ERROR"}
        words = ["ssh", "-T", "-a", "-x", *(f"{option}{value}" for option, value in options.items() if value)]
        connection = _Connection([*words, "-oRemoteCommand=none"], self.target.host, target.name, 5 + patience)
        if b"\ncontrolpath " not in (await connection.ask("-G"))[1]:  # else the user's own settings apply
            folder = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/rjob-ssh-{os.getuid()}"  # noqa: S108  (see below)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            if (found := os.lstat(folder)).st_mode != 0o040700 or found.st_uid != os.getuid():  # a folder, not a link
                raise ConnectFailed(f"{folder} is not a folder of yours alone", host=self.target.name)
            connection.ssh += [f"-oControlPath={folder}/%C", "-oControlPersist=60"]
        if (told := await connection.ask("-oControlMaster=auto"))[0] == 255:
            last = told[1].decode(errors="replace").strip().rpartition("\n")[2].rstrip(".")
            failed = partial(ConnectFailed, transient="resolve" not in last)
            kind = next((kind for words, kind in _COMPLAINTS.items() if words in last), failed)
            raise kind(last or "ssh does not say why", hint="does ssh reach it by itself?", host=self.target.name)
        return connection


class _Connection(Connection):  # one ssh process for each command; they share a ControlMaster in the background
    def __init__(self, ssh: list[str], host: str, name: str, patience: float) -> None:
        self.ssh, self.host, self.name, self.patience = ssh, host, name, patience
        self.processes: set[_Process] = set()

    async def ask(self, *options: str) -> tuple[int, bytes]:
        """Run ssh briefly; return its status and its output until it exits: a master that stays keeps the pipe open."""
        readable, writable = os.pipe()
        with os.fdopen(readable, "rb", 0) as end, os.fdopen(writable, "wb") as other:
            os.set_blocking(readable, False)
            words = [*self.ssh, *options, "--", self.host, "true"]
            child = await create_subprocess_exec(*words, stdin=DEVNULL, stdout=other, stderr=other)
            try:
                return await asyncio.wait_for(child.wait(), self.patience), end.read(CHUNK) or b""
            except TimeoutError:
                child.kill()
                return 255, b"timed out"

    async def run(self, argv: Sequence[str]) -> Process:
        words = [*self.ssh, "-oControlMaster=no", "--", self.host, command_line(argv)]
        child = await create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=CHUNK)
        self.processes.add(process := _Process(child, self))
        return process

    async def close(self) -> None:
        await asyncio.gather(*(process.close() for process in self.processes))


class _Process(Process):  # one ssh process and its command
    def __init__(self, child: asyncio.subprocess.Process, connection: _Connection) -> None:
        assert child.stdin and child.stdout and child.stderr  # noqa: PT018
        self._child, self._stdin, self._connection = child, child.stdin, connection
        self._streams: dict[Stream, asyncio.StreamReader] = {"out": child.stdout, "err": child.stderr}
        self._reads = {name: asyncio.create_task(stream.read(CHUNK)) for name, stream in self._streams.items()}

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the command no longer reads: see Process.write
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
                return Chunk(name, data)
        await self.wait()  # raises if the streams ended because the connection did
        return None

    async def wait(self) -> int | None:
        # 255 is ssh's own status; but while the master is alive, it is the command's, or stands for a signal.
        if (status := await self._child.wait()) < 0 or (status == 255 and (await self._connection.ask("-Ocheck"))[0]):
            raise ConnectionLost("the connection broke", hint="try again", host=self._connection.name)
        return status

    async def close(self) -> None:
        self._connection.processes.discard(self)
        for task in self._reads.values():
            task.cancel()
        if self._child.returncode is None:  # else its process id may be another's
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                os.kill(self._child.pid, 9)  # ssh can miss 15; before Python 3.13, kill() reaps it unknown to asyncio
                async with asyncio.timeout(5):
                    while self._child.returncode is None:  # noqa: ASYNC110  (wait() may wait for the pipes as well)
                        await asyncio.sleep(0.005)
        self._child._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001  (the master may hold a pipe open)


@hookimpl
def rjob_transports() -> list[type[Transport]]:
    """Return the transports of this module; rjob finds the module by its entry point."""
    return [OpenSSHTransport]
