"""Servers that send garbage at any stage: each causes one of rjob's errors, no traceback and no other output."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from rjob.errors import RjobError, TransportError
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from world import World

VERSION = b"SSH-2.0-OpenSSH_9.2\r\n"
SEED = int(os.environ.get("RJOB_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
ROUNDS = 40


def packet(payload: bytes) -> bytes:
    """Pack a message as SSH does before keys are exchanged."""
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def disconnect(code: int, reason: bytes, language: bytes = b"") -> bytes:
    return packet(b"\x01" + struct.pack(">I", code) + text(reason) + text(language))


def kexinit(*names: bytes) -> bytes:
    lists = [
        b"curve25519-sha256",
        b"ssh-ed25519",
        b"aes128-ctr",
        b"aes128-ctr",
        b"hmac-sha2-256",
        b"hmac-sha2-256",
        b"none",
        b"none",
        b"",
        b"",
    ]
    lists[: len(names)] = names
    return packet(b"\x14" + bytes(16) + b"".join(map(text, lists)) + b"\x00" + bytes(4))


REASONS = [b"", b"bye", b"\x1b[31m\r\nrjob: other: gone\x07", b"\xff\xfe\x00", "é\u202e\u2028".encode(), b"x" * 30000]

SCRIPTS: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(100_000),
    "a line for ever": b"x" * 200_000,
    "lines for ever": b"x\n" * 50_000,
    "control characters": b"\x1b[2J\x1b[31m\r\n\x00\xff\n" + VERSION,
    "an old version": b"SSH-1.5-old\r\n",
    "a version that is no text": b"SSH-2.0-\xff\xfe\x1b[31m\r\n",
    "a version too long": b"SSH-2.0-" + b"x" * 5000 + b"\r\n",
    "version, then nothing": VERSION,
    "version, then zeros": VERSION + bytes(100_000),
    "version, then ff": VERSION + b"\xff" * 100_000,
    "version, then text": VERSION + b"Exceeded MaxStartups\r\n",
    "an empty packet": VERSION + packet(b""),
    "padding longer than the packet": VERSION + struct.pack(">IB", 12, 200) + bytes(11),
    "a packet cut short": VERSION + packet(b"\x14" + bytes(16))[:-9],
    "kexinit without lists": VERSION + packet(b"\x14" + bytes(16)),
    "kexinit with no text": VERSION + kexinit(b"\xff\xfe", b"\x00"),
    "kexinit with nothing in common": VERSION + kexinit(b"a", b"b"),
    "kexinit twice": VERSION + kexinit() * 2,
    "newkeys too early": VERSION + kexinit() + packet(b"\x15"),
    "kex reply of zeros": VERSION + kexinit() + packet(b"\x1f" + bytes(60)),
    "kex reply with a key of zeros": VERSION + kexinit() + packet(b"\x1f" + text(bytes(51)) + text(bytes(32)) * 2),
    "kex reply with a broken key": VERSION
    + kexinit()
    + packet(b"\x1f" + text(text(b"ssh-ed25519") + text(b"xx")) + text(bytes(32)) + text(bytes(64))),
    "kex reply with an unknown key": VERSION
    + kexinit()
    + packet(b"\x1f" + text(text(b"\xff") + text(b"xx")) + text(bytes(32)) + text(bytes(64))),
    "kex reply with a broken certificate": VERSION
    + kexinit()
    + packet(
        b"\x1f"
        + text(text(b"ssh-ed25519-cert-v01@openssh.com") + text(b"n") + text(bytes(32)) + bytes(90))
        + text(bytes(32)) * 2
    ),
    "a channel before its time": VERSION + kexinit() + packet(b"\x5b" + bytes(16)),
    "success before its time": VERSION + kexinit() + packet(b"\x34"),
    "ext info of nonsense": VERSION + kexinit() + packet(b"\x07\xff\xff\xff\xff"),
    "debug of nonsense": VERSION + packet(b"\x04\x01" + text(b"\xff\x1b[31m") + text(b"\xff")),
    "unknown messages": VERSION + b"".join(packet(bytes([number])) for number in range(192, 256)),
    **{
        f"disconnect {code} {reason[:8]!r}": VERSION + disconnect(code, reason)
        for code in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 99, 2**32 - 1)
        for reason in REASONS
    },
    "disconnect in a broken language": VERSION + disconnect(2, b"x", b"\xff"),
    "disconnect cut short": VERSION + packet(b"\x01\x00\x00"),
    "disconnect with a length that lies": VERSION + packet(b"\x01\x00\x00\x00\x02\xff\xff\xff\xff"),
}


class Liar:
    """A server that sends the same bytes to every client, whatever it receives."""

    def __init__(self, says: Callable[[], bytes]) -> None:
        self._says = says
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with peer:
            try:
                peer.sendall(self._says())
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(5)
                while peer.recv(65536):
                    pass
            except OSError:
                pass

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()


@pytest.fixture(autouse=True)
def _small_heap() -> Iterator[None]:
    """Let the garbage collector look only at what a test makes: that takes a hundredth of the time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail a test in which the standard streams are written to, or a warning or error is logged."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= 30] == []
    assert capfd.readouterr() == ("", "")


