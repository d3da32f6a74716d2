"""Deferring SIGINT until the written bytes are counted; otherwise they would be delivered twice."""

from __future__ import annotations

import signal
import threading
from typing import ClassVar


class Interrupts:
    """A context that defers Ctrl-C, and the signals that call :func:`interrupt`, in its sections.

    The effect is the usual one, but it is deferred to the end of a ``held_back`` section; a second interrupt takes
    effect at once. Where an event loop has its own SIGINT handler, which raises nothing here, nothing changes.
    """

    _current: ClassVar[Interrupts | None] = None

    def __init__(self) -> None:
        self.held_back = _Section()
        self._before: object = None
        self._entered = 0

    def __enter__(self) -> None:
        self._entered += 1
        if self._entered > 1 or threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if handler in (signal.default_int_handler, signal.SIG_IGN):
            self._before = handler
            Interrupts._current = self
        if handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, self.arrived)

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        if self._entered:
            return
        before, self._before = self._before, None
        if before is not None:
            Interrupts._current = None
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def arrived(self, *_: object) -> None:
        """Handle an interrupt: defer it within a ``held_back`` section.

        Raises:
            KeyboardInterrupt: No section is active, or it is the second interrupt in one.
        """
        if not self.held_back.active or self.held_back.came:
            raise KeyboardInterrupt
        self.held_back.came = True


class _Section:
    """A section in which interrupts are deferred. It is entered for each piece of output, so it does very little."""

    def __init__(self) -> None:
        self.active = False
        self.came = False

    def __enter__(self) -> None:
        self.active = True

    def __exit__(self, *_: object) -> None:
        self.active = False
        if self.came:
            self.came = False
            raise KeyboardInterrupt


def interrupt() -> None:
    """Do what Ctrl-C does, even where SIGINT is ignored; for the handlers of other signals.

    Raises:
        KeyboardInterrupt: The interrupt is not deferred.
    """
    handler = signal.getsignal(signal.SIGINT)
    if Interrupts._current is not None:
        Interrupts._current.arrived()
    elif callable(handler):
        handler(signal.SIGINT, None)
    else:
        raise KeyboardInterrupt
