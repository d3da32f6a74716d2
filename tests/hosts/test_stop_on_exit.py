"""``--stop-on-exit`` with several hosts: whoever was asked is stopped, whoever was not is not asked any more."""

from __future__ import annotations

import random
import signal
import socket
import time
from typing import TYPE_CHECKING

from hosts.host import TRANSPORTS
from world import handles_signals, wait_until

if TYPE_CHECKING:
    import subprocess

    from hosts.host import Hosts
    from world import World

import pytest

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MOMENTS = 4


def begin(rjob: World, *hosts: str) -> subprocess.Popen[bytes]:
    words = [word for host in hosts for word in ("-H", host)]
    child = rjob.popen("start", "-f", "--stop-on-exit", *words, "sleep", "300", start_new_session=True)
    wait_until(lambda: handles_signals(child.pid), what="the handlers")
    return child


def running(rjob: World, *hosts: str) -> list[str]:
    words = [word for host in hosts for word in ("-H", host)]
    return rjob("get", "--state", "notstarted,running,stopping", "-q", *words).text.split()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_moment_leaks_a_job(rjob: World, hosts: Hosts, transport: str) -> None:
    names = ("web1", "web2", ".")
    for name in names[:2]:
        hosts.add(name, transport)
    rjob("start", "--wait", *[word for name in names for word in ("-H", name)], "true")
    dice = random.Random(21)
    since = time.monotonic()
    child = begin(rjob, *names)
    assert child.stderr
    assert b"started" in child.stderr.readline()
    took = time.monotonic() - since
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 143
    assert running(rjob, *names) == []
    for count in range(MOMENTS):
        child = begin(rjob, *names)
        # Not to wait for something: the moments are what is tried, one in each part of the time a start takes.
        time.sleep((count + dice.random()) / MOMENTS * took)
        number = SIGNALS[count % 3]
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 128 + number, err
        assert b"Traceback" not in err
        assert running(rjob, *names) == [], (count, err)


def test_a_host_that_does_not_answer_is_not_waited_for(rjob: World, hosts: Hosts) -> None:
    gpu = hosts.add("gpu")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts.know("silent", gpu, port=silent.getsockname()[1], connect_timeout=100)
        child = begin(rjob, "gpu", "silent")
        # It was given a connection, and says nothing.
        silent.settimeout(30)
        accepted, _ = silent.accept()
        with accepted:
            wait_until(lambda: running(rjob, "gpu"))
            child.send_signal(signal.SIGTERM)
            _, err = child.communicate(timeout=30)
    assert child.returncode == 143
    assert b"Traceback" not in err
    assert running(rjob, "gpu") == []
