"""The channel to one owner's runner: it sends requests and reads replies.

Requests are retried when the connection fails, and the runner is sent where it is missing.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from rjob.core.attempts import Attempts
from rjob.core.loop import Gate
from rjob.errors import ConnectionLost, OwnerError, ProtocolError, RjobError, TransportError
from rjob.runner.operations import OPERATIONS
from rjob.runner.protocol import Absent, End, Line, Ready, Reply, new_marker, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from rjob.core.link import Call, Link
    from rjob.runner.base import Runner
    from rjob.runner.facts import Facts
    from rjob.runner.operations import Operation
    from rjob.runner.protocol import Event

T = TypeVar("T")

_VIEWERS = 6
"""The most long-running operations at a time over one connection: sshd admits ten commands; short ones need room."""


class _NoReply(ProtocolError):
    """A command ended before its reply began: whatever ran there was not the runner."""


class Exchange:
    """One request in progress: yields its events as they arrive, and sends further lines.

    Attributes:
        spoken: Whether lines were sent beyond the request.
    """

    def __init__(self, process: Call, marker: str, needs: str, *, lasts: bool = False) -> None:
        self._process = process
        self._needs = needs
        self._reply = Reply(marker, lasts=lasts)
        self._events: deque[Event] = deque()
        self.spoken = False

    async def begin(self) -> bool:
        """Wait for the reply to begin; return whether there is a runner on the host."""
        while not self._reply.begun:
            await self._read()
        return not any(isinstance(event, Absent) for event in self._events)

    async def next(self) -> Event:
        """Wait for the next event.

        Returns:
            An event; End once the reply has ended, at every further call too.

        Raises:
            ProtocolError: The reply is truncated or malformed.
            ConnectionLost: The connection broke.
        """
        while not self._events:
            if self._reply.ended:
                return End()
            await self._read()
        return self._events.popleft()

    async def events(self) -> AsyncIterator[Event]:
        """Yield events until the runner waits for more (Ready) or the reply ends (End); these two are not yielded."""
        while not isinstance(event := await self.next(), End | Ready):
            yield event

    async def tell(self, facts: Facts) -> bool:
        """Add the reply's lines to ``facts``.

        Returns:
            True if the runner now waits for more, False if the reply has ended.
        """
        while not isinstance(event := await self.next(), End | Ready):
            if isinstance(event, Line):
                facts.add(event.text)
        return isinstance(event, Ready)

    async def say(self, *lines: str) -> None:
        """Send further lines to the runner."""
        self.spoken = True
        await self._process.write("".join(line + "\n" for line in lines).encode())

    async def _read(self) -> None:
        try:
            chunk = await self._process.read()
        except TransportError as error:
            # A host that has begun a reply works: only then may a timeout be the network's fault, and be retried.
            error.transient = error.transient and (self._reply.begun or isinstance(error, ConnectionLost))
            raise
        if chunk is None:
            raise self._broken(await self._process.wait())
        self._events += self._reply.feed(*chunk)

    def _broken(self, status: int | None) -> RjobError:
        noise = self._reply.said.decode("utf-8", "replace").strip()
        # A runner that exits by itself ends its reply: without that end, the rest was lost in transit.
        if status is None or ((status == 0 or status > 128) and self._reply.begun):
            return ConnectionLost("the command on the host was ended before it answered")
        last = noise.splitlines()[-1][:200] if noise else f"exit status {status}"
        return (ProtocolError if self._reply.begun else _NoReply)(
            f"the host did not answer as a runner does: {last}",
            hint=f"{self._needs} must be there; see `rjob doctor`",
        )


class Channel:
    """The channel to one owner: sends requests for operations and reads the replies.

    Args:
        link: The guarded way to the machine.
        runner: The runner that performs the operations there.
        home: The folder of rjob's files there; empty for the default.
        space: The space there; empty for the default one, which everybody sees.
        gate: Limits how many connections are opened at a time.
        retries: How often connecting is retried.
        limit: Seconds to wait for a sign of life; 0 for no limit.
    """

    def __init__(
        self,
        link: Link,
        runner: Runner,
        gate: Gate,
        *,
        home: str,
        space: str = "",
        retries: int = 0,
        limit: float = 0.0,
    ) -> None:
        self._link = link
        self._runner = runner
        self._gate = gate
        self._viewers = Gate(_VIEWERS)
        self._home = home
        self._space = space
        self._retries = retries
        self._limit = limit

    async def connect(self) -> None:
        """Open the connection unless it is open."""
        if self._link.is_open:
            return
        attempts = Attempts(self._retries, connects=True)
        async with self._gate:
            while not self._link.is_open:
                try:
                    await self._link.connect()
                except TransportError as error:
                    await attempts.again(error)

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()

    async def call(self, operation: str, *lines: str | bytes, body: bytes = b"") -> Facts:
        """Perform an operation whose reply is facts.

        Args:
            operation: The operation's name.
            lines: Its arguments.
            body: Its data.

        Raises:
            OwnerError: The owner cannot do it.
            TransportError: The owner is unreachable, or the connection broke and the operation must not be repeated.
        """

        async def listen(exchange: Exchange) -> Facts:
            from rjob.runner.facts import Facts

            facts = Facts()
            await exchange.tell(facts)
            return facts

        return await self.converse(listen, operation, *lines, body=body)

    async def converse(
        self, talk: Callable[[Exchange], Awaitable[T]], operation: str, *lines: str | bytes, body: bytes = b""
    ) -> T:
        """Perform an operation as a dialogue. Repeat it after a broken connection, if that is harmless.

        Args:
            talk: Is called with each exchange; its last result is returned.
            operation: The operation's name.
            lines: Its arguments.
            body: Its data.

        Raises:
            OwnerError: The owner cannot do it.
            TransportError: The owner is unreachable, or the connection broke and the operation must not be repeated.
        """
        asked = OPERATIONS[operation]
        attempts = Attempts(patience=asked.patience)
        while True:
            attempts.begin()
            harmless = asked.repeatable
            try:
                async with self._place(asked), self._exchange(operation, *lines, body=body) as exchange:
                    attempts.reached()
                    try:
                        return await talk(exchange)
                    finally:
                        # The runner does nothing before it receives further lines.
                        harmless = harmless or (asked.talks and not exchange.spoken)
            except TransportError as error:
                if not harmless:
                    raise
                await self.close()
                await attempts.again(error)

    def _place(self, asked: Operation) -> AbstractAsyncContextManager[None]:
        """Return a context that limits how many long-running operations share the connection."""
        return self._viewers if asked.patience else nullcontext()

    @asynccontextmanager
    async def _exchange(self, operation: str, *lines: str | bytes, body: bytes) -> AsyncIterator[Exchange]:
        """Request an operation; send the runner first where it is missing."""
        asked = OPERATIONS[operation]
        marker = new_marker()
        data = request(marker, operation, *lines, body=body, home=self._home, space=self._space)
        opened = None
        try:
            opened = await self._ask(marker, data, asked)
        except _NoReply as error:
            # Nothing was done. The only problem may be a damaged copy of the runner on the disk.
            await self._install_after(error)
        else:
            if opened is None:
                await self._install()
        opened = opened or await self._ask(marker, data, asked)
        if opened is None:
            raise ProtocolError("the runner was installed and is not there", hint="does something clear its folder?")
        process, exchange = opened
        # A runner begins its reply at once; what follows may take longer.
        process.silence = self._limit and max(self._limit, asked.silence)
        try:
            yield exchange
        finally:
            await process.close()

    async def _ask(self, marker: str, data: bytes, asked: Operation) -> tuple[Call, Exchange] | None:
        """Send a request and wait for the reply to begin; None if there is no runner on the host."""
        await self.connect()
        process = await self._link.run(self._runner.words())
        try:
            await process.write(data)
            if not asked.talks:
                await process.write_eof()
            # Imported here, while the host is at work.
            import rjob.runner.facts  # noqa: F401

            exchange = Exchange(process, marker, self._runner.needs, lasts=asked.patience > 0)
            if await exchange.begin():
                return process, exchange
        except BaseException:
            await process.close()
            raise
        await process.close()
        return None

    async def _install(self) -> None:
        """Install the runner on the host: needed once for each version."""
        await self.connect()
        marker = new_marker()
        process = await self._link.run(self._runner.installer())
        try:
            await process.write(self._runner.install_request(marker, self._home))
            await process.write_eof()
            exchange = Exchange(process, marker, self._runner.needs)
            while not isinstance(await exchange.next(), End):
                pass
        finally:
            await process.close()

    async def _install_after(self, error: ProtocolError) -> None:
        """Install the runner again after a command that did not answer as a runner.

        Args:
            error: The error to raise if the installation gets no proper answer either.
        """
        try:
            await self._install()
        except (OwnerError, ConnectionLost):
            raise
        except RjobError:
            raise error from None