def transport_to(port: int, tmp_path: Path, **settings: Any) -> SSHTransport:
    config = tmp_path / "config"
    config.write_text("UserKnownHostsFile none\nGlobalKnownHostsFile none\nIdentityFile none\nIdentityAgent none\n")
    target = Target("gpu", "ssh", "127.0.0.1", "me", port)
    return SSHTransport(target, {"ssh_config": str(config), "connect_timeout": 5, **settings})


async def refusal(transport: SSHTransport) -> RjobError:
    """Return the error of a host that cannot be reached, after a check that it can be shown to users."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: unhandled.append(context))
    with pytest.raises(TransportError) as raised:
        await (await transport.connect()).run(["true"])
    error = raised.value
    # It holds the traceback.
    del raised
    await collected(error)
    assert error.host == "gpu"
    assert error.message.isprintable()
    assert len(error.message) < 600
    assert (error.hint or "").isprintable()
    assert unhandled == []
    return error


async def collected(error: BaseException | None = None) -> None:
    """Let the event loop hear of every exception of a task that nobody has retrieved.

    Args:
        error: An exception that the caller holds: its traceback must not keep such a task alive.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("script", SCRIPTS)
async def test_nonsense_while_connecting(script: str, tmp_path: Path) -> None:
    liar = Liar(lambda: SCRIPTS[script])
    try:
        await refusal(transport_to(liar.port, tmp_path))
    finally:
        liar.close()


@pytest.mark.usefixtures("quiet")
async def test_random_nonsense_while_connecting(tmp_path: Path) -> None:
    print_seed = f"RJOB_SEED={SEED}"
    chance = random.Random(SEED)

    def says() -> bytes:
        data = bytearray(chance.choice(list(SCRIPTS.values())) + VERSION + kexinit() + chance.randbytes(500))
        for _ in range(chance.randrange(1, 9)):
            data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
        return bytes(data[: chance.randrange(1, 1500)])

    liar = Liar(says)
    try:
        for number in range(ROUNDS):
            try:
                await refusal(transport_to(liar.port, tmp_path))
            except BaseException as error:
                error.add_note(f"{print_seed}, round {number}")
                raise
    finally:
        liar.close()


class Server(asyncssh.SSHServer):
    """A server that accepts every user, and lets a test send messages at login (user ``early``) or in a session."""

    def __init__(self, act: Callable[[asyncssh.SSHServerConnection, int], None]) -> None:
        self._act = act

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        if username == "early":
            self._act(self._connection, 0)
        return False

    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        return Session(self._connection, self._act)


class Session(asyncssh.SSHServerSession[bytes]):
    """A session of that server, which writes a line, lets the test send messages and ends the command."""

    def __init__(self, connection: asyncssh.SSHServerConnection, act: Callable[..., None]) -> None:
        self._connection, self._act = connection, act

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        return True

    def session_started(self) -> None:
        self._channel.write(b"said\n")
        channel = self._channel._send_chan
        assert channel is not None
        self._act(self._connection, channel)
        self._channel.exit(0)


