"""One owner of jobs: the connection to it, and operations of its runner."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from rjob.core.link import Guard, Link
from rjob.core.loop import pause
from rjob.errors import ConfigError, ConnectFailed, ConnectionLost, OwnerError, ProtocolError, RjobError, TransportError
from rjob.runner.operations import OPERATIONS
from rjob.runner.protocol import Absent, Line, Reply, new_marker, posix_runner, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from rjob.core.link import Call
    from rjob.models import Job
    from rjob.runner.facts import Facts
    from rjob.runner.protocol import Event
    from rjob.transports.base import Transport

_ATTEMPTS = 4
_PAUSE = 5.0
_PATIENCE = 300.0

_CONNECT = 15.0
"""Seconds that a transport takes for connecting where connect_timeout is not set."""

_MORE = 5.0
"""Seconds more for connecting, so that the transport's own error, which knows more, comes first."""


class _NoReply(ProtocolError):
    """A command ended without having begun a reply: whatever ran there, it was not the runner."""


class Exchange:
    """One request under way: its events as they come, and a way to say more."""

    def __init__(self, process: Call, marker: str) -> None:
        self._process = process
        self._reply = Reply(marker)
        self._early: list[Event] = []

    async def begin(self) -> bool:
        """Wait for the reply to begin; say whether there is a runner to give it."""
        while not self._reply.begun:
            self._early += await self._next()
        return not any(isinstance(event, Absent) for event in self._early)

    async def events(self) -> AsyncIterator[Event]:
        """Yield what the reply holds until its end.

        Raises:
            ProtocolError: It ends early, or is none.
            ConnectionLost: The connection broke.
        """
        for event in self._early:
            yield event
        while not self._reply.ended:
            for event in await self._next():
                yield event

    async def _next(self) -> list[Event]:
        try:
            chunk = await self._process.read()
        except TransportError as error:
            # A reply that began shows that the host can be talked to: what is then silent may be the line.
            error.transient = error.transient and (self._reply.begun or isinstance(error, ConnectionLost))
            raise
        if chunk is None:
            raise self._broken(await self._process.wait())
        return self._reply.feed(*chunk)

    async def say(self, data: bytes) -> None:
        """Send more to the runner."""
        await self._process.write(data)

    def _broken(self, status: int | None) -> RjobError:
        noise = self._reply.said.decode("utf-8", "replace").strip()
        if status is None or (status > 128 and self._reply.begun):
            return ConnectionLost("the command on the host was ended before it answered")
        last = noise.splitlines()[-1][:200] if noise else f"exit status {status}"
        return (ProtocolError if self._reply.begun else _NoReply)(
            f"the host did not answer as a runner does: {last}",
            hint="a POSIX sh must be there; see `rjob doctor`",
        )


