"""The fake machine: an in-memory transport whose commands are run by a function of the test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

from rjob.errors import ConnectionLost
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Target, Transport

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from rjob.errors import TransportError
    from rjob.transports.base import Stream

T = TypeVar("T")


class FakeCommand:
    """The command's side of a fake process: its handler reads from it and writes to it.

    Attributes:
        argv: The command and its arguments.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self._input: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)
        self._output: asyncio.Queue[Chunk | None] = asyncio.Queue(maxsize=16)
        self._input_ended = False

    async def feed(self, data: bytes) -> None:
        """Add a piece of its standard input; empty for the end."""
        await self._input.put(data)

    async def next_output(self) -> Chunk | None:
        """Take a piece of its output; None at the end."""
        return await self._output.get()

    async def end_output(self) -> None:
        """Mark the end of its output."""
        await self._output.put(None)

    async def read(self) -> bytes:
        """Wait for a piece of the standard input; empty after its end."""
        if self._input_ended:
            return b""
        data = await self._input.get()
        self._input_ended = not data
        return data

    async def read_all(self) -> bytes:
        """Read the whole standard input."""
        parts = []
        while data := await self.read():
            parts.append(data)
        return b"".join(parts)

    async def write(self, data: bytes, stream: Stream = "out") -> None:
        """Write bytes to a stream; wait while nobody reads them.

        Args:
            data: The bytes.
            stream: Standard output or standard error.
        """
        for start in range(0, len(data), CHUNK):
            await self._output.put(Chunk(stream, data[start : start + CHUNK]))


class Handler(Protocol):
    """The behaviour of a fake machine: a coroutine function that runs a command and returns its exit status."""

    async def __call__(self, command: FakeCommand) -> int:
        """Run one command."""


class FakeMachine:
    """A machine in memory that records everything that happens to it.

    Args:
        handler: Runs each command.
        refuse: The error that connecting raises, while it is set.

    Attributes:
        commands: The words of every command, in the order of their start.
        connections: How many connections were opened.
    """

    def __init__(self, handler: Handler, *, refuse: TransportError | None = None) -> None:
        self.handler = handler
        self.refuse = refuse
        self.commands: list[list[str]] = []
        self.connections = 0
        self._open: list[FakeConnection] = []

    def transport(self, scheme: str = "fake") -> type[Transport]:
        """Build the class of transports to this machine.

        Args:
            scheme: The URL scheme to serve.
        """
        machine = self
        name = scheme

        class FakeTransport(Transport):
            """A transport to a machine in memory."""

            scheme = name

            async def connect(self) -> Connection:
                return machine.connect(self.target)

        return FakeTransport

    def plugin(self, scheme: str = "fake") -> object:
        """Build a plugin that provides :meth:`transport`, for ``Plugins.register``.

        Args:
            scheme: The URL scheme to serve.
        """
        transport = self.transport(scheme)

        class FakePlugin:
            @hookimpl
            def rjob_transports(self) -> list[type[Transport]]:
                return [transport]

        return FakePlugin()

    def connect(self, target: Target) -> FakeConnection:
        """Open a connection, or raise the error in :attr:`refuse`."""
        if self.refuse is not None:
            raise self.refuse
        self.connections += 1
        connection = FakeConnection(self, target)
        self._open.append(connection)
        return connection

    async def break_connections(self) -> None:
        """Break every open connection, as a network failure does."""
        for connection in self._open:
            await connection.break_off()
        self._open.clear()


class FakeConnection(Connection):
    """A connection to a :class:`FakeMachine`."""

    def __init__(self, machine: FakeMachine, target: Target) -> None:
        self._machine = machine
        self._target = target
        self._processes: list[FakeProcess] = []
        self._broken = False

    async def run(self, argv: Sequence[str]) -> Process:
        """Start the machine's handler on a command; see :meth:`Connection.run`."""
        if self._broken:
            raise ConnectionLost("the connection broke", host=self._target.name)
        self._machine.commands.append(list(argv))
        process = FakeProcess(self._machine.handler, FakeCommand(argv), self._target.name)
        self._processes.append(process)
        return process

    async def break_off(self) -> None:
        """Break the connection: everything that waits on it fails."""
        self._broken = True
        for process in self._processes:
            process.break_off()

    async def close(self) -> None:
        """Close the connection and end the commands that run through it."""
        for process in self._processes:
            await process.close()


class FakeProcess(Process):
    """A running handler."""

    def __init__(self, handler: Handler, command: FakeCommand, host: str) -> None:
        self._command = command
        self._host = host
        self._broken = asyncio.Event()
        self._at_end = False
        self._input_open = True
        self._task = asyncio.create_task(self._work(handler))

    async def _work(self, handler: Handler) -> int:
        try:
            status = await handler(self._command)
        except Exception:
            await self._command.end_output()
            raise
        await self._command.end_output()
        return status

    async def write(self, data: bytes) -> None:
        """Send bytes to the handler; see :meth:`Process.write`."""
        if data and self._input_open:
            await self._race(self._command.feed(data), self._task)

    async def write_eof(self) -> None:
        """End the handler's input."""
        if self._input_open:
            self._input_open = False
            await self._race(self._command.feed(b""), self._task)

    async def read(self, size: int = CHUNK) -> Chunk | None:
        """Wait for output of the handler; see :meth:`Process.read`."""
        if self._at_end:
            return None
        chunk = await self._race(self._command.next_output())
        self._at_end = chunk is None
        return chunk

    async def wait(self) -> int | None:
        """Wait for the handler's exit status."""
        await self._race(asyncio.wait([self._task]))
        return self._task.result()

    async def _race(self, work: Coroutine[object, object, T], *others: asyncio.Task[int]) -> T | None:
        """Await some work until it is done, the connection breaks, or one of the other tasks is done."""
        mine = asyncio.create_task(work)
        broken = asyncio.create_task(self._broken.wait())
        try:
            await asyncio.wait({mine, broken, *others}, return_when=asyncio.FIRST_COMPLETED)
            if self._broken.is_set():
                raise ConnectionLost("the connection broke", host=self._host)
            return mine.result() if mine.done() else None
        finally:
            mine.cancel()
            broken.cancel()

    async def close(self) -> None:
        """Cancel the handler."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def break_off(self) -> None:
        """Fail everything that waits for this process."""
        self._task.cancel()
        self._broken.set()
