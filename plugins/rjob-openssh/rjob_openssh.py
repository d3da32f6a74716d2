"""Owns the ``openssh`` scheme: hosts reached through the system's ``ssh`` program, which reads its own configuration.

The worked example of a transport: a Transport knows a host, its Connection runs commands, each of them is a Process.
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

from rjob import errors
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Stream, Target, Transport, command_line

# What ssh says before it exits with 255, which error that is, and what to do.  Anything else means: connection lost.
_COMPLAINTS: list[tuple[str, type[errors.TransportError], str]] = [
    ("Host key verification failed", errors.HostKeyRejected, "log in once with ssh to see"),
    ("Permission denied|Too many authentication", errors.AuthenticationFailed, "does ssh let you in by itself?"),
    ("Connection (to .*)?timed out", errors.TimedOut, "is the host up, and the port not filtered?"),
    ("Could not resolve|connect to host", errors.ConnectFailed, "check name and port; is sshd running there?"),
]


class OpenSSHTransport(Transport):
    """A host as ``ssh`` knows it."""

    scheme = "openssh"  # the URL scheme, and the name of the entry point in pyproject.toml

    async def connect(self) -> Connection:
        """Log in and do nothing, so that a host that cannot be reached is found out here."""
        if not self.target.host:
            raise errors.UsageError(f"no host in {self.target.name!r}", hint="write openssh://[user@]host[:port]")
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
            "LogLevel": "INFO",
            "RemoteCommand": "none",
        }
        words = [f'-o{name}="{value}"' for name, value in options.items() if value]
        words += ["-F", get("ssh_config")] if get("ssh_config") else []
        connection = OpenSSHConnection(self.target, ["-T", "-a", "-x", *words])
        try:
            await connection.open()
        except errors.ConnectionLost as error:  # what is lost before it was there was never had
            raise errors.ConnectFailed(error.message, transient=True, host=error.host) from error
        return connection


class OpenSSHConnection(Connection):
    """Commands by way of one ssh process each, which share the connection of a ControlMaster in the background."""

    def __init__(self, target: Target, options: list[str]) -> None:
        self.target, self._options = target, options
        self.processes: set[OpenSSHProcess] = set()

    async def ssh(self, *options: str, command: str = "true", pipe: int = DEVNULL) -> Child:
        """Start ssh."""
        words = [*self._options, *options, "--", str(self.target.host), command]
        return await create_subprocess_exec("ssh", *words, stdin=pipe, stdout=pipe, stderr=pipe, limit=CHUNK)

    async def open(self) -> None:
        """Have ssh make the shared connection, unless it is there already."""
        configuration, _ = await (await self.ssh("-G", pipe=PIPE)).communicate()
        if b"\ncontrolpath " not in configuration:  # else it is the user's own to rule
            self._options += [f"-oControlPath={_private_folder()}/%C", "-oControlPersist=60"]
        # No pipes: the master goes on after this command, and so may a proxy command of its, and would hold them open.
        async with await self._start("true", "auto", DEVNULL) as process:
            await process.wait()

    async def run(self, argv: Sequence[str]) -> Process:
        """Start ``ssh HOST 'command line'``."""
        return await self._start(command_line(argv), "no", PIPE)

    async def _start(self, command: str, master: str, pipe: int) -> Process:
        # What ssh itself has to say goes to a file: on stderr, it could not be told from what the command says there.
        log = tempfile.NamedTemporaryFile(prefix="rjob-ssh-")  # noqa: SIM115  (the process closes it)
        child = await self.ssh("-E", log.name, f"-oControlMaster={master}", command=command, pipe=pipe)
        process = OpenSSHProcess(self, child, log)
        self.processes.add(process)
        return process

    async def close(self) -> None:
        """End what still runs through it; the master ends by itself."""
        await asyncio.gather(*(process.close() for process in self.processes))


class OpenSSHProcess(Process):
    """One ssh process, and what becomes of it."""
