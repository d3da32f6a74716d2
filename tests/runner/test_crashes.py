"""What is left when something dies at the worst moment: nothing lost, nothing twice, nothing mixed up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid as uuids
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fault_points import runner_with
from runner.conftest import Exchange, Host, launch_of
from world import processes_with, requires_root, wait_until

from rjob.errors import OwnerError, RjobError
from rjob.models import JobSpec, State
from rjob.runner.launch import Launch, start_request
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rjob.runner.states import Verdict

DEAD = 2**22 + 5
"""A number that no process has."""


def counting(host: Host) -> Launch:
    """A job that leaves a line each time it runs."""
    return launch_of(JobSpec(line=f'echo "$RJOB_INSTANCE" >>{host.root}/ran'), str(uuids.uuid4()))


def runs(host: Host, uuid: str) -> int:
    try:
        return (host.root / "ran").read_text().split().count(uuid)
    except FileNotFoundError:
        return 0


def events(host: Host) -> list[dict[str, Any]]:
    """The registry; every line must be whole."""
    return [json.loads(line) for line in (host.owner / "registry.jsonl").read_text().splitlines() if line]


def next_id(host: Host) -> int:
    return int((host.owner / "next").read_text().split()[0])


def quiet(host: Host) -> None:
    """Wait until nothing of the machine works any more."""
    wait_until(lambda: not processes_with(f"RJOB_HOME={host.home}"), what="silence")


def launch_bytes(host: Host, launch: Launch) -> bytes:
    lines, body = start_request([launch])
    return request(new_marker(), "start", *lines, body=body, home=str(host.home))


def send(host: Host, data: bytes) -> Exchange:
    """Ask with bytes of one's own; the reply may be anything."""
    exchange = host.spawn(RUNNER.words(), data.partition(b"\n")[0].decode() or "none")
    exchange.say(data)
    exchange.hang_up()
    try:
        exchange.read_until(lambda: exchange.reply.ended)
    except RjobError:
        pass
    exchange.close()
    return exchange


def snapshot(host: Host) -> dict[str, bytes]:
    """Every file of the owner's."""
    if not host.owner.exists():
        return {}
    return {str(path.relative_to(host.owner)): path.read_bytes() for path in host.owner.rglob("*") if path.is_file()}


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
    """The runner, dying at each of those fault points."""
    for point in points:
        yield point, runner_with(point, "kill -KILL $$")


class Sabotage:
    """The kept runner replaced by a variant, for one request."""

    def __init__(self, host: Host, script: bytes) -> None:
        self.host = host
        self.script = script

    def __enter__(self) -> None:
        self._put(self.script)

    def __exit__(self, *_: object) -> None:
        self._put(RUNNER.script)

    def _put(self, script: bytes) -> None:
        # Renamed, as the installer does: somebody may be reading the other one.
        new = self.host.script.with_name("new")
        new.write_bytes(script)
        new.replace(self.host.script)


def kept_promises(host: Host, where: str) -> None:
    """What must hold of the registry at any time."""
    told = events(host)
    starts = [event for event in told if event["event"] == "start"]
    assert len({event["id"] for event in starts}) == len(starts), f"an id twice, after {where}"
    assert len({event["instance"] for event in starts}) == len(starts), f"a start twice, after {where}"
    for event in starts:
        folder = host.folder(event["instance"])
        if folder.exists():
            assert int((folder / "id").read_text()) == event["id"], where
            assert (host.owner / "ids" / str(event["id"])).read_text().strip() == event["instance"], where
        assert event["id"] < next_id(host), where
    for folder in (host.owner / "jobs").iterdir():
        assert folder.name in {event["instance"] for event in starts}, f"no start event, after {where}"
    ends = [event["instance"] for event in told if event["event"] == "end"]
    assert len(set(ends)) == len(ends), f"an end twice, after {where}"


def test_a_start_that_dies_at_any_step_and_is_repeated_runs_once(host: Host) -> None:
    host.install()
    highest = 1
    for where, script in deaths(START):
        launch = counting(host)
        with Sabotage(host, script):
            # Whoever is killed behind the commit may have answered already.
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
    """Ask for a removal that does not get far."""
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
        # Whoever takes the lock next finishes what a dead holder began; a job that is out of the way is not asked for.
        host.ask("received", f"{names[0]} 0 0")
        for job in jobs:
            assert not host.folder(job.uuid).exists(), where
            removed = [event for event in events(host) if event["event"] == "remove" and event["instance"] == job.uuid]
            assert len(removed) == 1, f"{len(removed)} remove events, after {where}"
        kept_promises(host, where)
        assert list((host.owner / "ids").iterdir()) == [], where
        assert next_id(host) > events(host)[-1]["id"], where
    # What the killed ones had put aside goes with the next one's.
    last = counting(host)
    host.launch(last)
    host.ended(last.uuid)
    host.settled(last.uuid)
    host.change("remove", "-", jobs=[last.uuid])
    assert list((host.owner / "new").glob("*-*")) == []


