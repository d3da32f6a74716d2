"""Readers on this machine that go, and the delay of a followed line: through the real command."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from world import World


MIB = 1024 * 1024


def test_a_reader_that_has_had_enough_loses_nothing(rjob: World) -> None:
    ref = rjob.start("seq", "1", "200000")
    rjob.ended(ref)
    whole = rjob("receive", ref, "--keep").out
    end, begin = os.pipe()
    reader = subprocess.Popen(["head", "-c", "5000"], stdin=end, stdout=subprocess.PIPE)
    child = rjob.popen("receive", ref, stdout=begin)
    os.close(end)
    os.close(begin)
    got, _ = reader.communicate(timeout=30)
    child.communicate(timeout=30)
    moved = rjob.job(ref)["received_bytes"]["out"]
    # head may have read more than it printed, but what stayed in the pipe was not received.
    assert got == whole[:5000]
    # The cursor stands at the beginning of the line that was cut.
    assert whole.rindex(b"\n", 0, 5000) + 1 <= moved < 5000 + 65536
    assert whole[:moved].endswith(b"\n")
    assert rjob("receive", ref).out == whole[moved:]


def test_what_fits_into_the_pipe_of_a_reader_that_goes_is_not_lost(rjob: World) -> None:
    ref = rjob.start("seq", "1", "5000")
    rjob.ended(ref)
    # It reads nothing at all.
    end, begin = os.pipe()
    reader = subprocess.Popen(["sleep", "0.5"], stdin=end)
    child = rjob.popen("receive", ref, stdout=begin)
    os.close(end)
    os.close(begin)
    child.communicate(timeout=30)
    reader.wait()
    assert rjob.job(ref)["received_bytes"]["out"] == 0
    assert len(rjob("receive", ref).out.splitlines()) == 5000


def test_a_followed_line_shows_at_once(rjob: World) -> None:
    """Not a benchmark: a bound that polling for changes would not keep."""
    ref = rjob.start("sh", "-c", "while :; do date +%s%N; sleep 0.11; done")
    child = rjob.popen("receive", "-f", ref)
    assert child.stdout is not None
    delays = []
    for line in child.stdout:
        delays.append(time.time() - int(line) / 1e9)
        if len(delays) == 25:
            break
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    assert statistics.median(delays[5:]) < 0.05
    assert rjob.job(ref)["state"] == "Running"
