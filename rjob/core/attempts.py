"""How often something is tried again when a connection fails: the one policy for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rjob.core.loop import pause
from rjob.errors import ConnectFailed, ConnectionLost

if TYPE_CHECKING:
    from rjob.errors import TransportError

_TIMES = 3
_PAUSE = 5.0

_GOOD = 60.0
"""Seconds after which a connection that breaks counts as one that was good."""


class Attempts:
    """What is tried again, and for how long.

    Args:
        times: How often at most to try again.
        patience: Seconds from the first failure in a row for which to go on trying, however often that is; 0 for none.
        connects: Whether it is connecting that is tried: nothing was asked for yet, so trying again is harmless.
    """

    def __init__(self, times: int = _TIMES, *, patience: float = 0.0, connects: bool = False) -> None:
        self._times = times
        self._patience = patience
        self._connects = connects
        self._failures = 0
        self._since = self._began = time.monotonic()
        self._reached = False

    def begin(self) -> None:
        """Call before each attempt."""
        self._began = time.monotonic()

    def reached(self) -> None:
        """The machine answers: for whoever has patience, what fails from now on may be the line."""
        self._reached = self._reached or self._patience > 0

    async def again(self, error: TransportError) -> None:
        """Wait before the next attempt; the longer, the more of them failed in a row.

        Args:
            error: What went wrong.

        Raises:
            TransportError: The same one: it is none that passes, or there were enough of them.
        """
        now = time.monotonic()
        if now - self._began > _GOOD or not self._failures:
            self._failures, self._since = 0, now
        self._failures += 1
        enough = now - self._since > self._patience if self._patience else self._failures > self._times
        if enough or not self._passes(error):
            raise error
        await pause(0.25 if self._connects else min(_PAUSE, 0.1 * 2**self._failures))

    def _passes(self, error: TransportError) -> bool:
        if self._connects:
            return isinstance(error, ConnectFailed) and error.transient
        # A machine that could not be reached in the first place was tried when it was connected to.
        self._reached = self._reached or isinstance(error, ConnectionLost)
        return self._reached and error.transient
