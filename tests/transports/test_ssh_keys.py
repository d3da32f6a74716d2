"""Logging in by SSH: key files, passphrases, the agent."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from transports.servers import says, tool, unknown
from world import need, wait_until

from rjob.errors import (
    AuthenticationFailed,
)
from rjob.testing.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("home")]


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
    """Provide the accepted key, protected by a passphrase."""
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
        except OSError:  # Linux: the other side is closed
            break
        seen += data
        while answers and seen.count(b"Passphrase for") > 2 - len(answers):
            os.write(terminal, answers.pop(0))
    os.close(terminal)
    os.waitpid(pid, 0)
    assert seen.split()[-1] == b"in", seen
    assert b"sesame" not in seen


@pytest.fixture
def agent(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket_path = tmp_path / "agent"
    need("ssh-add")
    with subprocess.Popen([need("ssh-agent"), "-D", "-a", socket_path], stdout=subprocess.DEVNULL) as process:
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
    # The public key is enough to choose one of the agent's keys.
    assert await says(unknown(sshd, identity_file=f"{sshd.client_key}.pub", **settings), "echo", "in") == b"in\n"
