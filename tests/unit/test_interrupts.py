"""Ctrl-C during a delivery: it takes effect between two pieces of output, never within one."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from rjob.core.interrupts import Interrupts, interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def deliver(interrupts: Interrupts, counted: list[str], times: int = 1) -> None:
    """Write and count a piece, while SIGINT arrives ``times`` times."""
    with interrupts.held_back:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        counted.append("a piece")


@pytest.fixture(autouse=True)
def _everything_is_as_before() -> Iterator[None]:
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_piece_is_counted_before_an_interrupt_does_anything() -> None:
    counted: list[str] = []
    interrupts = Interrupts()
    with interrupts, pytest.raises(KeyboardInterrupt):
        deliver(interrupts, counted)
    assert counted == ["a piece"]


def test_a_second_interrupt_comes_through() -> None:
    counted: list[str] = []
    interrupts = Interrupts()
    with interrupts, pytest.raises(KeyboardInterrupt):
        deliver(interrupts, counted, times=2)
    assert counted == []


@pytest.mark.parametrize("come", [interrupt, lambda: signal.raise_signal(signal.SIGINT)])
def test_between_pieces_it_comes_at_once(come: Callable[[], None]) -> None:
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        come()


def test_of_several_deliveries_the_first_that_ends_takes_nothing_from_the_others() -> None:
    counted: list[str] = []
    interrupts = Interrupts()
    with interrupts:
        with interrupts:
            pass
        with pytest.raises(KeyboardInterrupt):
            deliver(interrupts, counted)
    assert counted == ["a piece"]
