"""The contract of every runner: each operation of the table, asked through the protocol, on every kind of machine.

What jobs write, and following it, is tested in ``test_contract_output.py``.

Left out for the runner in memory, because it has neither files nor processes, and tested in the modules named:

- what an owner's folder holds: the registry, the lists, what a removal or a rebuild leaves (``test_operations.py``);
- files that are damaged or belong to others, full disks, and steps at which a runner dies (``test_damaged_files.py``,
  ``test_full_disks.py``, ``test_foreign_files.py``, ``test_crashes.py``, ``test_contention.py``);
- process trees, processes of others, signals that a program handles, time limits (``test_signals.py``,
  ``test_detach.py``);
- words, variables, directories, scripts and secrets of a command (``test_launch.py``, ``test_words.py``,
  ``test_start.py``);
- other machines under the same home, other boots and containers (``test_operations.py``, ``test_lock.py``): a machine
  in memory has its home to itself;
- how the runner is found and installed (``test_protocol.py``, ``test_crashes.py``).
"""

from __future__ import annotations

import ast
import json
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runner.exchange import ERR, OUT
from world import wait_until

from rjob.errors import OwnerError
from rjob.models import State
from rjob.runner.launch import start_request
from rjob.runner.operations import OPERATIONS
from rjob.runner.protocol import new_marker, request
from rjob.runner.states import derive

if TYPE_CHECKING:
    from runner.exchange import Machine

    from rjob.runner.launch import Launch


def new(machine: Machine, *words: object, **more: object) -> Launch:
    """Make a job that writes something, not started yet."""
    return machine.launch_of(machine.say_spec(*words, **more), str(uuids.uuid4()))  # type: ignore[arg-type]


def stop(machine: Machine, *jobs: str) -> list[str]:
    """Stop jobs; return the line about each."""
    return machine.change("stop", "TERM", "10", jobs=jobs).done


# ------------------------------------------------------------------------------------------------ start


def test_a_job_from_start_to_end(machine: Machine) -> None:
    job = machine.say(3)
    verdict = machine.ended(job)
    assert (verdict.state, verdict.exit_code) == (State.FAILED, 3)
    facts = machine.job(job)
    assert (facts.out_bytes, facts.err_bytes) == (len(OUT), len(ERR))
    assert facts.record is not None
    assert (facts.record["id"], facts.record["instance"], facts.record["event"]) == (1, job, "start")
    assert machine.ask("facts").facts.total == 1


@pytest.mark.parametrize("status", [0, 3, 126, 127, 143, 255])
def test_exit_statuses(machine: Machine, status: int) -> None:
    verdict = machine.ended(machine.say(status))
    assert (verdict.exit_code, verdict.signal) == (status, None)
    assert verdict.state is (State.FAILED if status else State.COMPLETED)


def test_a_start_that_is_repeated_starts_nothing(machine: Machine) -> None:
    launch = machine.launch_of(machine.forever_spec(), str(uuids.uuid4()))
    answers = [machine.launch(launch) for _ in range(3)]
    assert [answer.lines[1:] for answer in answers] == [[f"job {launch.uuid} 1", f"started {launch.uuid}"]] * 3
    machine.wait_for_output(launch.uuid)
    assert machine.begun(launch.uuid) == 1
    assert stop(machine, launch.uuid) == [f"stopped {launch.uuid}"]
    assert machine.launch(launch).lines == answers[0].lines
    assert machine.begun(launch.uuid) == 1
    assert machine.ask("facts").facts.total == 1


def test_several_jobs_in_one_request(machine: Machine) -> None:
    launches = [new(machine, 0, f"{number}\n", stdin=b"x" * number) for number in range(9)]
    answer = machine.launch(*launches)
    assert answer.facts.machine
    assert sorted(answer.words("job")) == sorted(
        [launch.uuid, str(number + 1)] for number, launch in enumerate(launches)
    )
    assert sorted(answer.words("started")) == sorted([launch.uuid] for launch in launches)
    for number, launch in enumerate(launches):
        machine.ended(launch.uuid)
        assert machine.out(launch.uuid) == f"{number}\n".encode()


