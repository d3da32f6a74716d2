"""Whatever becomes of rjob's standard streams: its status stands, data that is lost is said, nothing goes elsewhere."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from world import RJOB, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World

BROKEN = {
    ">&-": "out",
    "2>&-": "err",
    "<&-": "",
    "<&- >&-": "out",
    "<&- 2>&-": "err",
    ">&- 2>&-": "out err",
    "<&- >&- 2>&-": "out err",
    ">/dev/full": "out",
    "2>/dev/full": "err",
    ">/dev/full 2>/dev/full": "out err",
    ">/dev/full 2>&-": "out err",
    ">&- 2>/dev/full": "out err",
    "<&- >/dev/full": "out",
    "1</dev/null": "out",
    "2</dev/null": "err",
    "1</dev/null 2</dev/null": "out err",
    "0>/dev/null": "",
    ">&GONE": "out",
    "2>&GONE": "err",
    ">&GONE 2>&GONE": "out err",
    ">&SLOW": "",
    "2>&SLOW": "",
    ">&SLOW 2>&SLOW": "",
}
"""Redirections, and which of the two output streams cannot be written then.

GONE is a pipe without a reader, SLOW a full non-blocking one that its reader empties after a while.
"""

FEW = (
    ">&-",
    "2>&-",
    "<&- >&- 2>&-",
    ">/dev/full",
    "2>/dev/full",
    "1</dev/null 2</dev/null",
    ">&GONE",
    ">&SLOW",
)
"""One redirection of each kind, for command lines that print in the same way as others that are tried with all."""

LINE = "cat; echo out; echo err >&2; exit 3"


class Ran(NamedTuple):
    status: int
    out: bytes
    err: bytes


@contextmanager
def pipes() -> Iterator[tuple[int, int]]:
    """A pipe without a reader, and a full one that does not block; its reader begins to read a little later."""
    reader, gone = os.pipe()
    os.close(reader)
    reader, slow = os.pipe()
    os.set_blocking(slow, False)
    try:
        while True:
            os.write(slow, bytes(4096))
    except BlockingIOError:
        pass

    def drain() -> None:
        while os.read(reader, 1 << 16):
            pass

    drainer = threading.Timer(0.1, drain)
    drainer.start()
    try:
        yield gone, slow
    finally:
        os.close(slow)
        drainer.join()
        os.close(gone)
        os.close(reader)


def run(rjob: World, redirection: str, *words: str) -> Ran:
    with pipes() as (gone, slow):
        where = redirection.replace("GONE", str(gone)).replace("SLOW", str(slow))
        done = subprocess.run(
            ["bash", "-c", f'exec "$@" {where}', "bash", *RJOB, *words],
            env=rjob.env,
            cwd=rjob.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(gone, slow),
            timeout=60,
            check=False,
        )
    assert b"Traceback" not in done.stderr, (redirection, words, done.stderr)
    return Ran(done.returncode, done.stdout, done.stderr)


def redirections(*words: str) -> dict[str, str]:
    """The redirections that a command line is tried with."""
    return {word: BROKEN[word] for word in (BROKEN if words in THOROUGH else FEW)}


DATA = [
    (("get", "--all"), 0, 1),
    (("get", "-q", "1"), 0, 1),
    (("get", "1", "--json"), 0, 1),
    (("get", "99", "--json"), 1, 1),
    (("wait", "1", "--json"), 3, 125),
    (("hosts",), 0, 1),
    (("config",), 0, 1),
    (("plugins",), 0, 1),
    (("--version",), 0, 1),
    (("--help",), 0, 1),
]
"""Verbs that print data, their status, and that when they cannot."""

SENTENCES = [
    (("wait", "1"), 3),
    (("stop", "1"), 0),
    (("signal", "1", "HUP"), 1),
    (("suspend", "99"), 1),
    (("resume", "99"), 1),
    (("remove", "99"), 1),
    (("prune", "--dry-run"), 0),
    (("registry", "rebuild"), 0),
    (("receive", "1", "--keep", "-o", "file"), 0),
    (("start", "--wait", "-c", "exit 4"), 4),
    (("start", "-f", "-c", "exit 4"), 4),
    (("start", "-c", LINE), 0),
    (("retry", "1"), 0),
]
"""Verbs that print messages only, and their status, whatever becomes of those."""

THOROUGH = {
    ("get", "--all"),
    ("wait", "1"),
    ("start", "-f", "-c", "exit 4"),
    ("start", "-c", LINE),
    ("start", "-q", "-c", LINE),
    ("receive", "1"),
}
"""The command lines that are tried with all redirections: one for each way to print."""


@pytest.fixture
def job(rjob: World) -> World:
    """A world with one finished job."""
    rjob.config.write_text('[hosts.gpu]\nhostname = "10.0.0.7"\n')
    rjob("start", "--wait", "-c", LINE, status=3)
    return rjob


def jobs(rjob: World) -> dict[str, dict[str, Any]]:
    """All jobs by their references, once they have ended."""
    every = rjob("get", "-q", "--all").text.split()
    rjob("wait", *every, status=None)
    found = {job["ref"]: job for job in rjob("get", "--all", "--json").json["jobs"]}
    assert all(job["state"] in ("Completed", "Failed") for job in found.values())
    return found


@pytest.mark.parametrize(("words", "status", "lost"), DATA, ids=[" ".join(words) for words, _, _ in DATA])
def test_data(job: World, words: tuple[str, ...], status: int, lost: int) -> None:
    for redirection, broken in redirections(*words).items():
        ran = run(job, redirection, *words)
        assert ran.status == (lost if "out" in broken else status), (redirection, ran)
        if broken == "out":
            said = b"cannot write to standard output" in ran.err
            assert said is ("GONE" not in redirection), (redirection, ran)


@pytest.mark.parametrize(("words", "status"), SENTENCES, ids=[" ".join(words) for words, _ in SENTENCES])
def test_messages(job: World, words: tuple[str, ...], status: int) -> None:
    for redirection in redirections(*words):
        ran = run(job, redirection, *words)
        assert ran.status == status, (redirection, ran)
        assert ran.out == b""
    if "-o" in words:
        assert (job.root / "file").read_bytes() == b"out\nerr\n" * len(redirections(*words))
    for path in job.home.rglob("*"):
        if path.is_file() and path.parent.name != "runner":
            assert b"rjob: " not in path.read_bytes()
            assert b"started: " not in path.read_bytes()


@pytest.mark.parametrize("verb", [("start", "-c", LINE), ("retry", "1")], ids=["start", "retry"])
@pytest.mark.parametrize("form", ["-q", "--json"])
def test_what_was_started_is_told(job: World, verb: tuple[str, ...], form: str) -> None:
    words = (verb[0], form, *verb[1:])
    for count, (redirection, broken) in enumerate(redirections(*words).items(), 2):
        ran = run(job, redirection, *words)
        assert ran.status == (1 if "out" in broken else 0), (redirection, ran)
        if broken == "out":
            assert f"Job {count} started".encode() in ran.err, (redirection, ran)
    told = jobs(job)
    assert len(told) == 1 + len(redirections(*words))
    for ended in told.values():
        assert (ended["exit_code"], ended["output_bytes"]) == (3, {"out": 4, "err": 4}), ended


def test_a_reference_that_is_lost_does_not_end_the_waiting(job: World) -> None:
    for redirection, broken in redirections().items():
        ran = run(job, redirection, "start", "-q", "--wait", "-c", "sleep 0.1; exit 3")
        assert ran.status == (125 if "out" in broken else 3), (redirection, ran)
    told = jobs(job)
    assert len(told) == 1 + len(redirections())
    assert {one["state"] for one in told.values()} == {"Failed"}


@pytest.mark.parametrize("follow", [False, True])
def test_output_that_cannot_be_delivered_stays_unreceived(job: World, follow: bool) -> None:
    tried = redirections("receive", "-f" if follow else "1")
    refs = [job.shell(LINE) for _ in tried]
    before = jobs(job)
    assert all(before[ref]["received_bytes"] == {"out": 0, "err": 0} for ref in refs)
    done = [
        run(job, redirection, "receive", ref, *(["-f"] if follow else []))
        for ref, redirection in zip(refs, tried, strict=True)
    ]
    after = jobs(job)
    good, bad = (3, 125) if follow else (0, 1)
    for ref, ran, (redirection, broken) in zip(refs, done, tried.items(), strict=True):
        received = after[ref]["received_bytes"]
        if broken and "GONE" not in redirection:
            assert ran.status == bad, (redirection, ran)
        elif not broken:
            assert (ran.status, received) == (good, {"out": 4, "err": 4}), (redirection, ran)
        for stream in broken.split():
            assert received[stream] == 0, (redirection, ran, received)


def test_a_closed_standard_input_is_no_input(rjob: World) -> None:
    for option in ("--stdin", "--script"):
        words = [option, "-", *(["cat"] if option == "--stdin" else [])]
        closed = run(rjob, "<&-", "start", *words)
        assert closed.status == 2
        assert closed.err == b"rjob: standard input is closed\n"
        assert run(rjob, "0>/dev/null", "start", *words).status == 2
    assert rjob("get", "--all", "-q").text == ""


def test_a_standard_input_that_does_not_block(rjob: World) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    child = rjob.popen("start", "-q", "--stdin", "-", "cat", stdin=reader)
    os.close(reader)
    wait_until(lambda: os.readlink(f"/proc/{child.pid}/fd/0").startswith("pipe:"))
    with open(writer, "wb") as pipe:
        pipe.write(b"late")
    assert child.communicate(timeout=30)[0] == b"1\n"
    rjob.ended("1")
    assert rjob("receive", "1").out == b"late"


def test_output_only_on_standard_output(rjob: World) -> None:
    ref = rjob.shell("echo only this")
    line = f'out=$("$@" wait {ref} && "$@" receive {ref}) && printf \'[%s]\' "$out"'
    done = subprocess.run(["bash", "-c", line, "bash", *RJOB], env=rjob.env, capture_output=True, check=True)
    assert done.stdout == b"[only this]"
    assert b"completed" in done.stderr
