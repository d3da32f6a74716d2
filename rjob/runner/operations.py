"""The table of operations: what every runner performs, and what the client has to know of each."""

from __future__ import annotations

from typing import NamedTuple

_LOOKS_ON = 60.0
_WORKS = 600.0
_STAYS = 300.0


class Operation(NamedTuple):
    """What one operation is like.  docs/reference/runner-protocol.md has its lines and its reply.

    Attributes:
        locks: Whether it holds the owner's lock, all the time or for a moment.
        repeatable: Whether asking twice is as asking once: it is asked again when a connection broke and nobody knows
            whether it was done.
        talks: Whether standard input stays open behind the request, to say more.
        silence: Seconds without a sign of life that it may take whatever ``reply_timeout`` says.
        patience: Seconds for which it is asked again when connections break; 0 for a few times.
    """

    locks: bool = False
    repeatable: bool = False
    talks: bool = False
    silence: float = 0.0
    patience: float = 0.0


OPERATIONS = {
    "start": Operation(locks=True, repeatable=True),
    "facts": Operation(repeatable=True),
    # Whoever looks on puts up with much: a laptop wakes up, a host's network comes back.
    "collect": Operation(locks=True, repeatable=True, talks=True, silence=_LOOKS_ON, patience=_STAYS),
    "received": Operation(locks=True, repeatable=True),
    # These may work on many bytes before they say anything.
    "save": Operation(locks=True, talks=True, silence=_WORKS),
    "remove": Operation(locks=True, talks=True, silence=_WORKS),
    "compact": Operation(locks=True, repeatable=True, silence=_WORKS),
    "rebuild": Operation(locks=True, repeatable=True, silence=_WORKS),
    "signal": Operation(talks=True),
    "tree": Operation(repeatable=True, talks=True),
    "stop": Operation(locks=True, repeatable=True, talks=True),
    "record-lost": Operation(locks=True, repeatable=True),
    "info": Operation(repeatable=True),
}
"""By name.  Runners, the reference and the tests are checked against it."""
