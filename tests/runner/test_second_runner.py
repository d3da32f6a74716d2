"""The published table of operations is enough: core works with a runner that shares no code with the POSIX one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from runner.memory_runner import MACHINE, NOW, MemoryChild, MemoryJob, MemoryRunner

from rjob.config import Config
from rjob.core.manager import JobManager
from rjob.core.options import Position
from rjob.core.start import Launching
from rjob.errors import UsageError
from rjob.models import Job, JobSpec, Result, State
from rjob.plugins import Plugins
from rjob.runner.operations import OPERATIONS
from rjob.runner.posix import PosixRunner
from rjob.testing.fake import FakeCommand, FakeMachine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from runner.memory_talk import Talk

HOST = ["memory"]


class Sink:
    """A sink that keeps all output."""

    def __init__(self) -> None:
        self.got = {"out": b"", "err": b""}

    def write(self, job: Job, stream: str, data: bytes) -> None:
        self.got[stream] += data

    def held(self, stream: str) -> int:
        return 0


async def command(job: MemoryJob) -> int:
    """Do what the words of a job's specification say."""
    words = job.argv
    if words[0] == "forever":
        job.streams["out"] += b"began\n"
        await asyncio.sleep(600)
    if words[0] == "slow":
        for number in range(5):
            await asyncio.sleep(0.05)
            job.streams["out"] += b"%d\n" % number
    if words[0] == "say":
        job.streams["out"] += b"one\ntwo\nthree\n" + job.secrets.get("TOKEN", "").encode()
        job.streams["err"] += b"oops\n"
    return int(words[-1]) if words[-1].isdigit() else 0


@pytest.fixture
async def runner() -> MemoryRunner:
    return MemoryRunner(command)


@pytest.fixture
async def manager(runner: MemoryRunner, tmp_path: Path) -> AsyncIterator[JobManager]:
    plugins = Plugins()
    plugins.register(FakeMachine(runner).plugin("fake"))
    path = tmp_path / "config.toml"
    path.write_text('[hosts.memory]\ntransport = "fake://memory"\n')
    async with JobManager(Config.load({"RJOB_CONFIG": str(path), "HOME": str(tmp_path)}), plugins) as manager:
        yield manager
    for job in runner.jobs.values():
        if job.work:
            job.work.cancel()


async def start(manager: JobManager, *argv: str, name: str | None = None, **secrets: str) -> Job:
    result = await manager.start(JobSpec(argv=argv, name=name, secrets=tuple(secrets.items())), hosts=HOST)
    assert result.errors == ()
    return result.jobs[0]


async def test_start_get_and_wait(manager: JobManager) -> None:
    first, second = await start(manager, "say", "3", name="foo bar"), await start(manager, "slow")
    assert (first.id, first.ref, first.name, second.id) == (1, "1@memory", "foo bar", 2)
    done = await manager.wait(["1", "2"], hosts=HOST, timeout=20)
    assert [(job.state, job.exit_code) for job in done.jobs] == [(State.FAILED, 3), (State.COMPLETED, 0)]
    for reference in ("1", "foo bar", "foo*", first.instance_id[:13], "1-1"):
        found = await manager.get([reference], hosts=HOST)
        assert [job.id for job in found.jobs] == [1], reference
    assert [job.id for job in (await manager.get(["last"], hosts=HOST)).jobs] == [2]
    assert [job.id for job in (await manager.get(hosts=HOST)).jobs] == [1, 2]
    assert [error.code for error in (await manager.get(["9"], hosts=HOST)).errors] == ["not-found"]


async def test_several_specifications_go_in_one_request(manager: JobManager, runner: MemoryRunner) -> None:
    specs = [JobSpec(argv=("say", str(number)), secrets=(("TOKEN", str(number)),)) for number in range(3)]
    asked = runner.requests
    launching = Launching()
    result = await manager.start(specs, hosts=HOST, launching=launching)
    # The first request finds no runner there, the second one installs it.
    assert runner.requests == asked + 3
    assert [(job.id, job.argv) for job in result.jobs] == [(n + 1, spec.argv) for n, spec in enumerate(specs)]
    assert launching.asked == {"memory": tuple(job.instance_id for job in result.jobs)}
    assert [job.secrets for job in runner.jobs.values()] == [{"TOKEN": str(number)} for number in range(3)]
    assert (await manager.start([], hosts=HOST)).jobs == ()
    assert runner.requests == asked + 3


async def test_a_list_with_one_bad_specification_starts_nothing(manager: JobManager, runner: MemoryRunner) -> None:
    for bad in (JobSpec(), "true", ("true",)):
        with pytest.raises(UsageError):
            await manager.start([JobSpec(argv=("say",)), bad], hosts=HOST)  # type: ignore[list-item]
    assert runner.requests == 0


