"""The SSH transport against real OpenSSH servers."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from world import wait_until

from rjob.caller import Caller
from rjob.core.owner import Owner
from rjob.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    HostKeyRejected,
    RjobError,
    TimedOut,
    TransportError,
    UsageError,
)
from rjob.testing.conformance import TransportTests, drain, run
from rjob.testing.sshd import Sshd, free_port
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport, knownhosts
from rjob.transports.ssh.config import HostSettings
from rjob.transports.ssh.errors import while_connecting, while_in_use, while_starting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rjob.transports.base import Transport

pytestmark = pytest.mark.timeout(120)


def host(server: Sshd, name: str = "private", /, **settings: Any) -> SSHTransport:
    return SSHTransport(
        Target.parse(f"ssh://{name}", name="gpu"), {"ssh_config": str(server.ssh_config), "retries": 0, **settings}
    )


async def says(transport: Transport, *argv: str) -> bytes:
    connection = await transport.connect()
    async with connection:
        outcome = await run(connection, argv)
    assert outcome.status == 0
    return outcome.out


def tool(*argv: str | Path) -> str:
    """What a program says, run without a terminal."""
    done = subprocess.run(
        argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
    )
    return done.stdout


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Sshd]:
    """A server that a test may restart, break or reconfigure."""
    with Sshd(folder=tmp_path / "sshd") as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any SSH files."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("RJOB_SSH_CONFIG", raising=False)
    return home


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
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} here")
    words = ["", "a  b", "$HOME", "`id`", 'say "hi"', "*", "~", "#", "{a,b}", "%s", "a=b", "[x]", "^", "&|;<>()"]
    with Sshd(env={"HOME": str(tmp_path)}, shell=shell) as server:
        out = await says(host(server), "sh", "-c", 'for a do printf "<%s>" "$a"; done', "sh", *words)
        where = await says(host(server), "pwd")
    assert out.decode() == "".join(f"<{word}>" for word in words)
    assert where.decode().strip() == str(tmp_path)


# Host keys


def unknown(server: Sshd, **settings: Any) -> SSHTransport:
    """The server, called by its address, so that only the home's known_hosts counts."""
    target = Target.parse(f"ssh://{server.user}@127.0.0.1:{server.port}", name="gpu")
    return SSHTransport(target, {"identity_file": str(server.client_key), "retries": 0, **settings})


async def test_an_unknown_host_key_is_refused_and_the_hint_accepts_it(sshd: Sshd, home: Path) -> None:
    (home / ".ssh").mkdir()
    with pytest.raises(HostKeyRejected) as raised:
        await unknown(sshd).connect()
    shown = tool("ssh-keygen", "-lf", sshd.folder / "host_key.pub").split()[1]
    assert shown in raised.value.message
    assert "ssh-ed25519" in raised.value.message
    assert raised.value.host == "gpu"
    assert raised.value.hint is not None
    command = raised.value.hint.partition("then: ")[2]
    assert command == f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> ~/.ssh/known_hosts"
    tool("sh", "-c", command)
    assert await says(unknown(sshd), "echo", "in") == b"in\n"


async def test_the_hint_for_a_host_that_goes_by_another_name(sshd: Sshd, home: Path, tmp_path: Path) -> None:
    """The host cannot be asked for its key under that name, so the hint has the very line to add."""
    (home / ".ssh").mkdir()
    config = tmp_path / "config"
    config.write_text("HostKeyAlias cluster\n")
    with pytest.raises(HostKeyRejected) as raised:
        await unknown(sshd, ssh_config=str(config)).connect()
    assert raised.value.hint is not None
    command = raised.value.hint.partition("then: ")[2]
    assert command.startswith("echo 'cluster ssh-ed25519 ")
    tool("sh", "-c", command)
    assert await says(unknown(sshd, ssh_config=str(config)), "echo", "in") == b"in\n"


