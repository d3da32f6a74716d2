"""Obstacles in an owner's place: symbolic links, folders of others, invalid names, a read-only home."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from runner.conftest import Host
from runner.sabotage import (
    counting,
    quiet,
    snapshot,
)
from world import requires_root

from rjob.errors import OwnerError
from rjob.models import State

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_symbolic_link_in_place_of_a_job(any_host: Host) -> None:
    job = any_host.line("echo x")
    any_host.ended(job)
    quiet(any_host)
    folder, away = any_host.folder(job), any_host.root / "away"
    folder.rename(away)
    folder.symlink_to(away)
    facts = any_host.ask("facts", "id 1", "all").facts
    assert facts.broken == {job: "a symbolic link"}
    assert facts.jobs == {}
    assert (job, "out") not in any_host.read(job).data
    assert any_host.change("remove", "-", jobs=[job]).done == [f"absent {job}"]
    assert (away / "out").read_bytes() == b"x\n"
    assert any_host.ask("rebuild").lines == ["rebuilt 0"]
    any_host.ended(any_host.line("exit 0"))
    assert (any_host.owner / "ids" / "2").exists()


@requires_root
@pytest.mark.parametrize("place", ["home", "owner"])
def test_a_home_of_somebody_else_is_left_alone(any_host: Host, place: str) -> None:
    any_host.ended(any_host.line("exit 0"))
    quiet(any_host)
    before = snapshot(any_host)
    os.chown(any_host.home if place == "home" else any_host.owner, 12345, 12345)
    # No program that lies there is run either.
    for attempt in (any_host.install, lambda: any_host.ask("facts", "all")):
        with pytest.raises(OwnerError) as caught:
            attempt()
        assert caught.value.code == "foreign"
    assert snapshot(any_host) == before


def test_an_owner_that_is_a_symbolic_link_is_refused(host: Host) -> None:
    host.install()
    (host.root / "away").mkdir()
    host.owner.symlink_to(host.root / "away")
    with pytest.raises(OwnerError) as caught:
        host.line("exit 0")
    assert caught.value.code == "foreign"


@pytest.mark.parametrize("machine", ["../x", "a/b", ".", "..", "a b", "*"])
def test_a_machine_id_that_is_no_name_is_refused(host: Host, machine: str) -> None:
    host.install()
    host.env["RJOB_MACHINE"] = machine
    with pytest.raises(OwnerError) as caught:
        host.ask("facts", "all")
    assert caught.value.code == "machine"


@requires_root
def test_a_home_that_is_read_only(any_host: Host) -> None:
    job = any_host.line("echo x")
    any_host.ended(job)
    quiet(any_host)
    home = str(any_host.home)
    subprocess.run(["mount", "--bind", home, home], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        assert any_host.verdict(job).state is State.COMPLETED
        assert any_host.read(job, "cursor", "-").data[job, "out"] == b"x\n"
        changes: list[Callable[[], object]] = [
            lambda: any_host.launch(counting(any_host)),
            lambda: any_host.ask("received", f"{job} 1 0"),
            lambda: any_host.change("remove", "-", jobs=[job]),
            lambda: any_host.ask("rebuild"),
        ]
        for change in changes:
            with pytest.raises(OwnerError) as caught:
                change()
            assert caught.value.code in ("read-only", "no-space")
    finally:
        subprocess.run(["umount", "-l", home], check=True)
    any_host.ended(any_host.line("exit 0"))
