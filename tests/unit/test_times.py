"""Durations and points in time: parsing and formatting."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjob.errors import UsageError
from rjob.times import duration, instant, iso, parse_iso, short, took

NOW = datetime(2026, 11, 23, 8, 36, 56, 789_000, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A POSIX rule instead of a zone's name: no time zone database is needed.
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("0.5", 0.5),
        ("2m", 120),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1d", 86400),
        ("2w", 1209600),
        ("1w1d1h1m1s", 694861),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "h", "1x", "-1", "+1", "1h-2m", "1 h", " 1", "30m1h", "1m1m", "1e3", "inf", "nan", ".", "1.", "٣", "1H"],
)
def test_duration_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        duration(text)


@pytest.mark.parametrize("text", ["9" * 400, "5300w", "99999999999d"])
def test_duration_refuses_what_no_clock_reaches(text: str) -> None:
    with pytest.raises(UsageError, match="century"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "2026-11-23T08:36:56Z"),
        ("now", "2026-11-23T08:36:56Z"),
        ("2h", "2026-11-23T06:36:56Z"),
        ("90", "2026-11-23T08:35:26Z"),
        ("today", "2026-11-22T23:00:00Z"),
        ("yesterday", "2026-11-21T23:00:00Z"),
        ("09:00", "2026-11-23T08:00:00Z"),
        ("9:00", "2026-11-23T08:00:00Z"),
        ("09:00:30", "2026-11-23T08:00:30Z"),
        ("2026-07-01", "2026-06-30T22:00:00Z"),
        ("2026-07-01T12:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01T12:00Z", "2026-07-01T12:00:00Z"),
        ("2026-07-01T12:00+05:30", "2026-07-01T06:30:00Z"),
    ],
)
def test_instant(text: str, expected: str) -> None:
    moment = instant(text, NOW)
    assert iso(moment) == expected
    assert moment.tzinfo is UTC


def test_a_day_that_began_in_summer_time() -> None:
    monday = datetime(2026, 10, 26, 8, tzinfo=UTC)
    assert iso(instant("today", monday)) == "2026-10-25T23:00:00Z"
    assert iso(instant("yesterday", monday)) == "2026-10-24T22:00:00Z"


def test_instant_takes_the_clock() -> None:
    assert abs(instant("1h") - (datetime.now(UTC) - timedelta(hours=1))) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "tomorrow", "25:00", "9:60", "2026-13-01", "0001-01-01", "noon", "-2h", "1h ago"])
def test_instant_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        instant(text, NOW)


def test_parse_iso() -> None:
    assert parse_iso("2026-11-23T08:36:56Z") == NOW.replace(microsecond=0)
    assert parse_iso("2026-11-23T08:36:56").tzinfo is UTC
    assert parse_iso("2026-11-23T09:36:56+01:00") == NOW.replace(microsecond=0)


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1), timezones=st.just(UTC)))
def test_iso_round_trip(moment: datetime) -> None:
    assert parse_iso(iso(moment)) == moment.replace(microsecond=0)
    assert instant(iso(moment), NOW) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-11-23T08:36:07Z", "09:36:07"),
        ("2026-11-22T23:00:00Z", "00:00:00"),
        ("2026-11-22T22:59:59Z", "Nov 22 23:59"),
        ("2026-11-02T08:41:00Z", "Nov 02 09:41"),
        ("2024-11-12T08:41:00Z", "2024-11-12"),
        ("2025-12-31T23:30:00Z", "Jan 01 00:30"),
    ],
)
def test_short(moment: str, text: str) -> None:
    assert short(parse_iso(moment), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0.0s"),
        (0, "0.0s"),
        (0.44, "0.4s"),
        (9.94, "9.9s"),
        (9.96, "9.9s"),
        (10, "10s"),
        (12.9, "12s"),
        (59.99, "59s"),
        (60, "1m00s"),
        (185, "3m05s"),
        (3599, "59m59s"),
        (7800, "2h10m"),
        (86399, "23h59m"),
        (273600, "3d04h"),
        (86400 * 400, "400d00h"),
    ],
)
def test_took(seconds: float, text: str) -> None:
    assert took(seconds) == text


@given(st.integers(0, 10**9))
def test_took_can_be_read_back_and_loses_less_than_its_last_unit(seconds: int) -> None:
    lost = seconds - duration(took(seconds))
    assert 0 <= lost < (3600 if seconds >= 86400 else 60 if seconds >= 3600 else 1)


@given(st.text(alphabet="0123456789.wdhms:-TZ ", max_size=12))
def test_anything_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert instant(text, NOW).tzinfo is UTC
