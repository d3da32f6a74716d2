"""The classes that every transport plugin implements.

A transport connects to one machine and runs commands there. It moves bytes; it does not know what a job is.
Write one by subclassing :class:`Transport`, :class:`Connection` and :class:`Process`, and test it with
``rjob.testing.conformance``.

All operations are coroutines, but nothing here requires an event loop: a transport whose coroutines never suspend
(the local one) is run to completion without one. A transport with a blocking library runs it in a thread of its own.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from rjob.errors import UsageError, without_password

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from rjob.caller import Caller

Stream = Literal["out", "err"]

CHUNK = 65536
"""Bytes that one read requests."""


class Chunk(NamedTuple):
    """Some bytes that a command wrote, and the stream that it wrote them to."""

    stream: Stream
    data: bytes


class Target(NamedTuple):
    """A machine, as a URL names it: ``ssh://user@host:port``, ``local:``, ``kube://ns/pod``."""

    name: str
    """The name that the user gave, for messages and references."""
    scheme: str
    host: str | None = None
    user: str | None = None
    port: int | None = None
    path: str = ""

    @classmethod
    def parse(cls, url: str, *, name: str | None = None) -> Target:
        """Parse a URL.

        Args:
            url: ``scheme:`` or ``scheme://[user@]host[:port][/path]``.
            name: The name that the user gave; None for the URL itself.

        Raises:
            UsageError: It is not such a URL, it carries a password, or its host or user is refused (:meth:`check`).
        """
        match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", url)
        if match is None:
            raise UsageError(f"not a target: {url!r}", hint="write it as scheme://host, for example ssh://gpu")
        try:
            parts = urlsplit(url)
            password, port = parts.password, parts.port
        except ValueError:
            # The malformed port may be part of a password, and the library's message would repeat it.
            shown = re.sub(r"(://[^/:@\[]*):(?!\d+(?:/|$)).*", r"\1:…", without_password(url))
            raise UsageError(f"not a target: {shown!r}", hint="write it as scheme://user@host:port") from None
        if password is not None or without_password(url) != url:
            raise UsageError("a target must not carry a password", hint="use keys or an agent")
        user = unquote(parts.username) if parts.username else None
        # urlsplit lower-cases the host, but ssh_config's Host patterns are case-sensitive.
        raw = parts.netloc.rpartition("@")[2]
        host = parts.hostname
        if host and raw.lower().startswith(host):
            host = raw[: len(host)]
        return cls(name or url, match[1].lower(), unquote(host) if host else None, user, port, parts.path).check()

    def check(self) -> Target:
        """Refuse a host or user that a shell or a program on the way could misinterpret.

        The rules are OpenSSH's for its command line (``valid_hostname``, ``valid_ruser``): host and user become
        arguments of programs, and part of command lines such as ssh_config's ProxyCommand.

        Returns:
            The target itself.

        Raises:
            UsageError: The host or the user is refused.
        """
        check_host(self.host, self.name)
        check_user(self.user, self.name)
        return self


def check_host(host: str | None, name: str) -> None:
    r"""Refuse a host with characters that are special to a shell; see :meth:`Target.check`.

    Args:
        host: A host name or address, or None.
        name: The name that the user gave for the target, for the message.

    Raises:
        UsageError: It begins with ``-``, or holds a blank, a comma, a control character or one of ``'"`$\;&<>|(){}``.
    """
    if host is not None and (not host.isprintable() or re.search(r"""^-|['"`$\\;&<>|(){},\s]""", host)):
        raise UsageError(f"not a host: {name!r}", hint="a host may not begin with -, nor hold blanks, quotes, $ or ;")


def check_user(user: str | None, name: str) -> None:
    """Refuse a user with characters that are special to a shell; see :meth:`Target.check`.

    Args:
        user: A user name, or None.
        name: The name that the user gave for the target, for the message.

    Raises:
        UsageError: It begins with ``-``, also after a blank, ends with a backslash, or holds a control character or one
            of ``'"`;&<>|(){}``.
    """
    if user is not None and (not user.isprintable() or re.search(r"""^-|\s-|\\$|['"`;&<>|(){}]""", user)):
        raise UsageError(f"not a user: {name!r}", hint="a user may not begin with -, nor hold quotes, ; or brackets")


