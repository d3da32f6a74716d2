"""The SSH transport's settings, from ssh_config, rjob's settings and the URL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from transports.servers import says, settings_of

from rjob.errors import (
    ConfigError,
    ConnectFailed,
    HostKeyRejected,
    UsageError,
)
from rjob.testing.conformance import run
from rjob.testing.sshd import Sshd, free_port
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport
from rjob.transports.ssh.config import HostSettings

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("home")]


async def test_jump_hosts(sshd: Sshd, other: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    far = sshd.ssh_config.read_text().replace("Host private", "Host far\n    ProxyJump near", 1)
    config.write_text(far + other.ssh_config.read_text().replace("Host private", "Host near", 1))
    target = Target.parse("ssh://far", name="gpu")
    transport = SSHTransport(target, {"ssh_config": str(config), "retries": 0})
    async with await transport.connect() as connection:
        assert (await run(connection, ["sh", "-c", "echo $SSH_CONNECTION"])).out.split()[-1] == b"%d" % sshd.port
        assert len(other.session_pids()) > 0
    # The jump host's key is checked as strictly as the target's.
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
    (key,) = settings
    with pytest.raises(ConfigError, match=f"^{key} must be a "):
        settings_of("ssh://g", "", tmp_path, **settings)


async def test_a_url_without_a_host() -> None:
    with pytest.raises(UsageError, match="no host in 'ssh:'"):
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
