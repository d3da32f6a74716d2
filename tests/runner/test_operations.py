"""Each operation of the runner, under every shell, with real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runner.conftest import MACHINE, PYTHON, Host, launch_of
from runner.jobs import FOREVER, stop, wait_for_line
from world import alive, processes_with, wait_until

from rjob.models import JobSpec, State
from rjob.runner.operations import OPERATIONS
from rjob.runner.states import derive

if TYPE_CHECKING:
    pass


def events(host: Host) -> list[dict[str, object]]:
    return [json.loads(line) for line in (host.owner / "registry.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------------------------------------ start, facts


def test_a_job_from_start_to_end(any_host: Host) -> None:
    job = any_host.line("echo one; echo two >&2; exit 3")
    verdict = any_host.ended(job)
    assert (verdict.state, verdict.exit_code) == (State.FAILED, 3)
    facts = any_host.job(job)
    assert (facts.out_bytes, facts.err_bytes) == (4, 4)
    any_host.settled(job)
    assert [(event["event"], event["id"], event["instance"]) for event in events(any_host)] == [
        ("start", 1, job),
        ("end", 1, job),
    ]
    assert events(any_host)[1]["status"] == 3


def test_selectors(any_host: Host) -> None:
    names = ["build", "foo bar", "foo baz", "it's [x]", "ä ✓"]
    jobs = [any_host.line("exit 0", name=name) for name in names]
    for job in jobs:
        any_host.ended(job)
        any_host.settled(job)
    live = any_host.line(FOREVER)

    def selected(*selectors: str) -> list[list[str]]:
        return any_host.ask("facts", *selectors).facts.selected

    assert selected("id 1", "id 99", "id 3") == [[jobs[0]], [], [jobs[2]]]
    assert selected("range 2 3", "range 5 900") == [jobs[1:3], [jobs[4], live]]
    assert selected("live") == [[live]]
    assert selected("newest 2", "newest 2 live", "newest 0") == [[jobs[4], jobs[3]], [live, jobs[4]], []]
    assert selected(f"instance {jobs[1][:8]}", "instance 00000000") == [[jobs[1]], []]
    assert sorted(selected("all")[0]) == sorted([*jobs, live])
    assert selected(*(f'name "name":{json.dumps(name)}' for name in names)) == [[job] for job in jobs]
    assert selected('name "name":"foo"', "nonsense", "") == [[], [], []]


def test_a_start_that_is_repeated_starts_nothing(any_host: Host) -> None:
    spec = JobSpec(line=f"echo x >>{any_host.root}/count; {FOREVER}")
    launch = launch_of(spec, str(uuids.uuid4()))
    answers = [any_host.launch(launch) for _ in range(3)]
    assert [answer.lines[1:] for answer in answers] == [[f"job {launch.uuid} 1", f"started {launch.uuid}"]] * 3
    wait_until((any_host.root / "count").exists)
    assert (any_host.root / "count").read_text() == "x\n"
    assert stop(any_host, launch.uuid) == [["stopped", launch.uuid]]
    assert any_host.launch(launch).lines == answers[0].lines
    assert (any_host.root / "count").read_text() == "x\n"


def test_several_jobs_in_one_request(any_host: Host) -> None:
    launches = [
        launch_of(JobSpec(argv=("echo", str(number)), stdin=b"x" * number), str(uuids.uuid4())) for number in range(9)
    ]
    answer = any_host.launch(*launches)
    assert sorted(answer.words("job")) == sorted(
        [launch.uuid, str(number + 1)] for number, launch in enumerate(launches)
    )
    for number, launch in enumerate(launches):
        any_host.ended(launch.uuid)
        assert any_host.out(launch.uuid) == f"{number}\n".encode()


STATUSES: list[tuple[str, int | None, int | None]] = [
    ("exit 0", 0, None),
    ("exit 3", 3, None),
    ("exit 126", 126, None),
    ("exit 127", 127, None),
    ("exit 143", 143, None),
    ("exit 255", 255, None),
]


@pytest.mark.parametrize(("line", "status", "number"), STATUSES, ids=[row[0] for row in STATUSES])
def test_exit_statuses(any_host: Host, line: str, status: int | None, number: int | None) -> None:
    verdict = any_host.ended(any_host.line(line))
    assert (verdict.exit_code, verdict.signal) == (status, number)
    assert verdict.state is (State.COMPLETED if status == 0 else State.FAILED)


def test_death_by_a_signal_of_its_own(any_host: Host) -> None:
    verdict = any_host.ended(any_host.start(PYTHON, "-S", "-E", "-c", "import os; os.kill(os.getpid(), 15)"))
    assert verdict.state is State.FAILED
    # Only ksh93 and yash tell a signal from a status.
    assert (verdict.exit_code, verdict.signal) == ((None, 15) if any_host.shell in ("ksh", "yash") else (143, None))


# ------------------------------------------------------------------------------------------------ output


def test_what_is_new_goes_into_a_file_there(any_host: Host) -> None:
    job = any_host.line("echo out; echo err >&2")
    any_host.ended(job)
    path = any_host.root / "a file"
    any_host.change("save", "out", str(path), jobs=[job])
    assert path.read_bytes() == b"out\n"
    assert any_host.job(job).received == (4, 0)
    any_host.change("save", "both", str(path), jobs=[job])
    assert path.read_bytes() == b"out\nerr\n"
    assert any_host.job(job).received == (4, 4)


def test_reading_from_anywhere(any_host: Host) -> None:
    job = any_host.line("printf 'one\\ntwo\\nthree\\nfour'; printf err >&2")
    any_host.ended(job)

    def read(out: str, err: str) -> tuple[int | None, bytes | None, int | None, bytes | None]:
        answer = any_host.read(job, out, err)
        keys = (job, "out"), (job, "err")
        return (
            answer.offsets.get(keys[0]),
            answer.data.get(keys[0]),
            answer.offsets.get(keys[1]),
            answer.data.get(keys[1]),
        )

    whole, nothing = b"one\ntwo\nthree\nfour", (None, None)
    assert read("0", "0") == (0, whole, 0, b"err")
    assert read("4", "1") == (4, whole[4:], 1, b"rr")
    # Who is beyond the end has read what is no more.
    assert read("1000", "3") == (0, whole, *nothing)
    assert read("tail:2", "-") == (8, b"three\nfour", *nothing)
    assert read("-", "tail:5") == (*nothing, 0, b"err")
    assert read("tail:0", "tail:0") == (*nothing, *nothing)
    assert read("cursor", "cursor") == (0, whole, 0, b"err")
    assert any_host.ask("received", f"{job} 4 0").lines == []
    assert read("cursor", "cursor") == (4, whole[4:], 0, b"err")
    # A cursor only goes forward.
    any_host.ask("received", f"{job} 2 3")
    assert read("cursor", "cursor") == (4, whole[4:], *nothing)
    assert any_host.job(job).received == (4, 3)
    assert [(event["out"], event["err"]) for event in events(any_host) if event["event"] == "received"] == [
        (4, 0),
        (4, 3),
    ]


def test_bytes_are_read_as_they_are(any_host: Host) -> None:
    data = bytes(range(256)) * 2000
    job = any_host.start("cat", stdin=data)
    any_host.ended(job)
    for start in (0, 1, 255, len(data) - 1):
        answer = any_host.read(job, str(start), "-")
        assert answer.data[job, "out"] == data[start:]


def test_several_jobs_are_read_at_once(any_host: Host) -> None:
    jobs = [any_host.line(f"echo {number}; echo e{number} >&2") for number in range(3)]
    for job in jobs:
        any_host.ended(job)
    orders = [f"add {jobs[2]} cursor cursor", f"add {jobs[0]} cursor -", "once", "end"]
    answer = any_host.collect(*orders, selectors=["id 3", "id 1", "id 9"]).finish()
    assert answer.facts.selected == [[jobs[2]], [jobs[0]], []]
    assert answer.data == {(jobs[2], "out"): b"2\n", (jobs[2], "err"): b"e2\n", (jobs[0], "out"): b"0\n"}


@pytest.mark.parametrize("end", [["end"], []])
def test_cursors_move_by_what_the_client_says_it_delivered(any_host: Host, end: list[str]) -> None:
    job = any_host.line("echo 12345")
    any_host.ended(job)
    exchange = any_host.collect(f"add {job} cursor cursor", "once", selectors=["id 1"])
    assert exchange.read_until(lambda: exchange.ready == 2)
    exchange.order(f"received {job} 3 0", *end)
    exchange.hang_up()
    exchange.finish()
    assert any_host.job(job).received == (3, 0)


# ------------------------------------------------------------------------------------------------ collect


def gated(host: Host, name: str, line: str) -> tuple[str, Path]:
    """A job that does something when a file appears."""
    go = host.root / name
    return host.line(f"until [ -e {go} ]; do sleep 0.05; done; {line}"), go


def test_collecting_a_job_to_its_end(any_host: Host) -> None:
    job, go = gated(any_host, "go", "echo c; exit 4")
    first = any_host.line(f"echo a; echo b >&2; {FOREVER}")
    wait_for_line(any_host, first, b"a\n")
    exchange = any_host.collect(f"add {first} 1 0", f"add {job} 0 0", "look")
    answer = exchange.answer
    assert exchange.read_until(lambda: list(answer.data.values()) == [b"\n", b"b\n"])
    assert answer.data == {(first, "out"): b"\n", (first, "err"): b"b\n"}
    go.touch()
    assert exchange.read_until(lambda: answer.words("ended") == [[job]], seconds=10)
    assert answer.data[job, "out"] == b"c\n"
    assert derive(answer.facts.jobs[job]).exit_code == 4
    exchange.order("pause", f"received {job} 2 0", "end")
    exchange.finish()
    assert any_host.job(job).received == (2, 0)


def test_jobs_are_added_and_dropped_while_it_collects(any_host: Host) -> None:
    jobs = [gated(any_host, f"go{number}", f"echo {number}") for number in range(3)]
    exchange = any_host.collect(f"add {jobs[0][0]} 0 0", f"add {jobs[1][0]} 0 0", "look")
    exchange.order("pause", f"drop {jobs[0][0]}", f"add {jobs[2][0]} 0 0", "look")
    for _, go in jobs[1:]:
        go.touch()
    assert exchange.read_until(lambda: len(exchange.answer.words("ended")) == 2, seconds=10)
    jobs[0][1].touch()
    any_host.ended(jobs[0][0])
    assert exchange.answer.data == {
        (job, "out"): f"{number}\n".encode() for number, (job, _) in enumerate(jobs) if number
    }
    exchange.order("pause", f"add {jobs[0][0]} 0 0", "look")
    assert exchange.read_until(lambda: [jobs[0][0]] in exchange.answer.words("ended"), seconds=10)
    assert exchange.answer.data[jobs[0][0], "out"] == b"0\n"


def test_ends_are_told_without_bytes(any_host: Host) -> None:
    job, go = gated(any_host, "go", "echo x; exit 3")
    done = any_host.line("exit 0")
    any_host.ended(done)
    exchange = any_host.collect(f"add {job} - -", f"add {done} - -", "look")
    # Ended ones are told at once.
    assert exchange.read_until(lambda: exchange.answer.words("ended") == [[done]], seconds=10)
    go.touch()
    assert exchange.read_until(lambda: exchange.answer.words("ended") == [[done], [job]], seconds=10)
    assert derive(exchange.answer.facts.jobs[job]).exit_code == 3
    assert exchange.answer.data == {}


def test_a_job_that_goes_is_told(any_host: Host) -> None:
    job = any_host.line(FOREVER)
    exchange = any_host.collect(f"add {job} 0 0", f"add {uuids.uuid4()} 0 0", "look")
    assert exchange.read_until(
        lambda: exchange.answer.words("gone") == [[]] or exchange.answer.words("gone"), seconds=10
    )
    any_host.change("remove", "10", jobs=[job])
    assert exchange.read_until(
        lambda: [job] in exchange.answer.words("gone") + exchange.answer.words("ended"), seconds=10
    )


def test_collecting_ends_when_everything_of_a_job_was_killed(any_host: Host) -> None:
    job = any_host.line(FOREVER)
    exchange = any_host.collect(f"add {job} - -", "look")
    for pid in (any_host.supervisor(job), any_host.pid(job)):
        os.kill(pid, signal.SIGKILL)
    assert exchange.read_until(lambda: exchange.answer.words("ended"), seconds=20)
    assert derive(exchange.answer.facts.jobs[job]).conclude == "lost-killed"


def test_nothing_stays_of_a_viewer_whose_client_went(any_host: Host) -> None:
    job = any_host.line(f"echo x; {FOREVER}")
    wait_for_line(any_host, job, b"x\n")
    before = set(processes_with(f"RJOB_HOME={any_host.home}"))
    exchange = any_host.collect(f"add {job} 0 0", "look")
    exchange.read_until(lambda: exchange.answer.data.get((job, "out")))
    wait_until(lambda: len(set(processes_with(f"RJOB_HOME={any_host.home}")) - before) >= 2, what="the viewer")
    exchange.hang_up()
    wait_until(
        lambda: not set(processes_with(f"RJOB_HOME={any_host.home}")) - before, seconds=5, what="the viewer's end"
    )
    assert alive(any_host.pid(job))


# ------------------------------------------------------------------------------------------------ conclude


def test_a_lost_job_is_recorded_once_and_stays_lost(any_host: Host) -> None:
    job = any_host.line(FOREVER)
    assert any_host.ask("conclude", "lost-killed", job).lines == []
    assert any_host.running(job)
    for pid in (any_host.supervisor(job), any_host.pid(job)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: any_host.verdict(job).conclude)
    any_host.ask("conclude", any_host.verdict(job).conclude or "", job)
    any_host.ask("conclude", "lost-reboot", job)
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.conclude) == (State.LOST, None)
    assert [event.get("status") for event in events(any_host) if event["event"] == "end"] == ["lost-killed"]
    assert any_host.change("remove", "-", jobs=[job]).done == [f"removed {job}"]


def test_a_job_of_another_boot_is_lost(any_host: Host) -> None:
    job = any_host.line("exit 0")
    any_host.ended(job)
    any_host.settled(job)
    folder = any_host.folder(job)
    (folder / "exit").unlink()
    words = (folder / "identity").read_text().split()
    # A process of that number lives again: it is not the job's.
    words[:3] = [str(os.getpid()), words[1], "11111111-1111-1111-1111-111111111111"]
    (folder / "identity").write_text(" ".join(words) + "\n")
    (folder / "main").write_text(f"{os.getpid()} 5\n")
    assert any_host.verdict(job).conclude == "lost-reboot"
    assert stop(any_host, job) == [["stopped", job]]
    assert any_host.verdict(job).state is State.STOPPED


def test_a_job_that_runs_on_another_machine_is_not_lost(any_host: Host) -> None:
    job = any_host.line("exit 0")
    any_host.ended(job)
    any_host.settled(job)
    folder = any_host.folder(job)
    words = (folder / "identity").read_text().split()
    assert words[7:] == [MACHINE, "process", "-"]
    (folder / "exit").unlink()
    # Another node of a cluster wrote it, which has a boot of its own.
    words[2], words[7] = "11111111-1111-1111-1111-111111111111", "node-7"
    (folder / "identity").write_text(" ".join(words) + "\n")
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.conclude) == (State.DISCONNECTED, None)
    assert "on another machine" in (verdict.reason or "")
    any_host.ask("conclude", "lost-reboot", job)
    assert stop(any_host, job) == [["apart", job]]
    assert any_host.verdict(job).state is State.DISCONNECTED


def test_spaces_know_nothing_of_each_other(any_host: Host) -> None:
    here = any_host.line("echo here")
    any_host.space = "s1"
    there = any_host.line("echo there")
    assert any_host.ended(there).state is State.COMPLETED
    any_host.settled(there)
    assert any_host.ask("facts", "all", "others all").facts.jobs.keys() == {there}
    assert any_host.ask("facts", "id 1").facts.selected == [[there]]
    assert any_host.read(there).data == {(there, "out"): b"there\n"}
    assert any_host.change("remove", "-", jobs=[there]).done == [f"removed {there}"]
    assert any_host.line("exit 0") != there
    assert any_host.ask("rebuild").lines == ["rebuilt 1"]
    any_host.space = ""
    assert any_host.ask("facts", "all", "others all").facts.jobs.keys() == {here}
    assert any_host.ask("facts").facts.total == 1


# ------------------------------------------------------------------------------------------------ upkeep


def test_remove(any_host: Host) -> None:
    done, busy = any_host.line("echo x"), any_host.line(FOREVER)
    any_host.ended(done)
    any_host.settled(done)
    answer = any_host.change("remove", "-", jobs=[done, busy])
    assert sorted(answer.done) == sorted([f"busy {busy}", f"removed {done}"])
    assert not any_host.folder(done).exists()
    assert any_host.running(busy)
    assert any_host.ask("facts", "id 1", "all").facts.selected == [[], [busy]]
    assert any_host.ask("facts").facts.total == 1
    last = any_host.line("exit 0")
    assert any_host.ask("facts", "id 3").facts.selected == [[last]]
    any_host.ended(last)
    any_host.settled(last)
    wait_until(lambda: not (any_host.owner / "lock").is_symlink())
    assert sorted(path.name for path in any_host.owner.iterdir()) == [
        "bell",
        "ends",
        "host",
        "ids",
        "jobs",
        "live",
        "new",
        "next",
        "pending",
        "registry.jsonl",
    ]


def test_compaction_loses_nothing_of_what_is_there(any_host: Host) -> None:
    gone, kept = any_host.line("echo x"), any_host.line("echo y")
    for job in (gone, kept):
        any_host.ended(job)
        any_host.settled(job)
    any_host.ask("received", f"{kept} 1 0")
    any_host.ask("received", f"{kept} 2 0")
    registry = any_host.owner / "registry.jsonl"
    strange = '{"v":2,"event":"dance","id":1,"x":"ü"}'
    with registry.open("a") as file:
        file.write(strange + "\n" + "not json\n" + '{"v":1,"event":"star')
    any_host.change("remove", "-", jobs=[gone])
    # What was torn lost nothing but itself.
    assert json.loads(registry.read_text().splitlines()[-1])["event"] == "remove"
    before = registry.read_text().splitlines()
    any_host.ask("compact")
    after = registry.read_text().splitlines()
    assert [line for line in before if line not in after] == [
        line for line in before if gone in line or ('"received"' in line and '"out":1' in line)
    ]
    assert [line for line in after if line not in before] == []
    assert strange in after
    assert any_host.line("exit 0")
    assert (any_host.owner / "ids" / "3").exists()


def test_the_registry_is_rebuilt_from_the_folders(any_host: Host) -> None:
    jobs = [any_host.line(f"echo {number}; exit {number}") for number in range(3)]
    for job in jobs:
        any_host.ended(job)
        any_host.settled(job)
    live = any_host.line(FOREVER)
    any_host.ask("received", f"{jobs[1]} 2 0")
    any_host.change("remove", "-", jobs=[jobs[2]])
    registry = any_host.owner / "registry.jsonl"

    def parsed(path: Path) -> list[str]:
        return sorted(line for line in path.read_text().splitlines() if jobs[2] not in line)

    before = parsed(registry)
    strange = '{"v":1,"event":"dance","id":1}'
    registry.write_text(strange + "\n")
    for name in ("ids", "live"):
        shutil.rmtree(any_host.owner / name)
    (any_host.owner / "next").unlink()
    assert any_host.ask("rebuild").lines == ["rebuilt 3"]
    assert parsed(registry) == sorted([*before, strange])
    assert any_host.ask("facts", "id 1", "id 2", "id 4", "live").facts.selected == [
        [jobs[0]],
        [jobs[1]],
        [live],
        [live],
    ]
    assert any_host.ask("facts").facts.total == 3
    any_host.line("exit 0")
    assert (any_host.owner / "ids" / "5").exists()


def test_info(any_host: Host) -> None:
    told = {words[0]: words[1:] for words in any_host.ask("info").words("info")}
    assert told["home"] == [str(any_host.home)]
    assert told["detach"] == ["setsid"]
    assert told["identity"] == ["proc"]
    assert told["follow"] == [("polling" if any_host.shell == "busybox" else "events")]


def test_people_on_the_machine_need_no_rjob(any_host: Host) -> None:
    job = any_host.line(f"echo hello; {FOREVER}", name="x")
    wait_for_line(any_host, job, b"hello\n")
    done = any_host.line("exit 3")
    any_host.ended(done)

    def rjob(*words: str) -> subprocess.CompletedProcess[str]:
        script = str(any_host.home / "rjob")
        return subprocess.run(
            [script, *words], env=any_host.env, capture_output=True, text=True, check=False, timeout=30
        )

    listing = rjob("get").stdout
    assert "running" in listing
    assert "exit 3" in listing
    assert rjob("stop", "1").stdout == "stopped job 1\n"
    assert any_host.verdict(job).state is State.STOPPED
    assert rjob("stop", "9").returncode == 1
    assert rjob("dance").returncode == 2


# ------------------------------------------------------------------------------------------------ memory, completeness


def test_a_supervisor_is_small(host: Host) -> None:
    jobs = [host.line(FOREVER) for _ in range(64)]
    sizes = []
    for job in jobs:
        with open(f"/proc/{host.supervisor(job)}/smaps_rollup") as file:
            sizes += [int(line.split()[1]) for line in file if line.startswith("Pss:")]
    assert len(sizes) == len(jobs)
    assert sum(sizes) / len(sizes) <= 150, f"{sum(sizes) / len(sizes):.0f} KiB on average"


def test_this_file_asks_for_every_operation() -> None:
    with open(__file__) as file:
        text = file.read()
    helpers = {"start", "facts", "collect"}
    assert [operation for operation in OPERATIONS.keys() - helpers if f'"{operation}"' not in text] == []
