"""Owns the ``openssh`` scheme: hosts reached through the system's ``ssh`` program, which reads its own configuration.

The worked example of a transport: a Transport knows a host, its Connection runs commands there, each is a Process.
"""

import asyncio
import contextlib
import os
import re
import stat
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, create_subprocess_exec
from asyncio.subprocess import Process as Child
from collections.abc import Sequence
from pathlib import Path

from rjob.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    HostKeyRejected,
    TimedOut,
    TransportError,
    UsageError,
)
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Stream, Transport, command_line

# What ssh says on stderr before it exits with 255, and which error that is.  The first that fits counts.
_COMPLAINTS: list[tuple[str, type[TransportError], str]] = [
    (r"Host key verification failed", HostKeyRejected, "log in once with ssh to see"),
    (r"\S+: Permission denied \(|.*Too many authentication failures", AuthenticationFailed, "does ssh let you in?"),
    (r"(ssh: |Connection ).*timed out", TimedOut, "is the host up, and the port not filtered?"),
    (r"ssh: ", ConnectFailed, "check the name and the port; is sshd running there?"),
    (r"Connection .*(closed|reset)|client_loop: |Timeout, server ", ConnectionLost, "try again"),
]


class OpenSSHTransport(Transport):
    """A host as ``ssh`` knows it."""

    scheme = "openssh"  # the URL scheme, and the name of the entry point in pyproject.toml

    async def connect(self) -> Connection:
        """Open the connection that the commands will share, so that a host out of reach is found out here."""
        if not self.target.host:
            raise UsageError(f"no host in {self.target.name!r}", hint="write it as openssh://[user@]host[:port]")
        connection = OpenSSHConnection(self._ssh(), self.target.host, self.target.name)
        await connection.open()
        return connection

    def _ssh(self) -> list[str]:
        """The ssh command without the host."""
        get = self.settings.get
        options = {
            "User": self.target.user or get("user"),
            "Port": self.target.port or get("port"),
            "HostName": get("hostname"),
            "IdentityFile": get("identity_file"),
            "UserKnownHostsFile": get("known_hosts"),
            "ConnectTimeout": max(1, round(get("connect_timeout", 15))),
            # Asking is for people: without a terminal, ssh has to fail rather than wait for an answer.
            "BatchMode": "no" if sys.stdin is not None and sys.stdin.isatty() else "yes",
            "RemoteCommand": "none",
        }
        words = [word for name, value in options.items() if value for word in ("-o", f'{name}="{value}"')]
        return ["ssh", "-T", "-a", "-x", *(["-F", get("ssh_config")] if get("ssh_config") else []), *words]


class OpenSSHConnection(Connection):
    """Commands by way of one ssh process each, which share the connection of a ControlMaster in the background."""

    def __init__(self, ssh: list[str], host: str, name: str) -> None:
        self._ssh, self._host, self.name = ssh, host, name
        self._processes: list[OpenSSHProcess] = []

    async def open(self) -> None:
        """Log in and do nothing; the connection stays, and is the next rjob's too."""
        child = await create_subprocess_exec(*self._call("-G"), stdout=PIPE, stderr=DEVNULL)
        if b"\ncontrolpath " not in (await child.communicate())[0]:  # else it is the user's own to rule
            self._ssh += ["-o", f"ControlPath={_private_folder()}/%C", "-o", "ControlPersist=60"]
        with tempfile.TemporaryFile() as log:  # no pipe: the master goes on, and its ProxyCommand would hold it open
            words = self._call("-o", "ControlMaster=auto", command=["true"])
            child = await create_subprocess_exec(*words, stdin=DEVNULL, stdout=DEVNULL, stderr=log)
            try:
                status = await child.wait()
            finally:
                await _end(child)
            log.seek(0)
            said = log.read()
        ...
