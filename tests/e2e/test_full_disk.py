"""A full disk can be looked at, stopped on, received from and emptied: through the real command."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from runner.conftest import SHELLS, SYSTEM_PATH, shell_folder
from world import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world import World


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(rjob: World, as_root: None, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small file system that holds the jobs."""
    rjob.home.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", str(rjob.home)]
    if request.param == "ext4":
        image = rjob.root / "image"
        made = subprocess.run(
            ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image), "2m"], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip("not applicable: no ext4 file system can be made here")
        command = ["mount", "-o", "loop", str(image), str(rjob.home)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"{'not applicable: ' if request.param == 'ext4' else ''}cannot mount: {mounted.stderr}")
    rjob.home.chmod(0o700)
    try:
        yield rjob.home
    finally:
        rjob.close()
        subprocess.run(["umount", "-l", str(rjob.home)], check=True)


def fill(rjob: World) -> Path:
    """Leave no free byte, not even in the last block of a file that grows."""
    for name in ("registry.jsonl", "pending"):
        path = rjob.owner / name
        with path.open("ab") as file:
            free = -path.stat().st_size % 4096
            file.write(b'{"v":1,"event":"x","text":"' + b"x" * (free - 30) + b'"}\n' if free > 30 else b"\n" * free)
    filler = rjob.home / "filler"
    with filler.open("wb", buffering=0) as out:
        for size in (65536, 1024, 1):
            try:
                while True:
                    out.write(b"x" * size)
            except OSError:
                continue
    return filler


def idle(rjob: World) -> None:
    """Wait until every end was noted, as far as that can be."""
    wait_until(lambda: not rjob.processes(), what="the end of every process")


def quiet_jobs(rjob: World, *lines: str) -> list[str]:
    refs = [rjob.shell(line) for line in lines]
    for ref in refs:
        rjob.ended(ref)
    idle(rjob)
    return refs


def kinds(rjob: World, ref: str) -> list[str]:
    """The events of a job, sorted."""
    return sorted(event["event"] for event in rjob.events() if event.get("id") == int(ref))


def make_room(rjob: World, filler: Path) -> None:
    """Free the disk; the next job's operations then write what is outstanding."""
    filler.unlink()
    rjob.ended(rjob.start("true"))
    idle(rjob)
    assert (rjob.owner / "pending").read_bytes() == b""
    assert list((rjob.owner / "live").iterdir()) == []


def test_remove(rjob: World, disk: Path) -> None:
    one, two, three = quiet_jobs(rjob, "echo 1", "yes | head -c 20000", "exit 3")
    fill(rjob)
    rjob("remove", two)
    assert kinds(rjob, two) == ["end", "remove", "start"]
    assert rjob("get", "--all", "-q").text.split() == [one, three]
    rjob("remove", one, three)
    assert rjob("get", "--all", "-q").text == ""
    assert [*rjob.owner.glob("jobs/*"), *rjob.owner.glob("new/*"), *rjob.owner.glob("ids/*")] == []
    # What they held is free again.
    assert rjob.ended(rjob.start("true"))["ref"] == "4"


def test_remove_force_and_stop(rjob: World, disk: Path) -> None:
    kept, forced = rjob.shell("sleep 600"), rjob.shell("sleep 600")
    idle_lock(rjob)
    filler = fill(rjob)
    rjob("remove", "--force", forced)
    assert rjob("get", "--all", "-q").text.split() == [kept]
    filler = refill(rjob, filler)
    rjob("stop", kept)
    assert rjob.job(kept)["state"] == "Stopped"
    make_room(rjob, filler)
    assert kinds(rjob, kept) == ["end", "start"]
    assert rjob.job(kept)["state"] == "Stopped"


def idle_lock(rjob: World) -> None:
    """Wait until the last start has let go of the lock."""
    wait_until(lambda: not list(rjob.owner.glob("lock*")), what="a free lock")


def refill(rjob: World, filler: Path) -> Path:
    filler.unlink()
    return fill(rjob)


def test_prune(rjob: World, disk: Path) -> None:
    quiet_jobs(rjob, *["yes | head -c 5000"] * 6)
    fill(rjob)
    rjob("prune", "--keep", "1")
    assert rjob("get", "--all", "-q").text.split() == ["6"]
    assert sum(event["event"] == "remove" for event in rjob.events()) == 5


def test_a_job_that_ends(rjob: World, disk: Path) -> None:
    gate = rjob.root / "gate"
    refs = [rjob.shell(f"until [ -e {gate} ]; do sleep 0.05; done; {line}") for line in ("exit 3", "yes; exit 0")]
    late = rjob.start("--time-limit", "2", "sleep", "600")
    idle_lock(rjob)
    filler = fill(rjob)
    gate.touch()
    assert [rjob.ended(ref)["exit_code"] for ref in refs] == [3, 0]
    assert "time limit" in rjob.ended(late)["reason"]
    make_room(rjob, filler)
    assert [kinds(rjob, ref) for ref in [*refs, late]] == [["end", "start"]] * 3
    assert "time limit" in rjob.job(late)["reason"]


