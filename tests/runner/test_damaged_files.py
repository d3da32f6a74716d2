"""Damaged and lost files of an owner: only what was in them is lost."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from runner.conftest import Host
from runner.sabotage import (
    events,
    quiet,
)

from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker, request

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize(
    "damage",
    [
        b'{"v":1,"event":"start","id":99,"insta',
        b'{"v":1,"event":"dance","id":1,"instance":"x"}\n',
        b'{"v":9,"event":"start","id":1,"new":{"a":[1]}}\n',
        b'{"v":1,"event":"note","text":"' + b"x" * 10_000_000 + b'"}\n',
        b"\xff\xfe\xc3\x28\n",
        b'{"v":1,"event":"end","id":77,"instance":"11111111-2222-3333-4444-555555555555","time":"t","status":0}\n',
        b"\n\n\n",
    ],
    ids=["torn", "unknown event", "unknown version", "10 MB", "not UTF-8", "no such job", "empty lines"],
)
def test_a_damaged_registry_costs_nothing_but_the_damage(any_host: Host, damage: bytes) -> None:
    job = any_host.line("exit 0", name="first")
    any_host.ended(job)
    quiet(any_host)
    registry = any_host.owner / "registry.jsonl"
    before = registry.read_bytes()
    with registry.open("ab") as file:
        file.write(damage)
    fresh = any_host.line("exit 0", name="second")
    any_host.ended(fresh)
    quiet(any_host)
    assert registry.read_bytes().startswith(before + damage.rstrip(b"\n"))
    added = registry.read_bytes()[len(before + damage) :].strip().splitlines()
    assert [(json.loads(line)["event"], json.loads(line)["instance"]) for line in added] == [
        ("start", fresh),
        ("end", fresh),
    ]
    names = any_host.ask("facts", 'name "name":"first"', 'name "name":"second"').facts.selected
    assert names == [[job], [fresh]]
    any_host.ask("compact")
    assert any_host.ask("rebuild").lines == ["rebuilt 2"]
    # An id that any line mentions is not given again.
    number = 78 if b'"id":77' in damage else 2
    assert any_host.ask("facts", "id 1", f"id {number}").facts.selected == [[job], [fresh]]
    if b'"instance":"1111' not in damage and damage.strip():
        assert damage.strip() in registry.read_bytes()


@pytest.mark.parametrize(
    "lost",
    [
        ["next"],
        ["registry.jsonl"],
        ["next", "registry.jsonl"],
        ["next", "registry.jsonl", "pending", "host"],
        ["next", "ids"],
        ["next", "registry.jsonl", "ids"],
    ],
    ids="+".join,
)
def test_numbers_are_never_used_again_whatever_file_is_lost(any_host: Host, lost: list[str]) -> None:
    jobs = [any_host.line("exit 0") for _ in range(3)]
    for job in jobs:
        any_host.ended(job)
        any_host.settled(job)
    quiet(any_host)
    for name in lost:
        path = any_host.owner / name
        subprocess.run(["rm", "-r", str(path)], check=True)
    fresh = any_host.line("exit 0")
    assert any_host.job(fresh).record["id"] == 4  # type: ignore[index]
    any_host.ended(fresh)
    quiet(any_host)
    assert any_host.ask("rebuild").lines == ["rebuilt 4"]
    assert any_host.ask("facts", "range 1 9").facts.selected == [[*jobs, fresh]]
    assert [event["id"] for event in events(any_host) if event["event"] == "start"] == [1, 2, 3, 4]
    assert any_host.job(any_host.line("exit 0")).record["id"] == 5  # type: ignore[index]


@pytest.mark.parametrize("text", ["", "x y\n", "5\n", "\0\0\0\0", "3 "])
def test_a_damaged_high_water_mark_is_found_again(host: Host, text: str) -> None:
    for _ in range(3):
        host.ended(host.line("exit 0"))
    quiet(host)
    (host.owner / "next").write_text(text)
    assert host.job(host.line("exit 0")).record["id"] == 4  # type: ignore[index]


def test_rebuild_of_more_jobs_than_an_argument_list_holds(host: Host) -> None:
    host.install()
    host.ended(host.line("exit 0"))
    quiet(host)
    for number in range(2, 2600):
        name = f"{number:08d}-0000-4000-8000-000000000000"
        folder = host.folder(name)
        folder.mkdir()
        (folder / "id").write_text(f"{number}\n")
        (folder / "start").write_text(
            f'{{"v":1,"event":"start","id":{number},"instance":"{name}","time":"t","command":"x"}}\n'
        )
        (folder / "exit").write_text("1 0 - 2026-01-01T00:00:00Z\n")
    # A lower limit instead of more jobs: the kernel allows arguments as long as a quarter of the stack.
    marker = new_marker()
    command = ["sh", "-c", 'ulimit -s 512; exec "$@"', "sh", *RUNNER.words()]
    exchange = host.spawn(command, marker)
    exchange.say(request(marker, "rebuild", home=str(host.home)))
    exchange.hang_up()
    assert exchange.finish().lines == ["rebuilt 2599"]
    assert len(events(host)) == 2 * 2599
    assert len(list((host.owner / "ids").iterdir())) == 2599
