"""The states that facts mean, as a table."""

from __future__ import annotations

import json

import pytest

from rjob.models import State
from rjob.runner.facts import JobFacts
from rjob.runner.states import LOST, Verdict, derive
from rjob.runner.values import instant
from rjob.signals import name_of, number_of

UUID = "11111111-2222-3333-4444-555555555555"
AT = "2026-01-01T00:00:00Z"


def facts(
    alive: str | None = None,
    *,
    foreign: bool = False,
    argv: list[str] | None = None,
    platform: str = "posix",
    **files: str,
) -> JobFacts:
    job = JobFacts(UUID, "m", foreign=foreign)
    job.alive = None if alive is None else alive.split()
    job.add("start", json.dumps({"id": 1, "argv": argv or ["make"], "platform": platform}))
    for name, text in files.items():
        for line in text.split("\n"):
            job.add(name, line)
    return job


def ended(status: str, seen: str = "-", **more: str) -> JobFacts:
    job = facts(**more)  # type: ignore[arg-type]
    job.add("exit", f"1 {status} {seen} {AT}")
    return job


TABLE: list[tuple[str, JobFacts, Verdict]] = [
    ("nothing told", facts(), Verdict(State.NOT_STARTED, "its owner does not tell")),
    ("registered", facts("none - -"), Verdict(State.NOT_STARTED, "it was registered, but nothing has started it")),
    ("running", facts("S S - same"), Verdict(State.RUNNING)),
    ("not yet its command", facts("S - - same"), Verdict(State.RUNNING)),
    ("suspended", facts("S T - same"), Verdict(State.SUSPENDED)),
    ("traced", facts("S t - same"), Verdict(State.SUSPENDED)),
    ("suspended, as ps tells it", facts("Ss T+ - same"), Verdict(State.SUSPENDED)),
    ("stopping", facts("S S - same", stop=f"TERM {AT}"), Verdict(State.STOPPING)),
    ("stopping while suspended", facts("S T - same", stop=f"TERM {AT}"), Verdict(State.STOPPING)),
    ("past its limit", facts("S S - same", expired=f"TERM {AT}"), Verdict(State.STOPPING)),
    (
        "orphaned",
        facts("- - 3 same", main="5 6"),
        Verdict(State.RUNNING, "its supervisor is gone; 3 of its processes live on"),
    ),
    ("killed", facts("- - 0 same", main="5 6"), Verdict(State.LOST, LOST["lost-killed"], record="lost-killed")),
    ("killed early", facts("- - 0 same"), Verdict(State.LOST, LOST["lost-unclaimed"], record="lost-unclaimed")),
    ("rebooted", facts("- - - other", main="5 6"), Verdict(State.LOST, LOST["lost-reboot"], record="lost-reboot")),
    (
        "another machine's",
        facts(foreign=True),
        Verdict(State.DISCONNECTED, "its machine is another one under the same home: as its files tell"),
    ),
    ("another machine's, ended", JobFacts(UUID, "m", foreign=True), Verdict(State.COMPLETED, None, 0)),
    ("completed", ended("0"), Verdict(State.COMPLETED, None, 0)),
    ("failed", ended("3"), Verdict(State.FAILED, "exit status 3", 3)),
    ("failed with a sign", ended("-1073741510"), Verdict(State.FAILED, "exit status -1073741510", -1073741510)),
    ("failed with 255", ended("255"), Verdict(State.FAILED, "exit status 255", 255)),
    (
        "its own reason",
        ended("126", error="cannot change to the directory /x"),
        Verdict(State.FAILED, "cannot change to the directory /x", 126),
    ),
    ("not found", ended("127"), Verdict(State.FAILED, "the command was not found (exit status 127)", 127)),
    ("not executable", ended("126"), Verdict(State.FAILED, "the command cannot be executed (exit status 126)", 126)),
    ("143 of its own", ended("143"), Verdict(State.FAILED, "exit status 143 (128 + SIGTERM, perhaps)", 143)),
    (
        "143 where there are no signals",
        ended("143", platform="windows"),
        Verdict(State.FAILED, "exit status 143", 143),
    ),
    ("a signal that was seen", ended("143", "15"), Verdict(State.FAILED, "ended by SIGTERM", None, 15)),
    (
        "a signal that we sent",
        ended("138", signals="USR1\nHUP"),
        Verdict(State.FAILED, f"ended by {name_of(10)}", None, 10),
    ),
    (
        "another signal than we sent",
        ended("138", signals="HUP"),
        Verdict(State.FAILED, f"exit status 138 (128 + {name_of(10)}, perhaps)", 138),
    ),
    ("stopped by TERM", ended("143", stop=f"TERM {AT}"), Verdict(State.STOPPED, None, None, 15)),
    ("stopped by KILL", ended("137", stop=f"TERM {AT}"), Verdict(State.STOPPED, None, None, 9)),
    ("stopped by number", ended("130", stop=f"2 {AT}"), Verdict(State.STOPPED, None, None, 2)),
    ("stopped, ended well", ended("0", stop=f"INT {AT}"), Verdict(State.STOPPED, None, 0, 2)),
    ("stopped, own status", ended("7", stop=f"TERM {AT}"), Verdict(State.STOPPED, None, 7, 15)),
    ("stopped, another signal's status", ended("139", stop=f"TERM {AT}"), Verdict(State.STOPPED, None, 139, 15)),
    (
        "stopped before it began",
        ended("never", stop=f"TERM {AT}"),
        Verdict(State.STOPPED, "it was stopped before it began"),
    ),
    ("stopped after its supervisor died", ended("killed", stop=f"TERM {AT}"), Verdict(State.STOPPED, None, None, 15)),
    ("time limit", ended("143", expired=f"TERM {AT}"), Verdict(State.FAILED, "its time limit was reached", None, 15)),
    (
        "time limit, killed",
        ended("137", expired=f"TERM {AT}"),
        Verdict(State.FAILED, "its time limit was reached", None, 9),
    ),
    (
        "time limit, then stopped",
        ended("143", expired=f"TERM {AT}", stop=f"TERM {AT}"),
        Verdict(State.STOPPED, None, None, 15),
    ),
    ("lost, recorded", ended("lost-killed"), Verdict(State.LOST, LOST["lost-killed"])),
    (
        "lost, though a stop came later",
        ended("lost-reboot", stop=f"TERM {AT}"),
        Verdict(State.LOST, LOST["lost-reboot"]),
    ),
]
TABLE[15][1].add("exit", f"1 0 - {AT}")


