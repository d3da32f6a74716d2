"""The guarded way to a machine: gives each step of a transport a time limit, and turns its failures into RjobErrors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from rjob.core.loop import Overdue, cancelled, within
from rjob.errors import PluginError, RjobError, TimedOut
from rjob.loopless import TimeIsUp
from rjob.plugins import reason
from rjob.transports.base import Connection, Process, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rjob.transports.base import Chunk

T = TypeVar("T")

_PIECE = 1 << 18
"""Bytes of a request that are written within one time limit."""

_GOODBYE = 10.0
"""The most seconds that closing a command or a connection may take."""

_PROMPT = 600.0
"""The least time limit in seconds for connecting if the user may be asked for a passphrase."""


class Guard:
    """A wrapper that runs single steps of one transport.

    Args:
        host: The host for messages; None for this machine.
        scheme: The transport's scheme.
        limit: Seconds that a step may take; 0 for no limit.
    """

    def __init__(self, host: str | None, scheme: str, limit: float = 0.0) -> None:
        self.host = host
        self.scheme = scheme
        self.limit = limit

    def call(self, step: str, work: Callable[[], T]) -> T:
        """Call a function of the transport.

        Args:
            step: What the function does, for messages: ``connecting``.
            work: The function.

        Raises:
            RjobError: It failed.
        """
        try:
            return work()
        except BaseException as error:
            self._raise(step, error)

    async def wait(self, step: str, work: Callable[[], Awaitable[T]], limit: float | None = None) -> T:
        """Call a coroutine function of the transport, and await it.

        Args:
            step: See :meth:`call`.
            work: The function.
            limit: Seconds; None for the guard's own limit, 0 for no limit.

        Raises:
            TimedOut: It took too long.
            RjobError: It failed.
        """
        seconds = self.limit if limit is None else limit
        try:
            return await within(seconds, work())
        except Overdue:
            raise TimedOut(
                f"no sign of life for {seconds:g} s while {step}",
                hint="is it overloaded, or does its home directory hang?  reply_timeout gives it longer",
                host=self.host,
            ) from None
        except BaseException as error:
            self._raise(step, error)

    async def let_go(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close something; ignore a failure, because nothing is lost by it.

        Args:
            close: The coroutine function that closes it.
        """
        try:
            await within(min(self.limit or _GOODBYE, _GOODBYE), close())
        except Overdue:
            pass
        except BaseException as error:
            if _is_ours(error):
                raise

    def _raise(self, step: str, error: BaseException) -> NoReturn:
        """Raise a transport's exception again if it is a usable RjobError, or the end of this program or task.

        Any other exception is raised as a PluginError that names the transport.
        """
        if _is_ours(error) or (isinstance(error, RjobError) and _is_sound(error)):
            raise error
        raise self.fault(step, reason(error)) from error

    def fault(self, step: str, why: str) -> PluginError:
        """Build the error for a transport that breaks its contract.

        Args:
            step: See :meth:`call`.
            why: What it did instead.
        """
        return PluginError(
            f"the transport {self.scheme}: failed while {step}: {why}",
            hint="`rjob plugins` shows where it comes from; with RJOB_DEBUG=1 rjob shows the traceback",
            host=self.host,
        )


class Unusable(Transport):
    """A stand-in for a transport that cannot be loaded; connecting raises the reason.

    Args:
        error: The reason.
    """

    def __init__(self, error: RjobError) -> None:
        self._error = error

    async def connect(self) -> Connection:
        """Raise the error."""
        raise self._error


class Call:
    """A command that runs on the machine; see :class:`rjob.transports.base.Process`.

    Args:
        process: The transport's process.
        guard: Runs the transport's steps.

    Attributes:
        silence: Seconds that may pass without a byte from the command; 0 for no limit. At first the guard's limit.
    """

    def __init__(self, process: Process, guard: Guard) -> None:
        self._process = process
        self._guard = guard
        self.silence = guard.limit

    async def write(self, data: bytes) -> None:
        """Send bytes to the command's standard input in pieces; each piece has the full time limit."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            await self._guard.wait("sending the request", partial(self._process.write, piece))

    async def write_eof(self) -> None:
        """Close the command's standard input."""
        await self._guard.wait("sending the request", self._process.write_eof)

    async def read(self) -> Chunk | None:
        """Wait for bytes of either stream; None after the end of both."""
        step = "waiting for the reply"
        chunk = await self._guard.wait(step, self._process.read, self.silence)
        if chunk is not None and not _is_chunk(chunk):
            raise self._guard.fault(step, "what it read is neither bytes of a stream nor the end")
        return chunk

    async def wait(self) -> int | None:
        """Wait for the exit status; None if the other side does not report it."""
        status = await self._guard.wait("waiting for the exit status", self._process.wait)
        return status if type(status) is int else None

    async def close(self) -> None:
        """Close the command's streams."""
        await self._guard.let_go(self._process.close)


class Link:
    """A machine reached by one transport: at most one open connection.

    Args:
        transport: The transport.
        guard: Runs the transport's steps.
        patience: The least time limit in seconds for connecting; the transport has its own limit for that.
        may_ask: Whether the user may be asked for a passphrase while connecting.
    """

    def __init__(self, transport: Transport, guard: Guard, patience: float = 0.0, *, may_ask: bool = False) -> None:
        self._transport = transport
        self._guard = guard
        self._patience = patience
        self._may_ask = may_ask
        self._connection: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    async def connect(self) -> Connection:
        """Open the connection unless it is open."""
        if self._connection is None:
            limit = self._guard.limit and max(self._guard.limit, self._patience)
            if limit and self._may_ask:
                limit = max(limit, _PROMPT)
            connection = await self._guard.wait("connecting", self._transport.connect, limit)
            if not isinstance(connection, Connection):
                raise self._guard.fault("connecting", "it brings no Connection")
            self._connection = connection
        return self._connection

    async def run(self, argv: Sequence[str]) -> Call:
        """Start a command.

        Args:
            argv: The command and its arguments.
        """
        connection = await self.connect()
        process = await self._guard.wait("starting a command", partial(connection.run, argv))
        if not isinstance(process, Process):
            raise self._guard.fault("starting a command", "it brings no Process")
        return Call(process, self._guard)

    def notes(self) -> list[str]:
        """Return the transport's notes on how it reaches the machine."""
        step = "telling how it reaches the machine"
        notes: Any = self._guard.call(step, self._transport.notes)
        if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
            raise self._guard.fault(step, "its notes are not a list of lines")
        return list(notes)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._guard.let_go(connection.close)


def _is_ours(error: BaseException) -> bool:
    """Whether an exception ends this program, task or wait, which is not the transport's fault."""
    return isinstance(error, KeyboardInterrupt | GeneratorExit | TimeIsUp) or cancelled(error)


def _is_sound(error: RjobError) -> bool:
    """Whether the texts of a plugin's error can be shown."""
    texts: tuple[Any, ...] = (error.message, error.hint or "", error.host or "", error.job or "")
    return all(isinstance(text, str) for text in texts)


def _is_chunk(chunk: Any) -> bool:
    return (
        isinstance(chunk, tuple)
        and len(chunk) == 2
        and chunk[0] in ("out", "err")
        and isinstance(chunk[1], bytes | bytearray)
        and len(chunk[1]) > 0
    )
