"""Timing whole processes, in turn with those that they are compared with."""

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
    """Return the installed console script, which users call."""
    return [str(Path(sys.executable).parent / "rjob")]


def once(command: Sequence[str], env: Mapping[str, str]) -> float:
    """Run a command; return its seconds from fork to reap."""
    begin = time.perf_counter()
    null = subprocess.DEVNULL
    subprocess.run(command, env=dict(env), stdin=null, stdout=null, stderr=null, check=True)
    return time.perf_counter() - begin


def ratio(first: Callable[[], float], second: Callable[[], float], *, rounds: int = 21) -> tuple[float, float, float]:
    """Time two actions in turn.

    Args:
        first: Performs one action and returns its seconds.
        second: Likewise for the other action.
        rounds: The number of times.

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
