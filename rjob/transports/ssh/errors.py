"""Mapping of the exceptions of the SSH library and the network to rjob's errors."""

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
    """Map an exception to the reason why there is no connection.

    Args:
        error: The exception of the library or the network.
        host: The host that was being connected to: the target or a jump host.

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
    # Unexpected data from a host can make the library raise almost any exception.
    return ConnectFailed(
        f"{host.where} does not speak SSH as it should: {_line(error)}", hint="is it an SSH server?", host=host.name
    )


def while_starting(error: Exception, host: HostSettings) -> RjobError:
    """Map an exception to the reason why a command was not started; see :func:`while_connecting`."""
    if isinstance(error, asyncssh.ChannelOpenError):
        return ConnectFailed(
            f"{host.where} will not run another command now: {_line(error)}",
            transient=True,
            hint="sshd's MaxSessions may be low, or the account may not run commands",
            host=host.name,
        )
    return while_in_use(error, host)


def while_in_use(error: Exception | None, host: HostSettings) -> ConnectionLost:
    """Map an exception to the reason why an open connection ended; see :func:`while_connecting`."""
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
    # For a name with several addresses, one error is raised, with the error numbers only in its text.
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
    """Return an exception's message as one line, without control characters that the host may have put there."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text).rstrip(".")[:300]
