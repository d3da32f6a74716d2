"""Much output: exactly, and in little memory."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from hosts.host import TRANSPORTS

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.host import Host
    from world import World

AT = ("-H", "gpu")
MIB = 1024 * 1024
RANDOM = "head -c 268435456 /dev/urandom"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_256_mib_come_home_exactly_and_in_little_memory(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "-c", RANDOM)
    rjob("wait", ref)
    with (rjob.root / "received").open("wb") as file:
        client = rjob.popen("receive", ref, stdout=file)
        peak = 0
        while client.poll() is None:
            try:
                peak = max(peak, psutil.Process(client.pid).memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.005)
    _, err = client.communicate()
    assert (client.returncode, err) == (0, b"")
    assert (rjob.root / "received").stat().st_size == 256 * MIB
    assert digest(rjob.root / "received") == digest(gpu.folder(ref) / "out")
    assert 0 < peak <= 80 * MIB
    (rjob.root / "received").unlink()
    (gpu.folder(ref) / "out").unlink()


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
