"""Owns the translation of what the SSH library and the network raise into rjob's own errors."""

from __future__ import annotations

import errno
import re
import socket
from typing import TYPE_CHECKING

import asyncssh

from rjob.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    RjobError,
    TimedOut,
)

if TYPE_CHECKING:
    from rjob.transports.ssh.config import HostSettings

_TRANSIENT_DISCONNECTS = {asyncssh.DISC_CONNECTION_LOST, asyncssh.DISC_TOO_MANY_CONNECTIONS}
_UNREACHABLE = {errno.EHOSTUNREACH: "no route to", errno.ENETUNREACH: "no network to", errno.EHOSTDOWN: "nobody is at"}


def while_connecting(error: Exception, host: HostSettings) -> RjobError:
    """Say why there is no connection.

    Args:
        error: What the library or the network raised.
        host: The host that was being connected to, the target or one on the way.

    Returns:
        The error to raise; never one of the library's.
    """
    if isinstance(error, RjobError):
        return error
    if isinstance(error, TimeoutError):
        return TimedOut(
            f"no answer from {host.where} within {host.connect_timeout:g} s",
            hint="is the host up, and the port not filtered? connect_timeout gives it longer",
            host=host.name,
        )
    if isinstance(error, asyncssh.Error):
        return _from_library(error, host)
    if isinstance(error, OSError):
        return _from_network(error, host)
    # What a host sends that the library did not expect can raise about anything in it.
    return ConnectFailed(
        f"{host.where} does not speak SSH as it should: {_line(error)}", hint="is it an SSH server?", host=host.name
    )


def while_starting(error: Exception, host: HostSettings) -> RjobError:
    """Say why a command was not started on an open connection; see :func:`while_connecting`."""
    if isinstance(error, asyncssh.ChannelOpenError):
        return ConnectFailed(
            f"{host.where} will not run another command now: {_line(error)}",
            transient=True,
            hint="sshd's MaxSessions may be low, or the account may not run commands",
            host=host.name,
        )
    return while_in_use(error, host)


def while_in_use(error: Exception | None, host: HostSettings) -> ConnectionLost:
    """Say how an open connection ended; see :func:`while_connecting`."""
    reason = f": {_line(error)}" if error is not None and str(error) else ""
    return ConnectionLost(f"lost the connection to {host.where}{reason}", host=host.name)


def _from_library(error: asyncssh.Error, host: HostSettings) -> RjobError:
    where, name, reason = host.where, host.name, _line(error)
    if isinstance(error, asyncssh.PermissionDenied | asyncssh.IllegalUserName):
        return AuthenticationFailed(f"{where} does not let {host.user!r} in", host=name)
    if "authentication failures" in reason:
        return AuthenticationFailed(
            f"{where} gave up after too many keys",
            hint="name the right one with identity_file (or IdentityFile) and set IdentitiesOnly yes",
            host=name,
        )
    if isinstance(error, asyncssh.ChannelOpenError):
        return ConnectFailed(
            f"the jump host cannot reach {where}: {reason}",
            hint=f"is sshd running on {where}, and forwarding allowed on the jump host?",
            host=name,
        )
    if isinstance(error, asyncssh.DisconnectError) and error.code in _TRANSIENT_DISCONNECTS:
        return ConnectFailed(
            f"{where} hung up during the handshake: {reason}",
            transient=True,
            hint="sshd's MaxStartups may be low; or it is not an SSH server",
            host=name,
        )
    hint = None
    if isinstance(error, asyncssh.KeyExchangeFailed):
        hint = "host and client have no algorithm in common: see KexAlgorithms, Ciphers and HostKeyAlgorithms"
    elif isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported):
        hint = "is it an SSH server?"
    return ConnectFailed(f"no SSH connection to {where}: {reason}", hint=hint, host=name)


def _from_network(error: OSError, host: HostSettings) -> RjobError:
    where, name = host.where, host.name
    if isinstance(error, socket.gaierror):
        hint = "check the name, or give its address with hostname in the host's settings"
        return ConnectFailed(f"cannot resolve {host.hostname!r}", hint=hint, host=name)
    # A name with several addresses fails with one error that tells the numbers only in its text.
    numbers = {error.errno} if error.errno else {int(n) for n in re.findall(r"\[Errno (\d+)\]", str(error))}
    if errno.ECONNREFUSED in numbers:
        hint = f"is sshd running on {where}?"
        return ConnectFailed(f"connection refused by {where}", transient=True, hint=hint, host=name)
    if numbers & {errno.ECONNRESET, errno.EPIPE}:
        hint = "sshd's MaxStartups may be low; or it is not an SSH server"
        return ConnectFailed(f"{where} hung up during the handshake", transient=True, hint=hint, host=name)
    for number, words in _UNREACHABLE.items():
        if number in numbers:
            return ConnectFailed(f"{words} {where}", hint="is the host up, and the network there?", host=name)
    return ConnectFailed(f"cannot connect to {where}: {error.strerror or _line(error)}", host=name)


def _line(error: BaseException) -> str:
    """The library's words as part of one line, without control characters that the other side may have put there."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text).rstrip(".")[:300]
