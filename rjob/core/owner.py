"""One owner of jobs: a machine as the user named it, and the channel to its runner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rjob.core.channel import Channel
from rjob.core.link import Guard, Link
from rjob.core.loop import Gate
from rjob.runner.base import runner_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rjob.caller import Caller
    from rjob.errors import RjobError
    from rjob.models import Job
    from rjob.transports.base import Transport

_CONNECT = 15.0
"""Seconds that a transport may take to connect if connect_timeout is not set."""

_MORE = 5.0
"""Additional seconds for connecting, so that the transport's own, more informative error comes first."""


class Owner:
    """A machine that owns jobs, as the user named it.

    Args:
        name: ``.`` or a host.
        transport: The transport that reaches it.
        settings: Its settings, as :meth:`rjob.config.Config.target` returns them.
        caller: The caller that the verbs are carried out for.
        home: The folder of rjob's files there; empty for the default.
        space: The space there; empty for the default one, which everybody sees.
        gate: Limits how many connections are opened at a time.

    Attributes:
        channel: Sends requests for operations to it.
        caller: The caller that the verbs are carried out for.
        runner: The runner that performs the operations there.
        needs_loop: Whether its transport waits, so that an event loop is needed.
        shares_directory: Whether it is this machine, with the caller's directory and clock.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        settings: Mapping[str, Any],
        caller: Caller,
        *,
        home: str = "",
        space: str = "",
        gate: Gate | None = None,
    ) -> None:
        self.runner = runner_for(settings.get("runner", transport.runner), name)
        self.name = name
        self.caller = caller
        self.needs_loop = bool(getattr(transport, "needs_loop", True))
        self.shares_directory = bool(getattr(transport, "shares_directory", False))
        transport.caller = caller
        self._settings = settings
        limit = float(settings.get("reply_timeout", 0.0))
        guard = Guard(self.host, getattr(transport, "scheme", "?"), limit)
        patience = float(settings.get("connect_timeout", _CONNECT)) + _MORE
        self._link = Link(transport, guard, patience, may_ask=caller.can_answer)
        retries = int(settings.get("retries", 0))
        self.channel = Channel(
            self._link, self.runner, gate or Gate(1), home=home, space=space, retries=retries, limit=limit
        )

    @property
    def host(self) -> str | None:
        """The host for messages and references; None for this machine."""
        return None if self.name == "." else self.name

    @property
    def shell(self) -> str | None:
        """The shell for lines there, according to the settings."""
        return self._settings.get("shell")

    def transport_notes(self) -> list[str]:
        """Return the transport's notes on how it reaches the machine."""
        return self._link.notes()

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close()


class OwnerResult(NamedTuple):
    """One owner's part of a verb's result."""

    owner: Owner
    jobs: tuple[Job, ...] = ()
    errors: tuple[RjobError, ...] = ()
    more: int = 0