class Process(ABC):
    """A command that runs on the machine: bytes in, bytes out, an exit status.

    :meth:`close` must not wait for the command to end.
    """

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Send bytes to the command's standard input; wait while it cannot take more.

        Writing to a command that no longer reads is not an error: the bytes are dropped, because the command's own last
        output says more than a broken pipe.

        Raises:
            ConnectionLost: The connection broke.
        """

    @abstractmethod
    async def write_eof(self) -> None:
        """Close the command's standard input."""

    @abstractmethod
    async def read(self, size: int = CHUNK) -> Chunk | None:
        """Wait for bytes of either stream.

        Args:
            size: The most bytes to return (a hint; a transport may return fewer or somewhat more).

        Returns:
            The bytes, never empty, each stream's in the order of writing; None after the end of both streams.

        Raises:
            ConnectionLost: The connection broke before the streams ended.
        """

    @abstractmethod
    async def wait(self) -> int | None:
        """Wait for the command's exit status. Call after :meth:`read` has returned None.

        Returns:
            0 to 255, 128+n if a signal ended it, None if the other side does not report it.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close its standard input and stop reading its output. Idempotent."""

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Connection(ABC):
    """An open connection to one machine, on which several commands may run at a time."""

    @abstractmethod
    async def run(self, argv: Sequence[str]) -> Process:
        """Start a command, without a terminal, in the environment that the connection provides.

        Args:
            argv: The command and its arguments. They hold no single quote, backslash, exclamation mark or newline, so
                that single quotes are enough for any shell on the way (:func:`command_line`).

        Returns:
            The running command.

        Raises:
            ConnectionLost: The connection broke.
            ConnectFailed: The machine refuses another command now.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connection and the commands that still run through it. Idempotent."""

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Transport(ABC):
    """A way to reach machines, chosen by the scheme of their URL.

    Args:
        target: The machine.
        settings: Its ``[hosts.NAME]`` table (with ``[defaults]`` merged in), as the settings file has it.
    """

    scheme: ClassVar[str]
    """The URL scheme, which is also the entry point's name."""

    runner: ClassVar[Literal["posix", "windows"]] = "posix"
    """The runner that the other side needs, unless ``[hosts.NAME] runner`` says otherwise."""

    needs_loop: ClassVar[bool] = True
    """Whether its coroutines may suspend, so that they need an event loop."""

    shares_directory: ClassVar[bool] = False
    """Whether the other side is this machine, with the caller's directory and clock."""

    caller: Caller | None = None
    """The caller on whose behalf it connects: its environment names agents and files, its user enters passphrases.

    Set after construction; None for this process itself.
    """

    def __init__(self, target: Target, settings: Mapping[str, Any]) -> None:
        self.target = target
        self.settings = settings

    @abstractmethod
    async def connect(self) -> Connection:
        """Open a connection.

        Raises:
            ConnectFailed: No connection; ``transient`` says whether another attempt may succeed.
            AuthenticationFailed: The host did not accept the user's credentials.
            HostKeyRejected: The host's key is not the known one.
            TimedOut: No answer within the settings' ``connect_timeout`` (seconds, 15 by default).
        """

    def notes(self) -> list[str]:
        """Return what a user should know about how the machine is reached (such as directives that are not honoured).

        Returns:
            One line each, for ``rjob doctor``.
        """
        return []


def command_line(argv: Sequence[str]) -> str:
    """Join words into one line for a login shell of any kind: sh, fish, csh.

    Args:
        argv: Words as :meth:`Connection.run` takes them.

    Raises:
        ValueError: A word holds a character that is special to some shell even within single quotes.
    """
    for word in argv:
        if re.search(r"['\\!\n\0]", word):
            raise ValueError(f"a word that not every shell passes on: {word!r}")
    return " ".join(word if re.fullmatch(r"[A-Za-z0-9_./:=@-]+", word) else f"'{word}'" for word in argv)
