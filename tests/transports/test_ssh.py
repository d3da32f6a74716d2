"""The SSH transport against real OpenSSH servers."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from transports.servers import host, says, tool
from world import need

from rjob.caller import Caller
from rjob.core.owner import Owner
from rjob.errors import (
    ConnectFailed,
    ConnectionLost,
    TimedOut,
)
from rjob.testing.conformance import TransportTests, drain, run
from rjob.testing.sshd import Sshd, free_port
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport

if TYPE_CHECKING:
    from rjob.transports.base import Connection, Transport

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("home")]


class TestConformance(TransportTests):
    @pytest.fixture
    def transport(self, sshd: Sshd) -> Transport:
        return host(sshd)

    @pytest.fixture
    def unreachable(self) -> Transport | None:
        target = Target.parse(f"ssh://127.0.0.1:{free_port()}", name="gpu")
        return SSHTransport(target, {"retries": 0})


@pytest.mark.parametrize(
    "shell",
    [("bash",), ("dash",), ("busybox", "sh"), ("fish",), ("tcsh",), ("ksh",), ("mksh",), ("yash",)],
    ids=" ".join,
)
async def test_words_pass_every_login_shell(shell: tuple[str, ...], tmp_path: Path) -> None:
    need(shell[0])
    words = ["", "a  b", "$HOME", "`id`", 'say "hi"', "*", "~", "#", "{a,b}", "%s", "a=b", "[x]", "^", "&|;<>()"]
    with Sshd(env={"HOME": str(tmp_path)}, shell=shell) as server:
        out = await says(host(server), "sh", "-c", 'for a do printf "<%s>" "$a"; done', "sh", *words)
        where = await says(host(server), "pwd")
    assert out.decode() == "".join(f"<{word}>" for word in words)
    assert where.decode().strip() == str(tmp_path)


# While connecting


async def test_a_refused_port() -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(ConnectFailed, match=f"refused by 127.0.0.1:{port}") as raised:
        await SSHTransport(Target.parse(f"ssh://127.0.0.1:{port}", name="gpu"), {}).connect()
    assert raised.value.hint == f"is sshd running on 127.0.0.1:{port}?"
    assert raised.value.transient
    assert time.monotonic() - began < 5


async def test_a_host_that_comes_up_while_it_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Sshd(folder=tmp_path / "sshd").start()
    server.stop()
    transport = host(server)
    connect, refused = transport.connect, asyncio.Event()

    async def attempt() -> Connection:
        try:
            return await connect()
        except ConnectFailed:
            refused.set()
            raise

    monkeypatch.setattr(transport, "connect", attempt)
    owner = Owner("gpu", transport, {"retries": 20}, Caller.here())
    connecting = asyncio.create_task(owner.channel.connect())
    async with asyncio.timeout(20):
        await refused.wait()
    with server:
        await connecting
        await owner.close()


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    with pytest.raises(ConnectFailed, match="cannot resolve 'no-such-host.invalid'") as raised:
        await SSHTransport(Target.parse("ssh://no-such-host.invalid", name="gpu"), {}).connect()
    assert not raised.value.transient


async def test_a_host_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target.parse(f"ssh://127.0.0.1:{silent.getsockname()[1]}", name="gpu")
        began = time.monotonic()
        with pytest.raises(TimedOut, match=r"within 0\.3 s"):
            await SSHTransport(target, {"connect_timeout": 0.3}).connect()
        assert time.monotonic() - began < 5


async def test_a_server_that_hangs_up_is_asked_again() -> None:
    calls = 0

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        target = Target.parse(f"ssh://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="gpu")
        with pytest.raises(ConnectFailed, match="hung up during the handshake") as raised:
            await Owner("gpu", SSHTransport(target, {}), {"retries": 2}, Caller.here()).channel.connect()
    assert raised.value.transient
    assert calls == 3


async def test_a_server_that_speaks_something_else() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n" * 2000)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        target = Target.parse(f"ssh://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="gpu")
        with pytest.raises(ConnectFailed):
            await SSHTransport(target, {"retries": 0}).connect()


# In use


async def test_a_connection_that_breaks(other: Sshd) -> None:
    async with await host(other).connect() as connection:
        process = await connection.run(["sh", "-c", "echo up; exec sleep 300"])
        assert await process.read() is not None
        other.drop_connections()
        with pytest.raises(ConnectionLost) as raised:
            await process.read()
        assert raised.value.host == "gpu"
        with pytest.raises(ConnectionLost):
            await process.wait()
        with pytest.raises(ConnectionLost):
            await process.write(b"more")
        with pytest.raises(ConnectionLost):
            await connection.run(["true"])
        await process.write_eof()
        await process.close()


async def test_a_host_that_falls_silent(sshd: Sshd) -> None:
    """Simulate a network that fails without notice, by a relay that stops passing bytes on."""
    pipes: list[asyncio.Task[None]] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", sshd.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)

        pipes.extend([asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer))])
        try:
            await asyncio.wait(pipes)
            await asyncio.Event().wait()
        finally:
            far_writer.close()
            writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    target = Target("gpu", "ssh", "private", port=server.sockets[0].getsockname()[1])
    known = sshd.folder / "relayed"
    known.write_text(sshd.known_hosts.read_text().replace(str(sshd.port), str(target.port)))
    settings = {"ssh_config": str(sshd.ssh_config), "known_hosts": str(known), "keepalive": 0.2, "retries": 0}
    connection = await SSHTransport(target, settings).connect()
    process = await connection.run(["sleep", "300"])
    for pipe in pipes:
        pipe.cancel()
    with pytest.raises(ConnectionLost):
        async with asyncio.timeout(20):
            await process.read()
    await connection.close()
    server.close()


async def test_more_commands_than_sessions(sshd: Sshd) -> None:
    async with await host(sshd).connect() as connection:
        outcomes = await asyncio.gather(*(run(connection, ["echo", str(number)]) for number in range(30)))
    assert [int(outcome.out) for outcome in outcomes] == list(range(30))


async def test_a_host_that_runs_few_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rjob.transports.ssh.connection.FULL_RETRIES", 1)
    with Sshd(folder=tmp_path / "sshd", lines=["MaxSessions 1"]) as server:
        async with await host(server).connect() as connection:
            process = await connection.run(["cat"])
            with pytest.raises(ConnectFailed, match="will not run another command now") as raised:
                await connection.run(["true"])
            assert raised.value.transient
            await process.write_eof()
            assert (await drain(process)).status == 0
            assert (await run(connection, ["echo", "in"])).out == b"in\n"


MEMORY = """
import asyncio, resource, sys
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport

async def main(config):
    async with await SSHTransport(Target.parse("ssh://private"), {"ssh_config": config}).connect() as connection:
        process = await connection.run(["head", "-c", str(64 << 20), "/dev/zero"])
        before, total = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
        while (chunk := await process.read()) is not None:
            total += len(chunk.data)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(total, grown)

asyncio.run(main(sys.argv[1]))
"""


def test_memory_stays_flat(sshd: Sshd) -> None:
    total, grown = map(int, tool(sys.executable, "-c", MEMORY, str(sshd.ssh_config)).split())
    assert total == 64 << 20
    assert grown < 16 << 10, f"{grown} KiB more"


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, rjob.transports.ssh; print([m for m in ('asyncssh', 'asyncio') if m in sys.modules])"
    assert tool(sys.executable, "-c", code) == "[]\n"
