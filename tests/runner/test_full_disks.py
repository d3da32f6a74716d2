"""A full disk: what does not fit is refused as a whole, and nothing that happened is missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runner.conftest import Host
from runner.sabotage import (
    counting,
    events,
    final,
    kept_promises,
    quiet,
    runs,
)

from rjob.errors import OwnerError
from rjob.models import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def small_disk(tmp_path: Path, as_root: None) -> Iterator[Path]:
    """Provide a file system that is soon full."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Fill a file system to the last byte; return the file that fills it."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_full_disk_refuses_a_start_and_later_takes_it(
    make_host: Callable[..., Host], small_disk: Path, shell: str
) -> None:
    host = make_host(shell, home=small_disk / "home")
    host.ended(host.line("exit 0"))
    quiet(host)
    before = events(host)
    launch = counting(host)
    filler = fill(small_disk)
    with pytest.raises(OwnerError) as caught:
        host.launch(launch)
    assert caught.value.code in ("no-space", "read-only")
    assert list((host.owner / "new").iterdir()) == []
    filler.unlink()
    assert host.launch(launch).words("started") == [[launch.uuid]]
    assert host.ended(launch.uuid).state is State.COMPLETED
    assert runs(host, launch.uuid) == 1
    quiet(host)
    kept_promises(host, "a full disk")
    assert events(host)[: len(before)] == before


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
@pytest.mark.parametrize(
    ("line", "state"), [("exit 3", State.FAILED), ("exit 0", State.COMPLETED), ("yes; exit 5", State.FAILED)]
)
def test_a_full_disk_does_not_change_how_a_job_ended(
    make_host: Callable[..., Host], small_disk: Path, shell: str, line: str, state: State
) -> None:
    host = make_host(shell, home=small_disk / "home")
    go = host.root / "go"
    job = host.line(f"until [ -e {go} ]; do sleep 0.02; done; {line}")
    filler = fill(small_disk)
    go.touch()
    assert host.ended(job).state is state
    filler.unlink()
    quiet(host)
    (host.folder(job) / "out").write_bytes(b"")
    # The registry catches up: nothing that happened is missing.
    other = host.line("exit 0")
    host.ended(other)
    quiet(host)
    kept_promises(host, "a full disk")
    assert {event["instance"] for event in events(host) if event["event"] == "end"} == {job, other}


@pytest.mark.parametrize("free", [0, 4096, 8192, 12288, 16384, 24576, 32768, 49152])
def test_with_little_space_a_start_is_whole_or_none(
    make_host: Callable[..., Host], small_disk: Path, free: int
) -> None:
    host = make_host(home=small_disk / "home")
    host.ended(host.line("exit 0"))
    quiet(host)
    launch = counting(host)
    filler = fill(small_disk)
    os.truncate(filler, filler.stat().st_size - free)
    try:
        refused = host.launch(launch).words("started") != [[launch.uuid]]
    except OwnerError:
        refused = True
    if not refused:
        final(host, launch.uuid)
        assert host.verdict(launch.uuid).state is not State.COMPLETED or runs(host, launch.uuid) == 1
    filler.unlink()
    quiet(host)
    host.launch(launch)
    final(host, launch.uuid)
    assert runs(host, launch.uuid) <= 1
    assert (host.verdict(launch.uuid).state is State.COMPLETED) is (runs(host, launch.uuid) == 1)
    quiet(host)
    host.ended(host.line("exit 0"))
    quiet(host)
    kept_promises(host, f"{free} free bytes")


@pytest.mark.parametrize("shell", ["dash", "busybox"])
@pytest.mark.parametrize("operation", ["compact", "rebuild"])
def test_upkeep_on_a_full_disk_loses_nothing(
    make_host: Callable[..., Host], small_disk: Path, shell: str, operation: str
) -> None:
    host = make_host(shell, home=small_disk / "home")
    jobs = [host.line("exit 0", name="x" * 150) for _ in range(12)]
    for job in jobs:
        host.ended(job)
    quiet(host)
    registry = host.owner / "registry.jsonl"
    with registry.open("a") as file:
        file.write('{"v":1,"event":"dance"}\n' * 300)
    before = sorted(registry.read_text().splitlines())
    filler = fill(small_disk)
    try:
        host.ask(operation)
    except OwnerError as error:
        assert error.code == "no-space"  # noqa: PT017
    filler.unlink()
    assert host.ask("facts", "range 1 12").facts.selected == [jobs]
    assert sorted(registry.read_text().splitlines()) == before
    host.ask(operation)
    assert sorted(registry.read_text().splitlines()) == before
