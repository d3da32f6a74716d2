"""The effects of operations on an owner's folder and on real processes; ``test_contract.py`` tests their replies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from runner.conftest import MACHINE, PYTHON, Host
from runner.jobs import FOREVER, stop, wait_for_line
from runner.sabotage import events
from world import alive, processes_with, wait_until

from rjob.models import State

if TYPE_CHECKING:
    pass


# ------------------------------------------------------------------------------------------------ the journal


def test_a_start_and_an_end_are_journalled(any_host: Host) -> None:
    job = any_host.done(3)
    assert [(event["event"], event["id"], event["instance"]) for event in events(any_host)] == [
        ("start", 1, job),
        ("end", 1, job),
    ]
    assert events(any_host)[1]["status"] == 3


def test_a_cursor_is_journalled_when_it_moves(any_host: Host) -> None:
    job = any_host.done()
    for place in ("4 0", "2 3", "1 1"):
        any_host.ask("received", f"{job} {place}")
    assert [(event["out"], event["err"]) for event in events(any_host) if event["event"] == "received"] == [
        (4, 0),
        (4, 3),
    ]


def test_a_loss_is_journalled_once(any_host: Host) -> None:
    job = any_host.forever()
    any_host.kill(job)
    wait_until(lambda: any_host.verdict(job).record)
    any_host.ask("record-lost", "lost-killed", job)
    any_host.ask("record-lost", "lost-reboot", job)
    assert [event.get("status") for event in events(any_host) if event["event"] == "end"] == ["lost-killed"]


# ------------------------------------------------------------------------------------------------ processes


def test_death_by_a_signal_of_its_own(any_host: Host) -> None:
    verdict = any_host.ended(any_host.start(PYTHON, "-S", "-E", "-c", "import os; os.kill(os.getpid(), 15)"))
    assert verdict.state is State.FAILED
    # Only ksh93 and yash distinguish a signal from an exit status.
    assert (verdict.exit_code, verdict.signal) == ((None, 15) if any_host.shell in ("ksh", "yash") else (143, None))


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


def test_a_job_of_another_boot_is_lost(any_host: Host) -> None:
    job = any_host.line("exit 0")
    any_host.ended(job)
    any_host.settled(job)
    folder = any_host.folder(job)
    (folder / "exit").unlink()
    words = (folder / "identity").read_text().split()
    # A process with that id lives again, but it is not the job's.
    words[:3] = [str(os.getpid()), words[1], "11111111-1111-1111-1111-111111111111"]
    (folder / "identity").write_text(" ".join(words) + "\n")
    (folder / "main").write_text(f"{os.getpid()} 5\n")
    assert any_host.verdict(job).record == "lost-reboot"
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
    # As another node of a cluster writes it, which has a boot id of its own.
    words[2], words[7] = "11111111-1111-1111-1111-111111111111", "node-7"
    (folder / "identity").write_text(" ".join(words) + "\n")
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.record) == (State.DISCONNECTED, None)
    assert "on another machine" in (verdict.reason or "")
    any_host.ask("record-lost", "lost-reboot", job)
    assert stop(any_host, job) == [["apart", job]]
    assert any_host.verdict(job).state is State.DISCONNECTED


# ------------------------------------------------------------------------------------------------ upkeep


def test_what_a_removal_leaves(any_host: Host) -> None:
    done, busy = any_host.done(), any_host.forever()
    any_host.change("remove", "-", jobs=[done, busy])
    assert not any_host.folder(done).exists()
    assert any_host.running(busy)
    any_host.done()
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
    # A torn line costs only itself.
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


def test_what_the_doctor_is_told(any_host: Host) -> None:
    told = {words[0]: words[1:] for words in any_host.ask("info").words("info")}
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


# ------------------------------------------------------------------------------------------------ memory


def test_a_supervisor_is_small(host: Host) -> None:
    jobs = [host.line(FOREVER) for _ in range(64)]
    sizes = []
    for job in jobs:
        with open(f"/proc/{host.supervisor(job)}/smaps_rollup") as file:
            sizes += [int(line.split()[1]) for line in file if line.startswith("Pss:")]
    assert len(sizes) == len(jobs)
    assert sum(sizes) / len(sizes) <= 150, f"{sum(sizes) / len(sizes):.0f} KiB on average"
