"""The exit status for each way in which jobs end: the table that docs and scripts rely on."""

from __future__ import annotations

import pytest
from cli.standin import a_job

from rjob.cli import status
from rjob.errors import JobNotFound
from rjob.models import Job, Result, State

DONE = a_job()
BAD = a_job(18, State.FAILED, exit_code=3)
LOST = a_job(19, State.LOST)
RUNNING = a_job(20, State.RUNNING)


@pytest.mark.parametrize(
    ("state", "exit_code", "signal", "expected"),
    [
        (State.COMPLETED, 0, None, 0),
        (State.FAILED, 1, None, 1),
        (State.FAILED, 126, None, 126),
        (State.FAILED, 127, None, 127),
        (State.FAILED, 255, None, 255),
        (State.FAILED, 256, None, 255),
        (State.FAILED, -1, None, 255),
        (State.FAILED, 3221225477, None, 255),
        (State.FAILED, None, 9, 137),
        (State.FAILED, None, None, 125),
        (State.STOPPED, None, 15, 143),
        (State.STOPPED, None, 9, 137),
        (State.STOPPED, 0, None, 143),
        (State.STOPPED, None, None, 143),
        (State.LOST, None, None, 125),
        (State.RUNNING, None, None, 125),
    ],
)
def test_one_job(state: State, exit_code: int | None, signal: int | None, expected: int) -> None:
    assert status.of_job(a_job(state=state, exit_code=exit_code, signal=signal)) == expected


@pytest.mark.parametrize(
    ("jobs", "failed", "expected"),
    [
        ((DONE,), False, 0),
        ((BAD,), False, 3),
        ((DONE, DONE), False, 0),
        ((DONE, BAD), False, 1),
        ((BAD, BAD), False, 1),
        ((BAD, LOST), False, 125),
        ((RUNNING,), False, 124),
        ((BAD, RUNNING), False, 124),
        ((LOST, RUNNING), False, 125),
        ((BAD, RUNNING), True, 125),
        ((DONE,), True, 125),
        ((), True, 125),
        ((), False, 125),
    ],
)
def test_several_jobs(jobs: tuple[Job, ...], failed: bool, expected: int) -> None:
    errors = (JobNotFound("no job 99"),) if failed else ()
    assert status.of_result(Result(jobs, errors)) == expected


@pytest.mark.parametrize(
    ("jobs", "expected"), [((BAD,), 3), ((RUNNING, BAD), 3), ((RUNNING, RUNNING), 124), ((), 124), ((LOST,), 125)]
)
def test_the_first_that_ended(jobs: tuple[Job, ...], expected: int) -> None:
    assert status.of_result(Result(jobs), first=True) == expected


def test_an_unfinished_job_stands_for_what_the_verb_says() -> None:
    assert status.of_result(Result((RUNNING,)), unfinished=125) == 125
