"""Helpers of the SSH tests: transports to a private server, and programs run without a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from world import need

from rjob.testing.conformance import run
from rjob.testing.sshd import Sshd
from rjob.transports.base import Target
from rjob.transports.ssh import SSHTransport
from rjob.transports.ssh.config import HostSettings

if TYPE_CHECKING:
    from rjob.transports.base import Transport


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
    """Run a program without a terminal; return its standard output. Skip the test if it is not installed."""
    need(str(argv[0]))
    done = subprocess.run(
        argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
    )
    return done.stdout


def unknown(server: Sshd, **settings: Any) -> SSHTransport:
    """Make a transport to the server's address, so that only the home's known_hosts counts."""
    target = Target.parse(f"ssh://{server.user}@127.0.0.1:{server.port}", name="gpu")
    return SSHTransport(target, {"identity_file": str(server.client_key), "retries": 0, **settings})


def settings_of(url: str, config: str, tmp_path: Path, **settings: Any) -> HostSettings:
    path = tmp_path / "config"
    path.write_text(config)
    return HostSettings.of(Target.parse(url, name="gpu"), {"ssh_config": str(path), **settings})