def test_a_job_is_started_and_looked_on_at_by_one_request(machine: Machine) -> None:
    launch = new(machine, 4)
    lines, body = start_request([launch])
    exchange = machine.open("collect", "start", *lines, body=body)
    assert exchange.read_until(lambda: exchange.ready)
    assert exchange.answer.words("started") == [[launch.uuid]]
    exchange.order(f"add {launch.uuid} 0 0", "look")
    assert exchange.read_until(lambda: exchange.answer.words("ended") == [[launch.uuid]])
    exchange.order("pause", "end")
    answer = exchange.finish()
    assert (answer.data[launch.uuid, "out"], answer.data[launch.uuid, "err"]) == (OUT.encode(), ERR.encode())
    assert derive(answer.facts.jobs[launch.uuid]).exit_code == 4


def test_a_line_that_the_runner_does_not_know_is_an_error_and_nothing_is_done(machine: Machine) -> None:
    machine.done()
    lines, body = start_request([new(machine)])
    with pytest.raises(OwnerError) as caught:
        machine.ask("start", *lines, b"priority low secret", body=body)
    assert caught.value.code == "unknown-line"
    assert "priority" in caught.value.message
    assert "secret" not in caught.value.message
    assert machine.half_made() == []
    assert machine.ask("facts").facts.total == 1


# ------------------------------------------------------------------------------------------------ requests


def test_an_operation_that_the_runner_does_not_know(machine: Machine) -> None:
    machine.done()
    marker = new_marker()
    data = request(marker, "facts", "all", home=str(machine.home)).replace(b"facts 1", b"dance 1")
    exchange = machine.begin(marker, data)
    exchange.hang_up()
    with pytest.raises(OwnerError) as caught:
        exchange.finish()
    exchange.close()
    assert caught.value.code == "unknown-operation"
    assert "dance" in caught.value.message


def test_a_request_that_is_cut_does_nothing(machine: Machine) -> None:
    machine.done()
    before = machine.ask("facts", "all").lines
    lines, body = start_request([new(machine, stdin=b"data\n\nmore")])
    whole = request(marker := new_marker(), "start", *lines, body=body, home=str(machine.home))
    # test_crashes.py cuts at every byte, under one shell.
    ends = [at for at, byte in enumerate(whole) if byte == 10]
    for size in sorted({0, 7, *ends, *(end + 1 for end in ends), len(whole) - 1} - {len(whole)}):
        exchange = machine.begin(marker, whole[:size])
        exchange.hang_up()
        try:
            assert not exchange.read_until(lambda exchange=exchange: exchange.reply.ended), size  # type: ignore[misc]
        except OwnerError as error:
            assert error.code == "cut"  # noqa: PT017
        exchange.close()
    assert machine.half_made() == []
    assert machine.ask("facts", "all").lines == before


@pytest.mark.parametrize("operation", [("stop", "TERM", "0"), ("signal", "KILL"), ("tree", "STOP"), ("remove", "0")])
def test_without_the_end_of_a_choice_nothing_is_done(machine: Machine, operation: tuple[str, ...]) -> None:
    job = machine.forever()
    exchange = machine.open(*operation, f"instance {job}")
    assert exchange.read_until(lambda: exchange.ready)
    exchange.order(job)
    exchange.hang_up()
    with pytest.raises(OwnerError) as caught:
        exchange.finish()
    exchange.close()
    assert caught.value.code == "cut"
    assert machine.verdict(job).state is State.RUNNING


def test_what_the_selectors_did_not_name_is_not_chosen(machine: Machine) -> None:
    named, other = machine.forever(), machine.forever()
    exchange = machine.open("stop", "TERM", "10", f"instance {named}")
    assert exchange.read_until(lambda: exchange.ready)
    exchange.order(other, named, "end")
    assert exchange.finish().done == [f"stopped {named}"]
    assert machine.verdict(other).state is State.RUNNING


@pytest.mark.parametrize("operation", [("stop", "TERM", "10"), ("remove", "-"), ("save", "both", "file")])
def test_where_nothing_is_selected_there_is_no_choice(machine: Machine, operation: tuple[str, ...]) -> None:
    machine.done()
    exchange = machine.open(*operation, "id 9")
    answer = exchange.finish()
    assert (exchange.ready, answer.facts.selected, answer.done) == (0, [[]], [])


