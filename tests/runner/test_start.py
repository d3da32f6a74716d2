"""The ``start`` request: its keyed lines, its body, their effects, and the cost of many jobs in one request."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import struct
import subprocess
import termios
import uuid as uuids
from itertools import pairwise
from pathlib import Path

import pytest
from fault_points import runner_with
from runner.conftest import SHELLS, SYSTEM_PATH, Host, launch_of, shell_folder
from runner.sabotage import Sabotage, begin_of, boot, counting, kept_promises, quiet, runs, send
from world import need, processes_with, wait_until

from rjob.errors import OwnerError
from rjob.models import JobSpec, State
from rjob.runner import launch as launching
from rjob.runner.launch import retry_of, start_request
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import new_marker, request


def new() -> str:
    return str(uuids.uuid4())


# ------------------------------------------------------------------------------------------------ keyed lines


@pytest.mark.parametrize(
    "lines",
    [
        ["text spec x"],
        ["job ../x", "record x"],
        ["job 11111111", "part ../x 1"],
        ["job 11111111", "text ../x y"],
        ["job 11111111", "part stdin 2"],
        ["job 11111111", "part stdin x"],
        ["job 11111111", "copy ../.."],
        ["jobs ../x"],
    ],
    ids=" ".join,
)
def test_a_line_that_makes_no_sense_is_refused(any_host: Host, lines: list[str]) -> None:
    any_host.ended(any_host.line("exit 0"))
    with pytest.raises(OwnerError) as caught:
        any_host.ask("start", *lines, body=b"x")
    assert caught.value.code in ("cut", "unknown-line")
    assert list((any_host.owner / "new").iterdir()) == []


def test_a_request_without_jobs_leaves_the_lock_free(any_host: Host) -> None:
    any_host.ask("start")
    any_host.ended(any_host.line("exit 0"))


# ------------------------------------------------------------------------------------------------ the body


def run_functions(folder: Path, shell: str, script: str, data: bytes) -> bytes:
    """Run a script in a shell, after the runner's functions for start; return its output."""
    functions = (Path(launching.__file__).parent / "posix" / "start.sh").read_text()
    done = subprocess.run(
        ["sh", "-c", functions + script, "sh", str(folder)],
        input=data,
        capture_output=True,
        check=True,
        env={"PATH": f"{shell_folder(folder, shell)}:{SYSTEM_PATH}", "LC_ALL": "C"},
    )
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("tool", ["dd", "a dd without fullblock"])
@pytest.mark.parametrize("size", [1, 5, 65535, 65536, 65537, 300_000])
def test_what_stands_behind_the_body_stays_to_be_read(tmp_path: Path, shell: str, tool: str, size: int) -> None:
    old = 'dd() { case $* in *fullblock*) return 1 ;; esac; command dd "$@"; }\n' if tool != "dd" else ""
    script = f"""{old}rj_read_bytes {size} "$1/first"
rj_read_bytes 3 "$1/second"
while IFS= read -r rj_line; do printf '%s\\n' "$rj_line"; done"""
    body = bytes(range(256)) * (size // 256 + 1)
    told = run_functions(tmp_path, shell, script, body[:size] + b"abc" + b"first line\nlast\n")
    assert told == b"first line\nlast\n"
    assert (tmp_path / "first").read_bytes() == body[:size]
    assert (tmp_path / "second").read_bytes() == b"abc"


def test_a_body_that_comes_in_pieces_arrives_whole(any_host: Host) -> None:
    data = bytes(range(256)) * 1000
    launch = launch_of(JobSpec(argv=("cat",), stdin=data), new())
    lines, body = start_request([launch])
    whole = request(marker := new_marker(), "start", *lines, body=body, home=str(any_host.home))
    begin = len(whole) - len(body)
    exchange = any_host.begin(marker, whole[:begin])
    pipe = exchange.process.stdin
    assert pipe
    for start, end in pairwise((begin, begin + 1, begin + 10, begin + 70_000, len(whole))):
        exchange.say(whole[start:end])
        # Each piece is read before the next one is sent.
        wait_until(lambda: struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))) == (0,), what="a reader")
    exchange.finish()
    any_host.ended(launch.uuid)
    assert any_host.out(launch.uuid) == data


# ------------------------------------------------------------------------------------------------ the neutral form