def test_get_records_a_lost_job(rjob: World, disk: Path) -> None:
    ref = rjob.start("sleep", "600")
    idle_lock(rjob)
    filler = fill(rjob)
    folder = rjob.folder(ref)
    for name in ("identity", "main"):
        subprocess.run(["kill", "-KILL", (folder / name).read_text().split()[0]], check=True)
    wait_until(lambda: rjob.job(ref)["state"] == "Lost", what="the loss")
    assert (folder / "exit").exists()
    make_room(rjob, filler)
    assert kinds(rjob, ref) == ["end", "start"]
    assert rjob.job(ref)["state"] == "Lost"


def test_receive(rjob: World, disk: Path) -> None:
    one, two, three = quiet_jobs(rjob, "echo 1; echo x >&2", "seq 5", "seq 9")
    filler = fill(rjob)
    done = rjob("receive", one)
    assert (done.out, done.err) == (b"1\n", b"x\n")
    assert rjob("receive", one).out == b""
    assert rjob("receive", "-f", two).out == b"1\n2\n3\n4\n5\n"
    assert rjob("receive", two).out == b""
    there = rjob.root / "there"
    rjob("receive", "--to-host-file", there, three)
    rjob("receive", "--to-host-file", there, three)
    assert there.read_text() == "".join(f"{number}\n" for number in range(1, 10))
    assert [rjob.job(ref)["has_more_data"] for ref in (one, two, three)] == [False] * 3
    make_room(rjob, filler)
    assert [rjob.job(ref)["has_more_data"] for ref in (one, two, three)] == [False] * 3


@pytest.mark.parametrize("disk", ["tmpfs"], indirect=True)
@pytest.mark.parametrize("shell", SHELLS)
def test_under_every_shell(rjob: World, disk: Path, shell: str) -> None:
    rjob.env["PATH"] = f"{shell_folder(rjob.root, shell)}:{SYSTEM_PATH}"
    (done,) = quiet_jobs(rjob, "echo 1; exit 3")
    running = rjob.start("sleep", "600")
    idle_lock(rjob)
    filler = fill(rjob)
    assert rjob("receive", done).out == b"1\n"
    assert rjob("receive", done).out == b""
    rjob("stop", running)
    assert rjob.job(running)["state"] == "Stopped"
    rjob("remove", done)
    assert rjob("get", "--all", "-q").text.split() == [running]
    make_room(rjob, filler)
    assert kinds(rjob, running) == ["end", "start"]
    assert kinds(rjob, done).count("remove") == 1


def test_a_start_is_refused_and_changes_nothing(rjob: World, disk: Path) -> None:
    quiet_jobs(rjob, "true")
    filler = fill(rjob)
    before = rjob.events()
    refused = rjob("start", "true", status=1)
    assert "no space" in refused.errors
    assert rjob.events() == before
    assert list((rjob.owner / "new").iterdir()) == []
    make_room(rjob, filler)


def test_what_waits_in_pending_outlives_a_full_disk(rjob: World, disk: Path) -> None:
    """A holder died behind its changes, then the disk filled up: its lines are neither lost nor in the way."""
    one, two = quiet_jobs(rjob, "true", "echo 2")
    registry = rjob.owner / "registry.jsonl"
    lines = registry.read_text().splitlines(keepends=True)
    end = next(line for line in lines if '"event":"end"' in line and f'"id":{one},' in line)
    registry.write_text("".join(line for line in lines if line != end))
    (rjob.owner / "pending").write_text(end)
    filler = fill(rjob)
    assert rjob("receive", two).out == b"2\n"
    assert end in (rjob.owner / "pending").read_text()
    rjob("remove", two)
    make_room(rjob, filler)
    assert kinds(rjob, one) == ["end", "start"]
    assert kinds(rjob, two).count("remove") == 1


def test_a_full_file_that_output_is_saved_to(rjob: World, disk: Path) -> None:
    """What was written counts, so nothing is saved twice."""
    away = {"RJOB_HOME": str(rjob.root / "away")}
    ref = rjob.start("-c", "seq 100000", env=away)
    rjob("wait", ref, env=away)
    target = disk / "target"
    filler = disk / "filler"
    filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 200_000))
    refused = rjob("receive", "--to-host-file", target, ref, env=away, status=1)
    assert "no space" in refused.errors
    assert 0 < target.stat().st_size < 588_895
    filler.unlink()
    rjob("receive", "--to-host-file", target, ref, env=away)
    assert target.read_bytes() == b"".join(b"%d\n" % number for number in range(1, 100_001))
