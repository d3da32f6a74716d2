"""SSH connections: logging in, hop by hop, and running commands on the open connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shlex
import signal
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import asyncssh

from rjob.errors import AuthenticationFailed, ConfigError
from rjob.transports.base import CHUNK, Chunk, Connection, Process, command_line
from rjob.transports.ssh.config import HostSettings
from rjob.transports.ssh.errors import while_connecting, while_in_use, while_starting
from rjob.transports.ssh.hostkeys import HostKeys
from rjob.transports.ssh.keys import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rjob.caller import Caller
    from rjob.transports.base import Stream, Target

SESSIONS = 8
"""The most commands at a time on one connection: sshd's MaxSessions is 10 by default."""

FULL_RETRIES = 6
"""Retries of starting a command on a connection that is full: about 5 seconds in total."""

_CIPHERS = "^aes128-gcm@openssh.com"  # twice the throughput of the library's first choice
_BUFFER = 1 << 20
_PIECE = 1 << 18
_GOODBYE = 2.0


async def open_connection(target: Target, settings: Mapping[str, Any], caller: Caller | None = None) -> SSHConnection:
    """Log in to a host, through its jump hosts.

    Args:
        target: The machine; it has a host.
        settings: Its settings.
        caller: The caller on whose behalf it logs in; None for this process itself.

    Raises:
        ConfigError: A setting or the SSH configuration is unusable.
        TransportError: No connection could be made.
    """
    # In a thread: the configuration may run commands (Match exec), or be on a slow disk.
    route = await asyncio.to_thread(lambda: HostSettings.of(target, settings, caller).route())
    return SSHConnection(route[-1], await _log_in_along(route))


async def _pause(attempt: int) -> None:
    """Back off before another attempt: 0.1 to 0.2 s, doubling up to 2 s; random, so that many clients spread out."""
    await asyncio.sleep(min(2, 0.2 * 2**attempt) * random.uniform(0.5, 1))  # noqa: S311


class _Chain:
    """Open connections, each tunnelled through the one before it, and the proxy command of the first."""

    def __init__(self) -> None:
        self.connections: list[asyncssh.SSHClientConnection] = []
        self.proxy: asyncio.subprocess.Process | None = None

    @property
    def last(self) -> asyncssh.SSHClientConnection | None:
        """The connection to the farthest host so far."""
        return self.connections[-1] if self.connections else None

    async def call_proxy(self, command: str) -> socket.socket:
        """Start a proxy command; return the socket that is connected to it.

        The library would start it without a shell, and take its stderr for data from the host.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self.proxy = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                f"exec {command}",
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        return ours

    async def close(self) -> None:
        """Close the connections, the farthest host's first, and kill the proxy command."""
        for connection in reversed(self.connections):
            connection.close()
            try:
                async with asyncio.timeout(_GOODBYE):
                    await connection.wait_closed()
            except Exception:  # the error that broke it is reported by its users
                connection.abort()
        if self.proxy is not None:
            with contextlib.suppress(ProcessLookupError):
                # Not kill(): before Python 3.13 it reaps the process without asyncio's knowledge.
                os.kill(self.proxy.pid, signal.SIGKILL)
            await self.proxy.wait()


async def _log_in_along(route: list[HostSettings]) -> _Chain:
    chain = _Chain()
    try:
        for hop in route:
            chain.connections.append(await _log_in(hop, chain))
    except BaseException:
        await chain.close()
        raise
    return chain


async def _log_in(host: HostSettings, chain: _Chain) -> asyncssh.SSHClientConnection:
    """Log in to one host, through the connection to the previous one if there is one."""
    loop = asyncio.get_running_loop()

    def prompting(begins: bool) -> None:
        # The host's timeout is suspended while the user enters a passphrase.
        when = None if begins else loop.time() + host.connect_timeout
        loop.call_soon_threadsafe(deadline.reschedule, when)

    keys, ring = await asyncio.to_thread(lambda: (HostKeys(host, direct=chain.last is None), Keyring(host, prompting)))
    try:
        async with asyncio.timeout(host.connect_timeout) as deadline:
            options = _options(host, keys, ring)
            proxy = cast("str | None", host.config.get("ProxyCommand"))
            sock = await chain.call_proxy(proxy) if proxy and chain.last is None else None
            return await asyncssh.connect(
                host.hostname, host.port, tunnel=chain.last, sock=sock, config=None, options=options
            )
    except Exception as error:
        if keys.refusal is not None:
            raise keys.refusal from error
        mapped = while_connecting(error, host)
        if isinstance(mapped, AuthenticationFailed) and mapped.hint is None:
            mapped = _explain(mapped, host, ring)
        raise mapped from error
    finally:
        await ring.close()


