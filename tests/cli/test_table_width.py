"""The width of the table of jobs: it fits the terminal, whatever the jobs are."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from cli.standin import NOON, a_job
from hypothesis import given, settings
from hypothesis import strategies as st

from rjob.cli.table import COLUMNS, jobs_table, table
from rjob.cli.text import width
from rjob.models import Job, State

TEXT = st.text(max_size=60)
CHARACTERS = st.text("aZ9 日\u0301\u200d😀…\x1b\udcff\ue000\U000f0000", max_size=60)
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
JOBS = st.builds(
    a_job,
    st.integers(0, 10**18 - 1),
    st.sampled_from(list(State)),
    ref=st.builds("{}{}".format, st.integers(0, 10**18 - 1), st.sampled_from(["", "@gpu", "@" + "long." * 20])),
    name=TEXT | CHARACTERS,
    command=TEXT | CHARACTERS,
    location=TEXT | CHARACTERS,
    owner=CHARACTERS,
    reason=st.none() | CHARACTERS,
    exit_code=st.none() | st.integers(),
    signal=st.none() | st.integers(),
    begin=st.none() | MOMENTS,
    end=st.none() | MOMENTS,
    out_bytes=st.integers(0, 9),
)


@settings(deadline=None)
@given(st.lists(JOBS, max_size=4), st.integers(40, 250), st.booleans(), MOMENTS)
def test_no_line_is_wider_than_the_terminal(jobs: list[Job], limit: int, wide: bool, now: datetime) -> None:
    lines = jobs_table(jobs, limit=limit, wide=wide, now=now).split("\n")
    assert len(lines) == 1 + len(jobs)
    assert max(map(width, lines)) <= limit


OLD = [
    a_job(1, command="x" * 90, exit_code=None, state=State.STOPPED, signal=15),
    a_job(12, State.FAILED, name="integration", command="y" * 90, exit_code=1, end=NOON + timedelta(hours=3)),
]


def shown(limit: int) -> list[str]:
    return jobs_table(OLD, limit=limit, now=NOON + timedelta(days=1)).splitlines()


@pytest.mark.parametrize("limit", [80, 100])
def test_every_column_is_there_on_an_ordinary_terminal(limit: int) -> None:
    lines = shown(limit)
    assert tuple(lines[0].split()) == COLUMNS
    assert "SIGTERM" in lines[1]
    assert "Nov 23 12:00" in lines[1]


def test_columns_give_way_in_order() -> None:
    assert shown(80) == [
        "Id  Name      State       Exit  More  Began          Took  Location  Command",
        " 1  Job1      Stopped  SIGTERM  no    Nov 23 12:00    <1s  localho…  xxxxxxxxxx…",
        "12  integra…  Failed         1  no    Nov 23 12:00  3h00m  localho…  yyyyyyyyyy…",
    ]
    assert shown(70)[0].split() == ["Id", "Name", "State", "Exit", "More", "Began", "Took", "Command"]
    assert shown(60)[0].split() == ["Id", "Name", "State", "Exit", "Began", "Took", "Command"]
    assert shown(40)[0].split() == ["Id", "Name", "State", "Exit", "Command"]


def test_what_is_free_is_used() -> None:
    for limit in range(85, 150):
        assert max(map(width, shown(limit))) == limit


def test_combining_and_wide_characters_keep_the_columns_straight() -> None:
    rows = [["日本", "x"], ["e\u0301e\u0301", "x"], ["\u0301", "x"], ["👩\u200d💻", "x"], ["abcd", "x"]]
    lines = table(("A", "B"), rows).splitlines()
    assert {width(line.rpartition("x")[0]) for line in lines[1:]} == {6}
    assert "e\u0301e\u0301  " in lines[2]


@pytest.mark.parametrize(
    ("zone", "began"),
    # POSIX rules instead of zones' names: no time zone database is needed.
    [
        ("UTC0", "Nov 23 12:00"),
        ("<+14>-14", "Nov 24 02:00"),
        ("<-11>11", "Nov 23 01:00"),
        ("IST-5:30", "Nov 23 17:30"),
        ("nonsense", "Nov 23 12:00"),
    ],
)
def test_a_time_zone_does_not_widen_the_table(zone: str, began: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    lines = shown(80)
    assert max(map(width, lines)) <= 80
    assert began in lines[1]