async def test_a_retry_of_several_jobs_with_secrets_is_one_request(manager: JobManager, runner: MemoryRunner) -> None:
    await manager.start(
        [JobSpec(argv=("say",), secrets=((name, "old"),) if name else ()) for name in ("A", "B", "")], hosts=HOST
    )
    await manager.wait(["1-3"], hosts=HOST, timeout=20)
    asked = runner.requests
    result = await manager.retry(["1-3"], hosts=HOST, secrets={"A": "a", "B": "b"})
    assert result.errors == ()
    # The other request looks the jobs up.
    assert runner.requests == asked + 2
    fresh = [runner.jobs[job.instance_id].secrets for job in result.jobs]
    assert fresh == [{"A": "a"}, {"B": "b"}, {}]


async def test_wait_for_the_first(manager: JobManager) -> None:
    await start(manager, "forever")
    await start(manager, "slow", "4")
    done = await manager.wait(["1", "2"], hosts=HOST, first=True, timeout=20)
    assert [(job.id, job.exit_code) for job in done.jobs] == [(2, 4)]
    left = await manager.wait(["1"], hosts=HOST, timeout=0.1)
    assert [job.state for job in left.jobs] == [State.RUNNING]


async def test_receive(manager: JobManager) -> None:
    await start(manager, "say", TOKEN="t%\n0A")
    await manager.wait(["1"], hosts=HOST, timeout=20)
    tail, first, again, whole = Sink(), Sink(), Sink(), Sink()
    await manager.receive(["1"], tail, hosts=HOST, position=Position("tail", 1))
    result = await manager.receive(["1"], first, hosts=HOST)
    assert not result.jobs[0].has_more_data
    await manager.receive(["1"], again, hosts=HOST)
    await manager.receive(["1"], whole, hosts=HOST, position=Position("all"))
    everything = {"out": b"one\ntwo\nthree\nt%\n0A", "err": b"oops\n"}
    assert (tail.got["out"], first.got, again.got, whole.got) == (
        b"0A",
        everything,
        {"out": b"", "err": b""},
        everything,
    )


async def test_follow(manager: JobManager) -> None:
    await start(manager, "slow", "5")
    sink = Sink()
    result = await manager.receive(["1"], sink, hosts=HOST, follow=True)
    assert sink.got["out"] == b"0\n1\n2\n3\n4\n"
    assert (result.jobs[0].exit_code, result.jobs[0].has_more_data) == (5, False)


async def test_start_and_look_on(manager: JobManager) -> None:
    begun: list[Result] = []
    sink = Sink()
    ended = await manager.run(JobSpec(argv=("slow", "5")), begun.append, hosts=HOST, sink=sink)
    assert [[job.state for job in result.jobs] for result in begun] == [[State.RUNNING]]
    assert (ended.jobs[0].exit_code, sink.got["out"]) == (5, b"0\n1\n2\n3\n4\n")
    ended = await manager.run(JobSpec(argv=("say", "3")), begun.append, hosts=HOST)
    assert (ended.jobs[0].exit_code, ended.jobs[0].has_more_data) == (3, True)


async def test_suspend_signal_and_stop(manager: JobManager) -> None:
    for _ in range(2):
        await start(manager, "forever")
    assert [job.state for job in (await manager.suspend(["1"], hosts=HOST)).jobs] == [State.SUSPENDED]
    assert [job.state for job in (await manager.resume(["1"], hosts=HOST)).jobs] == [State.RUNNING]
    stopped = await manager.stop(["1"], hosts=HOST)
    assert [(job.state, job.signal) for job in stopped.jobs] == [(State.STOPPED, 15)]
    killed = await manager.signal(["2"], "KILL", hosts=HOST)
    assert [(job.state, job.signal) for job in killed.jobs] == [(State.FAILED, 9)]
    assert [error.code for error in (await manager.signal(["2"], "TERM", hosts=HOST)).errors] == ["conflict"]


async def test_remove_retry_and_prune(manager: JobManager, runner: MemoryRunner) -> None:
    await start(manager, "say", "3", name="x", TOKEN="t")
    await start(manager, "forever")
    await manager.wait(["1"], hosts=HOST, timeout=20)
    (fresh,) = (await manager.retry(["1"], hosts=HOST, secrets={"TOKEN": "u"})).jobs
    (done,) = (await manager.wait(["3"], hosts=HOST, timeout=20)).jobs
    assert (fresh.id, done.name, done.exit_code) == (3, "x", 3)
    assert runner.jobs[fresh.instance_id].streams["out"].endswith(b"u")
    refused = await manager.remove(["2"], hosts=HOST)
    assert [error.code for error in refused.errors] == ["conflict"]
    assert [job.id for job in (await manager.remove(["1"], hosts=HOST)).jobs] == [1]
    assert [job.id for job in (await manager.prune(hosts=HOST, dry_run=True)).jobs] == [3]
    assert [job.id for job in (await manager.prune(hosts=HOST)).jobs] == [3]
    assert [job.id for job in (await manager.remove(["2"], hosts=HOST, force=True)).jobs] == [2]
    assert (await start(manager, "say")).id == 4
    assert (await manager.rebuild(hosts=HOST)).errors == ()
    assert (await manager.compact(hosts=HOST)).errors == ()


