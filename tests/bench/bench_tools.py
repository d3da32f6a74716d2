"""Whole processes, timed in turn with what they are compared with."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BARE = Path(__file__).parent / "bare.py"


def rjob_command() -> list[str]:
    """The installed console script, as users call it."""
    return [str(Path(sys.executable).parent / "rjob")]


def once(command: Sequence[str], env: Mapping[str, str]) -> float:
    """Seconds that a command takes, from fork to reap."""
    begin = time.perf_counter()
    null = subprocess.DEVNULL
    subprocess.run(command, env=dict(env), stdin=null, stdout=null, stderr=null, check=True)
    return time.perf_counter() - begin


def ratio(first: Callable[[], float], second: Callable[[], float], *, rounds: int = 21) -> tuple[float, float, float]:
    """Time two things in turn.

    Args:
        first: Does the one thing and returns its seconds.
        second: Likewise the other one.
        rounds: How often.

    Returns:
        The median of the ratios first to second, round by round, and the two medians in seconds.
    """
    first(), second()
    pairs = [(first(), second()) for _ in range(rounds)]
    return (
        statistics.median(a / b for a, b in pairs),
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
    )