def test_each_job_keeps_what_it_is_to_run_in_a_neutral_form(any_host: Host) -> None:
    spec = JobSpec(
        line="echo 'a\n%' $A",
        cwd="/tmp",
        env=(("A", "ü\udcff"), ("B", "2")),
        secrets=(("TOKEN", "hidden"),),
        stdin=b"data",
        shell="sh",
        merge=True,
        time_limit=60,
    )
    job = any_host.start_spec(spec)
    path = any_host.folder(job) / "spec.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "v": 1,
        "line": spec.line,
        "cwd": "/tmp",
        "shell": "sh",
        "merge": True,
        "time_limit": 60,
        "env": {"A": "ü\udcff", "B": "2"},
        "secrets": ["TOKEN"],
        "stdin": True,
    }
    any_host.ended(job)


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        (JobSpec(argv=("a", "b c")), {"argv": ["a", "b c"]}),
        (JobSpec(script=b"x", script_name="x.sh", argv=("1",)), {"script": "x.sh", "argv": ["1"]}),
        (JobSpec(script=b"x"), {"script": "script"}),
        (JobSpec(line="x", login=True), {"line": "x", "login": True}),
        (JobSpec(argv=("x" * 5000,)), {"argv": ["x" * 5000]}),
    ],
)
def test_the_neutral_form(spec: JobSpec, kept: dict[str, object]) -> None:
    parts = dict(launch_of(spec, "u").parts)
    assert json.loads(parts["spec.json"]) == {"v": 1} | kept


def test_a_retry_keeps_the_neutral_form_and_a_job_that_has_none_can_be_retried(any_host: Host) -> None:
    old = any_host.line("echo again")
    any_host.ended(old)
    before = (any_host.folder(old) / "spec.json").read_bytes()
    record = any_host.job(old).record
    assert record is not None
    any_host.launch(retry_of(record, old, first := new(), {}))
    assert (any_host.folder(first) / "spec.json").read_bytes() == before
    # As version 0.1 left it.
    (any_host.folder(old) / "spec.json").unlink()
    any_host.launch(retry_of(record, old, second := new(), {}))
    assert any_host.ended(second).state is State.COMPLETED
    assert any_host.out(second) == b"again\n"


# ------------------------------------------------------------------------------------------------ secrets


def test_no_job_of_a_request_sees_another_one_s_secrets(any_host: Host) -> None:
    specs = [JobSpec(argv=("env", "-0"), secrets=((f"SECRET_{n}", f"it's {n}\n"),) if n else ()) for n in range(4)]
    launches = [launch_of(spec, new()) for spec in specs]
    any_host.launch(*launches)
    for launch in launches:
        any_host.ended(launch.uuid)
    records = [any_host.job(launch.uuid).record for launch in launches]
    values = {key: value for spec in specs for key, value in spec.secrets}
    again = [
        retry_of(record or {}, launch.uuid, new(), values) for record, launch in zip(records, launches, strict=True)
    ]
    any_host.launch(*again)
    for one, spec in zip([*launches, *again], [*specs, *specs], strict=True):
        any_host.ended(one.uuid)
        seen = [part.decode() for part in any_host.out(one.uuid).split(b"\0") if b"SECRET" in part]
        assert seen == [f"{key}={value}" for key, value in spec.secrets]


# ------------------------------------------------------------------------------------------------ unjournalled ends


def ends_of(host: Host) -> list[str]:
    return [event["instance"] for line in host.journal() if (event := json.loads(line))["event"] == "end"]


def list_as_running(host: Host, numbers: range) -> None:
    """Create the files of running jobs, as far as the owner's folder can tell."""
    for number in numbers:
        name = f"{number:08d}-0000-4000-8000-000000000000"
        host.folder(name).mkdir()
        (host.folder(name) / "id").write_text(f"{number}\n")
        (host.folder(name) / "identity").write_text("1 1 boot setsid t token -\n")
        for place in ("ids", "live"):
            (host.owner / place / str(number)).write_text(name + "\n")
    (host.owner / "next").write_text(f"{numbers[-1] + 1:<15} {0:<15}\n")


