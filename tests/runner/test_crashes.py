"""Requests that are cut and processes that die at any step: nothing is lost, done twice or mixed up."""

from __future__ import annotations

import uuid as uuids
from typing import TYPE_CHECKING

from fault_points import runner_with
from runner.conftest import Host, launch_of
from runner.sabotage import (
    Sabotage,
    counting,
    events,
    final,
    kept_promises,
    launch_bytes,
    next_id,
    quiet,
    runs,
    send,
    snapshot,
)
from world import processes_with, wait_until

from rjob.errors import OwnerError
from rjob.models import JobSpec, State
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker, request

if TYPE_CHECKING:
    from collections.abc import Iterator


# ------------------------------------------------------------------------------------------------ cut requests


def test_a_request_cut_anywhere_has_no_effect(host: Host) -> None:
    first = counting(host)
    host.launch(first)
    host.ended(first.uuid)
    host.settled(first.uuid)
    quiet(host)
    before = snapshot(host)
    launch = launch_of(JobSpec(line=f"echo x >>{host.root}/ran", stdin=b"data\n\nmore"), str(uuids.uuid4()))
    whole = launch_bytes(host, launch)
    places = sorted(path.name for path in host.root.iterdir())
    for size in range(len(whole)):
        send(host, whole[:size])
    assert snapshot(host) == before
    assert list((host.owner / "new").iterdir()) == []
    assert sorted(path.name for path in host.root.iterdir()) == places
    send(host, whole)
    host.ended(launch.uuid)
    assert (host.owner / "ids" / "2").read_text().strip() == launch.uuid
    assert (host.root / "ran").read_text().splitlines() == [first.uuid, "x"]


def test_an_installer_cut_anywhere_installs_nothing(host: Host) -> None:
    marker = new_marker()
    whole = RUNNER.install_request(marker, str(host.home))
    head = len(whole) - len(RUNNER.script)
    for size in [*range(head + 40), *range(head + 40, len(whole), 997), len(whole) - 1]:
        exchange = host.spawn(RUNNER.installer(), marker)
        exchange.say(whole[:size])
        exchange.hang_up()
        try:
            exchange.read_until(lambda exchange=exchange: exchange.reply.ended)  # type: ignore[misc]
            assert not exchange.reply.ended, f"installed after {size} bytes"
        except OwnerError:
            pass
        exchange.close()
        places = {str(path.relative_to(host.root)) for path in host.root.rglob("*") if "bin-" not in str(path)}
        assert places <= {"home", "rjob-home", "rjob-home/runner"}, f"after {size} bytes"
    host.install()
    assert host.script.read_bytes() == RUNNER.script


# ------------------------------------------------------------------------------------------- death after every step

START = [
    "owner-made",
    "laid-out",
    "locked",
    "numbered",
    "next-written",
    "pending-written",
    "listed",
    "moved-in",
    "committed",
    "registry-written",
    "pending-emptied",
    "published",
    "unlocked",
]
REMOVAL = [
    "locked",
    "pending-written",
    "moved-out",
    "unlisted",
    "next-written",
    "registry-written",
    "pending-emptied",
    "unlocked",
    "removed-deleted",
]
CURSOR = ["locked", "cursor-moved", "registry-written", "pending-emptied", "unlocked"]


