"""Retries after a failed or lost connection."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from rjob.core import attempts
from rjob.core.attempts import Attempts
from rjob.errors import ConnectFailed, ConnectionLost, TransportError


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the pauses between attempts by a list that records their lengths."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(attempts, "pause", pause)
    return made


def each_look_takes(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    times = itertools.count(0.0, seconds)
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: next(times)))


async def failures(tries: Attempts, error: TransportError, most: int = 20) -> int:
    """Count the failed attempts up to the last one, ``most`` at most."""
    for count in range(1, most):
        tries.begin()
        try:
            await tries.again(error)
        except TransportError:
            return count
    return most


@pytest.mark.parametrize("seconds", [0.1, 61.0], ids=["at once", "after a minute"])
async def test_a_host_that_refuses_is_tried_as_often_as_the_settings_say(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    each_look_takes(seconds, monkeypatch)
    assert await failures(Attempts(2, connects=True), ConnectFailed("refused", transient=True)) == 3
    assert len(pauses) == 2


async def test_a_connection_that_was_good_for_long_may_break_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    each_look_takes(61.0, monkeypatch)
    tries = Attempts(2)
    tries.reached()
    assert await failures(tries, ConnectionLost("gone")) == 20
    assert set(pauses) == {0.2}


async def test_a_connection_that_breaks_at_once_breaks_three_times(pauses: list[float]) -> None:
    assert await failures(Attempts(), ConnectionLost("gone")) == 4
    assert pauses == [0.2, 0.4, 0.8]
