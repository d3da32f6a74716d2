"""Tables: of jobs, and of other rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rjob import times
from rjob.cli import status
from rjob.cli.text import Letters, fit, visible, width
from rjob.models import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rjob.models import Job

COLUMNS = ("Id", "Name", "State", "Exit", "More", "Began", "Took", "Location", "Command")
"""The columns of ``rjob get``."""

WIDE = (*COLUMNS[:-1], "Type", "Owner", "Instance", "Reason", "Command")
"""The columns of ``rjob get --wide``; the command is last, because it is the longest."""

_NUMBERS = {"Exit", "Took"}
_GAP = 2
# How a table is narrowed to a terminal's width: these columns are cut, in this order, to this number of characters, ...
_CUT = (
    ("Command", 16),
    ("Reason", 16),
    ("Name", 8),
    ("Location", 8),
    ("Owner", 8),
    ("Instance", 9),
    ("Command", 7),
    ("Reason", 6),
)
# ... then these are left out, until the rest can be cut to fit; ...
_LEAVE_OUT = ("Type", "Owner", "Location", "More", "Took", "Reason", "Instance", "Began")
# ... then all of the rest are cut.
_CUT_ALL = ("Command", "Name", "Exit", "State", "Id")
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
    """Format jobs as a table.

    Args:
        jobs: The jobs, in the order of the rows.
        wide: Whether to show every column.
        limit: The terminal's width; None for no limit.
        colour: Whether to colour the states.
        now: The current time; None for the clock's.
    """
    now = now or datetime.now(UTC)
    headers = WIDE if wide else COLUMNS
    cells = [_cells(job, now) for job in jobs]
    columns = {name: [visible(row[name]) for row in cells] for name in headers}
    sizes = _sizes({name: max(map(width, (name, *column))) for name, column in columns.items()}, limit)
    shown = [[fit(cell, size) for cell in (name, *columns[name])] for name, size in sizes.items()]
    right = _NUMBERS if any("@" in job.ref for job in jobs) else _NUMBERS | {"Id"}
    paint = {str(state): f"\x1b[{code}m{state}\x1b[0m" for state, code in _COLOURS.items()} if colour else {}
    titles, *rows = zip(*shown, strict=True)
    return table(titles, rows, right=right, paint={"State": paint})


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: set[str] | frozenset[str] = frozenset(),
    paint: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Format rows under headers.

    Args:
        headers: The columns' names.
        rows: Any text; it is made visible here.
        right: The columns to align on the right.
        paint: For some columns, the coloured form of some cells.
    """
    import tabulate

    # Letters handles wide characters: whether tabulate can measure them depends on which packages are installed.
    tabulate.WIDE_CHARS_MODE = False
    # Otherwise each column is at least two wider than its header.
    tabulate.MIN_PADDING = 0
    letters = Letters()
    paints = [(paint or {}).get(name, {}) for name in headers]
    text = tabulate.tabulate(
        [[paints[at].get(cell) or letters.put(visible(cell)) for at, cell in enumerate(row)] for row in rows],
        headers=headers,
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if name in right else "left" for name in headers] if rows else None,
    )
    return "\n".join(line.rstrip() for line in letters.back(text).split("\n"))


def exit_text(job: Job) -> str:
    """Return how a job ended in one word: its exit status, or its signal's name.

    Args:
        job: The job.
    """
    code, signal = status.end_of(job)
    if signal is not None:
        return f"SIG{_SIGNALS[signal]}" if signal in _SIGNALS else f"signal {signal}"
    return "" if code is None else str(code)


def _took(job: Job, now: datetime) -> str:
    """Format how long a job ran, or has run; both ends are known to the second only."""
    if not _has_duration(job) or job.begin is None:
        return ""
    seconds = ((job.end or now) - job.begin).total_seconds()
    return "<1s" if job.end and seconds < 1 else times.took(seconds)


def _cells(job: Job, now: datetime) -> dict[str, str]:
    """Build a cell for each column of WIDE."""
    return {
        "Id": job.ref,
        "Name": job.name,
        "State": str(job.state),
        "Exit": exit_text(job),
        "More": "yes" if job.has_more_data else "no",
        "Began": times.short(job.begin, now) if job.begin else "",
        "Took": _took(job, now),
        "Location": job.location,
        "Type": job.type,
        "Owner": job.owner,
        "Instance": job.instance_id,
        "Reason": job.reason or "",
        "Command": job.command,
    }


def _has_duration(job: Job) -> bool:
    """Whether the duration of a job is known: a lost job ended at an unknown time."""
    return job.end is not None or not job.state.finished


def _sizes(sizes: dict[str, int], limit: int | None) -> dict[str, int]:
    """Choose the columns that fit on a terminal, and their widths.

    Args:
        sizes: The full width of each column, by its header.
        limit: The terminal's width; None for no limit.
    """
    if limit is None or not sizes:
        return sizes
    left = dict(sizes)
    for name in _LEAVE_OUT:
        if _over(cut := _cut(left, _CUT, limit), limit) <= 0:
            return cut
        left.pop(name, None)
    return _cut(_cut(left, _CUT, limit), [(name, 1) for name in _CUT_ALL], limit)


def _cut(sizes: Mapping[str, int], least: Iterable[tuple[str, int]], limit: int) -> dict[str, int]:
    """Narrow columns in order, each as far as needed and allowed."""
    cut = dict(sizes)
    for name, floor in least:
        if name in cut:
            cut[name] = min(cut[name], max(cut[name] - max(0, _over(cut, limit)), floor))
    return cut


def _over(sizes: Mapping[str, int], limit: int) -> int:
    """Return by how much a table of such columns is too wide."""
    return sum(sizes.values()) + _GAP * (len(sizes) - 1) - limit
