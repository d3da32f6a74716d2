"""Commands run exactly as they were given: words, environment, input, directory and umask."""

from __future__ import annotations

import os
import uuid as uuids
from pathlib import Path

import pytest
from runner.conftest import SYSTEM_PATH, Host, launch_of
from runner.jobs import dumper, run_all
from runner.sabotage import quiet
from world import need, wait_until

from rjob.errors import UsageError
from rjob.models import JobSpec, State
from rjob.runner.launch import RECORD_LIMIT, retry_of, start_request
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker, request


@pytest.mark.parametrize("name", ["exit 3", ":", "rj_lock", "rj_alive", "nothing-of-that-name", "./nothing"])
def test_what_is_no_program_is_not_found(any_host: Host, name: str) -> None:
    jobs = run_all(any_host, [JobSpec(argv=(name,)), JobSpec(argv=(name, "0"))])
    assert [any_host.verdict(job).exit_code for job in jobs] == [127, 127]


def test_the_environment_arrives_unchanged(any_host: Host) -> None:
    odd = dict.fromkeys(
        ["dir", "tool", "line", "job", "status", "home", "marker", "op", "count", "uuid"], "kept"
    )  # names of the runner's own variables, without rj_
    odd |= {"EMPTY": "", "QUOTE": "it's", "NEWLINE": "a\nb\n", "EQUALS": "a=b=c", "GLOB": "* ? [a]", "TAB": "\t x "}
    odd |= {"DOLLAR": "$HOME `id`", "BACKSLASH": "a\\nb", "TZ": "Asia/Tokyo", "LC_ALL": "C", "CDPATH": "/tmp:/"}
    odd |= {"LONG": "x" * 50_000, "_UNDER": "1", "Z9": "2"}
    any_host.env |= odd
    (job,) = run_all(any_host, [JobSpec(argv=("env", "-0"))])
    got = dict(part.split(b"=", 1) for part in any_host.out(job).split(b"\0") if part)
    text = {os.fsdecode(key): os.fsdecode(value) for key, value in got.items()}
    assert {key: text.get(key) for key in odd} == odd
    added = set(text) - set(any_host.env)
    # Shells set PWD, _, SHLVL and the like themselves.
    assert {"RJOB_INSTANCE", "RJOB_ID"} <= added
    assert added <= {"RJOB_INSTANCE", "RJOB_ID", "PWD", "_", "SHLVL", "OLDPWD", "A__z", "_AST_FEATURES"}
    assert text["RJOB_INSTANCE"] == job


MARK = uuids.uuid4().hex
SECRET = f"s3cr3t%0A-{MARK}\n%25 'end'"


def test_secrets_are_on_no_disk(any_host: Host) -> None:
    go = any_host.root / "go"
    line = f'test "$TOKEN" || exit 9; until [ -e {go} ]; do sleep 0.02; done'
    job = any_host.line(line, secrets=(("TOKEN", SECRET),))
    assert files_with(any_host, MARK) == []
    go.touch()
    assert any_host.ended(job).exit_code == 0
    any_host.settled(job)
    assert files_with(any_host, MARK) == []
    assert any_host.folder(job) / "start" in files_with(any_host, "TOKEN")


def files_with(host: Host, mark: str) -> list[Path]:
    files = [path for path in host.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if mark.encode() in path.read_bytes()]


def test_secrets_are_in_no_argument_list(any_host: Host) -> None:
    """Trace every program that a request and its job execute."""
    strace, trace = need("strace"), any_host.root / "trace"
    any_host.install()
    spec = JobSpec(argv=("sh", "-c", 'test "$TOKEN"'), secrets=(("TOKEN", SECRET),))
    lines, body = start_request([launch_of(spec, job := str(uuids.uuid4()))])
    words = [strace, "-f", "-s", "1000000", "-o", str(trace), "-e", "trace=execve,execveat", *RUNNER.words()]
    exchange = any_host.spawn(words, marker := new_marker())
    exchange.say(request(marker, "start", *lines, body=body, home=str(any_host.home)))
    exchange.hang_up()
    exchange.finish()
    assert any_host.ended(job).exit_code == 0
    quiet(any_host)
    executed = [line for line in trace.read_text().splitlines() if "execve" in line]
    # The trace goes as far as the job's own command.
    assert [line for line in executed if r'"test \"$TOKEN\""' in line] != []
    assert [line for line in executed if MARK in line] == []