def test_it_performs_every_operation() -> None:
    performed = {name.removeprefix("do_") for name in dir(MemoryRunner) if name.startswith("do_")}
    assert performed == {name.replace("-", "_") for name in OPERATIONS}


async def test_a_runner_that_is_killed_and_a_connection_that_breaks_over_its_successor(
    runner: MemoryRunner, tmp_path: Path
) -> None:
    bad: list[str] = ["killed", "cut"]
    machine: FakeMachine

    async def host(command: FakeCommand) -> int:
        trouble = bad.pop(0) if bad else ""
        if trouble == "cut":
            await machine.break_connections()
        return 137 if trouble else await runner(command)

    machine = FakeMachine(host)
    plugins = Plugins()
    plugins.register(machine.plugin("fake"))
    config = Config({"hosts": {"memory": {"transport": "fake://memory"}}}, environ={})
    async with JobManager(config, plugins) as manager:
        result = await manager.start(JobSpec(argv=("say",)), hosts=HOST)
        assert (len(result.jobs), result.errors, bad) == (1, (), [])
        await manager.wait([result.jobs[0].ref])


async def test_saving_on_the_machine(manager: JobManager, runner: MemoryRunner) -> None:
    job = await start(manager, "say")
    await manager.wait([job.ref])
    saved = await manager.save([job.ref], "file", streams="out")
    assert runner.files == {"file": b"one\ntwo\nthree\n"}
    assert (saved.jobs[0].out_received, saved.jobs[0].err_received) == (14, 0)


async def test_children(runner: MemoryRunner, manager: JobManager) -> None:
    uuid = "11111111-2222-3333-4444-555555555555"
    parent = MemoryJob(uuid, 1, {"start": b'{"id":1,"type":"RemoteJob","command":"make"}'})
    identity = f"5 6 boot setsid {NOW} token -".encode()
    parent.children = [
        MemoryChild(
            {"host": b"web1", "identity": identity, "exit": f"1 0 - {NOW}".encode()}, {"out": b"x", "err": b""}
        ),
        MemoryChild({"host": b"web2", "identity": identity, "alive": b"S T - same"}),
    ]
    runner.jobs[uuid] = parent
    (job,) = (await manager.get(["1"], hosts=HOST)).jobs
    assert (job.state, job.location, job.machine) == (State.SUSPENDED, "web[1-2]", MACHINE)
    assert [(child.ref, child.state, child.out_bytes) for child in job.children] == [
        ("1.1@memory", State.COMPLETED, 1),
        ("1.2@memory", State.SUSPENDED, 0),
    ]
    assert (await manager.get(["1.WEB2", "1.1"], hosts=HOST)).jobs == job.children[::-1]


async def test_many_who_look_on_do_not_hold_up_who_does_not(manager: JobManager, runner: MemoryRunner) -> None:
    await start(manager, "forever")
    viewers = [asyncio.ensure_future(manager.wait(["1"], hosts=HOST)) for _ in range(12)]
    try:
        async with asyncio.timeout(20):
            for _ in range(3):
                assert [job.id for job in (await manager.get(hosts=HOST)).jobs] == [1]
            await manager.stop(["1"], hosts=HOST)
            for viewer in viewers:
                assert [job.state for job in (await viewer).jobs] == [State.STOPPED]
    finally:
        for viewer in viewers:
            viewer.cancel()
        await asyncio.gather(*viewers, return_exceptions=True)


async def test_a_command_that_may_not_live_long_is_followed_by_another(
    manager: JobManager, runner: MemoryRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PosixRunner, "life", 0.05)
    asked = 0
    original = runner.do_collect

    async def counted(talk: Talk, lines: list[str], body: bytes) -> None:
        nonlocal asked
        asked += 1
        await original(talk, lines, body)

    monkeypatch.setattr(runner, "do_collect", counted)
    sink = Sink()
    await start(manager, "slow", "5")
    result = await manager.receive(["1"], sink, hosts=HOST, follow=True)
    assert sink.got["out"] == b"0\n1\n2\n3\n4\n"
    assert (result.jobs[0].exit_code, result.jobs[0].has_more_data) == (5, False)
    assert asked > 1
