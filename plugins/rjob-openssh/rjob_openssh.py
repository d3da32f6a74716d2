"""Owns the ``openssh`` scheme: hosts reached through the system's ``ssh`` program, which reads its own configuration.

It is also the worked example of a transport.  A transport has three parts: a Transport knows a host, its Connection runs
commands there, and each of these is a Process.  Nothing but rjob's public names is needed for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from rjob.errors import AuthenticationFailed, ConnectFailed, ConnectionLost, HostKeyRejected, TimedOut, TransportError
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Transport, command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.transports.base import Stream

# What ssh says before it exits with 255, and which error that is.  The first that fits counts.
_COMPLAINTS: list[tuple[str, type[TransportError], str]] = [
    ("Host key verification failed|HOST IDENTIFICATION HAS CHANGED", HostKeyRejected, "log in once with ssh to see"),
    ("Permission denied|Too many authentication failures", AuthenticationFailed, "does ssh let you in by itself?"),
    ("timed out", TimedOut, "is the host up, and the port not filtered?"),
    ("Could not resolve hostname", ConnectFailed, "check the name"),
    ("Connection refused", ConnectFailed, "is sshd running there?"),
    ("Connection (closed|reset)|Broken pipe|not responding|client_loop|mux_client", ConnectionLost, "try again"),
]


class OpenSSHTransport(Transport):
    """A host as ``ssh`` knows it."""

    scheme = "openssh"  # the URL scheme, and the name of the entry point in pyproject.toml

    async def connect(self) -> Connection:
        """Let ssh log in and do nothing, so that it is here that a host that cannot be reached is found out."""
        host = self.target.host
        if not host:
            raise ConnectFailed("no host in the URL", host=self.target.name)
        connection = OpenSSHConnection([*self._command(), "--", host], self.target.name)
        try:
            async with await connection.run(["true"]) as process:
                while await process.read():
                    pass
                await process.wait()
        except ConnectionLost as error:  # what is lost before it was there was never had
            raise ConnectFailed(error.message, transient=True, hint=error.hint, host=error.host) from error
        return connection

    def _command(self) -> list[str]:
        """The ssh command up to the host: first what the user set, then what the plugin needs."""
        get = self.settings.get
        words = ["ssh", "-T", "-o", f"ConnectTimeout={max(1, round(get('connect_timeout', 15)))}"]
        # Asking is for people: without a terminal, ssh has to fail rather than wait for an answer.
        words += ["-o", f"BatchMode={'no' if sys.stdin is not None and sys.stdin.isatty() else 'yes'}"]
        words += ["-o", "RequestTTY=no", "-o", "RemoteCommand=none", "-o", "ForwardAgent=no", "-x"]
        options: dict[str, Any] = {
            "-F": get("ssh_config"),
            "-l": self.target.user or get("user"),
            "-p": self.target.port or get("port"),
            "-i": get("identity_file"),
        }
        words += [word for option, value in options.items() if value for word in (option, str(value))]
        for directive, value in {"HostName": get("hostname"), "UserKnownHostsFile": get("known_hosts")}.items():
            words += ["-o", f"{directive}={value}"] if value else []
        # The user's own ControlPath cannot be asked for without running ssh, so it is ssh that is told to share.
        return [*words, "-o", "ControlMaster=auto", "-o", f"ControlPath={_folder()}/%C", "-o", "ControlPersist=60"]


class OpenSSHConnection(Connection):
    """Nothing is kept open here: ssh's own ControlMaster holds the connection, and ends when nobody uses it.

    Args:
        ssh: The command that a remote command line is added to.
        host: The host's name for messages.
    """

    def __init__(self, ssh: list[str], host: str) -> None:
        self._ssh, self._host = ssh, host
        self._processes: list[OpenSSHProcess] = []

    async def run(self, argv: Sequence[str]) -> Process:
        """Start ``ssh host 'command line'``; what the words may hold is for :func:`command_line` to judge."""
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *self._ssh, command_line(argv), stdin=pipe, stdout=pipe, stderr=pipe, limit=CHUNK
        )
        self._processes.append(OpenSSHProcess(child, self._host))
        return self._processes[-1]

    async def close(self) -> None:
        """End what still runs through it."""
        for process in self._processes:
            await process.close()