class Patience:
    """How long a viewer goes on when its connection breaks: a laptop wakes up, a host's network comes back.

    Args:
        owner: The machine that it looks at.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._failures = 0
        self._since = 0.0

    def reset(self) -> None:
        """The connection is good again."""
        self._failures = 0

    async def bear(self, error: TransportError) -> None:
        """Wait before another attempt.

        Args:
            error: What broke.

        Raises:
            TransportError: It is none that passes, or it has lasted too long.
        """
        self._since = self._since if self._failures else time.monotonic()
        self._failures += 1
        if not error.transient or time.monotonic() - self._since > _PATIENCE:
            raise error
        await self._owner.reconnect_after(self._failures)


class Owner:
    """A machine that owns jobs, as the user named it.

    Args:
        name: ``.`` or a host.
        transport: How to reach it.
        settings: Its ``[hosts.NAME]`` table.
        home: Where rjob's files are there; empty for the default.
    """

    def __init__(self, name: str, transport: Transport, settings: Mapping[str, Any], home: str) -> None:
        if settings.get("runner", transport.runner) != "posix":
            raise ConfigError("this version of rjob has a runner for POSIX hosts only", host=name)
        self.name = name
        self._settings = settings
        self._home = home
        self._runner = posix_runner()
        self._limit = float(settings.get("reply_timeout", 0.0))
        guard = Guard(self.host, getattr(transport, "scheme", "?"), self._limit)
        self._link = Link(transport, guard, float(settings.get("connect_timeout", _CONNECT)) + _MORE)

    @property
    def local(self) -> bool:
        """Whether it is this machine, reached without a loop."""
        return self.name == "."

    @property
    def host(self) -> str | None:
        """The host for messages and references; None for this machine."""
        return None if self.local else self.name

    @property
    def shell(self) -> str | None:
        """The shell that the settings want for lines there."""
        return self._settings.get("shell")

    def transport_notes(self) -> list[str]:
        """What the transport has to say about how it reaches the machine."""
        return self._link.notes()

    async def connect(self) -> None:
        """Open the connection unless it is open."""
        attempts = int(self._settings.get("retries", 0)) + 1
        while not self._link.is_open:
            attempts -= 1
            try:
                await self._link.connect()
            except ConnectFailed as error:
                # Nothing was asked for yet, so trying again is harmless.
                if not error.transient or attempts <= 0:
                    raise
                await pause(0.25)

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
        from rjob.runner.facts import Facts

        attempt = 1
        while True:
            facts = Facts()
            try:
                async with self.exchange(operation, *lines, body=body) as exchange:
                    async for event in exchange.events():
                        if isinstance(event, Line):
                            facts.add(event.text)
                return facts
            except TransportError as error:
                # The first connection's failures were repeated when it was made.
                known = isinstance(error, ConnectionLost) or (attempt > 1 and error.transient)
                if not known or not OPERATIONS[operation].repeatable or attempt >= _ATTEMPTS:
                    raise
                await self.reconnect_after(attempt)
                attempt += 1

    async def reconnect_after(self, failures: int) -> None:
        """Drop a broken connection and wait a little, the longer the more often it broke; the next use opens a new one.

        Args:
            failures: How often in a row it broke.
        """
        await self.close()
        await pause(min(_PAUSE, 0.1 * 2**failures))

    @asynccontextmanager
    async def exchange(self, operation: str, *lines: str | bytes, body: bytes = b"") -> AsyncIterator[Exchange]:
        """Ask for an operation, installing the runner first where it is missing.

        Args:
            operation: Its name.
            lines: Its arguments.
            body: Its bytes.
        """
        asked = OPERATIONS[operation]
        marker = new_marker()
        data = request(marker, operation, *lines, body=body, home=self._home)
        silence = self._limit and max(self._limit, asked.silence)
        opened = None
        try:
            opened = await self._ask(marker, data, silence, talks=asked.talks)
        except _NoReply as error:
            # Nothing was done.  A runner that was damaged on the disk may be all that is wrong.
            await self._install_after(error)
        else:
            if opened is None:
                await self._install()
        opened = opened or await self._ask(marker, data, silence, talks=asked.talks)
        if opened is None:
            raise ProtocolError("the runner was installed and is not there", hint="does something clear its folder?")
        process, exchange = opened
        try:
            yield exchange
        finally:
            await process.close()

    async def _ask(self, marker: str, data: bytes, silence: float, *, talks: bool) -> tuple[Call, Exchange] | None:
        """Send a request and wait for the reply to begin; None if there is no runner to give one."""
        await self.connect()
        process = await self._link.run(self._runner.bootstrap(), silence)
        try:
            await process.write(data)
            if not talks:
                await process.write_eof()
            # While the host is at work.
            import rjob.runner.facts  # noqa: F401

            exchange = Exchange(process, marker)
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
            async for _ in Exchange(process, marker).events():
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


class Found(NamedTuple):
    """What one owner has of what was asked for."""

    owner: Owner
    jobs: tuple[Job, ...] = ()
    errors: tuple[RjobError, ...] = ()
    more: int = 0