def _options(host: HostSettings, keys: HostKeys, ring: Keyring) -> asyncssh.SSHClientConnectionOptions:
    """Build the library's options. Everything that is not set here comes from the configuration read before.

    Raises:
        ConfigError: The library cannot use the configuration.
    """
    seed = asyncssh.SSHClientConnectionOptions(config=None, client_keys=None, x509_trusted_certs=None, known_hosts=b"")
    seed.config = host.config
    options: dict[str, Any] = {
        "options": seed,
        "config": None,
        "client_factory": lambda: _Client(keys, ring),
        "host": host.hostname,
        "port": host.port,
        "username": host.user,
        "proxy_command": None,
        "known_hosts": keys.trusted,
        "server_host_key_algs": keys.algorithms(),
        "client_keys": None,
        "gss_host": None,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "request_pty": False,
        "command": None,
        "encoding": None,
        "connect_timeout": None,
        "login_timeout": 0,
        "keepalive_interval": host.keepalive,
        "keepalive_count_max": host.keepalive_count,
    }
    if not host.config.get("Ciphers"):
        options["encryption_algs"] = _CIPHERS
    try:
        return asyncssh.SSHClientConnectionOptions(**options)
    except ValueError as error:
        raise ConfigError(f"cannot use the SSH configuration: {error}", host=host.name) from error


def _explain(error: AuthenticationFailed, host: HostSettings, ring: Keyring) -> AuthenticationFailed:
    """Add to an error which keys were tried, and a hint."""
    tried = f"tried {', '.join(ring.offered)}" if ring.offered else "there is no key to try"
    if ring.skipped:
        hint = f"{ring.skipped[0]} has a passphrase: ssh-add {shlex.quote(str(ring.skipped[0]))}"
    else:
        port = "" if host.port == 22 else f"-p {host.port} "
        hint = f"ssh-copy-id {port}{host.user}@{host.hostname}, or name a key with identity_file"
    return AuthenticationFailed(f"{error.message} ({tried})", hint=hint, host=host.name)


class _Client(asyncssh.SSHClient):
    """The library's callbacks during login."""

    def __init__(self, keys: HostKeys, ring: Keyring) -> None:
        self._keys = keys
        self._ring = ring

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        # The library's other callbacks get neither certificates nor keys that it considers known.
        validate = conn.validate_server_host_key

        def inspect(data: bytes) -> asyncssh.SSHKey:
            self._keys.inspect(data, str((conn.get_extra_info("peername") or [""])[0]))
            try:
                return validate(data)
            except asyncssh.HostKeyNotVerifiable as error:
                self._keys.refuse(str(error))
                raise

        conn.validate_server_host_key = inspect  # type: ignore[method-assign, assignment]  # there is no other hook

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        return self._keys.judge(key)

    def begin_auth(self, username: str) -> None:
        self._keys.remember()

    async def public_key_auth_requested(self) -> Sequence[asyncssh.SSHKeyPair]:
        return await self._ring.next()


class SSHConnection(Connection):
    """A connection to one host, tunnelled through the connections to its jump hosts.

    At most :data:`SESSIONS` commands run at a time; :meth:`run` waits for one of them to end before it starts another.
    """

    def __init__(self, host: HostSettings, chain: _Chain) -> None:
        self._host = host
        self._chain = chain
        self._connection = chain.connections[-1]
        self._places = asyncio.Semaphore(SESSIONS)

    async def run(self, argv: Sequence[str]) -> Process:
        """Start a command; see :meth:`Connection.run`."""
        line = command_line(argv)
        await self._places.acquire()
        try:
            session = await self._start(line)
        except BaseException:
            self._places.release()
            raise
        session.when_closed(self._places.release)
        return SSHProcess(self._host, self._connection, session)

    async def _start(self, line: str) -> _Session:
        """Open a session. Retry while the host refuses because it is full: then nothing was started.

        The host may still count commands that ended or were closed: sshd does so for a moment, or until they notice.
        """
        attempt = 0
        while True:
            try:
                _, session = await self._connection.create_session(_Session, line)
                return cast("_Session", session)
            except Exception as error:  # data from the host can make the library raise anything
                if self._connection.is_closed() or not isinstance(error, asyncssh.ChannelOpenError):
                    raise while_in_use(error, self._host) from error
                full = error.code in (asyncssh.OPEN_CONNECT_FAILED, asyncssh.OPEN_RESOURCE_SHORTAGE)
                if not full or attempt == FULL_RETRIES:
                    raise while_starting(error, self._host) from error
            await _pause(attempt)
            attempt += 1

    async def close(self) -> None:
        """Close the connection and what still runs through it."""
        await self._chain.close()