def deaths(points: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield, for each of those fault points, a runner that dies there."""
    for point in points:
        yield point, runner_with(point, "kill -KILL $$")


def test_a_start_that_dies_at_any_step_and_is_repeated_runs_once(host: Host) -> None:
    host.install()
    highest = 1
    for where, script in deaths(START):
        launch = counting(host)
        with Sabotage(host, script):
            # A runner that is killed after the commit may have replied already.
            ended = send(host, launch_bytes(host, launch)).reply.ended
            assert not ended or where in START[-4:], where
        answer = host.launch(launch)
        number = int(answer.words("job")[0][1])
        host.ended(launch.uuid)
        assert answer.words("started") == [[launch.uuid]], where
        assert runs(host, launch.uuid) == 1, where
        assert (host.owner / "ids" / str(number)).read_text().strip() == launch.uuid, where
        assert host.job(launch.uuid).record["id"] == number, where  # type: ignore[index]
        assert next_id(host) >= highest, where
        highest = next_id(host)
        kept_promises(host, where)
    last = counting(host)
    host.launch(last)
    host.ended(last.uuid)
    quiet(host)
    kept_promises(host, "everything")
    assert [path.name for path in (host.owner / "live").iterdir()] == []
    assert not (host.owner / "lock").is_symlink()


def begin_to_remove(host: Host, *jobs: str) -> None:
    """Send a request for a removal to a runner that will die."""
    asked = request(new_marker(), "remove", "-", *(f"instance {job}" for job in jobs), home=str(host.home))
    send(host, asked + "".join(f"{job}\n" for job in (*jobs, "end")).encode())


def test_a_remove_that_dies_at_any_step_and_is_repeated_removes(host: Host) -> None:
    host.install()
    for where, script in deaths(REMOVAL):
        jobs = [counting(host) for _ in range(2)]
        host.launch(*jobs)
        for job in jobs:
            host.ended(job.uuid)
            host.settled(job.uuid)
        names = [job.uuid for job in jobs]
        with Sabotage(host, script):
            begin_to_remove(host, *names)
        host.change("remove", "-", jobs=names)
        # The next holder of the lock completes what a dead one began; a job that is already moved away is not selected.
        host.ask("received", f"{names[0]} 0 0")
        for job in jobs:
            assert not host.folder(job.uuid).exists(), where
            removed = [event for event in events(host) if event["event"] == "remove" and event["instance"] == job.uuid]
            assert len(removed) == 1, f"{len(removed)} remove events, after {where}"
        kept_promises(host, where)
        assert list((host.owner / "ids").iterdir()) == [], where
        assert next_id(host) > events(host)[-1]["id"], where
    # What the killed runners had moved aside is deleted with the next removal.
    last = counting(host)
    host.launch(last)
    host.ended(last.uuid)
    host.settled(last.uuid)
    host.change("remove", "-", jobs=[last.uuid])
    assert list((host.owner / "new").glob("*-*")) == []


def test_what_a_dead_remove_still_moves_is_journalled(host: Host) -> None:
    """Check the journal for a removal whose runner was killed: its mv may end after another runner has the lock."""
    job = host.line("exit 0")
    host.ended(job)
    host.settled(job)
    with Sabotage(host, runner_with("pending-written", "kill -KILL $$")):
        begin_to_remove(host, job)
    assert host.folder(job).exists()
    host.ended(host.line("exit 0"))
    # If the mv ended only now, it would find nothing to move.
    assert not host.folder(job).exists()
    assert [event["instance"] for event in events(host) if event["event"] == "remove"] == [job]
    kept_promises(host, "a remove")


def test_what_a_dead_start_still_moves_does_not_arrive(host: Host) -> None:
    host.install()
    launch = counting(host)
    with Sabotage(host, runner_with("listed", "kill -KILL $$")):
        send(host, launch_bytes(host, launch))
    assert len(list((host.owner / "new").glob(f"*/{launch.uuid}"))) == 1
    host.ended(host.line("exit 0"))
    # If the mv ended only now, it would find nothing to move.
    assert list((host.owner / "new").glob(f"*/{launch.uuid}")) == []
    kept_promises(host, "a start")
    # A repeated request starts it.
    assert host.launch(launch).words("started") == [[launch.uuid]]
    host.ended(launch.uuid)
    assert runs(host, launch.uuid) == 1
    kept_promises(host, "a start that was repeated")


def test_a_cursor_that_dies_at_any_step_is_never_half_moved(host: Host) -> None:
    job = host.line("seq 1000")
    host.ended(job)
    host.settled(job)
    for at, (where, script) in enumerate(deaths(CURSOR)):
        with Sabotage(host, script):
            send(host, request(new_marker(), "received", f"{job} {at + 1} 0", home=str(host.home)))
        assert host.job(job).received in ((at, 0), (at + 1, 0)), where
        host.ask("received", f"{job} {at + 1} 0")
        assert host.job(job).received == (at + 1, 0), where
        kept_promises(host, where)


SUPERVISOR = [
    # In become.sh, with the command's process or alone: the supervisor is $1 in rj_claim, and $9 after that.
    *(("claimed", command) for command in ('kill -KILL "$1" $$', 'kill -KILL "$1"')),
    *((point, f'kill -KILL "$9"{own}') for point in ("main-written", "started") for own in (" $$", "")),
    ("command-ended", "kill -KILL $$"),
    ("end-recorded", "kill -KILL $$"),
]
"""Where a supervisor dies: before its command begins, together with it or alone, and when the command has ended."""


def test_a_supervisor_that_dies_at_any_step_never_runs_a_job_twice(host: Host) -> None:
    host.install()
    told = []
    for point, command in SUPERVISOR:
        where = f"{point}: {command}"
        launch = counting(host)
        mark = f"RJOB_SUPERVISES={launch.uuid}"
        with Sabotage(host, runner_with(point, command)):
            send(host, launch_bytes(host, launch))
            wait_until(lambda mark=mark: not processes_with(mark), what="its end")  # type: ignore[misc]
        host.launch(launch)
        verdict = final(host, launch.uuid)
        assert verdict.state in (State.LOST, State.COMPLETED), (where, verdict)
        assert runs(host, launch.uuid) <= 1, where
        assert verdict.state is State.LOST or runs(host, launch.uuid) == 1, where
        told.append(verdict.state)
        kept_promises(host, where)
    assert {State.LOST, State.COMPLETED} == set(told)


def test_an_end_that_nobody_journalled_is_journalled_later(host: Host) -> None:
    launch = counting(host)
    host.install()
    with Sabotage(host, runner_with("end-recorded", "kill -KILL $$")):
        send(host, launch_bytes(host, launch))
        wait_until((host.folder(launch.uuid) / "exit").exists)
        quiet(host)
    assert host.verdict(launch.uuid).state is State.COMPLETED
    other = counting(host)
    host.launch(other)
    host.ended(other.uuid)
    quiet(host)
    assert {event["instance"] for event in events(host) if event["event"] == "end"} == {launch.uuid, other.uuid}
    assert host.ask("facts", "live").facts.selected == [[]]
