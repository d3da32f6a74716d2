"""The doctor: checks everything that rjob needs on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.models import Finding

if TYPE_CHECKING:
    from rjob.core.owner import Owner

_SHOWN = 500
"""The most characters to show of each value that a host reports about itself."""


async def examine(owner: Owner) -> list[Finding]:
    """Check a machine.

    Args:
        owner: The machine.

    Raises:
        RjobError: It cannot be reached, or its home cannot be written to.
    """
    facts = await owner.channel.call("info")
    info = {words[1]: " ".join(words[2:])[:_SHOWN] for words in facts.other if words[0] == "info" and len(words) > 1}
    return [
        Finding("ok", f"{facts.host or owner.name}: {info.get('system', '?')}, machine id {facts.machine}"),
        Finding("ok", f"jobs are kept in {info.get('home', '?')}/{facts.machine} ({facts.total} there)"),
        *(Finding("note", note) for note in owner.transport_notes()),
        *owner.runner.findings(info),
    ]
