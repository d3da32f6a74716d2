"""The lock, a link that names its holder: beside rjob 0.1's file, between containers, on file systems without links."""

from __future__ import annotations

import os
import subprocess
import time
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_points import runner_with
from runner.conftest import Host
from runner.exchange import Exchange
from runner.sabotage import (
    DEAD,
    Sabotage,
    begin_of,
    boot,
    quiet,
)
from world import requires_root, wait_until

from rjob.errors import OwnerError
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker, request

if TYPE_CHECKING:
    from collections.abc import Callable

STRANGER = "11111111-1111-1111-1111-111111111111"


def settle(host: Host) -> Path:
    """Make the owner's folder; return the lock's path."""
    host.ended(host.line("exit 0"))
    quiet(host)
    return host.owner / "lock"


def left(host: Host) -> list[str]:
    return [path.name for path in host.owner.iterdir() if path.name.startswith(("lock", "break"))]


HOLDERS: dict[str, Callable[[], str]] = {
    "dead": lambda: f"{DEAD} 5 {boot()} -",
    "dead, of 0.1": lambda: f"{DEAD} 5 {boot()}",
    "number taken by another": lambda: f"{os.getpid()} 5 {boot()} -",
    "of another boot": lambda: f"{os.getpid()} {begin_of(os.getpid())} {STRANGER} -",
    "no identity": lambda: "*",
    "one word": lambda: "7",
}


@pytest.mark.parametrize("form", ["link", "file"])
@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS.keys())
def test_a_dead_holder_s_lock_is_broken(host: Host, holder: Callable[[], str], form: str) -> None:
    lock = settle(host)
    if form == "link":
        lock.symlink_to(holder())
    else:
        lock.write_text(holder() + "\n")
    host.ended(host.line("exit 0"))
    quiet(host)
    assert left(host) == []


def test_under_every_shell(any_host: Host) -> None:
    lock = settle(any_host)
    lock.symlink_to(f"{DEAD} 5 {boot()} -")
    any_host.ended(any_host.line("exit 0"))
    quiet(any_host)
    assert left(any_host) == []


def test_an_empty_file_is_what_a_power_cut_left(host: Host) -> None:
    lock = settle(host)
    lock.touch()
    host.ended(host.line("exit 0"))
    quiet(host)
    assert left(host) == []


@pytest.mark.parametrize("form", ["link", "file"])
def test_a_living_holder_s_lock_is_waited_for(host: Host, form: str) -> None:
    lock = settle(host)
    holder = f"{os.getpid()} {begin_of(os.getpid())} {boot()}"
    if form == "link":
        lock.symlink_to(holder)
    else:
        lock.write_text(holder + "\n")
    rounds = host.root / "rounds"
    with Sabotage(host, runner_with("waiting", f"echo $$ >>{rounds}")):
        waiting = [host.open("received", f"{uuids.uuid4()} 1 0") for _ in range(4)]
        # Each has come to where it looks whether the holder lives, several times.
        wait_until(lambda: rounds_of(rounds, waiting) >= 6, what="the waiting contenders")
        assert (os.readlink(lock) if form == "link" else lock.read_text().strip()) == holder
        assert [exchange.process.poll() for exchange in waiting] == [None] * 4
        lock.unlink()
        for exchange in waiting:
            exchange.hang_up()
            exchange.finish()
    assert left(host) == []


def rounds_of(file: Path, waiting: list[Exchange]) -> int:
    """Return how often that one of the runners has waited which has done so least often."""
    try:
        seen = file.read_text().split()
    except FileNotFoundError:
        return 0
    return min(seen.count(str(exchange.process.pid)) for exchange in waiting)


def old_lock(host: Host) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Make a function that takes the lock as rjob 0.1 does, and runs a command with it."""

    def take(then: str) -> subprocess.CompletedProcess[str]:
        mine = f"{host.owner}/lock.mine"
        script = (
            f'echo "$$ 1 boot" >{mine}; [ ! -e {host.owner}/lock ] && ln {mine} {host.owner}/lock 2>/dev/null && {then}'
        )
        return subprocess.run(["sh", "-c", script], text=True, capture_output=True, check=False, env=host.env)

    return take


def test_the_lock_of_0_1_and_this_one_exclude_each_other(any_host: Host) -> None:
    lock = settle(any_host)
    take = old_lock(any_host)
    inside = any_host.root / "inside"
    go = any_host.root / "go"
    probe = f": >{inside}; until [ -e {go} ]; do sleep 0.02; done"
    with Sabotage(any_host, runner_with("locked", probe)):
        exchange = any_host.open("compact")
        exchange.hang_up()
        wait_until(inside.exists, what="the holder")
        assert lock.is_symlink()
        assert take("echo taken").stdout == ""
        go.touch()
        exchange.finish()
    assert take("echo taken").stdout == "taken\n"
    lock.unlink()


HURRY = "rj_waits=$((rj_waits + 100))"
"""For the fault point ``waiting``: a few rounds use up the minute that a runner waits."""


def refused(host: Host) -> OwnerError:
    with pytest.raises(OwnerError) as caught:
        host.ask("compact")
    return caught.value


def test_who_holds_it_is_said(host: Host) -> None:
    lock = settle(host)
    lock.symlink_to(f"{os.getpid()} {begin_of(os.getpid())} {boot()} -")
    with Sabotage(host, runner_with("waiting", HURRY)):
        error = refused(host)
    assert error.code == "locked"
    assert f"process {os.getpid()}," in str(error)


def test_a_holder_in_another_container_is_never_robbed_and_is_named(host: Host) -> None:
    """Keep to the lock of another pid namespace: only there can the holder's pid be checked."""
    lock = settle(host)
    holder = f"{DEAD} 5 {boot()} pid:[4026532000]"
    lock.symlink_to(holder)
    # Stub: a holder lives if it names a pid namespace, as for a holder in another one of this boot.
    lives = 'rj_alive() { [ "${4:--}" != - ]; }'
    with Sabotage(host, runner_with("waiting", f"{HURRY}\n{lives}")):
        error = refused(host)
    assert error.code == "locked"
    assert "another container" in str(error)
    assert str(lock) in str(error)
    assert os.readlink(lock) == holder


