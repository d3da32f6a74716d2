"""The plugin's own behaviour, beyond the conformance suite, against a private OpenSSH server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import rjob_openssh
from rjob_openssh import OpenSSHTransport

from rjob.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    HostKeyRejected,
    TimedOut,
    TransportError,
    UsageError,
)
from rjob.testing.conformance import run
from rjob.testing.sshd import Sshd, free_port
from rjob.transports.base import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(env={"HOME": str(tmp_path_factory.mktemp("home"))}, shell=("sh",)) as server:
        yield server


@pytest.fixture(autouse=True)
def _own_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Not in tmp_path: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="rjob-", dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


def host(server: Sshd, **settings: Any) -> OpenSSHTransport:
    return OpenSSHTransport(
        Target.parse("openssh://private", name="gpu"), {"ssh_config": str(server.ssh_config), **settings}
    )


async def test_commands_share_one_connection(sshd: Sshd) -> None:
    before = len(sshd.session_pids())
    async with await host(sshd).connect() as first, await host(sshd).connect() as second:
        seen = {(await run(each, ["sh", "-c", "echo $SSH_CONNECTION"])).out for each in (first, first, second)}
    assert len(seen) == 1
    assert len(sshd.session_pids()) > before  # the connection stays for the next command


async def test_the_users_own_control_path_is_used(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    own = tmp_path / "own"
    config.write_text(
        f"Host *\n  ControlPath {own}\n  ControlMaster auto\n  ControlPersist 5\n{sshd.ssh_config.read_text()}"
    )
    async with await host(sshd, ssh_config=str(config)).connect() as connection:
        assert own.is_socket()
        assert (await run(connection, ["echo", "in"])).out == b"in\n"


async def test_an_unknown_host_key(sshd: Sshd) -> None:
    with pytest.raises(HostKeyRejected) as raised:
        await host(sshd, known_hosts="/dev/null").connect()
    assert raised.value.host == "gpu"


async def test_a_key_that_is_not_accepted(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(sshd.ssh_config.read_text().replace(str(sshd.client_key), "/nowhere/key"))
    with pytest.raises(AuthenticationFailed):
        await host(sshd, ssh_config=str(config)).connect()


async def test_a_refused_port(sshd: Sshd) -> None:
    with pytest.raises(ConnectFailed, match="refused"):
        await host(sshd, port=free_port()).connect()


async def test_a_name_that_does_not_resolve(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real ssh would ask the system's resolver, and wait for it.
    said = "ssh: Could not resolve hostname no-such-host.invalid: said the stand-in"
    stand_in = tmp_path / "ssh"
    stand_in.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 255\n")
    stand_in.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConnectFailed, match=r"no-such-host\.invalid: said the stand-in") as raised:
        await host(sshd, hostname="no-such-host.invalid").connect()
    assert not raised.value.transient


async def test_closing_signals_no_process_that_has_ended(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id may be another process's by then."""
    signalled: list[int] = []
    async with await host(sshd).connect() as connection:
        process = await connection.run(["true"])
        while await process.read():
            pass
        assert await process.wait() == 0
        monkeypatch.setattr(os, "kill", lambda pid, _: signalled.append(pid))
        await process.close()
    assert signalled == []