@pytest.mark.parametrize(("job", "verdict"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_state_of(job: JobFacts, verdict: Verdict) -> None:
    if "time limit" in str(verdict.reason):
        # The signal that ended it is told; whether a status is told too does not matter.
        assert derive(job)._replace(exit_code=None) == verdict
    else:
        assert derive(job) == verdict


@pytest.mark.parametrize(
    "record",
    [
        "",
        "1",
        "1 0",
        "1 0 -",
        "2 0 - " + AT,
        "1 x - " + AT,
        "1 --1 - " + AT,
        "1 ² - " + AT,
        "garbage " * 9,
        "1 0x0 - " + AT,
        "1 " + "9" * 5000 + " - " + AT,
    ],
)
def test_a_garbled_exit_record_is_never_a_success(record: str) -> None:
    verdict = derive(facts(exit=record))
    assert verdict.state is State.LOST
    assert verdict.reason == "its exit record cannot be read"
    assert verdict.record is None


@pytest.mark.parametrize(("status", "what"), [("127", "was not found"), ("126", "cannot be executed")])
def test_a_single_word_with_blanks_gets_the_hint(status: str, what: str) -> None:
    job = facts(exit=f"1 {status} - {AT}", argv=["make && make test"])
    assert derive(job).reason == f"the command {what} (exit status {status}); for a shell line use -c"


@pytest.mark.parametrize("alive", ["", "-", "- -", "- - -", "- - - -", "? ? ? ?", "- - x same", "Z", "x y z a b c"])
def test_a_garbled_alive_line_raises_nothing(alive: str) -> None:
    assert derive(facts(alive)).state in (State.RUNNING, State.LOST, State.NOT_STARTED)


@pytest.mark.parametrize(
    ("name", "number"), [("TERM", 15), ("SIGTERM", 15), ("term", 15), ("9", 9), ("NOPE", None), ("", None), ("²", None)]
)
def test_signals_have_numbers(name: str, number: int | None) -> None:
    assert number_of(name) == number


@pytest.mark.parametrize(
    "text", [None, "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "٢٠٢٦-01-01T00:00:00Z "]
)
def test_a_garbled_time_is_no_time(text: str | None) -> None:
    assert instant(text) is None


def test_a_time_is_read() -> None:
    moment = instant(AT)
    assert moment is not None
    assert moment.isoformat() == "2026-01-01T00:00:00+00:00"
