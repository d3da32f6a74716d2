"""Looking at jobs until they end: leaving does not touch them, unless that was asked for."""

from __future__ import annotations

import shlex
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from rjob.cli import output
from rjob.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from rjob.models import Job, Result

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


def view(look: Callable[[], Result], *, back: Sequence[str], stop: Callable[[], object] | None = None) -> Result:
    """Look at jobs until they end.

    Args:
        look: Does so.
        back: The command line that looks at them again.
        stop: Stops the jobs when the viewer ends before them; None leaves them alone.

    Returns:
        What was seen.

    Raises:
        typer.Exit: The viewer was interrupted.
    """
    if stop is not None:
        return _view_or_stop(look, stop)
    try:
        return look()
    except KeyboardInterrupt:
        output.note(f"\nrjob: interrupted; the job goes on; come back with: {visible(shlex.join(back))}")
        raise typer.Exit(INTERRUPTED) from None


def command_line(verb: str, jobs: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """The command that looks at the same jobs.

    Args:
        verb: With its options.
        jobs: References as given.
        hosts: What ``-H`` was given.
    """
    return ["rjob", *verb.split(), *(word for host in hosts for word in ("-H", host)), *jobs]


def address(job: Job, hosts: Sequence[str]) -> str:
    """A reference that means the same job whatever the environment and the settings say.

    Args:
        job: A job that was started.
        hosts: What ``-H`` was given then.
    """
    return job.ref if "@" in job.ref or not hosts else f"{job.ref}@."


def _view_or_stop(look: Callable[[], Result], stop: Callable[[], object]) -> Result:
    ended = False
    with _any_signal_interrupts() as caught:
        try:
            result = look()
            ended = not result.errors and all(job.state.finished for job in result.jobs)
        except KeyboardInterrupt:
            raise typer.Exit(128 + caught[0] if caught else INTERRUPTED) from None
        finally:
            if not ended:
                output.note("rjob: stopping the job")
                stop()
    return result


@contextmanager
def _any_signal_interrupts() -> Iterator[list[int]]:
    """Make the signals that end a CI job act as Ctrl-C does; the list holds those that came."""
    caught: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        signal.raise_signal(signal.SIGINT)

    # A shell without job control starts background commands with Ctrl-C switched off.
    before: dict[int, Any] = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    for name in ("SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            before[number] = signal.signal(number, interrupt)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