def test_what_a_dead_remove_still_moves_is_journalled(host: Host) -> None:
    """A killed runner's mv lives on, and may end after somebody else has taken the lock."""
    job = host.line("exit 0")
    host.ended(job)
    host.settled(job)
    with Sabotage(host, runner_with("pending-written", "kill -KILL $$")):
        begin_to_remove(host, job)
    assert host.folder(job).exists()
    host.ended(host.line("exit 0"))
    # Here the mv would end: there is nothing left for it.
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
    # Here the mv would end: there is nothing left for it.
    assert list((host.owner / "new").glob(f"*/{launch.uuid}")) == []
    kept_promises(host, "a start")
    # Asked for again, it is started.
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
    # In become, with the supervisor or without: $1 is its process in the function that claims, $9 behind that.
    *(("claimed", command) for command in ('kill -KILL "$1" $$', 'kill -KILL "$1"')),
    *((point, f'kill -KILL "$9"{own}') for point in ("main-written", "started") for own in (" $$", "")),
    ("command-ended", "kill -KILL $$"),
    ("end-recorded", "kill -KILL $$"),
]
"""Where a supervisor dies: before its command begins, with it or alone, and when that has ended."""


def final(host: Host, uuid: str) -> Verdict:
    """How a job stands, once that is final."""
    wait_until(lambda: host.verdict(uuid).state not in (State.RUNNING, State.NOT_STARTED), what="an end")
    return host.verdict(uuid)


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


# ------------------------------------------------------------------------------------------------ locks


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def begin_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


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
    # Somebody died while breaking it, too.
    (any_host.owner / f"breaking.{DEAD}.7.{boot()}").touch()
    (any_host.owner / f"lock.{words[0]}.{words[1]}").write_text(holder() + "\n")
    job = any_host.line("exit 0")
    any_host.ended(job)
    quiet(any_host)
    left = [path.name for path in any_host.owner.iterdir() if path.name.startswith(("lock", "break"))]
    assert left == []


def test_only_one_is_ever_inside(any_host: Host) -> None:
    """Many break a dead holder's lock again and again; a probe inside tells whether two are there."""
    any_host.ended(any_host.line("exit 0"))
    quiet(any_host)
    inside = any_host.root / "inside"
    # Every third one dies with the lock in its hand.
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
    asked = [host.open("remove", "-", *(f"instance {uuid}" for uuid in part)) for part in parts]
    for exchange, part in zip(asked, parts, strict=True):
        assert exchange.read_until(partial(getattr, exchange, "ready"))
        exchange.order(*part, "end")
    answers = [exchange.finish() for exchange in asked]
    assert sorted(word for answer in answers for words in answer.words("removed") for word in words) == sorted(
        launch.uuid for launch in launches
    )
    assert list((host.owner / "jobs").iterdir()) == []
    assert list((host.owner / "ids").iterdir()) == []
    assert host.ask("facts").facts.total == 0


# ------------------------------------------------------------------------------------------------ damaged files


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
    # A number that anything tells of is not given again.
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
    # Very long home, so that fewer jobs do: what counts is the length of the list of files.
    for number in range(2, 2600):
        name = f"{number:08d}-0000-4000-8000-000000000000"
        folder = host.folder(name)
        folder.mkdir()
        (folder / "id").write_text(f"{number}\n")
        (folder / "start").write_text(
            f'{{"v":1,"event":"start","id":{number},"instance":"{name}","time":"t","command":"x"}}\n'
        )
        (folder / "exit").write_text("1 0 - 2026-01-01T00:00:00Z\n")
    # A smaller limit stands for more jobs: a quarter of the stack is what the kernel allows.
    marker = new_marker()
    command = ["sh", "-c", 'ulimit -s 512; exec "$@"', "sh", *RUNNER.words()]
    exchange = host.spawn(command, marker)
    exchange.say(request(marker, "rebuild", home=str(host.home)))
    exchange.hang_up()
    assert exchange.finish().lines == ["rebuilt 2599"]
    assert len(events(host)) == 2 * 2599
    assert len(list((host.owner / "ids").iterdir())) == 2599


# ------------------------------------------------------------------------------------------------ full disks


@pytest.fixture
def small_disk(tmp_path: Path, as_root: None) -> Iterator[Path]:
    """A file system that is soon full."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave no byte free."""
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
    # The journal catches up: nothing that happened is missing.
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


# ------------------------------------------------------------------------------------------------ what others put there


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
    # Nothing of what lies there is run either.
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