def test_an_end_waits_in_a_folder_of_its_own_until_it_is_journalled(any_host: Host) -> None:
    any_host.install()
    killed = launch_of(JobSpec(line="exit 3"), new())
    with Sabotage(any_host, runner_with("end-recorded", "kill -KILL $$")):
        any_host.launch(killed)
        any_host.ended(killed.uuid)
        quiet(any_host)
    assert [path.name for path in (any_host.owner / "ends").iterdir()] == [killed.uuid]
    other = any_host.line("exit 0")
    any_host.settled(other)
    quiet(any_host)
    assert sorted(ends_of(any_host)) == sorted([killed.uuid, other])
    assert list((any_host.owner / "ends").iterdir()) == []
    assert list((any_host.owner / "live").iterdir()) == []


def test_an_end_without_a_hint_is_found_after_some_starts(host: Host) -> None:
    host.settled(host.line("exit 0"))
    quiet(host)
    list_as_running(host, range(2, 300))
    hidden = f"{150:08d}-0000-4000-8000-000000000000"
    (host.folder(hidden) / "exit").write_text("1 0 - 2026-01-01T00:00:00Z\n")
    for _ in range(40):
        host.settled(host.line("exit 0"))
        if hidden in ends_of(host):
            break
    assert ends_of(host).count(hidden) == 1
    assert not (host.owner / "live" / "150").exists()
    assert len(list((host.owner / "live").iterdir())) == 297


def test_a_hint_to_nothing_goes(host: Host) -> None:
    host.settled(host.line("exit 0"))
    (host.owner / "ends" / new()).touch()
    host.settled(host.line("exit 0"))
    assert list((host.owner / "ends").iterdir()) == []


def test_whoever_has_the_lock_journals_the_ends_that_wait_for_it(host: Host) -> None:
    """Let one holder of the lock journal all ends that wait, so that not every supervisor has to wait for it."""
    host.install()
    go = host.root / "go"
    launches = [launch_of(JobSpec(line=f"until [ -e {go} ]; do sleep 0.1; done"), new()) for _ in range(30)]
    with Sabotage(host, runner_with("ends-unlisted", f"echo x >>{host.root}/times")):
        host.launch(*launches)
        lock = host.owner / "lock"
        # The test itself holds the lock until all have ended.
        lock.symlink_to(f"{os.getpid()} {begin_of(os.getpid())} {boot()} -")
        go.touch()
        for launch in launches:
            host.ended(launch.uuid)
        lock.unlink()
        for launch in launches:
            host.settled(launch.uuid)
    assert (host.root / "times").read_text().split() == ["x"]
    assert sorted(ends_of(host)) == sorted(launch.uuid for launch in launches)
    quiet(host)
    assert list((host.owner / "ends").iterdir()) == []
    assert list((host.owner / "live").iterdir()) == []


def test_a_start_does_not_look_at_every_job_that_runs(host: Host) -> None:
    """Count the files that the runner looks at; their number, unlike its time, is exact."""
    host.settled(host.line("exit 0"))
    quiet(host)
    host.settled(host.line("exit 0"))
    few = looks_of_a_start(host)
    list_as_running(host, range(5, 1000))
    many = looks_of_a_start(host)
    assert many < few + 100


def looks_of_a_start(host: Host) -> int:
    """Count the system calls of a start, and of what it starts, on an owner's lists and jobs."""
    lines, body = start_request([launch_of(JobSpec(line="exit 0"), uuid := new())])
    marker, trace = new_marker(), host.root / "trace"
    exchange = host.spawn([need("strace"), "-f", "-o", str(trace), "-e", "trace=%file", *RUNNER.words()], marker)
    exchange.say(request(marker, "start", *lines, body=body, home=str(host.home)))
    exchange.hang_up()
    exchange.finish()
    host.settled(uuid)
    quiet(host)
    return sum("/live" in line or "/jobs" in line or "/ids" in line for line in trace.read_text().splitlines())


