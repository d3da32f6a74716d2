"""``--stop-on-exit`` leaves no job behind, whenever the command is interrupted and wherever the job runs."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

from world import handles_signals, wait_until

if TYPE_CHECKING:
    import subprocess

    from promises.place import Place
    from world import World

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MOMENTS = 6


def begin(rjob: World, at: Place, *words: str) -> subprocess.Popen[bytes]:
    """Start a long job with ``--stop-on-exit``; return the command when it hears signals."""
    # The session is new: a signal of the tests' own group must not reach it.
    child = rjob.popen("start", "--stop-on-exit", *at.option, *words, start_new_session=True, bufsize=0)
    wait_until(lambda: handles_signals(child.pid), what="the handlers")
    return child


def running(at: Place) -> list[str]:
    return at("get", "--state", "notstarted,running,stopping", "-q").text.split()


def test_no_moment_leaks_a_job(rjob: World, at: Place) -> None:
    at.run("true")
    since = time.monotonic()
    child = begin(rjob, at, "-f", "-c", "echo up; sleep 300")
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    took = time.monotonic() - since
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert rjob.ended(at.ref(2))["state"] == "Stopped"
    dice = random.Random(21)
    for count in range(MOMENTS):
        child = begin(rjob, at, "--wait", "sleep", "300")
        # Not to wait for something: the moments are what is tried, one in each part of the time a start takes.
        time.sleep((count + dice.random()) / MOMENTS * 1.3 * took)
        number = SIGNALS[count % 3]
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 128 + number, err
        assert b"Traceback" not in err
        assert running(at) == [], (count, err)