def test_a_folder_in_its_place(host: Host) -> None:
    lock = settle(host)
    lock.mkdir()
    with Sabotage(host, runner_with("waiting", HURRY)):
        error = refused(host)
    assert error.code == "locked"
    assert "no lock" in str(error)
    assert lock.is_dir()
    assert list(lock.iterdir()) == []


def without_links(host: Host) -> None:
    """Make ``ln`` fail as on a file system without links."""
    bin = host.root / "bin-without-links"
    bin.mkdir()
    (bin / "ln").write_text('#!/bin/sh\necho "ln: failed to create link: Operation not permitted" >&2\nexit 1\n')
    (bin / "ln").chmod(0o755)
    host.env["PATH"] = f"{bin}:{host.env['PATH']}"


def test_a_file_system_without_links_is_said_at_once(any_host: Host) -> None:
    settle(any_host)
    without_links(any_host)
    begin = time.monotonic()
    error = refused(any_host)
    assert time.monotonic() - begin < 5
    assert error.code == "no-links"
    assert "symbolic links" in str(error)
    assert left(any_host) == []


def test_a_contender_that_dies_while_it_breaks(host: Host) -> None:
    lock = settle(host)
    for point in ("breaking", "broken"):
        if not lock.is_symlink():
            lock.symlink_to(f"{DEAD} 5 {boot()} -")
        with Sabotage(host, runner_with(point, "kill -KILL $$")):
            exchange = host.open("compact")
            exchange.hang_up()
            assert not exchange.read_until(lambda exchange=exchange: exchange.reply.ended)  # type: ignore[misc]
            exchange.close()
        host.ask("compact")
        assert not lock.is_symlink()
    # The next runner that breaks a lock removes what they left.
    lock.symlink_to(f"{DEAD} 5 {boot()} -")
    host.ask("compact")
    assert left(host) == []


def namespaced(argv: list[str]) -> list[str]:
    return ["unshare", "--pid", "--fork", "--mount-proc", *argv]


@requires_root
def test_two_containers_break_one_lock(host: Host) -> None:
    """Let contenders of two pid namespaces break a lock: two of them are never inside at once."""
    if subprocess.run(namespaced(["true"]), check=False, capture_output=True).returncode:
        pytest.skip("needs pid namespaces")
    lock = settle(host)
    inside = host.root / "inside"
    probe = f"mkdir {inside} || echo x >>{host.root}/clash\nsleep 0.02\nrmdir {inside}"
    with Sabotage(host, runner_with("locked", probe)):
        for _ in range(3):
            lock.symlink_to(f"{DEAD} 5 {STRANGER} -")
            asked = [host.open("received", f"{uuids.uuid4()} 1 0") for _ in range(3)]
            asked += [_contained(host) for _ in range(3)]
            for exchange in asked:
                exchange.hang_up()
                exchange.finish()
    assert not (host.root / "clash").exists()
    assert left(host) == []


def _contained(host: Host) -> Exchange:
    marker = new_marker()
    exchange = host.spawn(namespaced(RUNNER.words()), marker)
    exchange.say(request(marker, "received", f"{uuids.uuid4()} 1 0", home=str(host.home)))
    return exchange


def test_a_path_that_is_hard_to_read(tmp_path: Path) -> None:
    """Use a path with an arrow and a quote, which could mislead the reading of the link by ls."""
    host = Host(tmp_path, home=tmp_path / "a -> b 'c")
    try:
        lock = settle(host)
        lock.symlink_to(f"{DEAD} 5 {boot()} -")
        host.env["QUOTING_STYLE"] = "shell"
        host.ended(host.line("exit 0"))
        quiet(host)
        assert left(host) == []
    finally:
        host.close()
