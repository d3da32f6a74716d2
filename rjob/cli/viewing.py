"""Following jobs until they end; ending the viewer does not affect them."""

from __future__ import annotations

import shlex
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from rjob.cli import output
from rjob.cli.text import visible
from rjob.core.interrupts import interrupt
from rjob.references import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from rjob.models import Job, Result

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


def view(look: Callable[[], Result], *, back: Sequence[str] | None = None) -> Result:
    """Follow jobs.

    Args:
        look: The function that follows them.
        back: The command line to continue after an interrupt, for a message; None for no message.

    Returns:
        The function's result.

    Raises:
        typer.Exit: The viewer was interrupted.
    """
    with _any_signal_interrupts() as caught:
        try:
            return look()
        except KeyboardInterrupt:
            if back:
                output.note(f"\nrjob: interrupted; the job goes on; come back with: {visible(shlex.join(back))}")
            raise typer.Exit(128 + caught[0] if caught else INTERRUPTED) from None


def several(jobs: Sequence[str]) -> bool:
    """Whether references may name more than one job of one machine.

    Args:
        jobs: References as given.
    """
    return len(jobs) > 1 or any(parse(job).kind in ("range", "glob") for job in jobs)


def command_line(verb: str, jobs: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """Build the command line that follows the same jobs.

    Args:
        verb: The verb with its options.
        jobs: References as given.
        hosts: The arguments of ``-H``.
    """
    return ["rjob", *verb.split(), *(word for host in hosts for word in ("-H", host)), *jobs]


def address(job: Job, hosts: Sequence[str]) -> str:
    """Return a reference to a job that does not depend on the environment and the settings.

    Args:
        job: A job that was started.
        hosts: The arguments of ``-H`` at its start.
    """
    return job.ref if "@" in job.ref or not hosts else f"{job.ref}@."


@contextmanager
def _any_signal_interrupts() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP act as Ctrl-C, unless they are ignored; the list holds the signals that arrived."""
    caught: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        interrupt()

    before: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
