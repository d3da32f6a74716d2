"""Tables: aligned, fitted to the terminal, and harmless to it whatever text a host or a user supplied."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cli.standin import NOON, a_job

from rjob.cli import output
from rjob.cli.table import jobs_table, table
from rjob.cli.text import fit, legible, visible, width
from rjob.models import State


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("größer 日本", "größer 日本"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x7f\x9b2J", r"\x7f\x9b2J"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\u2066x\u2069\ufeff\u200b", r"\u2066x\u2069\ufeff\u200b"),
        ("\udcff\udc80", r"\xff\x80"),
        ("\ud800", r"\ud800"),
        ("\ue000", r"\ue000"),
        ("\u2028", r"\u2028"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_nothing_acts_on_the_terminal(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert legible("a\udcffb") == "a\ufffdb"
    assert legible("日本") == "日本"


def test_width_counts_columns() -> None:
    assert width("abc") == 3
    assert width("日本") == 4
    assert width("e\u0301") == 1


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"), ("abc", 1, "…")],
)
def test_fit(text: str, columns: int, shown: str) -> None:
    assert fit(text, columns) == shown
    assert width(fit(text, columns)) <= columns


def test_the_columns() -> None:
    jobs = [
        a_job(9, end=NOON + timedelta(seconds=75)),
        a_job(10, State.FAILED, exit_code=3, out_bytes=5),
        a_job(11, State.STOPPED, signal=15),
        a_job(12, State.RUNNING),
        a_job(13, State.LOST, end=None),
    ]
    text = jobs_table(jobs, now=NOON + timedelta(minutes=5))
    assert text.splitlines() == [
        "Id  Name   State         Exit  More  Began      Took  Location   Command",
        " 9  Job9   Completed        0  no    12:00:00  1m15s  localhost  make -C src",
        "10  Job10  Failed           3  yes   12:00:00    <1s  localhost  make -C src",
        "11  Job11  Stopped    SIGTERM  no    12:00:00    <1s  localhost  make -C src",
        "12  Job12  Running             no    12:00:00  5m00s  localhost  make -C src",
        "13  Job13  Lost                no    12:00:00         localhost  make -C src",
    ]


def test_references_of_hosts_stand_at_the_left() -> None:
    text = jobs_table([a_job(7, ref="7@gpu"), a_job(123, ref="123@gpu")], now=NOON)
    assert [line[:8] for line in text.splitlines()] == ["Id      ", "7@gpu   ", "123@gpu "]


def test_wide_tells_more() -> None:
    text = jobs_table([a_job(state=State.FAILED, reason="exit status 3", exit_code=3)], wide=True, now=NOON)
    assert "Type" in text
    assert "BackgroundJob" in text
    assert "00000011-0000-4000-8000-000000000000" in text
    assert "exit status 3" in text


def test_wide_characters_keep_the_columns_straight() -> None:
    text = jobs_table([a_job(1, name="日本語"), a_job(2, name="abc")], now=NOON)
    lines = text.splitlines()
    assert len({width(line[: line.index("make")]) for line in lines[1:]}) == 1


def test_a_narrow_terminal() -> None:
    jobs = [a_job(1, command="x" * 300), a_job(2, name="n" * 60, command="y" * 300, location="l" * 60)]
    text = jobs_table(jobs, limit=80, now=NOON)
    assert max(map(width, text.splitlines())) <= 80
    assert "…" in text
    assert "x" * 300 in jobs_table(jobs, now=NOON)


def test_a_newline_cannot_forge_a_row() -> None:
    text = jobs_table([a_job(command="true\n99  Job99  Completed", name="a\x1b[2Jb")], now=NOON)
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text


def test_colours_do_not_move_columns() -> None:
    jobs = [a_job(1), a_job(2, State.FAILED, exit_code=1)]
    coloured = jobs_table(jobs, colour=True, now=NOON)
    assert "\x1b[31mFailed\x1b[0m" in coloured
    plain = coloured
    for code in ("\x1b[31m", "\x1b[32m", "\x1b[0m"):
        plain = plain.replace(code, "")
    assert plain == jobs_table(jobs, now=NOON)


def test_headers_without_rows() -> None:
    assert table(("Key", "Value"), []) == "Key  Value"


@pytest.mark.parametrize(
    ("setting", "environ", "expected"),
    [
        ("auto", {}, False),
        ("always", {}, True),
        ("never", {}, False),
        ("always", {"NO_COLOR": "1"}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": ""}, False),
    ],
)
def test_when_to_colour(setting: str, environ: dict[str, str], expected: bool) -> None:
    assert output.coloured(setting, environ) is expected
