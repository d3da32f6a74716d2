"""Every directive about host keys, tried with ``ssh`` and with rjob: rjob never accepts what ``ssh`` refuses."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncssh
import pytest
from world import need

from rjob.errors import ConfigError, ConnectFailed, HostKeyRejected
from rjob.testing.sshd import Sshd
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport
from rjob.transports.ssh.config import HostSettings
from rjob.transports.ssh.hostkeys import HostKeys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCEPT, REFUSE = "both accept", "both refuse"

ALL = "* {key}\n"
"""A known_hosts file with the server's key for hosts of any name."""

HERE = "[127.0.0.1]:{port} {key}\n"
OTHER = "* {other}\n"
AUTHORITY = "@cert-authority * {ca}\n"


class Case(NamedTuple):
    """One configuration: directives, the user's known_hosts, other files, and the outcome that it must have."""

    lines: str
    known: str = HERE
    outcome: str = ACCEPT
    """ACCEPT, REFUSE, or the reason why rjob refuses what ssh accepts."""
    server: str = "plain"
    files: dict[str, str] = {}  # noqa: RUF012  (never changed)
    commands: tuple[str, ...] = ()
    """Shell lines that create further files."""


NEVER = "by decision: a changed key is never accepted, whatever the policy"
BEFORE = "not possible: rjob asks before it has seen the key"
TOOL = ("printf '%s\\n' '#!/bin/sh' 'test \"$1\" = ORDER || cat {dir}/b' >tool; chmod +x tool",)
FEWER = "by decision: a directive that lets more keys in is not honoured"