class _Session(asyncssh.SSHClientSession[bytes]):
    """The buffered events of one command."""

    def __init__(self) -> None:
        self._ended: Callable[[], None] | None = None
        self._chunks: deque[Chunk] = deque()
        self._buffered = 0
        self._paused = False
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.channel: asyncssh.SSHClientChannel[bytes]
        self.at_end = False
        self.closed = False
        self.error: Exception | None = None
        self.status: int | None = None

    def when_closed(self, call: Callable[[], None]) -> None:
        """Register a function to call when the session is closed; call it at once if it is."""
        if self.closed:
            call()
        else:
            self._ended = call

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self.channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        stream: Stream = "err" if datatype == asyncssh.EXTENDED_DATA_STDERR else "out"
        self._chunks.append(Chunk(stream, data))
        self._buffered += len(data)
        if self._buffered > _BUFFER and not self._paused:
            self._paused = True
            self.channel.pause_reading()
        self._changed.set()

    def eof_received(self) -> bool:
        self.at_end = True
        self._changed.set()
        return True  # a command that has closed its output may still read its input

    def exit_status_received(self, status: int) -> None:
        self.status = status
        self._changed.set()

    def exit_signal_received(self, signal_name: str, core_dumped: bool, msg: str, lang: str) -> None:
        number = getattr(signal, f"SIG{signal_name}", None)
        self.status = 128 + number if number is not None else 255
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.at_end = self.closed = True
        self._changed.set()
        self._writable.set()
        if self._ended is not None:
            self._ended()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def until_writable(self) -> None:
        """Wait until the command can take more input, or the session is closed."""
        await self._writable.wait()

    async def change(self) -> None:
        """Wait for the next event."""
        self._changed.clear()
        await self._changed.wait()

    def take(self, size: int) -> Chunk | None:
        """Return buffered bytes: packets of one stream, joined up to about ``size``; None if there are none."""
        if not self._chunks:
            return None
        stream, data = self._chunks.popleft()
        if self._chunks and len(data) < size:
            parts, length = [data], len(data)
            while self._chunks and self._chunks[0].stream == stream and length < size:
                parts.append(self._chunks.popleft().data)
                length += len(parts[-1])
            data = b"".join(parts)
        self._buffered -= len(data)
        if self._paused and self._buffered <= _BUFFER // 2:
            self._paused = False
            self.channel.resume_reading()
        return Chunk(stream, data)


class SSHProcess(Process):
    """One command in its SSH session, as :meth:`SSHConnection.run` returns it."""

    def __init__(self, host: HostSettings, connection: asyncssh.SSHClientConnection, session: _Session) -> None:
        self._host = host
        self._connection = connection
        self._session = session

    async def write(self, data: bytes) -> None:
        """Send bytes to the command's standard input; see :meth:`Process.write`."""
        for start in range(0, len(data), _PIECE):
            if self._session.channel.is_closing():
                break
            try:
                self._session.channel.write(data[start : start + _PIECE])
            except OSError:  # the channel is just closing
                break
            await self._session.until_writable()
        if self._lost():
            raise while_in_use(self._session.error, self._host)

    async def write_eof(self) -> None:
        """Close the command's standard input."""
        with contextlib.suppress(OSError):
            self._session.channel.write_eof()

    async def read(self, size: int = CHUNK) -> Chunk | None:
        """Wait for bytes of either stream; see :meth:`Process.read`."""
        while (chunk := self._session.take(size)) is None:
            if self._lost():
                raise while_in_use(self._session.error, self._host)
            if self._session.at_end:
                return None
            await self._session.change()
        return chunk

    async def wait(self) -> int | None:
        """Wait for the command's exit status; see :meth:`Process.wait`."""
        while self._session.status is None and not self._session.closed:
            await self._session.change()
        if self._lost():
            raise while_in_use(self._session.error, self._host)
        return self._session.status

    async def close(self) -> None:
        """Close both streams of the command; its further output is dropped."""
        self._session.channel.abort()

    def _lost(self) -> bool:
        """Whether the connection broke before the command ended, rather than the host closing the session."""
        session = self._session
        if not session.closed or session.status is not None:
            return False
        return session.error is not None or self._connection.is_closed()
