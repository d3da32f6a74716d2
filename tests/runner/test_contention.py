"""The owner's lock under contention, and what dead holders leave behind."""

from __future__ import annotations

import os
import signal
import threading
import uuid as uuids
from typing import TYPE_CHECKING

import pytest
from fault_points import runner_with
from runner.conftest import Host
from runner.sabotage import (
    DEAD,
    Sabotage,
    begin_of,
    boot,
    counting,
    events,
    kept_promises,
    quiet,
    runs,
)

from rjob.runner.launch import start_request

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "holder",
    [
        lambda: f"{DEAD} 5 {boot()}",
        lambda: f"{os.getpid()} 5 {boot()}",
        lambda: f"{os.getpid()} {begin_of(os.getpid())} 11111111-1111-1111-1111-111111111111",
    ],
    ids=["dead", "number taken by another", "of another boot"],
)
def test_a_dead_holder_s_lock_is_broken(any_host: Host, holder: Callable[[], str]) -> None:
    any_host.ended(any_host.line("exit 0"))
    quiet(any_host)
    words = holder().split()
    (any_host.owner / "lock").write_text(holder() + "\n")
    # A contender has died while it broke the lock.
    (any_host.owner / f"breaking.{DEAD}.7.{boot()}").touch()
    (any_host.owner / f"lock.{words[0]}.{words[1]}").write_text(holder() + "\n")
    job = any_host.line("exit 0")
    any_host.ended(job)
    quiet(any_host)
    left = [path.name for path in any_host.owner.iterdir() if path.name.startswith(("lock", "break"))]
    assert left == []


def test_only_one_is_ever_inside(any_host: Host) -> None:
    """Break a dead holder's lock again and again; a probe tells whether two runners are inside at once."""
    any_host.ended(any_host.line("exit 0"))
    quiet(any_host)
    inside = any_host.root / "inside"
    # About a third of the holders die while they have the lock.
    probe = f"""mkdir {inside} || echo x >>{any_host.root}/clash
        sleep 0.01
        rmdir {inside}
        [ "$(($$ % 3))" -gt 0 ] || kill -KILL $$"""
    with Sabotage(any_host, runner_with("locked", probe)):
        for _ in range(3):
            asked = [any_host.open("received", f"{uuids.uuid4()} 1 0") for _ in range(12)]
            ended = 0
            for exchange in asked:
                exchange.hang_up()
                ended += exchange.read_until(lambda exchange=exchange: exchange.reply.ended)  # type: ignore[misc]
                exchange.close()
            assert ended > 0
    assert not (any_host.root / "clash").exists()
    any_host.ended(any_host.line("exit 0"))
    quiet(any_host)
    assert [path.name for path in any_host.owner.iterdir() if path.name.startswith(("lock", "break"))] == []


def test_lines_that_a_dead_holder_left_behind_are_written(any_host: Host) -> None:
    job = any_host.line("exit 0")
    any_host.ended(job)
    quiet(any_host)
    registry = any_host.owner / "registry.jsonl"
    lines = registry.read_text().splitlines()
    registry.write_text("")
    nothing = f'{{"v":1,"event":"start","id":7,"instance":"{uuids.uuid4()}","time":"t"}}'
    (any_host.owner / "pending").write_text("\n".join([*lines, nothing, '{"v":1,"event":"sta']) + "\n")
    (any_host.owner / "ids" / "7").write_text("x\n")
    any_host.ask("compact")
    assert registry.read_text().splitlines() == lines
    assert (any_host.owner / "pending").read_text() == ""
    assert not (any_host.owner / "ids" / "7").exists()


def test_many_at_once_with_deaths_and_compactions(host: Host) -> None:
    host.install()
    launches = [counting(host) for _ in range(64)]
    done = threading.Event()

    def compact() -> None:
        while not done.is_set():
            host.ask("compact")

    compactor = threading.Thread(target=compact)
    compactor.start()
    try:
        asked = []
        for launch in launches:
            lines, body = start_request([launch])
            exchange = host.open("start", *lines, body=body)
            exchange.hang_up()
            asked.append(exchange)
        for exchange in asked[::5]:
            exchange.process.send_signal(signal.SIGKILL)
        for exchange in asked:
            exchange.read_until(lambda exchange=exchange: exchange.reply.ended)  # type: ignore[misc]
            exchange.close()
        for launch in launches[::5]:
            host.launch(launch)
    finally:
        done.set()
        compactor.join()
    for launch in launches:
        host.ended(launch.uuid, seconds=60)
    quiet(host)
    host.ask("compact")
    kept_promises(host, "all of it")
    told = events(host)
    assert len([event for event in told if event["event"] == "start"]) == 64
    assert [runs(host, launch.uuid) for launch in launches] == [1] * 64


def test_removes_at_the_same_time_take_what_they_say(host: Host) -> None:
    launches = [counting(host) for _ in range(40)]
    host.launch(*launches)
    for launch in launches:
        host.ended(launch.uuid)
        host.settled(launch.uuid)
    quiet(host)
    parts = [[launch.uuid for launch in launches[start : start + 5]] for start in range(0, 40, 5)]
    asked = [host.open("remove", "-", *(f"instance {job}" for job in part)) for part in parts]
    for exchange, part in zip(asked, parts, strict=True):
        exchange.order(*part, "end")
    answers = []
    for exchange in asked:
        exchange.hang_up()
        answers.append(exchange.finish())
    assert sorted(word for answer in answers for words in answer.words("removed") for word in words) == sorted(
        launch.uuid for launch in launches
    )
    assert list((host.owner / "jobs").iterdir()) == []
    assert list((host.owner / "ids").iterdir()) == []
    assert host.ask("facts").facts.total == 0