async def test_known_hosts_none_does_not_switch_verification_off(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("UserKnownHostsFile none\nGlobalKnownHostsFile none\n")
    with pytest.raises(HostKeyRejected) as raised:
        await unknown(sshd, ssh_config=str(config)).connect()
    assert raised.value.hint is not None
    assert "known_hosts" in raised.value.hint


@pytest.mark.parametrize("hashed", ["yes", "no"])
async def test_accept_new_writes_the_key_down(sshd: Sshd, home: Path, tmp_path: Path, hashed: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"StrictHostKeyChecking accept-new\nHashKnownHosts {hashed}\n")
    known = home / ".ssh/known_hosts"
    assert await says(unknown(sshd, ssh_config=str(config)), "echo", "in") == b"in\n"
    assert (known.stat().st_mode & 0o777, known.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert known.read_text().startswith("|1|" if hashed == "yes" else f"[127.0.0.1]:{sshd.port} ")
    assert "ssh-ed25519" in tool("ssh-keygen", "-f", known, "-F", f"[127.0.0.1]:{sshd.port}")
    before = known.read_text()
    assert await says(unknown(sshd), "echo", "in") == b"in\n"
    assert await says(unknown(sshd, ssh_config=str(config)), "echo", "in") == b"in\n"
    assert known.read_text() == before


@pytest.mark.parametrize("policy", ["yes", "ask", "accept-new", "no", "off"])
async def test_a_changed_host_key_is_refused_whatever_the_policy(other: Sshd, tmp_path: Path, policy: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"StrictHostKeyChecking {policy}\n")
    known = tmp_path / "my hosts"
    known.write_text(f"# mine\n{other.known_hosts.read_text()}")
    settings = {"ssh_config": str(config), "known_hosts": str(known)}
    assert await says(unknown(other, **settings), "echo", "in") == b"in\n"
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    known.write_text(f"# mine\n[127.0.0.1]:{other.port} {key}")
    with pytest.raises(HostKeyRejected) as raised:
        await unknown(other, **settings).connect()
    assert "CHANGED" in raised.value.message
    assert f"{known}, line 2" in raised.value.message
    assert raised.value.hint is not None
    command = raised.value.hint.partition(": ")[2]
    assert command == f"ssh-keygen -f '{known}' -R '[127.0.0.1]:{other.port}'"
    tool("sh", "-c", command)
    with pytest.raises(HostKeyRejected, match="not known") if policy in ("yes", "ask") else nullcontext():
        await says(unknown(other, **settings), "true")


async def test_another_kind_of_key_counts_as_changed(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    known.write_text(f"[127.0.0.1]:{sshd.port} {key}")
    with pytest.raises(HostKeyRejected, match="CHANGED"):
        await unknown(sshd, known_hosts=str(known)).connect()


async def test_a_revoked_host_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    key = (sshd.folder / "host_key.pub").read_text()
    known.write_text(f"[127.0.0.1]:{sshd.port} {key}@revoked * {key}")
    with pytest.raises(HostKeyRejected, match="revoked"):
        await unknown(sshd, known_hosts=str(known)).connect()


async def test_a_certificate_authority_vouches_for_hosts(tmp_path: Path) -> None:
    folder = tmp_path / "sshd"
    folder.mkdir()
    for name in ("ca", "host_key"):
        tool("ssh-keygen", "-qt", "ed25519", "-N", "", "-f", folder / name)
    signing = [
        "ssh-keygen",
        "-qs",
        str(folder / "ca"),
        "-I",
        "host",
        "-h",
        "-n",
        "127.0.0.1",
        str(folder / "host_key.pub"),
    ]
    tool(*signing)
    known = tmp_path / "known"
    authority = (folder / "ca.pub").read_text()
    with Sshd(folder=folder, lines=[f"HostCertificate {folder}/host_key-cert.pub"]) as server:
        known.write_text(f"@cert-authority *.example,[127.0.0.*]:{server.port} {authority}")
        assert await says(unknown(server, known_hosts=str(known)), "echo", "in") == b"in\n"
        known.write_text(f"@cert-authority *.example {authority}")
        with pytest.raises(HostKeyRejected, match="not known"):
            await unknown(server, known_hosts=str(known)).connect()


@pytest.mark.parametrize(
    ("names", "name", "found"),
    [
        ("a", "a", True),
        ("A", "a", True),
        ("a,b", "b", True),
        ("*.lan", "x.lan", True),
        ("*.lan,!x.lan", "x.lan", False),
        ("!x.lan,*.lan", "y.lan", True),
        ("[a]:2222", "[a]:2222", True),
        ("[a]:2222", "a", False),
        ("a?c", "abc", True),
        ("|1|broken", "a", False),
        ("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=", "b", False),
    ],
)
def test_names_in_known_hosts(names: str, name: str, found: bool) -> None:
    assert knownhosts.matches(names, name) is found


async def test_a_broken_line_in_known_hosts_does_no_harm(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"rubbish\n@what x\n\nhost ssh-ed25519 AAAA\n{sshd.known_hosts.read_text()}")
    assert await says(unknown(sshd, known_hosts=str(known)), "echo", "in") == b"in\n"


# No connection


async def test_a_refused_port() -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(ConnectFailed, match=f"refused by 127.0.0.1:{port}") as raised:
        await SSHTransport(Target.parse(f"ssh://127.0.0.1:{port}", name="gpu"), {}).connect()
    assert raised.value.hint == f"is sshd running on 127.0.0.1:{port}?"
    assert raised.value.transient
    assert time.monotonic() - began < 5


async def test_a_host_that_comes_up_while_it_is_retried(tmp_path: Path) -> None:
    server = Sshd(folder=tmp_path / "sshd").start()
    server.stop()
    owner = Owner("gpu", host(server), {"retries": 20}, Caller.here())
    connecting = asyncio.create_task(owner.channel.connect())
    await asyncio.sleep(0)
    with server:
        await connecting
        await owner.close()


async def test_a_name_that_does_not_resolve() -> None:
    began = time.monotonic()
    with pytest.raises(ConnectFailed, match="cannot resolve 'no-such-host.invalid'") as raised:
        await SSHTransport(Target.parse("ssh://no-such-host.invalid", name="gpu"), {}).connect()
    assert not raised.value.transient
    assert time.monotonic() - began < 10


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


# Keys


async def test_a_key_that_is_not_accepted(sshd: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    tool("ssh-keygen", "-qt", "ed25519", "-N", "", "-f", key)
    with pytest.raises(AuthenticationFailed) as raised:
        await unknown(sshd, identity_file=str(key), known_hosts=str(sshd.known_hosts)).connect()
    assert str(key) in raised.value.message
    assert raised.value.hint is not None
    assert f"ssh-copy-id -p {sshd.port}" in raised.value.hint


async def test_without_any_key(sshd: Sshd) -> None:
    with pytest.raises(AuthenticationFailed, match="there is no key to try"):
        await unknown(sshd, identity_file=None, known_hosts=str(sshd.known_hosts)).connect()


@pytest.fixture
def locked_key(sshd: Sshd, tmp_path: Path) -> Path:
    """The accepted key, under a passphrase."""
    key = tmp_path / "locked"
    shutil.copy(sshd.client_key, key)
    tool("ssh-keygen", "-qp", "-N", "open sesame", "-f", key)
    return key


PROBE = """
import asyncio, sys
from rjob.errors import RjobError
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport

async def main(port, user, key, known):
    target = Target.parse(f"ssh://{user}@127.0.0.1:{port}", name="gpu")
    async with await SSHTransport(target, {"identity_file": key, "known_hosts": known}).connect():
        print("in")

try:
    asyncio.run(main(*sys.argv[1:]))
except RjobError as error:
    print(type(error).__name__, error.hint)
"""


def test_a_passphrase_is_not_asked_for_without_a_terminal(sshd: Sshd, locked_key: Path) -> None:
    said = tool(sys.executable, "-c", PROBE, str(sshd.port), sshd.user, str(locked_key), str(sshd.known_hosts))
    assert said == f"AuthenticationFailed {locked_key} has a passphrase: ssh-add {locked_key}\n"


@pytest.mark.parametrize("public_half", [True, False])
def test_a_passphrase_is_asked_for_on_the_terminal(sshd: Sshd, locked_key: Path, public_half: bool) -> None:
    pytest.importorskip("bcrypt")
    if public_half:
        shutil.copy(f"{sshd.client_key}.pub", f"{locked_key}.pub")
    argv = [sys.executable, "-c", PROBE, str(sshd.port), sshd.user, str(locked_key), str(sshd.known_hosts)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, argv)
    seen = b""
    answers = [b"wrong\n", b"open sesame\n"]
    while select.select([terminal], [], [], 30)[0]:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # how Linux tells that nobody is left on the other side
            break
        seen += data
        while answers and seen.count(b"Passphrase for") > 2 - len(answers):
            os.write(terminal, answers.pop(0))
    os.close(terminal)
    os.waitpid(pid, 0)
    assert seen.split()[-1] == b"in", seen
    assert b"sesame" not in seen


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket_path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket_path], stdout=subprocess.DEVNULL) as process:
        wait_until(socket_path.exists, seconds=10, what="the agent")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
        yield
        process.terminate()


@pytest.mark.usefixtures("agent")
async def test_the_agents_key_spares_the_passphrase(sshd: Sshd, locked_key: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    tool("ssh-keygen", "-qt", "ed25519", "-N", "", "-f", wrong)
    tool("ssh-add", "-q", wrong, sshd.client_key)
    settings = {"identity_file": str(locked_key), "known_hosts": str(sshd.known_hosts)}
    assert await says(unknown(sshd, **settings), "echo", "in") == b"in\n"


@pytest.mark.usefixtures("agent")
async def test_identities_only_limits_the_agent(sshd: Sshd, tmp_path: Path) -> None:
    tool("ssh-add", "-q", sshd.client_key)
    config = tmp_path / "config"
    config.write_text("IdentitiesOnly yes\n")
    settings = {"ssh_config": str(config), "known_hosts": str(sshd.known_hosts)}
    with pytest.raises(AuthenticationFailed):
        await unknown(sshd, identity_file=None, **settings).connect()
    # The public half is enough to say which of the agent's keys is meant.
    assert await says(unknown(sshd, identity_file=f"{sshd.client_key}.pub", **settings), "echo", "in") == b"in\n"


# ssh_config


async def test_jump_hosts(sshd: Sshd, other: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    far = sshd.ssh_config.read_text().replace("Host private", "Host far\n    ProxyJump near", 1)
    config.write_text(far + other.ssh_config.read_text().replace("Host private", "Host near", 1))
    target = Target.parse("ssh://far", name="gpu")
    transport = SSHTransport(target, {"ssh_config": str(config), "retries": 0})
    async with await transport.connect() as connection:
        assert (await run(connection, ["sh", "-c", "echo $SSH_CONNECTION"])).out.split()[-1] == b"%d" % sshd.port
        assert len(other.session_pids()) > 0
    # The jump host's key is looked at as closely as the target's.
    config.write_text(config.read_text().replace(str(other.known_hosts), "none"))
    with pytest.raises(HostKeyRejected, match=f":{other.port} is not known"):
        await transport.connect()


async def test_a_jump_host_that_cannot_reach_the_target(other: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    port = free_port()
    config.write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  ProxyJump private\n{other.ssh_config.read_text()}"
    )
    with pytest.raises(ConnectFailed, match=f"jump host cannot reach 127.0.0.1:{port}"):
        await SSHTransport(Target.parse("ssh://far"), {"ssh_config": str(config), "retries": 0}).connect()


async def test_jump_hosts_in_a_circle(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(ConfigError, match="too many hosts"):
        await SSHTransport(Target.parse("ssh://a"), {"ssh_config": str(config)}).connect()


async def test_a_proxy_command(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"

    relay = tmp_path / "relay.py"
    relay.write_text(
        "import os, socket, sys, threading\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): s.sendall(data)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536): os.write(1, data)\n"
    )
    config.write_text(sshd.ssh_config.read_text() + f"    ProxyCommand {sys.executable} {relay} %h %p 2>/dev/null\n")
    target = Target.parse("ssh://private", name="gpu")
    assert await says(SSHTransport(target, {"ssh_config": str(config), "retries": 0}), "echo", "in") == b"in\n"


def settings_of(url: str, config: str, tmp_path: Path, **settings: Any) -> HostSettings:
    path = tmp_path / "config"
    path.write_text(config)
    return HostSettings.of(Target.parse(url, name="gpu"), {"ssh_config": str(path), **settings})


def test_precedence(tmp_path: Path) -> None:
    config = "Host g\n  HostName h\n  User c\n  Port 3\n  ConnectTimeout 7\n  ServerAliveInterval 9\n"
    found = settings_of("ssh://g", config, tmp_path)
    assert (found.hostname, found.user, found.port, found.connect_timeout, found.keepalive) == ("h", "c", 3, 7, 9)
    found = settings_of("ssh://g", config, tmp_path, user="s", port=4, hostname="k", connect_timeout=8, keepalive=2)
    assert (found.hostname, found.user, found.port, found.connect_timeout, found.keepalive) == ("k", "s", 4, 8, 2)
    found = settings_of("ssh://u@g:5", config, tmp_path, user="s", port=4)
    assert (found.hostname, found.user, found.port) == ("h", "u", 5)


def test_the_environment_names_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c").write_text("Host g\n  Port 77\n")
    monkeypatch.setenv("RJOB_SSH_CONFIG", str(tmp_path / "c"))
    assert HostSettings.of(Target.parse("ssh://g"), {}).port == 77


def test_the_users_configuration_includes_and_matches(home: Path) -> None:
    folder = home / ".ssh"
    folder.mkdir()
    (folder / "config").write_text(
        'Include more\nMatch originalhost g exec "exit 0"\n  User m\nMatch final\n  Port 5\n'
    )
    (folder / "more").write_text("Host g\n  HostName %h.lan\n")
    found = HostSettings.of(Target.parse("ssh://g"), {})
    assert (found.hostname, found.user, found.port) == ("g.lan", "m", 5)


@pytest.mark.parametrize(
    "config", ["Port many\n", "Host\n", "StrictHostKeyChecking perhaps\n", "Match nonsense\n", 'User "a\n']
)
def test_a_broken_configuration(tmp_path: Path, config: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings_of("ssh://g", config, tmp_path)
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("settings", [{"port": "22"}, {"user": 3}, {"connect_timeout": "1"}, {"port": True}])
def test_unusable_settings(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        settings_of("ssh://g", "", tmp_path, **settings)


async def test_a_url_without_a_host() -> None:
    with pytest.raises(UsageError):
        await SSHTransport(Target.parse("ssh:"), {}).connect()


def test_unhonoured_directives_are_named(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host g\n  ControlMaster auto\n  ControlPath none\n  RequestTTY force\n  User u\n  VisualHostKey yes\n"
        "Host other\n  ForwardAgent yes\n"
    )
    lines = SSHTransport(Target.parse("ssh://g"), {"ssh_config": str(config)}).unhonoured()
    assert [line.split()[0] for line in lines] == ["ControlMaster", "RequestTTY"]
    assert f"({config}, line 2)" in lines[0]


async def test_directives_that_would_spoil_a_command(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        sshd.ssh_config.read_text() + "    RequestTTY force\n    RemoteCommand echo wrong\n    ForwardAgent yes\n"
    )
    target = Target.parse("ssh://private", name="gpu")
    out = await says(SSHTransport(target, {"ssh_config": str(config)}), "sh", "-c", "test -t 0 || echo none")
    assert out == b"none\n"


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
    """A relay that stops passing bytes on stands for the network that is gone without a word."""
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


# Errors


def every_subclass(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_subclass(below)


def made(kind: type[BaseException]) -> Exception:
    """An exception of this class, whatever its arguments are called."""
    error = kind.__new__(kind)
    Exception.__init__(error, "some\nreason\x1b[31m.")
    for name, value in {"code": 2, "reason": "some reason", "lang": "en"}.items():
        setattr(error, name, value)
    assert isinstance(error, Exception)
    return error


LIBRARY = sorted(
    {
        kind
        for base in (asyncssh.Error, OSError, ValueError)
        for kind in every_subclass(base)
        if issubclass(kind, Exception)
    }
    - set(every_subclass(RjobError)),
    key=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
LIBRARY = [kind for kind in LIBRARY if kind.__module__.split(".")[0] in ("asyncssh", "builtins", "socket")]


@pytest.mark.parametrize("kind", LIBRARY, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_of_the_library_is_mapped(kind: type[BaseException], tmp_path: Path) -> None:
    settings = settings_of("ssh://g", "", tmp_path)
    for mapping in (while_connecting, while_starting, while_in_use):
        mapped = mapping(made(kind), settings)
        assert isinstance(mapped, TransportError | ConfigError)
        assert mapped.host == "gpu"
        assert re.fullmatch(r"[ -~]+", mapped.message)
        assert not mapped.message.endswith(".")
