"""The policy for retries after a failed connection."""

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
"""Seconds that an attempt must last for its failure to count as the first in a row."""


class Attempts:
    """The retries of one action.

    Args:
        times: The maximum number of retries.
        patience: Seconds after the first failure in a row for which to retry, whatever ``times`` says; 0 for none.
        connects: Whether the action is connecting: nothing was requested yet, so a retry is harmless.
    """

    def __init__(self, times: int = _TIMES, *, patience: float = 0.0, connects: bool = False) -> None:
        self._times = times
        self._patience = patience
        self._connects = connects
        self._failures = 0
        self._since = self._began = time.monotonic()
        self._reached = False

    def begin(self) -> None:
        """Note the start of an attempt. Call before each attempt."""
        self._began = time.monotonic()

    def reached(self) -> None:
        """Note that the machine answers: with patience, a later failure may be the network's, and is retried."""
        self._reached = self._reached or self._patience > 0

    async def again(self, error: TransportError) -> None:
        """Wait before the next attempt: longer after each failure in a row, constant when connecting.

        Args:
            error: The failure of the last attempt.

        Raises:
            TransportError: The same error: it is not transient, or the retries are used up.
        """
        now = time.monotonic()
        # A connection that took minutes to fail was not a good one.
        good = not self._connects and now - self._began > _GOOD
        if good or not self._failures:
            self._failures, self._since = 0, now
        self._failures += 1
        enough = now - self._since > self._patience if self._patience else self._failures > self._times
        if enough or not self._passes(error):
            raise error
        await pause(0.25 if self._connects else min(_PAUSE, 0.1 * 2**self._failures))

    def _passes(self, error: TransportError) -> bool:
        if self._connects:
            return isinstance(error, ConnectFailed) and error.transient
        # If the machine was never reached, connecting was already retried.
        self._reached = self._reached or isinstance(error, ConnectionLost)
        return self._reached and error.transient