def test_an_end_that_comes_while_a_scribe_works_is_journalled_without_a_runner_of_its_own(any_host: Host) -> None:
    any_host.install()
    first = [launch_of(JobSpec(line="exit 0"), new()) for _ in range(12)]
    seen = any_host.root / "seen"
    # The scribe waits after its first round; the test goes on once another job has ended.
    go = f"until [ -e {any_host.root}/go ]; do sleep 0.05; done"
    waits = f"[ ! -e {any_host.owner}/scribe ] || {{ echo $$ >>{seen}; {go}; }}"
    with Sabotage(any_host, runner_with("hints-gone", waits)):
        any_host.launch(*first)
        wait_until(seen.exists, what="a scribe")
        late = any_host.line("exit 0")
        any_host.ended(late)
        wait_until(lambda: not processes_with(f"RJOB_SUPERVISES={late}"), what="the end of its supervisor")
        (any_host.root / "go").touch()
        any_host.settled(late)
    for launch in first:
        any_host.settled(launch.uuid)
    quiet(any_host)
    assert sorted(ends_of(any_host)) == sorted([late, *(launch.uuid for launch in first)])
    assert not (any_host.owner / "scribe").exists()
    assert list((any_host.owner / "ends").iterdir()) == []


def test_the_end_of_one_job_needs_no_scribe(host: Host) -> None:
    host.install()
    told = f'[ ! -e "$rj_owner/scribe" ] || echo >>{host.root}/scribes; echo >>{host.root}/ends'
    with Sabotage(host, runner_with("hints-gone", told)):
        host.settled(host.line("exit 0"))
        quiet(host)
    assert (host.root / "ends").exists()
    assert not (host.root / "scribes").exists()


def test_a_dead_scribe_is_in_nobody_s_way(any_host: Host) -> None:
    any_host.settled(any_host.line("exit 0"))
    quiet(any_host)
    # Its process id belongs to another process now.
    (any_host.owner / "scribe").write_text(f"{os.getpid()} 5 {boot()} {namespace()}\n")
    job = any_host.line("exit 0")
    any_host.ended(job)
    quiet(any_host)
    other = any_host.line("exit 0")
    any_host.settled(other)
    quiet(any_host)
    assert {job, other} <= set(ends_of(any_host))
    assert not (any_host.owner / "scribe").exists()
    assert list((any_host.owner / "live").iterdir()) == []


def namespace() -> str:
    return os.readlink("/proc/self/ns/pid").removeprefix("pid:[").removesuffix("]")


# ------------------------------------------------------------------------------------------------ many in one request


def test_many_jobs_in_one_request(any_host: Host) -> None:
    # More jobs than are numbered at a time; for dash, also more than are journalled at a time.
    count = 120 if any_host.shell == "dash" else 55
    launches = [launch_of(JobSpec(line=f"echo {n}; kill -INT $$; exit 3"), new()) for n in range(count)]
    answer = any_host.launch(*launches)
    names = [launch.uuid for launch in launches]
    assert sorted(words[0] for words in answer.words("started")) == sorted(names)
    # Ids follow the order of the request.
    numbers = {uuid: int(number) for uuid, number in answer.words("job")}
    assert [numbers[name] for name in names] == list(range(1, count + 1))
    for n, name in enumerate(names):
        # SIGINT ends the job: it does not inherit an ignored SIGINT.
        assert any_host.ended(name).exit_code != 3
        assert any_host.out(name) == f"{n}\n".encode()
        any_host.settled(name)
    quiet(any_host)
    assert len(set(ends_of(any_host))) == len(ends_of(any_host)) == count
    assert list((any_host.owner / "live").iterdir()) == []
    assert list((any_host.owner / "new").iterdir()) == []


def test_nothing_of_a_share_is_open_in_a_command(any_host: Host) -> None:
    launches = [launch_of(JobSpec(argv=("ls", "/proc/self/fd")), new()) for _ in range(9)]
    any_host.launch(*launches)
    for launch in launches:
        any_host.ended(launch.uuid)
        # 3 is the directory that ls reads.
        assert any_host.out(launch.uuid).split() == [b"0", b"1", b"2", b"3"]


def test_a_request_of_many_jobs_that_dies_and_is_repeated_runs_each_once(host: Host) -> None:
    host.install()
    for point in ("moved-in", "pending-written", "registry-written", "published"):
        launches = [counting(host) for _ in range(55)]
        lines, body = start_request(launches)
        with Sabotage(host, runner_with(point, "kill -KILL $$")):
            send(host, request(new_marker(), "start", *lines, body=body, home=str(host.home)))
        host.launch(*launches)
        for launch in launches:
            host.ended(launch.uuid)
            assert runs(host, launch.uuid) == 1, point
        quiet(host)
        kept_promises(host, point)
