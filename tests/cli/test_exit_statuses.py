"""Exit statuses: rjob's own errors, a job's status, wrong usage, Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli.standin import StandIn, a_job, failing

from rjob.errors import JobNotFound, UsageError
from rjob.models import Result, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.standin import Ran


NOT_FOUND = JobNotFound("no job 99", job="99", hint="look")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get", "99"), 1),
        (("stop", "99"), 1),
        (("remove", "99"), 1),
        (("receive", "99"), 1),
        (("receive", "-f", "99"), 125),
        (("wait", "99"), 125),
        (("start", "true"), 1),
        (("start", "--wait", "true"), 125),
        (("start", "-f", "true"), 125),
    ],
)
def test_rjobs_own_trouble_beats_a_jobs_status(
    run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...], expected: int
) -> None:
    manager.result = failing(NOT_FOUND, a_job(state=State.FAILED, exit_code=1))
    ran = run(*words)
    assert ran.status == expected
    assert "rjob: no job 99\n  look\n" in ran.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get", "17"), 0),
        (("receive", "17"), 0),
        (("receive", "-f", "17"), 3),
        (("wait", "17"), 3),
        (("wait", "--any", "17"), 3),
        (("start", "true"), 0),
        (("start", "--wait", "true"), 3),
        (("start", "-f", "true"), 3),
    ],
)
def test_a_jobs_status_is_returned_where_it_is_asked_for(
    run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...], expected: int
) -> None:
    manager.result = Result((a_job(state=State.FAILED, exit_code=3),))
    assert run(*words).status == expected


def test_wait_gives_up(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.result = Result((a_job(state=State.RUNNING),))
    assert run("wait", "--timeout", "1", "17").status == 124
    # receive -f has no time-out: if the job still runs, the reader of the output has gone.
    assert run("receive", "-f", "17").status == 125


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get", "--bogus"), 2),
        (("bogus",), 2),
        (("--bogus",), 2),
        (("stop",), 2),
        (("start",), 2),
        (("start", "--bogus", "--wait", "true"), 125),
        (("start", "--wait"), 125),
        (("start", "-qf"), 125),
        (("start", "--bogus", "make", "-f"), 2),
        (("wait",), 125),
        (("wait", "--bogus"), 125),
        (("wait", "--timeout", "soon", "17"), 125),
        (("receive", "--tail", "x", "-f", "17"), 125),
        (("receive", "--tail", "x", "17"), 2),
        (("registry", "bogus"), 2),
    ],
)
def test_wrong_usage(run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...], expected: int) -> None:
    ran = run(*words)
    assert ran.status == expected
    assert ran.out == ""
    assert ran.err.startswith("rjob: ")
    assert not manager.calls


@pytest.mark.parametrize(("words", "expected"), [(("get",), 1), (("wait", "17"), 125)])
def test_a_fault_of_rjob_keeps_its_traceback(
    run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...], expected: int
) -> None:
    manager.results[words[0]] = ZeroDivisionError("a bug")
    ran = run(*words)
    assert ran.status == expected
    assert "ZeroDivisionError: a bug" in ran.err


def test_what_makes_no_sense_to_the_manager(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.results["stop"] = UsageError("17 may be another job", hint="say which", job="17")
    assert run("stop", "17") == (2, "", "rjob: 17 may be another job\n  say which\n")


@pytest.mark.parametrize(
    ("words", "back"),
    [
        (("wait", "17", "-H", "gpu"), "rjob wait -H gpu 17"),
        (("receive", "-f", "my job"), "rjob receive -f 'my job'"),
    ],
)
def test_ctrl_c_leaves_the_job_alone(
    run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...], back: str
) -> None:
    manager.results[words[0]] = KeyboardInterrupt()
    ran = run(*words)
    assert ran.status == 130
    assert ran.err.endswith(f"come back with: {back}\n")
    assert [verb for verb, _, _ in manager.calls] == [words[0]]


def test_ctrl_c_in_other_verbs_is_quiet(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.results["get"] = KeyboardInterrupt()
    assert run("get") == (130, "", "")


@pytest.mark.parametrize(("option", "verb"), [("-f", "receive"), ("--wait", "wait")])
def test_stop_on_exit(run: Callable[..., Ran], manager: StandIn, option: str, verb: str) -> None:
    manager.results[verb] = KeyboardInterrupt()
    assert run("start", option, "--stop-on-exit", "-H", ".", "true").status == 130
    assert manager.call("stop")[0] == (["17@."],)


def test_stop_on_exit_leaves_a_finished_job_alone(run: Callable[..., Ran], manager: StandIn) -> None:
    assert run("start", "-f", "--stop-on-exit", "true").status == 0
    assert [verb for verb, _, _ in manager.calls] == ["start", "receive"]
