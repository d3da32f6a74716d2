"""Transports that fail at each step in each way: the error names them, and every other host is served."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from runner.memory_runner import MemoryRunner

from rjob.config import Config
from rjob.core.manager import JobManager
from rjob.core.options import Position
from rjob.errors import ConfigError, JobNotFound, PluginError, RjobError, UsageError
from rjob.hookspecs import hookimpl
from rjob.models import Job, JobSpec
from rjob.plugins import Plugins
from rjob.testing.fake import FakeMachine
from rjob.transports.base import Connection, Process, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rjob.transports.base import Chunk, Target

STEPS = ("init", "connect", "run", "write", "write_eof", "read", "wait", "close", "close connection", "notes")


class _Stop(BaseException):
    """A BaseException that is no Exception, as some libraries raise to end their work."""


class _Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("cannot even say it")


class _Odd(RjobError):
    def __init__(self) -> None:
        super().__init__(5)  # type: ignore[arg-type]


FAULTS: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("line one\nline two"),
    "exit": lambda: SystemExit(3),
    "cancelled": asyncio.CancelledError,
    "timeout": TimeoutError,
    "stop": _Stop,
    "mute": _Mute,
    "memory": MemoryError,
    "recursion": RecursionError,
    "group": lambda: ExceptionGroup("many", [ValueError("a"), OSError("b")]),
    "odd": _Odd,
    "stop iteration": lambda: StopAsyncIteration("x"),
}
OURS: dict[str, Callable[[], RjobError]] = {
    "usage": lambda: UsageError("no host there"),
    "config": lambda: ConfigError("that key is wrong"),
    "not found": lambda: JobNotFound("nobody"),
}


class Faulty:
    """A plugin whose transports fail at one step, each time."""

    def __init__(self, runner: MemoryRunner, step: str, fail: Callable[[], Any]) -> None:
        machine = FakeMachine(runner)

        def act(here: str) -> None:
            if here == step:
                fail()

        async def hang() -> None:
            fail()
            await asyncio.Event().wait()

        class Talk(Process):
            def __init__(self, inner: Process) -> None:
                self.inner = inner

            async def write(self, data: bytes) -> None:
                act("write")
                await self.inner.write(data)

            async def write_eof(self) -> None:
                act("write_eof")
                await self.inner.write_eof()

            async def read(self, size: int = 65536) -> Chunk | None:
                if step == "hang in read":
                    await hang()
                if step == "read value":
                    return fail()  # type: ignore[no-any-return]
                act("read")
                return None if step == "wait" else await self.inner.read(size)

            async def wait(self) -> int | None:
                act("wait")
                return await self.inner.wait()

            async def close(self) -> None:
                await self.inner.close()
                act("close")

        class Line(Connection):
            def __init__(self, inner: Connection) -> None:
                self.inner = inner

            async def run(self, argv: Sequence[str]) -> Process:
                act("run")
                return fail() if step == "run value" else Talk(await self.inner.run(argv))

            async def close(self) -> None:
                await self.inner.close()
                act("close connection")

        class Bad(Transport):
            scheme = "bad"

            def __init__(self, target: Target, settings: Any) -> None:
                act("init")
                super().__init__(target, settings)

            async def connect(self) -> Connection:
                if step == "hang in connect":
                    await hang()
                act("connect")
                return fail() if step == "connect value" else Line(machine.connect(self.target))

            def notes(self) -> list[str]:
                act("notes")
                return fail() if step == "notes value" else []

        self.transport = Bad

    @hookimpl
    def rjob_transports(self) -> list[type[Transport]]:
        return [self.transport]


async def command(_: object) -> int:
    return 0


@contextlib.asynccontextmanager
async def manager_with(step: str, fail: Callable[[], Any]) -> Any:
    plugins = Plugins()
    plugins.register(FakeMachine(MemoryRunner(command)).plugin("good"))
    plugins.register(Faulty(MemoryRunner(command), step, fail))
    hosts = {"good": {"transport": "good://x"}, "bad": {"transport": "bad://x"}}
    config = Config({"hosts": hosts, "defaults": {"reply_timeout": 5}}, environ={})
    async with JobManager(config, plugins) as manager:
        yield manager


def raising(make: Callable[[], BaseException]) -> Callable[[], Any]:
    def fail() -> Any:
        raise make()

    return fail


class Nowhere:
    def write(self, job: Job, stream: str, data: bytes) -> None: ...

    def held(self, stream: str) -> int:
        return 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", [step for step in STEPS if step != "notes"])
async def test_whatever_it_raises_the_others_are_served(step: str, fault: str) -> None:
    both = ["bad", "good"]
    async with manager_with(step, raising(FAULTS[fault])) as manager:
        started = await manager.start(JobSpec(argv=("say",), name="job"), hosts=both)
        assert [job.ref for job in started.jobs][-1:] == ["1@good"]
        results = [
            started,
            await manager.get(hosts=both),
            await manager.wait(["job"], hosts=both, timeout=5),
            await manager.receive(["job"], Nowhere(), hosts=both, position=Position("all")),
            await manager.receive(["job"], Nowhere(), hosts=both, follow=True),
            await manager.stop(["job"], hosts=both),
            await manager.retry(["job"], hosts=both),
            await manager.remove(["1@bad", "1@good"]),
        ]
        for result in results:
            assert "good" in {job.host for job in result.jobs}
            if step.startswith("close"):
                # Closing fails after the work is done: nothing is lost.
                assert result.errors == ()
                continue
            (error,) = result.errors
            assert error.host == "bad"
            if step == "write_eof" and isinstance(error, JobNotFound):
                # An interactive operation keeps its input open to the end, so only the start failed.
                continue
            assert type(error) is PluginError
            assert "transport bad: failed while" in error.message
            assert "\n" not in error.message
            assert isinstance(error.__cause__, type(FAULTS[fault]()))


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("step", ["init", "connect", "run", "read"])
async def test_an_error_of_the_right_form_stays_what_it_is(step: str, kind: str) -> None:
    async with manager_with(step, raising(OURS[kind])) as manager:
        result = await manager.start(JobSpec(argv=("say",)), hosts=["good", "bad"])
        assert [job.ref for job in result.jobs] == ["1@good"]
        assert [(error.host, error.message) for error in result.errors] == [("bad", OURS[kind]().message)]
        # RJOB_DEBUG would show a cause: there is none.
        assert result.errors[0].__cause__ is None


@pytest.mark.parametrize(
    ("step", "value"),
    [
        *[("connect value", value) for value in (None, 5, object())],
        *[("run value", value) for value in (None, "x")],
        *[("read value", value) for value in (b"x", 5, ("out", "text"), ("other", b"x"), ("out", b""), ("out",))],
    ],
)
async def test_whatever_it_returns_the_others_are_served(step: str, value: object) -> None:
    async with manager_with(step, lambda: value) as manager:
        result = await manager.get(hosts=["bad", "good"])
        (error,) = result.errors
        assert (type(error), error.host) == (PluginError, "bad")


@pytest.mark.parametrize("notes", [None, "text", [5]])
async def test_notes_that_are_none(notes: object) -> None:
    async with manager_with("notes value", lambda: notes) as manager:
        with pytest.raises(PluginError, match="telling how it reaches"):
            await manager.doctor("bad")


@pytest.mark.parametrize("hosts", [["bad"], ["bad", "good"]])
@pytest.mark.parametrize("step", ["hang in connect", "hang in read"])
async def test_a_cancelled_verb_is_cancelled(step: str, hosts: list[str]) -> None:
    reached = asyncio.Event()
    async with manager_with(step, reached.set) as manager:
        task = asyncio.ensure_future(manager.get(hosts=hosts))
        async with asyncio.timeout(20):
            await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_thread_that_hangs_does_not_keep_the_answer_back() -> None:
    from rjob.core.loop import Overdue, run, within

    release = threading.Event()

    async def hang() -> str:
        try:
            await within(0.2, asyncio.to_thread(release.wait))
        except Overdue:
            return "gone on"
        return "waited"

    begin = time.monotonic()
    try:
        assert run(hang(), loop=True) == "gone on"
        assert time.monotonic() - begin < 5
    finally:
        release.set()


def test_a_loop_that_was_held_up_is_no_silence() -> None:
    from rjob.core.loop import run, within

    async def slow() -> str:
        async def answer() -> str:
            await asyncio.sleep(0.3)
            return "came"

        waiting = asyncio.ensure_future(within(0.5, answer()))
        await asyncio.sleep(0)
        # A slow reader of the output blocks the event loop for a while.
        time.sleep(2)  # noqa: ASYNC251
        return await waiting

    assert run(slow(), loop=True) == "came"