CASES = [
    # StrictHostKeyChecking
    *(Case(f"StrictHostKeyChecking {value}") for value in ("yes", "ask", "accept-new", "no", "off", "true", "false")),
    *(Case(f"StrictHostKeyChecking {value}", "", REFUSE) for value in ("yes", "ask", "true", "YES", "none", "perhaps")),
    *(Case(f"StrictHostKeyChecking {value}", "") for value in ("accept-new", "no", "off", "false", "Accept-New")),
    *(Case(f"StrictHostKeyChecking {value}", OTHER, REFUSE) for value in ("yes", "ask", "accept-new")),
    *(Case(f"StrictHostKeyChecking {value}", OTHER, NEVER) for value in ("no", "off")),
    Case("StrictHostKeyChecking yes\nStrictHostKeyChecking no", "", REFUSE),
    # UserKnownHostsFile
    Case("UserKnownHostsFile none", HERE, REFUSE),
    *(Case(f"UserKnownHostsFile none\nStrictHostKeyChecking {value}", "", REFUSE) for value in ("accept-new", "no")),
    Case("UserKnownHostsFile {dir}/nowhere", HERE, REFUSE),
    Case("UserKnownHostsFile {dir}/a {dir}/b", "", files={"b": HERE}),
    Case("UserKnownHostsFile {dir}/a {dir}/b", "", REFUSE, files={"a": OTHER, "b": "x {key}"}),
    Case("UserKnownHostsFile {dir}/a {dir}/b", "", files={"a": OTHER, "b": HERE}),
    Case("UserKnownHostsFile {dir}/%n", "", files={"h": HERE}),
    Case("UserKnownHostsFile {dir}/%k", "", files={"h": HERE, "127.0.0.1": OTHER}),
    Case("HostKeyAlias x\nUserKnownHostsFile {dir}/%k", "", files={"x": ALL, "h": OTHER}),
    Case("UserKnownHostsFile {dir}/%h", "", files={"127.0.0.1": HERE, "h": OTHER}),
    Case("UserKnownHostsFile {dir}/%p-%r", "", files={"{port}-{user}": HERE}),
    Case("UserKnownHostsFile {dir}/%%h", "", files={"%h": HERE}),
    Case("UserKnownHostsFile {dir}/%%h", "", REFUSE, files={"127.0.0.1": HERE}),
    Case("UserKnownHostsFile {dir}/%z", HERE, REFUSE),
    Case("UserKnownHostsFile ${{RJOB_TEST_DIR}}/a", "", files={"a": HERE}),
    Case("UserKnownHostsFile ${{RJOB_TEST_NOTHING}}/a", HERE, REFUSE),
    # GlobalKnownHostsFile: neither tokens nor a home directory
    Case("GlobalKnownHostsFile {dir}/a", "", files={"a": HERE}),
    Case("GlobalKnownHostsFile none", "", REFUSE),
    Case("GlobalKnownHostsFile {dir}/a {dir}/b", "", files={"b": HERE}),
    Case("GlobalKnownHostsFile {dir}/%n", "", REFUSE, files={"h": HERE}),
    Case("GlobalKnownHostsFile {dir}/%n", "", files={"%n": HERE}),
    Case("GlobalKnownHostsFile {dir}/a", "", REFUSE, files={"a": "@revoked * {key}\n" + HERE}),
    Case("GlobalKnownHostsFile {dir}/a", HERE, REFUSE, files={"a": "@revoked * {key}\n"}),
    # HostKeyAlias
    Case("HostKeyAlias x", "x {key}\n"),
    Case("HostKeyAlias x", HERE, REFUSE),
    Case("HostKeyAlias x", "[x]:{port} {key}\n", REFUSE),
    Case("HostKeyAlias none", HERE, REFUSE),
    Case("HostKeyAlias none", "none {key}\n"),
    Case("HostKeyAlias [x]:1", "127.0.0.1 {key}\n", REFUSE),
    Case("HostKeyAlias Xx", "Xx {key}\n"),
    Case("HostKeyAlias Xx", "xx {key}\n"),
    # Names and ports
    Case("", "127.0.0.1 {key}\n"),
    Case("", "h {key}\n", REFUSE),
    Case("", "[127.0.0.1]:1 {key}\n", REFUSE),
    Case("", "[127.0.0.1]:{port} {other}\n127.0.0.1 {key}\n", REFUSE),
    Case("", "[127.0.0.1]:{port} {key}\n[127.0.0.1]:{port} {other}\n"),
    Case("", "[127.0.0.*]:{port} {key}\n"),
    Case("", "*,![127.0.0.1]:{port},!127.0.0.1 {key}\n", REFUSE),
    Case("", "# [127.0.0.1]:{port} {key}\n", REFUSE),
    Case("", "@nonsense * {key}\n", REFUSE),
    Case("", "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {key}\n", REFUSE),
    # HostKeyAlgorithms, RequiredRSASize
    Case("HostKeyAlgorithms ssh-ed25519"),
    Case("HostKeyAlgorithms rsa-sha2-512", HERE, REFUSE),
    Case("HostKeyAlgorithms -ssh-ed25519", HERE, REFUSE),
    Case("HostKeyAlgorithms -*ed25519*", HERE, REFUSE),
    Case("HostKeyAlgorithms ^ecdsa-sha2-nistp256"),
    Case("HostKeyAlgorithms +ssh-rsa"),
    Case("HostKeyAlgorithms nonsense", HERE, REFUSE),
    Case("", server="rsa"),
    Case("HostKeyAlgorithms rsa-sha2-256", server="rsa"),
    Case("RequiredRSASize 2048", server="rsa"),
    Case("RequiredRSASize 4096", HERE, REFUSE, server="rsa"),
    Case("", HERE, REFUSE, server="sha1"),
    Case("HostKeyAlgorithms -ssh-ed25519", HERE, REFUSE, server="sha1"),
    Case("HostKeyAlgorithms ^rsa-sha2-256", HERE, REFUSE, server="sha1"),
    Case("HostKeyAlgorithms +ssh-rsa", server="sha1"),
    # CheckHostIP, HashKnownHosts: tests of their own below
    Case("CheckHostIP yes"),
    Case("CheckHostIP yes", "", REFUSE),
    Case("HashKnownHosts yes\nStrictHostKeyChecking accept-new", ""),
    # RevokedHostKeys
    Case("RevokedHostKeys none"),
    Case("RevokedHostKeys {dir}/nowhere", HERE, REFUSE),
    Case("RevokedHostKeys {dir}", HERE, REFUSE),
    Case("RevokedHostKeys {dir}/a", HERE, REFUSE, files={"a": "{key}\n"}),
    Case("RevokedHostKeys {dir}/a", HERE, REFUSE, files={"a": "# old\n\n{other}\n  {key} with a comment\n"}),
    Case("RevokedHostKeys {dir}/a", HERE, files={"a": "{other}\n"}),
    Case("RevokedHostKeys {dir}/a", HERE, files={"a": ""}),
    Case("RevokedHostKeys {dir}/a", HERE, REFUSE, files={"a": "nonsense\n"}),
    Case("RevokedHostKeys {dir}/a", HERE, REFUSE, files={"a": "* {other}\n"}),
    Case("RevokedHostKeys {dir}/a\nStrictHostKeyChecking no", "", REFUSE, files={"a": "{key}\n"}),
    Case("RevokedHostKeys {dir}/krl", HERE, REFUSE, commands=("ssh-keygen -qkf krl key.pub",)),
    Case("RevokedHostKeys {dir}/krl", HERE, commands=("ssh-keygen -qkf krl other.pub",)),
    Case("RevokedHostKeys {dir}/krl", HERE, commands=("ssh-keygen -qkf krl",)),
    Case(
        "RevokedHostKeys {dir}/krl",
        HERE,
        REFUSE,
        commands=("ssh-keygen -qkf krl other.pub", "head -c 60 krl >part; mv part krl"),
    ),
    Case("RevokedHostKeys {dir}/krl", AUTHORITY, REFUSE, "cert", commands=("ssh-keygen -qkf krl key.pub",)),
    Case("RevokedHostKeys {dir}/krl", AUTHORITY, REFUSE, "cert", commands=("ssh-keygen -qkf krl ca.pub",)),
    Case(
        "RevokedHostKeys {dir}/krl",
        AUTHORITY,
        REFUSE,
        "cert",
        commands=("echo serial: 7 >spec; ssh-keygen -qkf krl -s ca.pub spec",),
    ),
    Case(
        "RevokedHostKeys {dir}/krl",
        AUTHORITY,
        ACCEPT,
        "cert",
        commands=("echo serial: 8 >spec; ssh-keygen -qkf krl -s ca.pub spec",),
    ),
    Case("RevokedHostKeys {dir}/a", AUTHORITY, REFUSE, "cert", files={"a": "{ca}\n"}),
    Case("RevokedHostKeys {dir}/a", AUTHORITY, REFUSE, "cert", files={"a": "{key}\n"}),
    # @revoked and @cert-authority
    Case("", HERE + "@revoked * {key}\n", REFUSE),
    Case("", HERE + "@revoked [127.0.0.1]:{port} {key}\n", REFUSE),
    Case("", HERE + "@revoked * {other}\n"),
    Case("", HERE + "@revoked elsewhere {key}\n"),
    Case("StrictHostKeyChecking accept-new", "@revoked * {key}\n", REFUSE),
    Case("StrictHostKeyChecking no", "@revoked * {key}\n", "by decision: a revoked key is never accepted"),
    Case("", AUTHORITY, ACCEPT, "cert"),
    Case("", "@cert-authority 127.0.0.1 {ca}\n", ACCEPT, "cert"),
    Case("", "@cert-authority elsewhere {ca}\n", REFUSE, "cert"),
    Case("", "@cert-authority * {other}\n", REFUSE, "cert"),
    Case("", AUTHORITY + "@revoked * {ca}\n", REFUSE, "cert"),
    Case("", AUTHORITY + "@revoked * {key}\n", REFUSE, "cert"),
    Case("", AUTHORITY, REFUSE, "plain"),
    Case("", "* {ca}\n", REFUSE, "cert"),
    Case("", HERE, ACCEPT, "cert"),
    Case("HostKeyAlias x", AUTHORITY, REFUSE, "cert"),
    Case("", AUTHORITY, REFUSE, "expired"),
    Case("", AUTHORITY, REFUSE, "elsewhere"),
    Case("", AUTHORITY, ACCEPT, "anywhere"),
    Case("", AUTHORITY, REFUSE, "user certificate"),
    # CASignatureAlgorithms
    Case("CASignatureAlgorithms ssh-ed25519", AUTHORITY, ACCEPT, "cert"),
    Case("CASignatureAlgorithms rsa-sha2-512", AUTHORITY, REFUSE, "cert"),
    Case("CASignatureAlgorithms -ssh-ed25519", AUTHORITY, REFUSE, "cert"),
    Case("CASignatureAlgorithms rsa-sha2-512", HERE),
    # KnownHostsCommand
    Case("KnownHostsCommand {dir}/cat {dir}/a", "", files={"a": HERE}),
    Case("KnownHostsCommand {dir}/cat {dir}/a", "", REFUSE, files={"a": OTHER}),
    Case("KnownHostsCommand {dir}/cat {dir}/a", HERE, REFUSE, files={"a": "@revoked * {key}\n"}),
    Case("KnownHostsCommand {dir}/cat {dir}/%n", "", files={"h": HERE}),
    Case("KnownHostsCommand {dir}/tool %I %H", "", files={"b": HERE}, commands=TOOL),
    Case("KnownHostsCommand {dir}/tool %I %H", HERE, REFUSE, files={"b": "@revoked * {key}\n"}, commands=TOOL),
    Case("KnownHostsCommand {dir}/cat {dir}/nowhere", HERE, REFUSE),
    Case("KnownHostsCommand {dir}/nowhere", "", REFUSE),
    Case("KnownHostsCommand {dir}/nowhere", HERE, "by decision: what cannot be asked may know of a revoked key"),
    Case("KnownHostsCommand cat {dir}/a", HERE, "as above; the path is not absolute", files={"a": HERE}),
    Case("KnownHostsCommand {dir}/tool HOSTNAME %H %K", "", BEFORE, files={"b": HERE}, commands=TOOL),
    Case("KnownHostsCommand {dir}/tool HOSTNAME %H %t", "", BEFORE, files={"b": HERE}, commands=TOOL),
    Case("KnownHostsCommand {dir}/tool HOSTNAME %H %f", "", BEFORE, files={"b": HERE}, commands=TOOL),
    # The rest
    *(Case(f"VerifyHostKeyDNS {value}", "", REFUSE) for value in ("yes", "no", "ask")),
    Case("UpdateHostKeys yes"),
    Case("UpdateHostKeys yes", "", REFUSE),
    Case("NoHostAuthenticationForLocalhost yes", OTHER, FEWER),
    Case("NoHostAuthenticationForLocalhost no", OTHER, REFUSE),
]


