"""The table of operations: what every runner performs, and what the client has to know of each."""

from __future__ import annotations

from typing import NamedTuple

_LOOKS_ON = 20.0
_WORKS = 600.0


class Operation(NamedTuple):
    """What one operation is like.  docs/reference/runner-protocol.md has its lines and its reply.

    Attributes:
        locks: Whether it holds the owner's lock, all the time or for a moment.
        repeatable: Whether asking twice is as asking once: it is asked again when a connection broke and nobody knows
            whether it was done.
        talks: Whether standard input stays open behind the request: to say more, or as a sign of life.
        silence: Seconds without a sign of life that it may take whatever ``reply_timeout`` says.
    """

    locks: bool = False
    repeatable: bool = False
    talks: bool = False
    silence: float = 0.0


OPERATIONS = {
    "start": Operation(locks=True, repeatable=True),
    "facts": Operation(repeatable=True),
    "read": Operation(locks=True, talks=True),
    "received": Operation(locks=True, repeatable=True),
    # These may work on many bytes before they say anything.
    "save": Operation(locks=True, silence=_WORKS),
    "remove": Operation(locks=True, silence=_WORKS),
    "compact": Operation(locks=True, repeatable=True, silence=_WORKS),
    "rebuild": Operation(locks=True, repeatable=True, silence=_WORKS),
    # These have nothing to tell but that they live.
    "follow": Operation(locks=True, talks=True, silence=_LOOKS_ON),
    "wait": Operation(repeatable=True, talks=True, silence=_LOOKS_ON),
    "signal": Operation(),
    "tree": Operation(repeatable=True),
    "stop": Operation(locks=True, repeatable=True),
    "conclude": Operation(locks=True, repeatable=True),
    "info": Operation(repeatable=True),
}
"""By name.  Runners, the reference and the tests are checked against it."""