def test_what_a_job_has_on_disk_is_for_its_owner_only(any_host: Host) -> None:
    (job,) = run_all(any_host, [JobSpec(line="echo x", env=(("A", "b"),), stdin=b"data", time_limit=60)])
    any_host.settled(job)
    wait_until(lambda: not list(any_host.owner.glob("lock*")), what="the end of the last operation")
    for path in [any_host.home, *any_host.home.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        assert mode == 0o700 if path.is_dir() else mode in (0o600, 0o700), (path, oct(mode))


def test_standard_input_arrives_whole(any_host: Host) -> None:
    data = bytes(range(256)) * 4096
    jobs = run_all(
        any_host, [JobSpec(argv=("cat",), stdin=data), JobSpec(argv=("cat",), stdin=b""), JobSpec(argv=("cat",))]
    )
    assert [any_host.out(job) for job in jobs] == [data, b"", b""]


def test_a_script_is_run_by_what_its_first_line_says(any_host: Host) -> None:
    program = need("perl", SYSTEM_PATH)
    perl = b"#!/usr/bin/env perl\nprint join('|', 'perl', @ARGV), \"\\n\";\n" + b"# filling\n" * 100_000
    plain = b'echo sh "$1"\n' + b"# filling\n" * 100_000 + b"exit 4\n"
    specs = [
        JobSpec(script=perl, script_name="p.pl", argv=("a b", "'")),
        JobSpec(script=plain, argv=("x\ny",)),
        JobSpec(script=b"#!/bin/sh -u\necho $-\n"),
        JobSpec(script=b"print(1)", shell=program),
        JobSpec(script=b"#! /bin/cat -n\nx"),
        JobSpec(script=b""),
    ]
    assert len(perl) > 1_000_000
    jobs = run_all(any_host, specs)
    assert any_host.out(jobs[0]) == b"perl|a b|'\n"
    assert any_host.out(jobs[1]) == b"sh x\ny\n"
    assert any_host.verdict(jobs[1]).exit_code == 4
    assert b"u" in any_host.out(jobs[2])
    assert any_host.out(jobs[3]) == b"1"
    assert any_host.out(jobs[4]).count(b"\n") == 1
    assert any_host.verdict(jobs[5]).state is State.COMPLETED


@pytest.mark.parametrize("name", ["plain", "with blank", "it's", "-x", "new\nline", "$HOME", "*", "ä", "tail "])
def test_the_directory(any_host: Host, name: str) -> None:
    if any_host.shell == "yash":
        any_host.env["LC_ALL"] = "C.UTF-8"
    folder = any_host.root / name
    folder.mkdir()
    (job,) = run_all(any_host, [JobSpec(argv=("readlink", "/proc/self/cwd"), cwd=str(folder))])
    assert any_host.out(job) == os.fsencode(folder) + b"\n"


def test_a_relative_directory_begins_at_the_home_directory_whatever_cdpath_says(any_host: Host) -> None:
    for place in (Path(any_host.env["HOME"]) / "src", any_host.root / "elsewhere" / "src"):
        place.mkdir(parents=True)
    any_host.env["CDPATH"] = str(any_host.root / "elsewhere")
    job = any_host.start("sh", "-c", 'readlink /proc/self/cwd; echo "$CDPATH"', cwd="src")
    any_host.ended(job)
    assert any_host.out(job).decode().splitlines() == [f"{any_host.env['HOME']}/src", any_host.env["CDPATH"]]


def test_a_missing_directory_is_the_reason(any_host: Host) -> None:
    (job,) = run_all(any_host, [JobSpec(argv=("true",), cwd="/nowhere/at all")])
    verdict = any_host.verdict(job)
    assert (verdict.state, verdict.exit_code, verdict.reason) == (
        State.FAILED,
        126,
        "cannot change to the directory /nowhere/at all",
    )


def test_both_streams_in_one(any_host: Host) -> None:
    (job,) = run_all(any_host, [JobSpec(line="echo a; echo b >&2; echo c", merge=True)])
    assert any_host.out(job) == b"a\nb\nc\n"
    assert any_host.out(job, "err") == b""


@pytest.mark.parametrize("mask", ["022", "077", "002"])
def test_the_caller_s_mask_is_kept(any_host: Host, mask: str) -> None:
    old = os.umask(int(mask, 8))
    try:
        job = any_host.line("umask")
    finally:
        os.umask(old)
    any_host.ended(job)
    assert int(any_host.out(job), 8) == int(mask, 8)


def test_nothing_of_the_runner_is_open_in_the_command(any_host: Host) -> None:
    (job,) = run_all(any_host, [JobSpec(argv=("ls", "-l", "/proc/self/fd"))])
    lines = [line.split(" -> ") for line in any_host.out(job).decode().splitlines() if " -> " in line]
    targets = {int(left.split()[-1]): right for left, right in lines}
    folder = str(any_host.folder(job))
    # 3 is the directory that ls itself reads.
    assert {key: value for key, value in targets.items() if key != 3} == {
        0: "/dev/null",
        1: f"{folder}/out",
        2: f"{folder}/err",
    }


@pytest.mark.parametrize("login", ["bash", "fish", "tcsh", "dash"])
def test_a_login_shell_reads_its_profile_and_hands_on_the_words(host: Host, login: str) -> None:
    user = Path(host.env["HOME"])
    (user / ".profile").write_text("export FROM_PROFILE=yes\n")
    (user / ".login").write_text("setenv FROM_PROFILE yes\n")
    (user / ".config/fish").mkdir(parents=True)
    (user / ".config/fish/config.fish").write_text("set -gx FROM_PROFILE yes\n")
    shell = need(login, SYSTEM_PATH)
    host.env["SHELL"] = shell
    program = dumper(host.root / "programs")
    # tcsh drops an empty word in any case.
    words = [*([] if login == "tcsh" else [""]), "a b", "$HOME", "it's", "*", "-x", "a;b", "\\"]
    argv, line = run_all(
        host,
        [
            JobSpec(argv=("sh", "-c", 'echo "$FROM_PROFILE"; exec "$@"', "sh", program, *words), login=True),
            JobSpec(line="echo $FROM_PROFILE", login=True),
        ],
    )
    assert host.out(argv).split(b"\n", 1) == [b"yes", b"".join(word.encode() + b"\0" for word in words)], host.out(
        argv, "err"
    )
    assert host.out(line) == b"yes\n", host.out(line, "err")


def test_a_long_command_is_summarised_in_the_registry_and_whole_in_the_folder(host: Host) -> None:
    program = dumper(host.root / "programs")
    (job,) = run_all(host, [JobSpec(argv=(program, *(["ü" * 300] * 20)), name="long", secrets=(("TOKEN", "x"),))])
    host.settled(job)
    first = (host.owner / "registry.jsonl").read_bytes().splitlines()[0]
    assert len(first) < RECORD_LIMIT + 200
    assert b'"truncated":true' in first
    assert b'"name":"long"' in first
    record = host.job(job).record
    assert record is not None
    assert record["id"] == 1
    assert record["argv"] == [program, *(["ü" * 300] * 20)]


def test_a_retry_takes_over_everything_but_the_number(any_host: Host) -> None:
    old = any_host.start_spec(
        JobSpec(
            script=b"cat; echo $A $TOKEN\n", stdin=b"in\n", env=(("A", "b"),), secrets=(("TOKEN", "t"),), time_limit=60
        )
    )
    any_host.ended(old)
    record = any_host.job(old).record
    assert record is not None
    new = str(uuids.uuid4())
    any_host.launch(retry_of(record, old, new, {"TOKEN": "t"}))
    any_host.ended(new)
    fresh = any_host.job(new).record
    assert fresh is not None
    assert any_host.out(new) == b"in\nb t\n"
    assert (fresh["id"], fresh["retry_of"], fresh["secrets"]) == (record["id"] + 1, old, ["TOKEN"])
    with pytest.raises(UsageError, match="TOKEN"):
        retry_of(record, old, new, {})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.0, "1"), (0.5, "0.5"), (2592000.0, "2592000"), (1234567.0, "1234567"), (123456.5, "123456.5")],
)
def test_a_time_limit_is_written_as_every_sleep_reads_it(seconds: float, text: str) -> None:
    assert launch_of(JobSpec(line="x", time_limit=seconds), "u").limit == text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (JobSpec(), "no command to run"),
        (JobSpec(argv=("a\0b",)), "NUL"),
        (JobSpec(line="a\0b"), "NUL"),
        (JobSpec(argv=("a",), env=(("A", "\0"),)), "NUL"),
    ],
)
def test_what_cannot_be_run_is_refused(spec: JobSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        launch_of(spec, "u")
