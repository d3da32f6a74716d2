"""Back-off for a loop that sends requests to a host, so that it does not spin."""

from __future__ import annotations

import time

from rjob.core.loop import pause

_QUICK = 1.0
_LONGEST = 5.0


class Pace:
    """A back-off after quick answers that brought nothing: longer with each such answer in a row."""

    def __init__(self) -> None:
        self._empty = 0
        self._asked = time.monotonic()

    async def after(self, progress: bool, *, left: float = _LONGEST) -> None:
        """Pause if needed. Call after each answer, before the next request.

        Args:
            progress: Whether the answer brought anything.
            left: The most seconds that a pause may last.
        """
        if progress or time.monotonic() - self._asked >= _QUICK:
            self._empty = 0
        else:
            self._empty += 1
            # pause() sleeps up to half as long again.
            await pause(max(0.0, min(_LONGEST, left, 0.05 * 2**self._empty) / 1.5))
        self._asked = time.monotonic()
