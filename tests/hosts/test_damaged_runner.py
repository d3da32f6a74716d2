"""The runner that is kept on a machine is damaged: it is replaced, and the request is made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.host import Hosts
    from world import World

GARBAGE = {
    "empty": b"",
    "zeros": bytes(4096),
    "an ELF header": b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 8,
    "another program": b"echo hello; exit 0\n",
    "one that fails": b"exit 7\n",
    "one that is killed": b"kill -KILL $$\n",
    "a syntax error": b"if then fi )\n",
    "words": b"the quick brown fox\n" * 100,
}


def runner_in(home: Path) -> Path:
    (runner,) = (home / "runner").glob("posix-*")
    return runner


@pytest.mark.parametrize("damage", GARBAGE)
def test_something_else_in_its_place(rjob: World, damage: str) -> None:
    ref = rjob.start("echo", "hello")
    rjob("wait", ref)
    runner = runner_in(rjob.home)
    sound = runner.read_bytes()
    runner.write_bytes(GARBAGE[damage])
    assert rjob("receive", ref).text == "hello\n"
    assert runner.read_bytes() == sound
    runner.write_bytes(GARBAGE[damage])
    assert rjob.start("true") == "2"


def test_cut_at_many_places(rjob: World) -> None:
    rjob("wait", rjob.start("true"))
    runner = runner_in(rjob.home)
    sound = runner.read_bytes()
    size = len(sound)
    # A power cut leaves whole blocks; the end of the script is where the most depends on each byte.
    places = {*range(4096, size, 8192), *range(size - 200, size - 1, 40), 1, size - 2}
    for place in sorted(places):
        for tail in (b"", bytes(size - place)):
            runner.write_bytes(sound[:place] + tail)
            done = rjob("get", "-q", "--all", status=None)
            assert (done.status, done.text, done.errors) == (0, "1\n", ""), place
            assert runner.read_bytes() == sound, place


def test_one_that_cannot_be_replaced_is_said(rjob: World) -> None:
    rjob("wait", rjob.start("true"))
    runner = runner_in(rjob.home)
    runner.write_bytes(b"")
    runner.parent.chmod(0o500)
    try:
        done = rjob("get", status=None)
    finally:
        runner.parent.chmod(0o700)
    assert "Traceback" not in done.errors
    # Root writes wherever it likes.
    assert done.status == 0 or "cannot write" in done.errors


@pytest.mark.parametrize("damage", ["empty", "one that is killed", "a syntax error"])
def test_on_a_host(rjob: World, hosts: Hosts, damage: str) -> None:
    gpu = hosts.add("gpu")
    ref = rjob.start("-H", "gpu", "echo", "hello")
    rjob("wait", ref)
    runner = runner_in(gpu.rjob_home)
    sound = runner.read_bytes()
    runner.write_bytes(GARBAGE[damage])
    assert rjob.start("-H", "gpu", "true") == "2@gpu"
    assert runner.read_bytes() == sound
    runner.write_bytes(sound[: len(sound) // 2])
    assert rjob("receive", "-f", ref).text == "hello\n"


def test_a_folder_in_place_of_the_runner_is_named(rjob: World) -> None:
    rjob.ended(rjob.start("true"))
    (runner,) = (rjob.home / "runner").iterdir()
    runner.unlink()
    runner.mkdir()
    done = rjob("get", "--json", status=1)
    assert [error["code"] for error in done.json["errors"]] == ["broken"]
    assert str(runner) in done.errors
    assert list(runner.iterdir()) == []