# ------------------------------------------------------------------------------------------------ facts


def test_selectors(machine: Machine) -> None:
    names = ["build", "foo bar", "foo baz", "it's [x]", "ä ✓"]
    jobs = [machine.done(name=name) for name in names]
    live = machine.forever()

    def selected(*selectors: str) -> list[list[str]]:
        return machine.ask("facts", *selectors).facts.selected

    assert selected("id 1", "id 99", "id 3") == [[jobs[0]], [], [jobs[2]]]
    assert selected("range 2 3", "range 5 900") == [jobs[1:3], [jobs[4], live]]
    assert selected("live") == [[live]]
    assert selected("newest 2", "newest 2 live", "newest 0") == [[jobs[4], jobs[3]], [live, jobs[4]], []]
    assert selected(f"instance {jobs[1][:8]}", "instance 00000000") == [[jobs[1]], []]
    assert sorted(selected("all")[0]) == sorted([*jobs, live])
    assert selected(*(f'name "name":{json.dumps(name)}' for name in names)) == [[job] for job in jobs]
    assert selected('name "name":"foo"', "nonsense", "") == [[], [], []]


def test_a_name_is_the_newest_job_s(machine: Machine) -> None:
    jobs = [machine.done(name="build") for _ in range(2)]
    assert machine.ask("facts", 'name "name":"build"').facts.selected == [[jobs[1]]]
    machine.change("remove", "-", jobs=jobs[1:])
    assert machine.ask("facts", 'name "name":"build"').facts.selected == [[jobs[0]]]


def test_spaces_know_nothing_of_each_other(machine: Machine) -> None:
    here = machine.say()
    machine.space = "s1"
    there = machine.done(0, "there\n", "")
    assert machine.verdict(there).state is State.COMPLETED
    assert machine.ask("facts", "all", "others all").facts.jobs.keys() == {there}
    assert machine.ask("facts", "id 1").facts.selected == [[there]]
    assert machine.read(there).data == {(there, "out"): b"there\n"}
    assert machine.change("remove", "-", jobs=[there]).done == [f"removed {there}"]
    assert machine.say() != there
    assert machine.ask("rebuild").lines == ["rebuilt 1"]
    machine.space = ""
    assert machine.ask("facts", "all", "others all").facts.jobs.keys() == {here}
    assert machine.ask("facts").facts.total == 1


# ------------------------------------------------------------------------------------------------ signal, tree, stop


def test_a_signal_that_kills(machine: Machine) -> None:
    job = machine.forever()
    machine.wait_for_output(job)
    assert machine.change("signal", "KILL", jobs=[job]).done == [f"signalled {job}"]
    verdict = machine.ended(job)
    assert (verdict.state, verdict.signal, verdict.exit_code) == (State.FAILED, 9, None)
    assert machine.change("signal", "TERM", jobs=[job]).done == [f"ended {job}"]


def test_suspend_resume_and_stop(machine: Machine) -> None:
    job = machine.forever()
    machine.wait_for_output(job)
    answer = machine.change("tree", "STOP", jobs=[job])
    assert answer.done == [f"signalled {job}"]
    assert derive(answer.facts.jobs[job]).state is machine.verdict(job).state is State.SUSPENDED
    assert machine.change("tree", "CONT", jobs=[job]).done == [f"signalled {job}"]
    assert machine.verdict(job).state is State.RUNNING
    machine.change("tree", "STOP", jobs=[job])
    assert stop(machine, job) == [f"stopped {job}"]
    verdict = machine.verdict(job)
    assert (verdict.state, verdict.signal) == (State.STOPPED, 15)
    assert machine.change("tree", "CONT", jobs=[job]).done == [f"ended {job}"]


def test_stopping_several_and_what_has_ended(machine: Machine) -> None:
    done = machine.done()
    jobs = [machine.forever() for _ in range(3)]
    answer = machine.change("stop", "TERM", "10", jobs=[done, *jobs])
    assert answer.done == [f"ended {done}", *(f"stopped {job}" for job in jobs)]
    assert machine.verdict(done).state is State.COMPLETED
    assert [derive(answer.facts.jobs[job]).state for job in jobs] == [State.STOPPED] * 3
    assert [machine.verdict(job).state for job in jobs] == [State.STOPPED] * 3


