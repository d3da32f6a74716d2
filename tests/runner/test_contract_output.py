"""The contract of every runner for output: reading, cursors, saving, and following until jobs end."""

from __future__ import annotations

import uuid as uuids
from typing import TYPE_CHECKING

import pytest
from runner.exchange import ERR, OUT, Exchange

from rjob.runner.states import derive

if TYPE_CHECKING:
    from runner.exchange import Answer, Machine


# ------------------------------------------------------------------------------------------------ output


def streams(answer: Answer, job: str) -> list[tuple[int | None, bytes | None]]:
    """Return the offset and the bytes of each of a job's two streams; None for no bytes."""
    return [(answer.offsets.get((job, name)), answer.data.get((job, name))) for name in ("out", "err")]


def test_reading_from_anywhere(machine: Machine) -> None:
    job = machine.done(0, "one\ntwo\nthree\nfour", "err")

    def read(out: str, err: str) -> list[tuple[int | None, bytes | None]]:
        return streams(machine.read(job, out, err), job)

    whole, nothing = b"one\ntwo\nthree\nfour", (None, None)
    assert read("0", "0") == [(0, whole), (0, b"err")]
    assert read("4", "1") == [(4, whole[4:]), (1, b"rr")]
    # A cursor beyond the end means that the stream has shrunk: it is read from its begin.
    assert read("1000", "3") == [(0, whole), nothing]
    assert f"shrank {job}/out 1000 {len(whole)}" in machine.read(job, "1000", "-").lines
    assert read("tail:2", "-") == [(8, b"three\nfour"), nothing]
    assert read("-", "tail:5") == [nothing, (0, b"err")]
    assert read("tail:0", "tail:0") == [nothing, nothing]
    assert read("cursor", "cursor") == [(0, whole), (0, b"err")]
    assert machine.ask("received", f"{job} 4 0").lines == []
    assert read("cursor", "cursor") == [(4, whole[4:]), (0, b"err")]
    # A cursor only moves forward.
    machine.ask("received", f"{job} 2 3")
    assert read("cursor", "cursor") == [(4, whole[4:]), nothing]
    assert machine.job(job).received == (4, 3)


def test_bytes_are_read_as_they_are(machine: Machine) -> None:
    data = bytes(range(256)) * 2000
    job = machine.copy(data)
    machine.ended(job)
    for start in (0, 1, 255, len(data) - 1):
        answer = machine.read(job, str(start), "-")
        assert answer.data[job, "out"] == data[start:]


def test_several_jobs_are_read_at_once(machine: Machine) -> None:
    jobs = [machine.done(0, f"{number}\n", f"e{number}\n") for number in range(3)]
    orders = [f"add {jobs[2]} cursor cursor", f"add {jobs[0]} cursor -", "once", "end"]
    answer = machine.collect(*orders, selectors=["id 3", "id 1", "id 9"]).finish()
    assert answer.facts.selected == [[jobs[2]], [jobs[0]], []]
    assert answer.data == {(jobs[2], "out"): b"2\n", (jobs[2], "err"): b"e2\n", (jobs[0], "out"): b"0\n"}


def test_cursors_of_several_jobs_move_at_once(machine: Machine) -> None:
    jobs = [machine.done() for _ in range(2)]
    assert machine.ask("received", f"{jobs[0]} 1 2 {uuids.uuid4()} 1 1 {jobs[1]} 3 0").lines == []
    assert [machine.job(job).received for job in jobs] == [(1, 2), (3, 0)]


@pytest.mark.parametrize("end", [["end"], []])
def test_cursors_move_by_what_the_client_says_it_delivered(machine: Machine, end: list[str]) -> None:
    job = machine.done()
    exchange = machine.collect(f"add {job} cursor cursor", "once", selectors=["id 1"])
    assert exchange.read_until(lambda: exchange.ready == 2)
    exchange.order(f"received {job} 3 0", *end)
    exchange.hang_up()
    exchange.finish()
    assert machine.job(job).received == (3, 0)


def test_what_is_new_goes_into_a_file_there(machine: Machine) -> None:
    job, path = machine.done(), machine.file("a file")
    machine.change("save", "out", path, jobs=[job])
    assert machine.content(path) == OUT.encode()
    assert machine.job(job).received == (len(OUT), 0)
    answer = machine.change("save", "both", path, jobs=[job])
    assert machine.content(path) == (OUT + ERR).encode()
    assert answer.facts.jobs[job].received == machine.job(job).received == (len(OUT), len(ERR))