def send(kind: int, body: bytes) -> Callable[[asyncssh.SSHServerConnection, int], None]:
    """Make a function that sends a message of a kind, with the channel's number in the place of ``CHAN``."""

    def act(connection: asyncssh.SSHServerConnection, channel: int) -> None:
        connection.send_packet(kind, body.replace(b"CHAN", struct.pack(">I", channel)))

    return act


IN_USE = {
    "nothing": lambda _connection, _channel: None,
    "disconnect": send(1, struct.pack(">I", 11) + text(b"\x1b[31mbye") + text(b"")),
    "disconnect with an odd code": send(1, struct.pack(">I", 2**32 - 1) + text(b"bye") + text(b"")),
    "disconnect with no text": send(1, struct.pack(">I", 2) + text(b"\xff") + text(b"\xff")),
    "disconnect cut short": send(1, b"\x00"),
    "an unknown channel": send(94, struct.pack(">I", 77) + text(b"x")),
    "data cut short": send(94, b"CHAN\xff\xff"),
    "too much data": send(94, b"CHAN" + text(bytes(3_000_000))),
    "data of a strange kind": send(95, b"CHAN" + struct.pack(">I", 9) + text(b"x")),
    "a request of nonsense": send(98, b"CHAN" + text(b"\xff") + b"\x01"),
    "an exit status cut short": send(98, b"CHAN" + text(b"exit-status") + b"\x00\x00"),
    "an exit signal with no text": send(98, b"CHAN" + text(b"exit-signal") + b"\x00" + text(b"\xff") * 4),
    "a window too large": send(93, b"CHAN\xff\xff\xff\xff"),
    "a confirmation twice": send(91, b"CHAN" + bytes(12)),
    "a failure too late": send(92, b"CHAN" + struct.pack(">I", 1) + text(b"x") + text(b"")),
    "a global request cut short": send(80, b"\xff"),
    "kexinit cut short": send(20, b"\x00"),
    "newkeys": send(21, b""),
    "success once more": send(52, b""),
    "zeros": send(0, b""),
    "a strange channel": send(90, text(b"\xff") + bytes(12)),
}


async def served(act: Callable[..., None]) -> asyncssh.SSHAcceptor:
    return await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: Server(act),
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        encoding=None,
    )


async def talk(transport: SSHTransport) -> None:
    async with await transport.connect() as connection:
        process = await connection.run(["true"])
        async with process, asyncio.timeout(20):
            await process.write(b"x")
            while await process.read() is not None:
                pass
            await process.wait()
            await (await connection.run(["true"])).close()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("user", ["early", "late"])
@pytest.mark.parametrize("what", IN_USE)
async def test_nonsense_in_use(what: str, user: str, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: unhandled.append(context))
    server = await served(IN_USE[what])
    config = tmp_path / "config"
    config.write_text(f"StrictHostKeyChecking no\nUserKnownHostsFile {tmp_path}/known\nIdentityAgent none\n")
    target = Target("gpu", "ssh", "127.0.0.1", user, server.get_port())
    try:
        await talk(SSHTransport(target, {"ssh_config": str(config), "connect_timeout": 5}))
    except TransportError as error:
        message = error.message
        await collected(error)
    else:
        message = "it was harmless"
    finally:
        server.close()
    assert message.isprintable()
    assert what != "nothing" or "harmless" in message
    await collected()
    assert unhandled == []


@pytest.mark.parametrize("script", ["a version that is no text", "disconnect 9 b''", "kex reply with a broken key"])
def test_one_bad_host_does_not_hide_the_rest(rjob: World, script: str) -> None:
    liar = Liar(lambda: SCRIPTS[script])
    try:
        rjob.config.write_text(f'[hosts.gpu]\nhostname = "127.0.0.1"\nport = {liar.port}\nretries = 0\n')
        ref = rjob.start("true")
        done = rjob("get", "-H", "gpu", "-H", ".", "-q", "--all", status=1)
        assert done.text.split() == [ref]
        (line, *hint) = done.errors.splitlines()
        assert line.startswith("rjob: gpu: ")
        assert len(hint) <= 1
    finally:
        liar.close()
