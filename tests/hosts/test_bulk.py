"""A slow reader of much output."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from hosts.host import Host
    from world import World

AT = ("-H", "gpu")
MIB = 1024 * 1024
RANDOM = "head -c 268435456 /dev/urandom"


def test_a_slow_reader_makes_the_client_wait_not_grow(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "head", "-c", "100000000", "/dev/zero")
    rjob("wait", ref)
    client = rjob.popen("receive", ref)
    assert client.stdout is not None
    assert len(client.stdout.read(1000)) == 1000
    # Not to wait for something: in that time it could grow.
    time.sleep(2)
    assert psutil.Process(client.pid).memory_info().rss <= 80 * MIB
    rest = 0
    while data := client.stdout.read(MIB):
        rest += len(data)
    client.communicate()
    assert (client.returncode, rest) == (0, 100_000_000 - 1000)
