"""Several jobs at a time: as written, whole lines, one prefix each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from world import naps, wait_until

if TYPE_CHECKING:
    from world import World

HALVES = "for i in 1 2 3 4 5 6; do printf 'half %s' $i; sleep 0.25; echo ' rest'; sleep 0.05; done; printf 'the end'"
QUICK = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo line $i; sleep 0.1; done"
EXPECTED = {f"half {i} rest" for i in range(1, 7)} | {f"line {i}" for i in range(1, 21)} | {"the end"}


@pytest.mark.parametrize("refs", [["1", "2"], ["1-2"], ["half*"]], ids=["ids", "range", "glob"])
@pytest.mark.parametrize("prefix", [False, True], ids=["plain", "prefix"])
def test_local_jobs_are_followed_at_the_same_time_line_by_line(rjob: World, refs: list[str], prefix: bool) -> None:
    go = rjob.root / "go"
    for name, line in (("half1", HALVES), ("half2", QUICK)):
        rjob.shell(f"until [ -e {go} ]; do sleep 0.02; done; {line}", "-n", name)
    child = rjob.popen("receive", "-f", *refs, *(["--prefix"] if prefix else []))
    wait_until(lambda: naps(child.pid), what="the follower")
    go.touch()
    out, _ = child.communicate(timeout=60)
    lines = out.decode().split("\n")
    if prefix:
        assert all(line.startswith(("1: ", "2: ")) for line in lines if line)
        lines = [line[3:] for line in lines]
    assert sorted(filter(None, lines)) == sorted(EXPECTED)
    # Neither waited for the other to end.
    assert lines.index("line 1") < lines.index("half 6 rest")
    assert lines.index("half 1 rest") < lines.index("line 20")
    for ref in ("1", "2"):
        assert rjob.job(ref)["has_more_data"] is False


def test_a_job_s_last_line_without_an_end_does_not_swallow_the_next_job_s_first(rjob: World) -> None:
    refs = [rjob.shell(f"printf 'a{number}\\nb{number}'; printf e{number} >&2") for number in (1, 2)]
    for ref in refs:
        rjob.ended(ref)
    done = rjob("receive", "--keep", *refs)
    assert (done.out, done.err) == (b"a1\nb1\na2\nb2", b"e1\ne2")
    log = rjob.root / "log"
    rjob("receive", *refs, "-o", str(log))
    assert log.read_bytes() == b"a1\nb1e1\na2\nb2e2"
    # One job's bytes are its own.
    assert rjob("receive", "--all", refs[0]).out == b"a1\nb1"


def test_a_prompt_shows_while_nobody_else_writes(rjob: World) -> None:
    gate = rjob.root / "gate"
    wait = f"until [ -e '{gate}' ]; do sleep 0.05; done"
    refs = [rjob.shell(f"printf 'ready? '; {wait}; echo yes"), rjob.shell(f"{wait}; echo other")]
    child = rjob.popen("receive", "-f", *refs)
    assert child.stdout is not None
    begin = time.monotonic()
    assert child.stdout.read(7) == b"ready? "
    assert time.monotonic() - begin < 20
    gate.touch()
    out, _ = child.communicate(timeout=20)
    assert {b"yes\n", b"other\n"} <= set(out.splitlines(keepends=True))


def test_what_was_held_back_and_not_written_is_not_received(rjob: World) -> None:
    refs = [rjob.shell("echo whole; printf held; sleep 60"), rjob.shell("while sleep 0.1; do echo x; done")]
    wait_until(lambda: rjob.job(refs[0])["output_bytes"]["out"] == 10, what="output")
    child = rjob.popen("receive", "-f", *refs)
    assert child.stdout is not None
    seen = [child.stdout.readline() for _ in range(12)]
    assert b"whole\n" in seen
    child.terminate()
    out, err = child.communicate(timeout=20)
    assert (child.returncode, b"held" in out) == (143, False), err
    assert rjob.job(refs[0])["received_bytes"]["out"] == 6
    assert rjob("receive", refs[0]).out == b"held"


def test_a_reader_that_goes_ends_every_follower(rjob: World) -> None:
    """Also those that have nothing to write."""
    refs = [rjob.start("sleep", "60"), rjob.shell("while sleep 0.1; do echo x; done")]
    child = rjob.popen("receive", "-f", *refs)
    assert child.stdout is not None
    assert child.stdout.readline() == b"x\n"
    child.stdout.close()
    assert child.wait(timeout=20) == 125
    assert child.stderr is not None
    assert child.stderr.read() == b""
    child.stderr.close()
