"""The channel to one owner's runner: requests and replies.

They are tried again when the connection fails, and the runner is sent where it is missing.
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
"""Operations that look on at a time over one connection: sshd admits ten commands, and short ones need a place."""


class _NoReply(ProtocolError):
    """A command ended without having begun a reply: whatever ran there, it was not the runner."""


class Exchange:
    """One request under way: its events as they come, and a way to say more.

    Attributes:
        spoken: Whether anything was said beyond the request.
    """

    def __init__(self, process: Call, marker: str, needs: str, *, lasts: bool = False) -> None:
        self._process = process
        self._needs = needs
        self._reply = Reply(marker, lasts=lasts)
        self._events: deque[Event] = deque()
        self.spoken = False

    async def begin(self) -> bool:
        """Wait for the reply to begin; say whether there is a runner to give it."""
        while not self._reply.begun:
            await self._read()
        return not any(isinstance(event, Absent) for event in self._events)

    async def next(self) -> Event:
        """Wait for what comes next.

        Returns:
            An event; End when nothing more comes, however often it is asked for.

        Raises:
            ProtocolError: The reply ends early, or is none.
            ConnectionLost: The connection broke.
        """
        while not self._events:
            if self._reply.ended:
                return End()
            await self._read()
        return self._events.popleft()

    async def events(self) -> AsyncIterator[Event]:
        """Yield what comes, up to where the runner waits for more or has told everything: that is not yielded."""
        while not isinstance(event := await self.next(), End | Ready):
            yield event

    async def tell(self, facts: Facts) -> bool:
        """Put the lines that come into ``facts``.

        Returns:
            Whether the runner now waits for more, rather than having told everything.
        """
        while not isinstance(event := await self.next(), End | Ready):
            if isinstance(event, Line):
                facts.add(event.text)
        return isinstance(event, Ready)

    async def say(self, *lines: str) -> None:
        """Send more lines to the runner."""
        self.spoken = True
        await self._process.write("".join(line + "\n" for line in lines).encode())

    async def _read(self) -> None:
        try:
            chunk = await self._process.read()
        except TransportError as error:
            # A reply that began shows that the host can be talked to: what is then silent may be the line.
            error.transient = error.transient and (self._reply.begun or isinstance(error, ConnectionLost))
            raise
        if chunk is None:
            raise self._broken(await self._process.wait())
        self._events += self._reply.feed(*chunk)

    def _broken(self, status: int | None) -> RjobError:
        noise = self._reply.said.decode("utf-8", "replace").strip()
        # A runner that goes by itself ends its reply: without that end, the rest was lost on the way.
        if status is None or ((status == 0 or status > 128) and self._reply.begun):
            return ConnectionLost("the command on the host was ended before it answered")
        last = noise.splitlines()[-1][:200] if noise else f"exit status {status}"
        return (ProtocolError if self._reply.begun else _NoReply)(
            f"the host did not answer as a runner does: {last}",
            hint=f"{self._needs} must be there; see `rjob doctor`",
        )


class Channel:
    """The way in which one owner's operations are asked for.

    Args:
        link: The guarded way to the machine.
        runner: What performs the operations there.
        home: Where rjob's files are there; empty for the default.
        space: Which of the spaces there; empty for the one that everybody sees.
        gate: Whoever connects goes through it.
        retries: How often connecting is tried again.
        limit: Seconds without a sign of life that are borne; 0 for no limit.
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
        """Let go of the connection."""
        await self._link.close()

    async def call(self, operation: str, *lines: str | bytes, body: bytes = b"") -> Facts:
        """Perform an operation whose reply is facts.

        Args:
            operation: Its name.
            lines: Its arguments.
            body: Its bytes.

        Raises:
            OwnerError: The owner cannot do it.
            TransportError: It could not be reached, or went away and the operation must not be repeated.
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
        """Perform an operation that is talked with; anew when a connection broke and no harm is done.

        Args:
            talk: Is given each exchange; what it returns for the last one is returned.
            operation: Its name.
            lines: Its arguments.
            body: Its bytes.

        Raises:
            OwnerError: The owner cannot do it.
            TransportError: It could not be reached, or went away and the operation must not be repeated.
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
                        # Whoever has not been told what to do has done nothing.
                        harmless = harmless or (asked.talks and not exchange.spoken)
            except TransportError as error:
                if not harmless:
                    raise
                await self.close()
                await attempts.again(error)

    def _place(self, asked: Operation) -> AbstractAsyncContextManager[None]:
        """A place on the connection: one of a few for whoever stays long."""
        return self._viewers if asked.patience else nullcontext()

    @asynccontextmanager
    async def _exchange(self, operation: str, *lines: str | bytes, body: bytes) -> AsyncIterator[Exchange]:
        """Ask for an operation, sending the runner first where it is missing."""
        asked = OPERATIONS[operation]
        marker = new_marker()
        data = request(marker, operation, *lines, body=body, home=self._home, space=self._space)
        opened = None
        try:
            opened = await self._ask(marker, data, asked)
        except _NoReply as error:
            # Nothing was done.  A runner that was damaged on the disk may be all that is wrong.
            await self._install_after(error)
        else:
            if opened is None:
                await self._install()
        opened = opened or await self._ask(marker, data, asked)
        if opened is None:
            raise ProtocolError("the runner was installed and is not there", hint="does something clear its folder?")
        process, exchange = opened
        # A runner says at once that it begins; then it may have to work.
        process.silence = self._limit and max(self._limit, asked.silence)
        try:
            yield exchange
        finally:
            await process.close()

    async def _ask(self, marker: str, data: bytes, asked: Operation) -> tuple[Call, Exchange] | None:
        """Send a request and wait for the reply to begin; None if there is no runner to give one."""
        await self.connect()
        process = await self._link.run(self._runner.words())
        try:
            await process.write(data)
            if not asked.talks:
                await process.write_eof()
            # While the host is at work.
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
        """Put the runner on the host: once for each version of it."""
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
        """Put the runner on the host once more, after something else than a runner answered.

        Args:
            error: What is to be said if nothing there can take a runner either.
        """
        try:
            await self._install()
        except (OwnerError, ConnectionLost):
            raise
        except RjobError:
            raise error from None
