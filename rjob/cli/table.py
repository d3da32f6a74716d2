"""Tables: of jobs, and of anything else that has rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rjob import times
from rjob.cli.text import WIDE_FILLER, fit, padded, visible, width
from rjob.models import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.models import Job

COLUMNS = ("Id", "Name", "State", "Exit", "More", "Began", "Took", "Location", "Command")
"""The columns of ``rjob get``."""

WIDE = (*COLUMNS[:-1], "Type", "Owner", "Instance", "Reason", "Command")
"""The columns of ``rjob get --wide``; the command stays last, for it is the longest."""

_NUMBERS = {"Exit", "Took"}
_GAP = 2
# What gives way on a narrow terminal, in this order, and how far.
_SHRINK = {"Command": 16, "Reason": 16, "Name": 8, "Location": 8}
_COLOURS = {
    State.RUNNING: 36,
    State.COMPLETED: 32,
    State.FAILED: 31,
    State.LOST: 31,
    State.STOPPED: 33,
    State.STOPPING: 33,
    State.SUSPENDED: 33,
    State.DISCONNECTED: 35,
}
# These have the same number on every Unix.
_SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 6: "ABRT", 9: "KILL", 13: "PIPE", 14: "ALRM", 15: "TERM"}


def jobs_table(
    jobs: Sequence[Job],
    *,
    wide: bool = False,
    limit: int | None = None,
    colour: bool = False,
    now: datetime | None = None,
) -> str:
    """Show jobs as a table.

    Args:
        jobs: In the order of the rows.
        wide: Whether to show every column.
        limit: The terminal's width; None for no limit.
        colour: Whether to colour the states.
        now: The present; the clock's when None.
    """
    now = now or datetime.now(UTC)
    headers = WIDE if wide else COLUMNS
    rows = [[cell for name, cell in zip(WIDE, _cells(job, now), strict=True) if name in headers] for job in jobs]
    right = _NUMBERS if any("@" in job.ref for job in jobs) else _NUMBERS | {"Id"}
    paint = {str(state): f"\x1b[{code}m{state}\x1b[0m" for state, code in _COLOURS.items()} if colour else {}
    return table(headers, rows, right=right, limit=limit, paint={"State": paint})


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: set[str] | frozenset[str] = frozenset(),
    limit: int | None = None,
    paint: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Show rows under headers.

    Args:
        headers: The columns' names.
        rows: Text of any kind; it is made visible here.
        right: The columns that are aligned at their right end.
        limit: The terminal's width; None for no limit.
        paint: For some columns, the coloured form of some cells.
    """
    import tabulate

    # Wide characters have been given fillers: whether tabulate could measure them depends on what else is installed.
    tabulate.WIDE_CHARS_MODE = False
    # Else each column is at least two wider than its header.
    tabulate.MIN_PADDING = 0
    shown = _fitted(headers, [[visible(cell) for cell in row] for row in rows], limit)
    paints = [(paint or {}).get(name, {}) for name in headers]
    text = tabulate.tabulate(
        [[paints[at].get(cell, padded(cell)) for at, cell in enumerate(row)] for row in shown],
        headers=headers,
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if name in right else "left" for name in headers] if rows else None,
    )
    return "\n".join(line.rstrip() for line in text.replace(WIDE_FILLER, "").split("\n"))


def exit_text(job: Job) -> str:
    """How a job ended, in a word: its exit status, or its signal's name.

    Args:
        job: The job.
    """
    if job.exit_code is not None:
        return str(job.exit_code)
    if job.signal is not None:
        return f"SIG{_SIGNALS[job.signal]}" if job.signal in _SIGNALS else f"signal {job.signal}"
    return ""


def _took(job: Job, now: datetime) -> str:
    """How long it ran, or has run; both ends are known to the second."""
    if not _has_duration(job) or job.begin is None:
        return ""
    seconds = ((job.end or now) - job.begin).total_seconds()
    return "<1s" if job.end and seconds < 1 else times.took(seconds)


def _cells(job: Job, now: datetime) -> list[str]:
    """A cell for each column of WIDE."""
    return [
        job.ref,
        job.name,
        str(job.state),
        exit_text(job),
        "yes" if job.has_more_data else "no",
        times.short(job.begin, now) if job.begin else "",
        _took(job, now),
        job.location,
        job.type,
        job.owner,
        job.instance_id,
        job.reason or "",
        job.command,
    ]


def _has_duration(job: Job) -> bool:
    """Whether it is known until when the job ran: one that was lost ended at an unknown time."""
    return job.end is not None or not job.state.finished


def _fitted(headers: Sequence[str], rows: list[list[str]], limit: int | None) -> list[list[str]]:
    if limit is None or not rows:
        return rows
    widths = [max(map(width, column)) for column in zip(headers, *rows, strict=True)]
    over = sum(widths) + _GAP * (len(widths) - 1) - limit
    for name, least in _SHRINK.items():
        if over > 0 and name in headers:
            at = headers.index(name)
            size = max(widths[at] - over, min(least, widths[at]))
            over -= widths[at] - size
            for row in rows:
                row[at] = fit(row[at], size)
    return rows
