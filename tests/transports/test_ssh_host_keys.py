"""The host keys that the SSH transport accepts, and its messages about the others."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest
from transports.servers import says, tool, unknown

from rjob.errors import (
    HostKeyRejected,
)
from rjob.testing.sshd import Sshd
from rjob.transports.ssh import knownhosts

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("home")]


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
    """Require the known_hosts line itself in the hint: ssh-keyscan cannot reach the host by its alias."""
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
