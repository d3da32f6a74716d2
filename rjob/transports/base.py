"""What a transport is: the classes that every transport plugin implements.

A transport connects to one machine and runs commands there.  It moves bytes; it does not know what a job is.
Write one by subclassing :class:`Transport`, :class:`Connection` and :class:`Process`, and prove it with
``rjob.testing.conformance``.

Everything is a coroutine, but nothing here asks for an event loop: a transport whose coroutines never wait (the
local one) is run to its end without one.  A blocking library runs in a thread inside its transport.
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
"""Bytes that one read asks for."""


class Chunk(NamedTuple):
    """Some bytes that a command wrote, and where it wrote them."""

    stream: Stream
    data: bytes


class Target(NamedTuple):
    """A machine, as a URL says it: ``ssh://user@host:port``, ``local:``, ``kube://ns/pod``."""

    name: str
    """What the user called it; used in messages and references."""
    scheme: str
    host: str | None = None
    user: str | None = None
    port: int | None = None
    path: str = ""

    @classmethod
    def parse(cls, url: str, *, name: str | None = None) -> Target:
        """Take a URL apart.

        Args:
            url: ``scheme:`` or ``scheme://[user@]host[:port][/path]``.
            name: What the user called it; the URL itself when None.

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
            # What stands in the port's place may be half a password; the library's own words would repeat it.
            shown = re.sub(r"(://[^/:@\[]*):(?!\d+(?:/|$)).*", r"\1:…", without_password(url))
            raise UsageError(f"not a target: {shown!r}", hint="write it as scheme://user@host:port") from None
        if password is not None or without_password(url) != url:
            raise UsageError("a target must not carry a password", hint="use keys or an agent")
        user = unquote(parts.username) if parts.username else None
        # urlsplit lowers the host's letters; ssh_config's Host patterns tell them apart.
        raw = parts.netloc.rpartition("@")[2]
        host = parts.hostname
        if host and raw.lower().startswith(host):
            host = raw[: len(host)]
        return cls(name or url, match[1].lower(), unquote(host) if host else None, user, port, parts.path).check()

    def check(self) -> Target:
        """Refuse a host or user that a shell or a program on the way could take for something else.

        The rules are those of OpenSSH for what stands on its command line (``valid_hostname``, ``valid_ruser``): host
        and user become arguments of programs, and part of command lines such as ssh_config's ProxyCommand.

        Returns:
            The target itself.

        Raises:
            UsageError: The host or the user is refused.
        """
        check_host(self.host, self.name)
        check_user(self.user, self.name)
        return self


def check_host(host: str | None, name: str) -> None:
    r"""Refuse a host with characters that a shell acts on; see :meth:`Target.check`.

    Args:
        host: A host name or address, or None.
        name: What the user called the target, for the message.

    Raises:
        UsageError: It begins with ``-``, or holds a blank, a comma, a control character or one of ``'"`$\;&<>|(){}``.
    """
    if host is not None and (not host.isprintable() or re.search(r"""^-|['"`$\\;&<>|(){},\s]""", host)):
        raise UsageError(f"not a host: {name!r}", hint="a host may not begin with -, nor hold blanks, quotes, $ or ;")


def check_user(user: str | None, name: str) -> None:
    """Refuse a user with characters that a shell acts on; see :meth:`Target.check`.

    Args:
        user: A user name, or None.
        name: What the user called the target, for the message.

    Raises:
        UsageError: It begins with ``-``, also after a blank, ends with a backslash, or holds a control character or one
            of ``'"`;&<>|(){}``.
    """
    if user is not None and (not user.isprintable() or re.search(r"""^-|\s-|\\$|['"`;&<>|(){}]""", user)):
        raise UsageError(f"not a user: {name!r}", hint="a user may not begin with -, nor hold quotes, ; or brackets")


class Process(ABC):
    """One command at work on the machine: bytes in, bytes out, an exit status.

    Letting go of it (:meth:`close`) must not leave the caller waiting for the command to end.
    """

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Send bytes to the command's standard input; wait while it cannot take more.

        Writing to a command that no longer reads is not an error: the bytes are dropped, for what it said
        before it went is worth more than the complaint.

        Raises:
            ConnectionLost: The connection broke.
        """

    @abstractmethod
    async def write_eof(self) -> None:
        """End the command's standard input."""

    @abstractmethod
    async def read(self, size: int = CHUNK) -> Chunk | None:
        """Wait for bytes of either stream.

        Args:
            size: The most bytes to return (a hint; a transport may return less or somewhat more).

        Returns:
            The bytes, never empty, in the order in which each stream's were written; None after the end of both.

        Raises:
            ConnectionLost: The connection broke before the streams ended.
        """

    @abstractmethod
    async def wait(self) -> int | None:
        """The command's exit status, after :meth:`read` returned None.

        Returns:
            0 to 255, 128+n if a signal ended it, None if the other side does not tell.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of it: its standard input ends, its output is no longer read.  May be called again."""

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Connection(ABC):
    """An open way to one machine, on which several commands may run at a time."""

    @abstractmethod
    async def run(self, argv: Sequence[str]) -> Process:
        """Start a command, without a terminal, in the environment that the connection gives.

        Args:
            argv: The command's words.  They hold no single quote, backslash, exclamation mark or newline, so that
                single quotes are enough for any shell on the way (:func:`command_line`).

        Returns:
            The command at work.

        Raises:
            ConnectionLost: The connection broke.
            ConnectFailed: The machine would not run another command now.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connection and what still runs through it.  May be called again."""

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Transport(ABC):
    """One way to reach machines, chosen by the scheme of their URL.

    Args:
        target: The machine.
        settings: Its ``[hosts.NAME]`` table (with ``[defaults]`` merged in), as the settings file has it.
    """

    scheme: ClassVar[str]
    """The URL scheme, which is also the entry point's name."""

    runner: ClassVar[Literal["posix", "windows"]] = "posix"
    """Which runner the other side needs, unless ``[hosts.NAME] runner`` says otherwise."""

    needs_loop: ClassVar[bool] = True
    """Whether its coroutines wait, so that they need an event loop."""

    shares_directory: ClassVar[bool] = False
    """Whether the other side is this machine: a relative directory begins in the caller's, and the time is ours."""

    caller: Caller | None = None
    """Whoever it is that connects: whose environment names agents and files, and who may be asked for a passphrase.
    It is set after construction; None is this process itself."""

    def __init__(self, target: Target, settings: Mapping[str, Any]) -> None:
        self.target = target
        self.settings = settings

    @abstractmethod
    async def connect(self) -> Connection:
        """Open a connection.

        Raises:
            ConnectFailed: No connection; ``transient`` tells whether another attempt may succeed.
            AuthenticationFailed: The host refused us.
            HostKeyRejected: The host is not the one that is known.
            TimedOut: No answer within the settings' ``connect_timeout`` (seconds, 15 by default).
        """

    def notes(self) -> list[str]:
        """What a user should know about how the machine is reached (directives that are not honoured, say).

        Returns:
            One line each, for ``rjob doctor``.
        """
        return []


def command_line(argv: Sequence[str]) -> str:
    """The words as one line for a login shell of any kind: sh, fish, csh.

    Args:
        argv: Words as :meth:`Connection.run` takes them.

    Raises:
        ValueError: A word holds a character that some shell would not leave alone within single quotes.
    """
    for word in argv:
        if re.search(r"['\\!\n\0]", word):
            raise ValueError(f"a word that not every shell passes on: {word!r}")
    return " ".join(word if re.fullmatch(r"[A-Za-z0-9_./:=@-]+", word) else f"'{word}'" for word in argv)
