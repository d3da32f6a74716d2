"""Durations and points in time: parsing the forms that people write, and formatting them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from rjob.errors import UsageError

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = "".join(f"(?:({_NUMBER}){unit})?" for unit in _UNITS)
_CLOCK = r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
_LONGEST = 100 * 366 * 86400


def duration(text: str) -> float:
    """Parse a duration.

    Args:
        text: ``1h30m``, ``1.5h``, ``2d``, with the units w, d, h, m and s in this order; a bare number is seconds.

    Returns:
        Seconds.

    Raises:
        UsageError: It is not a duration, or longer than a century.
    """
    seconds = _duration(text)
    if seconds is None:
        raise UsageError(f"not a duration: {text!r}", hint="write it as 90, 2m, 1h30m or 1.5d")
    return seconds


def instant(text: str, now: datetime | None = None) -> datetime:
    """Parse a point in time, in the local time zone unless it names another.

    Args:
        text: A duration (that long ago), ``now``, ``today`` and ``yesterday`` (their midnight), a time of today such
            as ``09:00``, or ISO 8601 such as ``2026-11-23``, ``2026-11-23T09:00`` or ``2026-11-23T08:00Z``.
        now: The current time, with a time zone; None for the clock's.

    Returns:
        The time in UTC.

    Raises:
        UsageError: It is none of these.
    """
    now = now or datetime.now(UTC)
    try:
        ago = _duration(text)
        moment = now - timedelta(seconds=ago) if ago is not None else _calendar(text, now)
        # astimezone takes a datetime without a time zone as local time.
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        hint = "write it as 2h (ago), today, 09:00 or 2026-11-23T09:00"
        raise UsageError(f"not a time: {text!r}", hint=hint) from error


def iso(moment: datetime) -> str:
    """Format a time for programs.

    Args:
        moment: A time with a time zone.

    Returns:
        ISO 8601 in UTC to the second, ``2026-11-23T08:36:56Z``.
    """
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def parse_iso(text: str) -> datetime:
    """Parse the format of :func:`iso`.

    Args:
        text: ISO 8601; in UTC if it names no time zone.

    Returns:
        The time in UTC.

    Raises:
        ValueError: It is not ISO 8601.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def short(moment: datetime, now: datetime | None = None) -> str:
    """Format a time for a table, in local time.

    Args:
        moment: A time with a time zone.
        now: The current time, with a time zone; None for the clock's.

    Returns:
        ``09:41:07`` today, ``Nov 12 09:41`` this year, else ``2024-11-12``.
    """
    local = moment.astimezone()
    today = (now or datetime.now(UTC)).astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%b %d %H:%M}" if local.year == today.year else local.date().isoformat()


def took(seconds: float) -> str:
    """Format a duration for a table, with its two largest units.

    Args:
        seconds: The duration; a negative one (from two clocks that disagree) counts as 0.

    Returns:
        ``0.4s``, ``12s``, ``3m05s``, ``2h10m`` or ``3d04h``.
    """
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{min(seconds, 9.9):.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def _duration(text: str) -> float | None:
    if re.fullmatch(_NUMBER, text):
        seconds = float(text)
    elif text and (match := re.fullmatch(_DURATION, text)):
        seconds = sum(float(number) * unit for number, unit in zip(match.groups("0"), _UNITS.values(), strict=True))
    else:
        return None
    if seconds > _LONGEST:
        raise UsageError(f"duration longer than a century: {text!r}")
    return seconds


def _calendar(text: str, now: datetime) -> datetime:
    """Parse a time that is not a duration; a result without a time zone is local."""
    if text == "now":
        return now
    day = now.astimezone().date()
    if text == "today":
        return datetime.combine(day, time())
    if text == "yesterday":
        return datetime.combine(day - timedelta(days=1), time())
    if match := re.fullmatch(_CLOCK, text):
        return datetime.combine(day, time(int(match[1]), int(match[2]), int(match[3] or 0)))
    return datetime.fromisoformat(text)
