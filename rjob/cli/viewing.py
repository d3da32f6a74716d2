"""Looking at jobs until they end: leaving does not touch them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from rjob.cli import output
from rjob.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rjob.models import Job, Result

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


def view(look: Callable[[], Result], *, back: Sequence[str]) -> Result:
    """Look at jobs until they end.

    Args:
        look: Does so.
        back: The command line that looks at them again.

    Returns:
        What was seen.

    Raises:
        typer.Exit: The viewer was interrupted.
    """
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
