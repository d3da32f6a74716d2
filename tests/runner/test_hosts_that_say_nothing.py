"""Hosts whose replies bring nothing new are asked again with growing pauses; what is gone is reported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from runner.memory_runner import MemoryJob, MemoryRunner

from rjob.config import Config
from rjob.core.manager import JobManager
from rjob.models import Job, JobSpec
from rjob.plugins import Plugins
from rjob.testing.fake import FakeMachine

if TYPE_CHECKING:
    from pathlib import Path

    from runner.memory_talk import Talk


class Liar(MemoryRunner):
    """A runner that says at once that a job has ended, and that it runs."""

    asked = 0

    async def look_on(self, talk: Talk, places: dict[str, dict[str, int]]) -> None:
        self.asked += 1
        await self.tell(talk, [self.jobs[uuid] for uuid in places])
        for uuid in places:
            await talk.say(f"ended {uuid}")
        await talk.reader.line()


class Deserter(MemoryRunner):
    """A runner that ends each exchange at once."""

    asked = 0

    async def take_orders(self, talk: Talk, places: dict[str, dict[str, int]]) -> str:
        self.asked += 1
        return "end"


class Counting(MemoryRunner):
    """A runner that counts the viewers that begin to follow."""

    def __init__(self) -> None:
        super().__init__(forever)
        self.viewers = asyncio.Semaphore(0)

    async def look_on(self, talk: Talk, places: dict[str, dict[str, int]]) -> None:
        self.viewers.release()
        await super().look_on(talk, places)


class Pauses:
    """A stand-in for the pauses between two requests: it notes how long they would be, and takes no time.

    Attributes:
        seconds: Their lengths.
        enough: Is set at the last one, which does not end.
    """

    def __init__(self, patch: pytest.MonkeyPatch, count: int) -> None:
        self.seconds: list[float] = []
        self.enough = asyncio.Event()
        self._count = count
        for module in ("pace", "attempts"):
            patch.setattr(f"rjob.core.{module}.pause", self._pause)
        # No answer is slow, however slow this machine is.
        patch.setattr("rjob.core.pace._QUICK", 1000.0)

    async def _pause(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._count:
            self.enough.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def forever(job: MemoryJob) -> int:
    await asyncio.sleep(600)
    return 0


class Sink:
    def __init__(self) -> None:
        self.got = b""
        self.said: list[Any] = []

    def write(self, job: Job, stream: str, data: bytes) -> None:
        self.got += data

    def held(self, stream: str) -> int:
        return 0

    def shrank(self, job: Job, stream: str, position: int, size: int) -> None:
        self.said.append((stream, position, size))


def manager_of(runner: MemoryRunner, folder: Path) -> JobManager:
    plugins = Plugins()
    plugins.register(FakeMachine(runner).plugin("fake"))
    path = folder / "config.toml"
    path.write_text('[hosts.memory]\ntransport = "fake://memory"\n')
    return JobManager(Config.load({"RJOB_CONFIG": str(path), "HOME": str(folder)}), plugins)


@pytest.mark.parametrize("kind", [Liar, Deserter])
@pytest.mark.parametrize("verb", ["wait", "any", "follow"])
async def test_a_liar_is_not_asked_without_a_pause(
    tmp_path: Path, verb: str, kind: type[Liar | Deserter], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = kind(forever)
    async with manager_of(runner, tmp_path) as manager:
        (job,) = (await manager.start(JobSpec(argv=("x",)), hosts=["memory"])).jobs
        with monkeypatch.context() as patch:
            pauses = Pauses(patch, 8)
            looking = manager.receive([job.ref], Sink(), follow=True) if verb == "follow" else None
            asking = asyncio.ensure_future(looking or manager.wait([job.ref], first=verb == "any"))
            async with asyncio.timeout(20):
                await pauses.enough.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        # A pause after each time, and each is twice as long as the one before it, up to a limit.
        assert runner.asked == 8
        assert pauses.seconds[1:] == [min(2 * each, max(pauses.seconds)) for each in pauses.seconds[:-1]]
        assert sum(pauses.seconds) > 8
        if verb != "follow":
            done = await manager.wait([job.ref], timeout=0.5)
            assert [job.state.finished for job in done.jobs] == [False]
    for known in runner.jobs.values():
        if known.work:
            known.work.cancel()


async def test_a_job_that_goes_is_gone(tmp_path: Path) -> None:
    runner = Counting()
    async with manager_of(runner, tmp_path) as manager:
        (job,) = (await manager.start(JobSpec(argv=("x",)), hosts=["memory"])).jobs
        waiting = asyncio.ensure_future(manager.wait([job.ref]))
        following = asyncio.ensure_future(manager.receive([job.ref], Sink(), follow=True))
        async with asyncio.timeout(20):
            for _ in range(2):
                await runner.viewers.acquire()
        gone = runner.jobs.pop(job.instance_id)
        gone.ended.set()
        for result in (await waiting, await following):
            assert [(error.code, error.job) for error in result.errors] == [("not-found", job.ref)]
            assert "was removed meanwhile" in result.errors[0].message
        assert gone.work
        gone.work.cancel()


async def test_a_stream_that_shrinks(tmp_path: Path) -> None:
    runner = MemoryRunner(forever)
    async with manager_of(runner, tmp_path) as manager:
        (job,) = (await manager.start(JobSpec(argv=("x",)), hosts=["memory"])).jobs
        here = runner.jobs[job.instance_id]
        here.streams["out"] = b"long enough\n"
        sink = Sink()
        await manager.receive([job.ref], sink)
        here.streams["out"] = b"new\n"
        (after,) = (await manager.receive([job.ref], sink)).jobs
        assert (sink.got, sink.said) == (b"long enough\nnew\n", [("out", 12, 4)])
        assert (after.out_received, after.has_more_data, here.received) == (4, False, (4, 0))
        assert here.work
        here.work.cancel()