class Servers:
    """The servers of all kinds, each started on demand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._servers: dict[str, Sshd] = {}
        for name, options in {"key": "", "other": "", "ca": "", "rsa": "-t rsa -b 2048"}.items():
            keygen(folder, f"-f {name} {options or '-t ed25519'}")

    def get(self, kind: str) -> Sshd:
        """Return the server of a kind."""
        if kind not in self._servers:
            folder = self.folder / f"server-{kind.replace(' ', '-')}"
            # It exists if sshd could not be started before.
            folder.mkdir(exist_ok=True)
            name = "rsa" if kind in ("rsa", "sha1") else "key"
            for suffix in ("", ".pub"):
                shutil.copy(self.folder / f"{name}{suffix}", folder / f"host_key{suffix}")
            lines = ["HostKeyAlgorithms ssh-rsa"] if kind == "sha1" else []
            signing = {
                "cert": "-h -n 127.0.0.1",
                "expired": "-h -n 127.0.0.1 -V 20200101:20200102",
                "elsewhere": "-h -n elsewhere",
                "anywhere": "-h",
                "user certificate": "-n 127.0.0.1",
            }.get(kind)
            if signing is not None:
                keygen(folder, f"-s ../ca -I host -z 7 {signing} host_key.pub", new=False)
                lines.append(f"HostCertificate {folder}/host_key-cert.pub")
            self._servers[kind] = Sshd(folder=folder, lines=lines).start()
        return self._servers[kind]

    def stop(self) -> None:
        """Stop all of them."""
        for server in self._servers.values():
            server.stop()


def keygen(folder: Path, options: str, *, new: bool = True) -> None:
    words = [need("ssh-keygen"), "-q", *(["-N", ""] if new else []), *options.split()]
    subprocess.run(words, cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    need("ssh")
    made = Servers(tmp_path_factory.mktemp("servers"))
    yield made
    made.stop()


def write(case: Case, servers: Servers, server: Sshd, folder: Path) -> Path:
    """Write the files of a case; return the path of the SSH configuration."""
    folder.mkdir()
    keys = {name: " ".join((servers.folder / f"{name}.pub").read_text().split()[:2]) for name in ("other", "ca")}
    keys["key"] = " ".join((server.folder / "host_key.pub").read_text().split()[:2])
    values: dict[str, Any] = {"dir": folder, "port": server.port, "user": server.user, **keys}
    for name, key in keys.items():
        (folder / f"{name}.pub").write_text(key + "\n")
    (folder / "cat").symlink_to("/bin/cat")
    for name, content in {"known": case.known, **case.files}.items():
        (folder / name.format(**values)).write_text(content.format(**values))
    for command in case.commands:
        subprocess.run(["sh", "-c", command.format(**values)], cwd=folder, check=True)
    config = folder / "config"
    config.write_text(
        f"{case.lines.format(**values)}\n"
        f"UserKnownHostsFile {folder}/known\nGlobalKnownHostsFile none\n"
        f"HostName 127.0.0.1\nPort {server.port}\nUser {server.user}\n"
        f"IdentityFile {server.client_key}\nIdentitiesOnly yes\n"
    )
    return config


def ssh_accepts(config: Path) -> bool:
    done = subprocess.run(
        ["ssh", "-F", config, "-o", "BatchMode=yes", "-o", "ControlPath=none", "h", "echo in"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == (b"in\n" if done.returncode == 0 else b""), done
    assert done.returncode in (0, 255), done
    return done.returncode == 0


async def rjob_accepts(config: Path) -> bool:
    try:
        async with await SSHTransport(Target.parse("ssh://h"), {"ssh_config": str(config)}).connect():
            return True
    except (HostKeyRejected, ConfigError):
        return False
    except ConnectFailed as error:
        # A server that shares no algorithm with its client may hang up before it says so.
        if not re.search("algorithm|hung up", f"{error.message} {error.hint}"):
            raise
        return False


def name_of(case: Case) -> str:
    files = "".join(f" {name}={text}" for name, text in case.files.items())
    return " | ".join([case.lines, case.known, *case.commands, case.server]).replace("\n", ";") + files.strip()


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_a_directive(case: Case, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers.get(case.server)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("RJOB_TEST_NOTHING", raising=False)
    accepted = []
    for who in ("ssh", "rjob"):
        monkeypatch.setenv("RJOB_TEST_DIR", str(tmp_path / who))
        config = write(case, servers, server, tmp_path / who)
        accepted.append(ssh_accepts(config) if who == "ssh" else await rjob_accepts(config))
    said = {(True, True): ACCEPT, (False, False): REFUSE, (True, False): "rjob is stricter"}
    found = said.get((accepted[0], accepted[1]), "RJOB IS LAXER")
    assert found == (case.outcome if case.outcome in (ACCEPT, REFUSE) else "rjob is stricter")


@pytest.mark.parametrize(
    ("lines", "address", "refused"),
    [
        ("CheckHostIP yes", "192.0.2.7", True),
        ("CheckHostIP yes", "192.0.2.8", False),
        ("CheckHostIP yes\nHostKeyAlias x", "192.0.2.7", False),
        ("CheckHostIP yes\nProxyCommand cat", "192.0.2.7", False),
        ("CheckHostIP no", "192.0.2.7", False),
        ("", "192.0.2.7", False),
    ],
)
def test_a_key_that_is_known_by_another_address(tmp_path: Path, lines: str, address: str, refused: bool) -> None:
    """Test rjob alone: ssh does not look at addresses of the loopback interface."""
    mine, other = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    known = tmp_path / "known"
    known.write_text(f"h {mine.export_public_key().decode()}192.0.2.7 {other.export_public_key().decode()}")
    config = tmp_path / "config"
    config.write_text(f"{lines}\nUserKnownHostsFile {known}\nGlobalKnownHostsFile none\n")
    keys = HostKeys(HostSettings.of(Target.parse("ssh://h"), {"ssh_config": str(config)}), direct=True)
    with pytest.raises(asyncssh.HostKeyNotVerifiable, match="CheckHostIP") if refused else nullcontext():
        keys.inspect(mine.public_data, address)
    assert (keys.refusal is not None) == refused


def test_a_key_that_is_added_is_hashed_on_request(servers: Servers, tmp_path: Path) -> None:
    case = Case("HashKnownHosts yes\nStrictHostKeyChecking accept-new", "")
    for who in ("ssh", "rjob"):
        config = write(case, servers, servers.get("plain"), tmp_path / who)
        assert ssh_accepts(config) if who == "ssh" else asyncio.run(rjob_accepts(config))
        assert re.fullmatch(r"\|1\|\S+ ssh-ed25519 \S+\n", (tmp_path / who / "known").read_text())
