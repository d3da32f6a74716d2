"""Signals by name and by number, as this machine defines them."""

from __future__ import annotations

import re
import signal

from rjob.errors import UsageError

_HIGHEST = 64


def number_of(name: str) -> int | None:
    """Return the number of a signal; None if it is unknown.

    Args:
        name: ``TERM``, ``SIGTERM`` or ``15``.
    """
    word = name.upper().removeprefix("SIG")
    if re.fullmatch("[0-9]{1,18}", word):
        return int(word)
    found = getattr(signal, "SIG" + word, None)
    return int(found) if isinstance(found, signal.Signals) else None


def name_of(number: int) -> str:
    """Return a signal's name: ``SIGTERM`` for 15, ``signal 99`` for a number without a name.

    Args:
        number: The signal's number.
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def word_of(text: str) -> str:
    """Convert a signal to the form that runners accept: a name without ``SIG``, or a number.

    Args:
        text: ``TERM``, ``SIGTERM`` or ``15``.

    Raises:
        UsageError: There is no such signal.
    """
    number = number_of(text)
    if number is None or not 0 < number <= _HIGHEST:
        raise UsageError(f"no such signal: {text}", hint="`kill -l` names them")
    word = text.upper().removeprefix("SIG")
    return str(number) if word.isdigit() else word
