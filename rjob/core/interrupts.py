"""Hold back interrupts while bytes are written and counted, or they would be delivered twice."""

from __future__ import annotations

import signal
import threading
from typing import ClassVar


class Uninterrupted:
    """A section that ends before an interrupt does anything; a second interrupt comes through.

    It holds back Ctrl-C, and what calls :func:`interrupt`.
    """

    _current: ClassVar[Uninterrupted | None] = None

    def __init__(self) -> None:
        self._came = False
        self._before: object = None

    def __enter__(self) -> None:
        self._before = None
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        # An event loop's handler raises nothing here.
        if handler in (signal.default_int_handler, signal.SIG_IGN):
            self._before = handler
            Uninterrupted._current = self
            if handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._note)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            Uninterrupted._current = None
            if self._before is signal.default_int_handler:
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._came:
            raise KeyboardInterrupt

    def _note(self, *_: object) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True


def interrupt() -> None:
    """Do what Ctrl-C does, for the handler of another signal; also where Ctrl-C itself is ignored.

    Raises:
        KeyboardInterrupt: Nothing holds it back.
    """
    section = Uninterrupted._current
    handler = signal.getsignal(signal.SIGINT)
    if section is not None:
        section._note()
    elif callable(handler):
        handler(signal.SIGINT, None)
    else:
        raise KeyboardInterrupt