async def test_closing_leaves_no_pipe_open_that_another_process_holds(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A master in the background shares the pipes of the commands that it serves."""
    connection = await host(sshd).connect()
    stand_in = tmp_path / "ssh"
    stand_in.write_text("#!/bin/sh\nsleep 60 </dev/null >/dev/null &\necho $! >&1\nexec sleep 60\n")
    stand_in.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = set(os.listdir("/proc/self/fd"))
    process = await connection.run(["true"])
    stream, text = await process.read() or ("", b"")
    assert stream == "out"
    await process.close()
    # The transports of the pipes close in the next turns of the loop.
    async with asyncio.timeout(3):
        while set(os.listdir("/proc/self/fd")) - before:  # noqa: ASYNC110  (nothing else tells of it)
            await asyncio.sleep(0.01)
    os.kill(int(text), signal.SIGKILL)
    await connection.close()


async def test_a_host_that_never_answers(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimedOut):
        await host(sshd, port=silent.getsockname()[1], connect_timeout=1).connect()


async def test_a_url_without_a_host() -> None:
    with pytest.raises(UsageError):
        await OpenSSHTransport(Target.parse("openssh:"), {}).connect()


async def test_a_connection_that_breaks(tmp_path: Path) -> None:
    with Sshd(folder=tmp_path / "sshd") as server:
        async with await host(server).connect() as connection:
            process = await connection.run(["sh", "-c", "echo up; exec sleep 300"])
            assert await process.read() is not None
            server.drop_connections()
            with pytest.raises(ConnectionLost):
                await process.read()


async def test_a_master_that_goes(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    # Not in tmp_path: a socket's path must be short.
    socket_of_master = f"{os.environ['XDG_RUNTIME_DIR']}/own"
    lines = f"ControlPath {socket_of_master}\n  ControlMaster auto\n  ControlPersist yes"
    config.write_text(f"Host *\n  {lines}\n{sshd.ssh_config.read_text()}")
    async with await host(sshd, ssh_config=str(config)).connect() as connection:
        process = await connection.run(["sh", "-c", "echo up; exec sleep 300"])
        assert await process.read() == ("out", b"up\n")
        ending = await asyncio.create_subprocess_exec("ssh", "-q", "-S", socket_of_master, "-O", "exit", "private")
        assert await ending.wait() == 0
        with pytest.raises(ConnectionLost):
            await process.read()


async def test_what_ssh_complains_of_is_no_business_of_a_command(sshd: Sshd) -> None:
    async with await host(sshd).connect() as connection:
        command = "echo Connection timed out >&2; exit 255"
        assert await run(connection, ["sh", "-c", command]) == (b"", b"Connection timed out\n", 255)


async def test_a_proxy_command_does_not_hold_anything_up(sshd: Sshd, tmp_path: Path) -> None:
    proxy = tmp_path / "proxy"
    proxy.write_text(
        f"#!{sys.executable}\n"
        "import os, socket, threading\n"
        f"there = socket.create_connection(('127.0.0.1', {sshd.port}))\n"
        "def back():\n"
        "    while data := there.recv(65536):\n"
        "        os.write(1, data)\n"
        "threading.Thread(target=back, daemon=True).start()\n"
        "while data := os.read(0, 65536):\n"
        "    there.sendall(data)\n"
    )
    proxy.chmod(0o700)
    config = tmp_path / "config"
    config.write_text(f"Host *\n  ProxyCommand {proxy}\n{sshd.ssh_config.read_text()}")
    began = time.monotonic()
    async with await host(sshd, ssh_config=str(config)).connect() as connection:
        assert (await run(connection, ["echo", "in"])).out == b"in\n"
    assert time.monotonic() - began < 5  # nothing waited for the master or its proxy, which live a minute


async def test_a_client_that_misses_the_signal_to_end(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = tmp_path / "ssh"
    # ssh's signal handler only sets a flag; while ssh does not check it, ssh ignores the signal like this script.
    deaf.write_text("#!/bin/sh\ntrap '' TERM\necho $$\nexec sleep 300\n")
    deaf.chmod(0o700)
    async with await host(sshd).connect() as connection:
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        process = await connection.run(["true"])
        told = await process.read()
        assert told is not None
        await process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.data), 0)


async def test_a_read_that_is_cancelled_loses_nothing(sshd: Sshd) -> None:
    async with await host(sshd).connect() as connection, await connection.run(["cat"]) as process:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.read(), 0.05)
        await process.write(b"some")
        assert await process.read() == ("out", b"some")


async def test_a_folder_of_somebody_else_is_not_used(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(TransportError, match="not a folder of yours alone"):
        await host(sshd).connect()


def test_the_example_stays_short() -> None:
    assert len(Path(rjob_openssh.__file__).read_text().splitlines()) <= 125
