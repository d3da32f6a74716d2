"""A machine in memory that is asked like :class:`runner.conftest.Host`: from other threads, through real pipes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from runner.exchange import ERR, OUT, Exchange, Machine
from runner.memory_runner import MemoryJob, MemoryRunner
from world import wait_until

from rjob.models import JobSpec
from rjob.runner import launch as launching
from rjob.runner.launch import Launch
from rjob.runner.posix import RUNNER
from rjob.testing.fake import FakeCommand

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from rjob.runner.states import Verdict
    from rjob.transports.base import Stream

SHELL_PARTS = ("spec", "env")
"""The parts that only the POSIX runner reads. They are left out here, so that nothing can depend on them."""


class PipedCommand(FakeCommand):
    """A command whose standard input and output are pipes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(["memory"])
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(65536)

    async def write(self, data: bytes, stream: Stream = "out") -> None:
        self._writer.write(data)
        await self._writer.drain()


class PipedProcess:
    """The pipes and the end of a request in memory, in the form that an exchange expects of a process."""

    def __init__(self, streams: tuple[IO[bytes], IO[bytes], IO[bytes]], work: Future[int]) -> None:
        self.stdin, self.stdout, self.stderr = streams
        self._work = work

    def poll(self) -> int | None:
        return self._work.result() if self._work.done() else None

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._work.result(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired("memory", timeout or 0) from None

    def kill(self) -> None:
        self._work.cancel()


class MemoryHost(Machine):
    """A machine in memory, with an event loop in a thread of its own."""

    def __init__(self) -> None:
        self.home = Path("/memory")
        self.runner = MemoryRunner(self.perform)
        self.runner.installed = True
        self.asked: list[Exchange] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._began: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    # ------------------------------------------------------------------------------------------------ what jobs do

    async def perform(self, job: MemoryJob) -> int:
        """Do what a job's neutral specification says."""
        match job.argv:
            case ["say", status, out, err, gate]:
                if gate:
                    await self._gate(gate).wait()
                job.streams["out"] += out.encode()
                job.streams["err"] += err.encode()
                return int(status)
            case ["forever"]:
                self._began.append(job.uuid)
                job.streams["out"] += b"began\n"
                await asyncio.Event().wait()
            case ["cat"]:
                job.streams["out"] += job.files["stdin"]
        return 0

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    def say_spec(self, status: int = 0, out: str = OUT, err: str = ERR, *, gate: str = "", **more: Any) -> JobSpec:
        return JobSpec(argv=("say", str(status), out, err, gate), **more)

    def forever_spec(self, **more: Any) -> JobSpec:
        return JobSpec(argv=("forever",), **more)

    def launch_of(self, spec: JobSpec, uuid: str) -> Launch:
        launch = launching.launch_of(RUNNER, spec, uuid)
        return launch._replace(parts=tuple(part for part in launch.parts if part[0] not in SHELL_PARTS))

    def release(self, gate: str) -> None:
        self._do(self._release(gate))

    async def _release(self, gate: str) -> None:
        self._gate(gate).set()

    def begun(self, uuid: str) -> int:
        return self._began.count(uuid)

    def kill(self, uuid: str) -> None:
        self._do(self._kill(uuid))

    async def _kill(self, uuid: str) -> None:
        self._job(uuid).kill()

    # ------------------------------------------------------------------------------------------------ its state

    @property
    def _owner(self) -> MemoryRunner:
        return self.runner.spaces[self.space] if self.space else self.runner

    def _job(self, uuid: str) -> MemoryJob:
        return self._owner.jobs[uuid]

    def out(self, uuid: str, stream: str = "out") -> bytes:
        return self._job(uuid).streams[stream]

    def ended(self, uuid: str, *, seconds: float = 30.0) -> Verdict:
        wait_until(self._job(uuid).ended.is_set, seconds=seconds, what=f"the end of {uuid}")
        return self.verdict(uuid)

    def settled(self, uuid: str) -> None:
        """Return at once: a job's end in memory is recorded as soon as it happens."""

    def file(self, name: str) -> str:
        return name

    def content(self, path: str) -> bytes:
        return self.runner.files[path]

    def half_made(self) -> list[str]:
        return []

    # ------------------------------------------------------------------------------------------------ asking

    def begin(self, marker: str, data: bytes, *, env: Mapping[str, str] | None = None) -> Exchange:
        (inner, stdin), (stdout, outer), (stderr, quiet) = os.pipe(), os.pipe(), os.pipe()
        # The runner in memory writes nothing to standard error.
        os.close(quiet)
        work = asyncio.run_coroutine_threadsafe(
            self._serve(os.fdopen(inner, "rb", 0), os.fdopen(outer, "wb", 0)), self._loop
        )
        streams = os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb", 0), os.fdopen(stderr, "rb", 0)
        exchange = Exchange(cast("subprocess.Popen[bytes]", PipedProcess(streams, work)), marker)
        self.asked.append(exchange)
        exchange.say(data)
        return exchange

    async def _serve(self, inner: IO[bytes], outer: IO[bytes]) -> int:
        """Run the runner with one pipe to read from and one to write to."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), inner)
        writing, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), outer
        )
        writer = asyncio.StreamWriter(writing, protocol, None, loop)
        try:
            return await self.runner(PipedCommand(reader, writer))
        except ConnectionError:
            # The client has gone.
            return 1
        finally:
            reading.close()
            writing.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the loop's thread and wait until it is done."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        """End every exchange, every job, and the thread."""
        for exchange in self.asked:
            exchange.process.kill()
            for stream in (exchange.process.stdin, exchange.process.stdout, exchange.process.stderr):
                assert stream
                stream.close()
        self._do(self._end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()

    async def _end_all(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
