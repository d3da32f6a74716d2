"""Hold back interrupts while bytes are written and counted, or they would be delivered twice."""

from __future__ import annotations

import signal
import threading
from typing import ClassVar


class Interrupts:
    """What happens to Ctrl-C, and to what calls :func:`interrupt`, while this is entered.

    It does what it always does, but not within ``held_back``: such a section ends before anything happens, unless a
    second interrupt comes.  Where an event loop has a handler of its own, which raises nothing here, nothing changes.
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
        """Note an interrupt within a section that holds it back.

        Raises:
            KeyboardInterrupt: Nothing does.
        """
        if not self.held_back.active or self.held_back.came:
            raise KeyboardInterrupt
        self.held_back.came = True


class _Section:
    """A part of the work that is not interrupted.  There is one for each piece of output, so it does very little."""

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
    """Do what Ctrl-C does, for the handler of another signal; also where Ctrl-C itself is ignored.

    Raises:
        KeyboardInterrupt: Nothing holds it back.
    """
    handler = signal.getsignal(signal.SIGINT)
    if Interrupts._current is not None:
        Interrupts._current.arrived()
    elif callable(handler):
        handler(signal.SIGINT, None)
    else:
        raise KeyboardInterrupt
