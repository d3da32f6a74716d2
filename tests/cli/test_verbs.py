"""The verbs: their calls of the job manager, their output, their exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli.standin import StandIn, a_job, failing
from world import World, wait_until

from rjob.cli.app import VERBS
from rjob.core.options import Position, Query
from rjob.errors import ConnectFailed, JobConflict
from rjob.models import Finding, Result, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.standin import Ran


@pytest.mark.parametrize(
    ("words", "verb", "args", "kwargs"),
    [
        (("get",), "get", ([],), {"hosts": [], "query": Query()}),
        (("get", "17", "-H", "gpu", "--host", "@web"), "get", (["17"],), {"hosts": ["gpu", "@web"], "query": Query()}),
        (("wait", "1", "2"), "wait", (["1", "2"],), {"hosts": [], "first": False, "timeout": None}),
        (("wait", "--any", "--timeout", "2m", "1"), "wait", (["1"],), {"hosts": [], "first": True, "timeout": 120.0}),
        (("stop", "1"), "stop", (["1"],), {"hosts": [], "signal": "TERM", "grace": None}),
        (
            ("stop", "1", "--signal", "INT", "--grace", "0"),
            "stop",
            (["1"],),
            {"hosts": [], "signal": "INT", "grace": 0},
        ),
        (("signal", "1", "HUP"), "signal", (["1"], "HUP"), {"hosts": []}),
        (("suspend", "1"), "suspend", (["1"],), {"hosts": []}),
        (("resume", "1", "-H", "."), "resume", (["1"],), {"hosts": ["."]}),
        (("remove", "1", "--force"), "remove", (["1"],), {"hosts": [], "force": True}),
        (("prune",), "prune", (), {"hosts": [], "older_than": None, "keep": None, "dry_run": False}),
        (
            ("prune", "--older-than", "2d", "--keep", "5", "--dry-run"),
            "prune",
            (),
            {"hosts": [], "older_than": 172800.0, "keep": 5, "dry_run": True},
        ),
        (("retry", "1", "--failed"), "retry", (["1"],), {"hosts": [], "failed": True, "secrets": []}),
        (("registry", "rebuild", "-H", "gpu"), "rebuild", (), {"hosts": ["gpu"]}),
        (("registry", "compact"), "compact", (), {"hosts": []}),
    ],
)
def test_what_the_manager_is_asked(
    run: Callable[..., Ran],
    manager: StandIn,
    *,
    words: tuple[str, ...],
    verb: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    assert run(*words).status == 0
    assert manager.call(verb) == (args, kwargs)
    assert manager.closed == 1


@pytest.mark.parametrize(
    ("words", "out", "err"),
    [
        (("start", "make", "-C", "src"), "", "Job 17 started: make -C src\n"),
        (("start", "-q", "true"), "17\n", ""),
        (("start", "--wait", "true"), "", "Job 17 started: make -C src\nJob 17 completed: make -C src\n"),
        (("start", "--wait", "-q", "true"), "17\n", ""),
        (("start", "-f", "true"), "", "Job 17 started: make -C src\n"),
        (("start", "-qf", "true"), "", ""),
        (("get", "-q"), "17\n", ""),
        (("wait", "17"), "", "Job 17 completed: make -C src\n"),
        (("stop", "17"), "", "Job 17 completed: make -C src\n"),
        (("remove", "17"), "", "Job 17 removed: make -C src\n"),
        (("prune", "--dry-run"), "", "Job 17 would be removed: make -C src\n"),
        (("retry", "17"), "", "Job 17 started: make -C src\n"),
        (("retry", "-q", "17"), "17\n", ""),
        (("signal", "17", "HUP"), "", ""),
    ],
)
def test_what_is_printed(run: Callable[..., Ran], words: tuple[str, ...], out: str, err: str) -> None:
    assert run(*words)[1:] == (out, err)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": State.FAILED, "exit_code": 3, "reason": "exit status 3"}, "failed (exit status 3)"),
        ({"state": State.STOPPED, "signal": 15}, "stopped"),
        ({"state": State.LOST}, "is lost"),
        ({"state": State.RUNNING}, "is running"),
        ({"state": State.SUSPENDED}, "is suspended"),
    ],
)
def test_what_became_of_a_job(run: Callable[..., Ran], manager: StandIn, fields: dict[str, Any], said: str) -> None:
    manager.result = Result((a_job(ref="17@gpu", command="a\nb", **fields),))
    assert run("wait", "17").err == f"Job 17@gpu {said}: a\\nb\n"


def test_get_prints_a_table(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.result = Result((a_job(), a_job(18, State.FAILED, exit_code=3, reason="no such\nluck")), (), 9980)
    ran = run("get")
    assert ran.status == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["Id", "17", "18"]
    assert ran.err == "… 9,980 more finished jobs; show them with --all\n"


def test_get_of_one_job_tells_the_reason(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.result = Result((a_job(18, State.FAILED, exit_code=3, reason="no\nluck"),))
    assert run("get", "18").out.splitlines()[-1] == r"Reason: no\nluck"
    assert "Reason:" not in run("get").out


def test_get_of_nothing(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.result = Result()
    assert run("get") == (0, "", "no jobs\n")


def test_a_host_that_is_away_does_not_hide_the_others(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.result = failing(ConnectFailed("refused\x1b", host="gpu", hint="is it up?"), a_job())
    ran = run("get", "-H", "gpu", "-H", ".")
    assert ran.status == 1
    assert "make -C src" in ran.out
    assert ran.err == "rjob: gpu: refused\\x1b\n  is it up?\n"


def test_get_filters(run: Callable[..., Ran], manager: StandIn) -> None:
    run(
        *("get", "--all", "--state", "FAILED,lost", "--state", "Running", "--name", "b*", "--location", "web*"),
        *("--newest", "3", "--since", "2026-11-23T08:00Z", "--until", "2026-11-23T09:00Z"),
    )
    assert manager.call("get")[1]["query"] == Query(
        all=True,
        states=frozenset({State.FAILED, State.LOST, State.RUNNING}),
        name="b*",
        location="web*",
        newest=3,
        since=datetime(2026, 11, 23, 8, tzinfo=UTC),
        until=datetime(2026, 11, 23, 9, tzinfo=UTC),
    )


def test_a_state_that_does_not_exist(run: Callable[..., Ran]) -> None:
    assert run("get", "--state", "compleed") == (2, "", "rjob: no such state: 'compleed'\n  did you mean Completed?\n")


def test_watch_wants_a_terminal(run: Callable[..., Ran]) -> None:
    assert run("get", "--watch").status == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {"position": Position(), "keep": False, "streams": "both", "follow": False}),
        (("--keep", "--stream", "err"), {"position": Position(), "keep": True, "streams": "err", "follow": False}),
        (("--all",), {"position": Position("all"), "keep": False, "streams": "both", "follow": False}),
        (("--tail", "0", "-f"), {"position": Position("tail", 0), "keep": False, "streams": "both", "follow": True}),
    ],
)
def test_receive(run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert run("receive", "17", *words).status == 0
    (jobs, _), kwargs = manager.call("receive")
    assert jobs == ["17"]
    assert kwargs == expected | {"hosts": []}


@pytest.mark.parametrize(
    "words", [("--keep", "--all"), ("--all", "--tail", "3"), ("--rm", "--keep"), ("--rm", "--stream", "out")]
)
def test_ways_to_receive_exclude_each_other(run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...]) -> None:
    assert run("receive", "17", *words).status == 2
    assert run("receive", "17", "-f", *words).status == 125
    assert not manager.calls


def test_receive_removes_what_was_delivered(run: Callable[..., Ran], manager: StandIn) -> None:
    jobs = (a_job(1), a_job(2, out_bytes=5), a_job(3, State.RUNNING), a_job(4, ref="4@gpu"))
    manager.results["receive"] = Result(jobs)
    manager.results["remove"] = Result(jobs[:1])
    ran = run("receive", "--rm", "1-3", "4@gpu", "-H", ".")
    assert manager.call("remove")[0] == (["1@.", "4@gpu"],)
    assert ran.err == (
        "rjob: job 2 has more data: not removed\nrjob: job 3 is Running: not removed\nrjob: job 1 removed\n"
    )
    assert ran.status == 0


# --------------------------------------------------------------------------------------- hosts, settings, the rest


def test_hosts_and_config(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[defaults]\nnewest = 5\n[groups]\nweb = "web[1-3]"\n'
        '[hosts.gpu]\nhostname = "10.0.0.7"\nuser = "ada"\nport = 2222\n'
    )
    assert run("hosts").out.splitlines() == [
        "Host  Target",
        "gpu   ssh://ada@10.0.0.7:2222",
        "",
        "Group  Hosts",
        "@web   web[1-3]",
    ]
    lines = [line.split() for line in run("config").out.splitlines()]
    assert ["defaults.newest", "5", "file"] in lines
    assert ["hosts.gpu.user", "ada", "file"] in lines
    assert ["defaults.host", ".", "default"] in lines


def test_no_hosts(run: Callable[..., Ran]) -> None:
    ran = run("hosts")
    assert (ran.status, ran.out) == (0, "")


def test_plugins(run: Callable[..., Ran]) -> None:
    lines = run("plugins").out.splitlines()
    assert lines[0].split() == ["Scheme", "Distribution", "Version", "Origin", "Error"]
    assert lines[1].split()[:2] == ["local", "rjob-cli"]


@pytest.mark.parametrize(("level", "expected"), [("ok", 0), ("note", 0), ("problem", 1)])
def test_doctor(run: Callable[..., Ran], manager: StandIn, level: str, expected: int) -> None:
    manager.results["doctor"] = [Finding("ok", "fine"), Finding(level, "look", "do this")]  # type: ignore[assignment]
    ran = run("doctor", "gpu")
    assert ran.status == expected
    assert ran.out.splitlines()[0] == "ok       fine"
    assert ran.out.splitlines()[-1] == "         do this"
    assert manager.call("doctor") == (("gpu",), {})


def test_a_broken_settings_file(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[defaults]\nnewst = 1\n")
    ran = run("config")
    assert ran.status == 1
    assert "newst" in ran.err


def test_version_and_help(run: Callable[..., Ran]) -> None:
    assert run("--version").out.startswith("rjob ")
    ran = run("--help")
    assert ran.status == 0
    assert all(f"\n  {verb} " in ran.out for verb in VERBS)
    assert run() == ran


@pytest.mark.parametrize("verb", [*VERBS, "registry rebuild", "registry compact"])
def test_every_option_is_explained(run: Callable[..., Ran], verb: str) -> None:
    ran = run(*verb.split(), "--help")
    assert ran.status == 0
    section = ran.out.partition("Options:\n")[2].partition("\n\n")[0]
    lines = [line for line in section.splitlines() if line.startswith("  -")]
    assert any("--help" in line for line in lines)
    # Two blanks separate an option from its explanation; a long option has it on the next line.
    following = dict(zip(section.splitlines(), [*section.splitlines()[1:], ""], strict=True))
    assert all("  " in line.strip() or following[line].startswith("     ") for line in lines)
    assert "{" not in ran.out.splitlines()[0]


def test_a_conflict_is_one_line(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.result = failing(JobConflict("job 17 is not finished", hint="stop it first", job="17"))
    assert run("remove", "17") == (1, "", "rjob: job 17 is not finished\n  stop it first\n")


def program(*words: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    line = (
        "import sys; from rjob.cli.app import main; status = main(); print(*sys.modules, file=sys.stderr); "
        "sys.exit(status)"
    )
    return subprocess.run(
        [sys.executable, "-c", line, *words], text=True, stderr=subprocess.PIPE, check=False, **kwargs
    )


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (("--version",), {"tabulate", "rjob.config", "rjob.core.manager"}),
        (("start", "--help"), {"tabulate", "rjob.core.manager", "rjob.cli.get"}),
        (("get", "-q"), {"tabulate", "asyncio", "rjob.cli.start", "rjob.cli.delivery"}),
        (("get",), {"asyncio"}),
    ],
)
def test_nothing_is_imported_in_vain(words: tuple[str, ...], absent: set[str]) -> None:
    modules = set(program(*words, stdout=subprocess.DEVNULL).stderr.split())
    assert "typer" in modules
    assert not modules & (absent | {"rich", "pydantic", "asyncssh", "winrm"})


def test_a_reader_that_is_gone_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = program("--help", stdout=writer)
    os.close(writer)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    # get prints to standard output, which fails; stop prints only a message, which may be lost.
    [(("get", "--all"), 1), (("stop", "1"), 0)],
)
def test_closed_streams_are_not_taken_by_files(rjob: World, words: tuple[str, ...], status: int) -> None:
    rjob.ended(rjob.start("echo", "output"))
    wait_until(lambda: not rjob.processes(), what="the end of the supervisor")
    rjob(*words)
    before = files_of(rjob)
    line = 'exec "$0" -m rjob "$@" >&- 2>&- <&-'
    done = subprocess.run(["sh", "-c", line, sys.executable, *words], env=rjob.env, cwd=rjob.root, check=False)
    assert files_of(rjob) == before
    assert done.returncode == status


def files_of(rjob: World) -> dict[Path, bytes]:
    """Return the content of every file of a world."""
    return {path: path.read_bytes() for path in rjob.root.rglob("*") if path.is_file()}
