"""The hooks that plugins implement, and the marker to implement them with.

A plugin is a module (or object) named by an entry point of the group ``rjob.transports``; the entry point's name is
the URL scheme. Hooks change only by addition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from rjob.transports.base import Transport

hookspec = pluggy.HookspecMarker("rjob")
hookimpl = pluggy.HookimplMarker("rjob")


@hookspec
def rjob_transports() -> list[type[Transport]]:  # type: ignore[empty-body]
    """Return the transports that this plugin provides.

    Returns:
        The classes; each has its own ``scheme``.

    Since 0.1.
    """
