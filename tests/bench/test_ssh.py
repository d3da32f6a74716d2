"""The cost of rjob over SSH, against the system's own ssh.

Asserted are the bounds of a cold ``get`` (2.5) and of the speed of ``receive`` (0.8). Only printed are those of fifty
hosts against pssh, and of a cold ``start -f``.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from bench.bench_tools import once, ratio, rjob_command

from rjob.testing.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from world import World

pytestmark = pytest.mark.bench

MIB = 1024 * 1024


@pytest.fixture
def host(rjob: World, tmp_path: Path) -> Iterator[list[str]]:
    """Provide a host named gpu, and the words of the system's ssh to it, with asyncssh's key exchange."""
    home = tmp_path / "host"
    home.mkdir()
    env = {"HOME": str(home), "RJOB_MACHINE": "gpu"}
    with Sshd(["gpu"], env=env, config_lines=["KexAlgorithms curve25519-sha256"]) as sshd:
        rjob.config.write_text(f'[defaults]\nssh_config = "{sshd.ssh_config}"\n')
        yield ["ssh", "-F", str(sshd.ssh_config), "-o", "BatchMode=yes", "gpu"]


def test_a_cold_verb(rjob: World, host: list[str], tell: Callable[..., None]) -> None:
    ref = rjob.start("-H", "gpu", "true")
    rjob.ended(ref)
    found = ratio(
        lambda: once([*rjob_command(), "get", "-H", "gpu"], rjob.env),
        lambda: once([*host, "true"], rjob.env),
        rounds=15,
    )
    tell("rjob get -H gpu, cold / ssh gpu true", found, "2.5")
    assert found[0] <= 2.5


def test_receiving_256_mib(rjob: World, host: list[str], tell: Callable[..., None]) -> None:
    ref = rjob.start("-H", "gpu", "head", "-c", str(256 * MIB), "/dev/urandom")
    assert rjob.ended(ref)["output_bytes"]["out"] == 256 * MIB
    (path,) = rjob.root.glob("host/.local/state/rjob/gpu/jobs/*/out")

    def timed(command: list[str]) -> float:
        with open("/dev/null", "wb") as sink:
            begin = time.perf_counter()
            subprocess.run(command, env=rjob.env, stdout=sink, stdin=subprocess.DEVNULL, check=True)
            return time.perf_counter() - begin

    found = ratio(
        lambda: timed([*rjob_command(), "receive", "--all", ref]), lambda: timed([*host, f"cat {path}"]), rounds=5
    )
    speed = (1 / found[0], found[1], found[2])
    tell("receive of 256 MiB over SSH, speed against ssh gpu cat", speed, "0.8 at least")
    assert speed[0] >= 0.8


HOSTS = 50


@pytest.fixture
def fleet(rjob: World, tmp_path: Path) -> Iterator[tuple[list[str], Path]]:
    """Provide fifty hosts, which are names of one server: the words of pssh for them, and the file that lists them."""
    home = tmp_path / "fleet"
    home.mkdir()
    names = [f"web{number}" for number in range(1, HOSTS + 1)]
    env = {"HOME": str(home), "RJOB_MACHINE": "web", "RJOB_CGROUP": "none"}
    with Sshd(names, env=env, config_lines=["KexAlgorithms curve25519-sha256"]) as sshd:
        rjob.config.write_text(f'[defaults]\nssh_config = "{sshd.ssh_config}"\n')
        listed = tmp_path / "hosts"
        listed.write_text("".join(f"{name}\n" for name in names))
        pssh = shutil.which("parallel-ssh") or shutil.which("pssh")
        if pssh is None:
            pytest.skip("pssh is not installed")
        yield [pssh, "-p", "32", "-h", str(listed), "-x", f"-F {sshd.ssh_config} -o BatchMode=yes", "true"], listed


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("args", "bound"),
    [(["start"], "1.3"), (["start", "--wait"], "1.5"), (["start", "-f"], "1.6"), (["get"], "1.0")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_fifty_hosts(
    rjob: World, fleet: tuple[list[str], Path], tell: Callable[..., None], args: list[str], bound: str
) -> None:
    command = [*rjob_command(), *args, "-H", f"web[1-{HOSTS}]", *(["true"] if args[0] == "start" else [])]
    found = ratio(lambda: once(command, rjob.env), lambda: once(fleet[0], rjob.env), rounds=7)
    tell(f"rjob {' '.join(args)} on 50 hosts / pssh -p 32", found, bound)


def test_a_cold_start_with_its_output(rjob: World, host: list[str], tell: Callable[..., None]) -> None:
    rjob("start", "-f", "-H", "gpu", "true")
    found = ratio(
        lambda: once([*rjob_command(), "start", "-f", "-H", "gpu", "true"], rjob.env),
        lambda: once([*host, "true"], rjob.env),
        rounds=15,
    )
    tell("rjob start -f -H gpu true, cold / ssh gpu true", found, "2.5")