# ------------------------------------------------------------------------------------------------ collect


def told(exchange: Exchange, word: str, *jobs: str) -> bool:
    """Read until exactly these jobs have been reported with that word."""
    return exchange.read_until(lambda: exchange.answer.words(word) == [[job] for job in jobs], seconds=20)


def test_collecting_a_job_to_its_end(machine: Machine) -> None:
    job, first = machine.say(4, "c\n", "", gate="go"), machine.forever()
    machine.wait_for_output(first)
    exchange = machine.collect(f"add {first} 1 0", f"add {job} 0 0", "look")
    answer = exchange.answer
    assert exchange.read_until(lambda: answer.data == {(first, "out"): b"egan\n"})
    assert answer.offsets == {(first, "out"): 1}
    machine.release("go")
    assert told(exchange, "ended", job)
    assert answer.data[job, "out"] == b"c\n"
    assert derive(answer.facts.jobs[job]).exit_code == 4
    exchange.order("pause", f"received {job} 2 0", "end")
    exchange.finish()
    assert machine.job(job).received == (2, 0)


def test_jobs_are_added_and_dropped_while_it_collects(machine: Machine) -> None:
    jobs = [machine.say(0, f"{number}\n", "", gate=f"go{number}") for number in range(3)]
    exchange = machine.collect(f"add {jobs[0]} 0 0", f"add {jobs[1]} 0 0", "look")
    exchange.order("pause", f"drop {jobs[0]}", f"add {jobs[2]} 0 0", "look")
    for number in (1, 2):
        machine.release(f"go{number}")
    assert exchange.read_until(lambda: len(exchange.answer.words("ended")) == 2, seconds=20)
    machine.release("go0")
    machine.ended(jobs[0])
    assert exchange.answer.data == {(job, "out"): f"{number}\n".encode() for number, job in enumerate(jobs) if number}
    exchange.order("pause", f"add {jobs[0]} 0 0", "look")
    assert exchange.read_until(lambda: [jobs[0]] in exchange.answer.words("ended"), seconds=20)
    assert exchange.answer.data[jobs[0], "out"] == b"0\n"


def test_ends_are_told_without_bytes(machine: Machine) -> None:
    job, done = machine.say(3, gate="go"), machine.done()
    exchange = machine.collect(f"add {job} - -", f"add {done} - -", "look")
    # A job that has ended is reported at once.
    assert told(exchange, "ended", done)
    machine.release("go")
    assert told(exchange, "ended", done, job)
    assert derive(exchange.answer.facts.jobs[job]).exit_code == 3
    assert exchange.answer.data == {}


def test_where_all_have_ended_already_orders_are_read_at_once(machine: Machine) -> None:
    done = machine.done()
    answer = machine.collect(f"add {done} 0 -", "look", f"add {done} 4 -", "once", "end").finish()
    assert answer.words("ended") == [[done]]
    assert answer.data[done, "out"] == OUT.encode() + OUT.encode()[4:]


def test_cursors_move_between_other_orders(machine: Machine) -> None:
    done = machine.done()
    exchange = machine.collect(f"received {done} 5 0", f"add {done} 0 -", "once", "end")
    answer = exchange.finish()
    assert machine.job(done).received == (5, 0)
    assert (exchange.ready, answer.data.get((done, "out"))) == (2, OUT.encode())


def test_a_job_that_goes_is_told(machine: Machine) -> None:
    job, nobody = machine.forever(), str(uuids.uuid4())
    exchange = machine.collect(f"add {job} 0 0", f"add {nobody} 0 0", "look")
    assert told(exchange, "gone", nobody)
    machine.change("remove", "10", jobs=[job])
    # It is stopped before it is removed: either may be reported.
    assert exchange.read_until(
        lambda: [job] in exchange.answer.words("gone") + exchange.answer.words("ended"), seconds=20
    )


def test_collecting_ends_when_everything_of_a_job_was_killed(machine: Machine) -> None:
    job = machine.forever()
    machine.wait_for_output(job)
    exchange = machine.collect(f"add {job} - -", "look")
    machine.kill(job)
    assert told(exchange, "ended", job)
    assert derive(exchange.answer.facts.jobs[job]).record == "lost-killed"
