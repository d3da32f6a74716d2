"""The table of operations: what every runner performs, and the properties of each that the client needs."""

from __future__ import annotations

from typing import NamedTuple

_LOOKS_ON = 60.0
_WORKS = 600.0
_STAYS = 300.0


class Operation(NamedTuple):
    """The properties of one operation. docs/reference/runner-protocol.md has its lines and its reply.

    Attributes:
        locks: Whether it holds the owner's lock, all the time or for a moment.
        repeatable: Whether it is idempotent: it is requested again when a connection broke and its outcome is unknown.
        talks: Whether standard input stays open after the request, for further lines.
        silence: Seconds without a sign of life that are allowed at least, even if ``reply_timeout`` is shorter.
        patience: Seconds for which it is retried when connections break; 0 for a few retries.
    """

    locks: bool = False
    repeatable: bool = False
    talks: bool = False
    silence: float = 0.0
    patience: float = 0.0


OPERATIONS = {
    "start": Operation(locks=True, repeatable=True),
    "facts": Operation(repeatable=True),
    # Following survives long breaks: a laptop wakes up, a host's network comes back.
    "collect": Operation(locks=True, repeatable=True, talks=True, silence=_LOOKS_ON, patience=_STAYS),
    "received": Operation(locks=True, repeatable=True),
    # These may process many bytes before they report anything.
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
"""The operations by name. Runners, the reference and the tests are checked against this table."""
