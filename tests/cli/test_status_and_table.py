"""The table's column ``Exit`` agrees with the exit status of the verbs that wait for jobs."""

from __future__ import annotations

import pytest
from cli.standin import a_job
from hypothesis import given
from hypothesis import strategies as st

from rjob.cli import status
from rjob.cli.table import exit_text
from rjob.models import Job, State
from rjob.signals import number_of

NUMBERS = st.none() | st.integers(-1, 300) | st.integers()
JOBS = st.builds(
    lambda state, code, signal: a_job(state=state, exit_code=code, signal=signal),
    st.sampled_from(State),
    NUMBERS,
    NUMBERS,
)


@given(JOBS)
def test_the_column_and_the_status_agree(job: Job) -> None:
    shown, returned = exit_text(job), status.of_job(job)
    assert 0 <= returned <= 255
    if not shown:
        assert returned == status.UNKNOWN
    elif shown.removeprefix("-").isdigit():
        code = int(shown)
        assert returned == (code if 0 <= code <= 255 else 255)
    else:
        number = number_of(shown.removeprefix("signal ").replace("-", "x"))
        assert returned == (128 + number if number is not None and 0 < number < 128 else 255)


@pytest.mark.parametrize(
    ("state", "code", "signal", "shown", "returned"),
    [
        (State.STOPPED, 0, None, "SIGTERM", 143),
        (State.STOPPED, 3, 9, "SIGKILL", 137),
        (State.FAILED, None, 15, "SIGTERM", 143),
        (State.FAILED, None, 128, "signal 128", 255),
        (State.FAILED, None, 10**20, f"signal {10**20}", 255),
        (State.FAILED, None, -1, "signal -1", 255),
        (State.FAILED, None, 0, "", 125),
        (State.FAILED, 0, None, "255", 255),
        (State.FAILED, 3221225477, None, "3221225477", 255),
        (State.LOST, 3, 9, "", 125),
        (State.RUNNING, 3, 9, "", 125),
        (State.COMPLETED, None, None, "0", 0),
    ],
)
def test_ends_that_differ(state: State, code: int | None, signal: int | None, shown: str, returned: int) -> None:
    job = a_job(state=state, exit_code=code, signal=signal)
    assert (exit_text(job), status.of_job(job)) == (shown, returned)