# ------------------------------------------------------------------------------------------------ record-lost


def test_a_lost_job_is_recorded_once_and_stays_lost(machine: Machine) -> None:
    job = machine.forever()
    machine.wait_for_output(job)
    assert machine.ask("record-lost", "lost-killed", job).lines == []
    assert machine.verdict(job).state is State.RUNNING
    machine.kill(job)
    wait_until(lambda: machine.verdict(job).record)
    assert machine.verdict(job).record == "lost-killed"
    machine.ask("record-lost", "lost-killed", f"{job} {uuids.uuid4()}")
    machine.ask("record-lost", "lost-reboot", job)
    verdict = machine.verdict(job)
    assert (verdict.state, verdict.record) == (State.LOST, None)
    assert "killed" in (verdict.reason or "")
    assert machine.change("remove", "-", jobs=[job]).done == [f"removed {job}"]


def test_a_lost_job_can_be_stopped(machine: Machine) -> None:
    job = machine.forever()
    machine.wait_for_output(job)
    machine.kill(job)
    wait_until(lambda: machine.verdict(job).record)
    assert machine.change("signal", "TERM", jobs=[job]).done == [f"ended {job}"]
    assert stop(machine, job) == [f"stopped {job}"]
    assert machine.verdict(job).state is State.STOPPED


# ------------------------------------------------------------------------------------------------ upkeep


def test_remove(machine: Machine) -> None:
    done, busy = machine.done(), machine.forever()
    answer = machine.change("remove", "-", jobs=[done, busy])
    assert sorted(answer.done) == sorted([f"busy {busy}", f"removed {done}"])
    assert machine.verdict(busy).state is State.RUNNING
    assert machine.ask("facts", "id 1", "all").facts.selected == [[], [busy]]
    assert machine.ask("facts").facts.total == 1
    last = machine.say()
    # An id is never used twice.
    assert machine.ask("facts", "id 3").facts.selected == [[last]]


def test_what_is_not_finished_is_stopped_and_removed(machine: Machine) -> None:
    jobs = [machine.forever() for _ in range(2)]
    told = machine.change("remove", "10", jobs=jobs)
    assert sorted(told.words("stopped")) == sorted([job] for job in jobs)
    assert sorted(job for words in told.words("removed") for job in words) == sorted(jobs)
    assert machine.ask("facts", "all").facts.selected == [[]]


def test_compacting_and_rebuilding_change_no_job(machine: Machine) -> None:
    gone, kept = machine.done(3, name="x"), machine.done(3, name="y")
    machine.ask("received", f"{kept} 2 1")
    machine.change("remove", "-", jobs=[gone])
    before = machine.ask("facts", "all", 'name "name":"y"').lines
    assert machine.ask("compact").lines == []
    assert machine.ask("rebuild").lines == ["rebuilt 1"]
    assert machine.ask("facts", "all", 'name "name":"y"').lines == before
    assert machine.ask("facts", "id 3").facts.selected == [[]]
    assert machine.ask("facts", "id 3", f"instance {machine.say()}").facts.selected[0] != []


def test_info(machine: Machine) -> None:
    answer = machine.ask("info")
    told = {words[0]: words[1:] for words in answer.words("info")}
    assert told["home"] == [str(machine.home)]
    assert answer.facts.machine


def test_every_operation_is_asked_for() -> None:
    folder = Path(__file__).parent
    # Some are asked for by the methods of Machine, in exchange.py.
    modules = [*folder.glob("test_contract*.py"), folder / "exchange.py"]
    asked = [name for path in modules for name in operations_asked_for(path.read_text(encoding="utf-8"))]
    assert {*asked} == OPERATIONS.keys()


def operations_asked_for(text: str) -> list[str]:
    """Return the operations in the calls of ``ask``, ``change`` and ``open`` in a module."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and node.args]
    return [
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("ask", "change", "open")
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]
