"""Exit statuses tell how jobs ended, whoever waits for them and wherever they run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from promises.place import ONE_HOST

if TYPE_CHECKING:
    from promises.place import Place
    from world import World


@pytest.mark.parametrize("place", ONE_HOST)
def test_waiting(rjob: World, at: Place) -> None:
    slow, quick = at.start("sleep", "60"), at.shell("sleep 0.3; exit 6")
    rjob("wait", quick, status=6)
    begin = time.monotonic()
    rjob("wait", slow, "--timeout", "0", status=124)
    rjob("wait", slow, "--timeout", "0.5", status=124)
    assert time.monotonic() - begin < 5
    rjob("wait", slow, quick, "--any", status=6)
    good = at.start("--wait", "true")
    rjob("wait", good, quick, status=1)
    rjob("wait", good, at.ref(99), status=125)
    rjob("wait", quick, at.ref("nothing"), status=125)
    rjob("wait", "--no-such-option", status=125)


def test_start_and_wait(at: Place) -> None:
    at("start", "--wait", "-c", "exit 7", status=7)
    done = at("start", "-f", "-c", "echo a; echo b >&2; exit 8", status=8)
    assert done.out == b"a\n"
    assert b"b\n" in done.err
    at("start", "--wait", "no-such-command", status=127)
    at("start", "--wait", "-c", "kill -9 $$", status=137)
