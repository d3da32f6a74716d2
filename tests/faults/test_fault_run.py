"""The fault run: whatever fails, no job or byte is lost or comes twice, and no other process is harmed.

A short one is part of the suite; ``nox -s faults`` runs it for minutes.  Each run draws a new seed and prints it;
``RJOB_FAULT_SEED`` repeats a run, or a single episode of it (``SEED:NUMBER``).
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from faults.episode import Episode
from faults.receipts import trace
from faults.saboteur import KINDS
from faults.tally import Tally
from faults.witness import Portion

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = float(os.environ.get("RJOB_FAULT_SECONDS", "0"))
SEED = os.environ.get("RJOB_FAULT_SEED", "")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not applicable: it looks into /proc")


MORE = ("kill", "step", "kill")
"""The kinds that come more often in a long run: processes can die in more ways than connections can break."""


def kind_of(number: int) -> str:
    """Return the kind of the main fault of the episode with this number."""
    return (*KINDS, *MORE)[number % (len(KINDS) + len(MORE))]


def play(seed: str, number: int, folder: Path, *, strict: bool = False) -> Episode:
    """Run one episode; if it is strict and its fault is impossible here, skip the test."""
    episode = Episode(f"{seed}:{number}", folder / f"episode-{number}", kind_of(number), strict=strict)
    try:
        episode.run()
    except Exception as error:
        # The error is among the findings; the other episodes go on.
        sys.stderr.write(f"{episode.seed}: {error!r}\n")
    return episode


def report(tally: Tally) -> None:
    """Print the counts; fail if there are findings."""
    text = tally.told()
    sys.stdout.write(f"\n{text}\n")
    if tally.findings:
        pytest.fail(text, pytrace=False)


@pytest.mark.skipif(bool(SECONDS), reason="not applicable: a long run")
@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_an_episode_of_each_fault(number: int, tmp_path: Path) -> None:
    seed, _, only = (SEED or f"{secrets.randbelow(10**9)}").partition(":")
    if only and kind_of(int(only)) != kind_of(number):
        pytest.skip("not applicable: another episode was asked for")
    tally = Tally(seed)
    tally.add(play(seed, int(only or number), tmp_path, strict=True))
    report(tally)


@pytest.mark.skipif(not SECONDS, reason="not applicable: RJOB_FAULT_SECONDS says how long")
@pytest.mark.timeout(0)
def test_a_long_run(tmp_path: Path) -> None:
    seed, _, only = (SEED or f"{secrets.randbelow(10**9)}").partition(":")
    tally = Tally(seed)
    sys.stdout.write(f"\nfault run, seed {seed}\n")
    sys.stdout.flush()
    if only:
        tally.add(play(seed, int(only), tmp_path))
    else:
        workers = max(2, os.cpu_count() or 2)
        deadline = time.monotonic() + SECONDS
        with ThreadPoolExecutor(workers) as pool:
            for first in range(0, 10**6, workers):
                for episode in pool.map(lambda n: play(seed, n, tmp_path), range(first, first + workers)):
                    tally.add(episode)
                if time.monotonic() > deadline:
                    break
    report(tally)


WRITTEN = b"one 1\ntwo 2\nthree 3\n"


@pytest.mark.parametrize(
    ("portions", "rule"),
    [
        ([(WRITTEN, "")], None),
        ([(b"one 1\ntw", ""), (b"o 2\nthree 3\n", "")], None),
        ([(b"one 1\ntw", "reader"), (b"two 2\nthree 3\n", "")], None),
        ([(b"one 1\ntw", "reader"), (b"o 2\nthree 3\n", "")], "after a reader went, a line begins"),
        ([(b"one 1\ntw", "killed"), (b"ne 1\ntwo 2\nthree 3\n", "")], None),
        ([(b"one 1\n", ""), (b"one 1\ntwo 2\nthree 3\n", "")], "nothing is received twice"),
        ([(b"one 1\n", ""), (b"three 3\n", "")], "nothing that a job wrote is skipped"),
        ([(b"one 1\n", "killed"), (b"three 3\n", "")], "nothing that a job wrote is skipped"),
        ([(b"one 1\n", "")], "nothing that a job wrote is skipped"),
        ([(b"tail: no\n", "")], "nothing but a job's own bytes is received"),
    ],
)
def test_the_run_sees_what_is_lost_or_told_twice(portions: list[tuple[bytes, str]], rule: str | None) -> None:
    found = trace(WRITTEN, [Portion(*portion, 0) for portion in portions], whole=True)
    assert (found[0] if found else None) == rule
