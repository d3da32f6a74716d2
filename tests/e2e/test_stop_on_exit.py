"""``--stop-on-exit`` while a start is under way, and where nothing was started."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from world import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from world import World

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def running(rjob: World) -> list[str]:
    return rjob("get", "--state", "notstarted,running,stopping", "-q").text.split()


class Held:
    """A start that stays under way as long as the test wants: the shell that its runner is run by waits.

    Args:
        rjob: The world of the job.
        folder: For the shell and its marks.
    """

    def __init__(self, rjob: World, folder: Path) -> None:
        # So that the runner is there, and the first thing that is sent is the request.
        rjob("start", "--wait", "true")
        self.hold, self.reached = folder / "hold", folder / "reached"
        self.hold.touch()
        bin = folder / "bin"
        bin.mkdir()
        shell = bin / "sh"
        wait = f"while [ -e '{self.hold}' ]; do : >'{self.reached}'; sleep 0.05; done"
        shell.write_text(f'#!/bin/sh\n{wait}\nexec /bin/sh "$@"\n')
        shell.chmod(0o755)
        self.child = rjob.popen(
            *("start", "--wait", "--stop-on-exit", "sleep", "300"),
            start_new_session=True,
            env={"PATH": f"{bin}:{rjob.env['PATH']}"},
        )
        wait_until(self.reached.exists)


@pytest.fixture
def held(rjob: World, tmp_path: Path) -> Held:
    """A start under way."""
    return Held(rjob, tmp_path)


def said(child: subprocess.Popen[bytes], words: bytes) -> None:
    """Read messages until one holds the words."""
    assert child.stderr
    for line in child.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never said")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_start_under_way_is_awaited_and_stopped(rjob: World, held: Held, number: signal.Signals) -> None:
    child = held.child
    child.send_signal(number)
    said(child, b"interrupted")
    # Impatience of the same kind, as CI systems have it, is no reason to leave a job behind.
    child.send_signal(signal.SIGTERM)
    held.hold.unlink()
    _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert b"Traceback" not in err
    assert running(rjob) == []


def test_a_second_ctrl_c_says_what_may_still_run(rjob: World, held: Held) -> None:
    child = held.child
    child.send_signal(signal.SIGINT)
    said(child, b"interrupted")

    def gone() -> bool:
        # A second one at once counts as the same.
        child.send_signal(signal.SIGINT)
        return child.poll() is not None

    wait_until(gone)
    err = child.communicate()[1].decode()
    assert child.returncode == 130
    assert "Traceback" not in err
    held.hold.unlink()
    (line,) = [line for line in err.splitlines() if "rjob stop" in line]
    words = line.partition("rjob stop ")[2].split()
    wait_until(lambda: running(rjob))
    rjob("stop", *words)
    assert running(rjob) == []


def test_what_never_started_is_no_trouble(rjob: World) -> None:
    done = rjob("start", "--wait", "--stop-on-exit", "-n", "17", "true", status=125)
    assert "stopping" not in done.errors
    rjob.home.mkdir()
    (rjob.home / "runner").write_text("in the way")
    done = rjob("start", "--wait", "--stop-on-exit", "true", status=125)
    assert "stopping" not in done.errors
