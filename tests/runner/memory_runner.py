"""A second runner: the published table of operations, performed in memory and without a process.

It shares only the words of docs/reference/runner-protocol.md with the POSIX runner: a runner for another kind of
machine has to do what this one does, no more. A command is a Python function of its job; what it is to do stands in the
neutral specification (``spec.json``), for nothing here reads a shell's words.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.memory_talk import Reader, Refused, Talk, begin_at, staged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from rjob.testing.fake import FakeCommand

NOW = "2026-01-01T00:00:00Z"
MACHINE = "memory-machine"


@dataclass
class MemoryChild:
    """A child job, which runs elsewhere: its small files and its two streams."""

    files: dict[str, bytes]
    streams: dict[str, bytes] = field(default_factory=lambda: {"out": b"", "err": b""})


@dataclass
class MemoryJob:
    """One job: its small files by name, its two streams, and the task that runs it."""

    uuid: str
    id: int
    files: dict[str, bytes]
    streams: dict[str, bytes] = field(default_factory=lambda: {"out": b"", "err": b""})
    received: tuple[int, int] = (0, 0)
    secrets: dict[str, str] = field(default_factory=dict)
    halted: bool = False
    killed: bool = False
    children: list[MemoryChild] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[None] | None = None

    @property
    def argv(self) -> list[str]:
        """Return the words of its neutral specification."""
        argv: list[str] = json.loads(self.files["spec.json"])["argv"]
        return argv

    @property
    def lives(self) -> bool:
        """Tell whether its command runs."""
        return not self.killed and not self.ended.is_set()

    def kill(self) -> None:
        """End it without a record."""
        if self.work and self.lives:
            self.work.cancel()
            self.killed = True

    def end(self, word: str, number: str = "-") -> None:
        """Record how it ended; the first record stays."""
        self.files.setdefault("exit", f"1 {word} {number} {NOW}".encode())
        self.ended.set()

    def signal(self, name: str) -> None:
        if self.work and self.lives and name not in ("STOP", "CONT"):
            self.work.cancel()
            self.end("143", {"KILL": "9", "INT": "2"}.get(name, "15"))


GONE = MemoryJob("", 0, {})
"""Stands for a job that is no longer there."""


class MemoryRunner:
    """A runner with the jobs of one machine.

    Args:
        command: The function that every job runs: it writes to the job's streams and returns an exit status.
    """

    def __init__(self, command: Callable[[MemoryJob], Awaitable[int]]) -> None:
        self.command = command
        self.jobs: dict[str, MemoryJob] = {}
        self.next = 1
        self.events: list[dict[str, Any]] = []
        self.installed = False
        self.requests = 0
        self.files: dict[str, bytes] = {}
        self.spaces: dict[str, MemoryRunner] = {}

    async def __call__(self, command: FakeCommand) -> int:
        """Serve one request, as the handler of a fake machine."""
        self.requests += 1
        reader = Reader(command)
        try:
            marker = await reader.line()
            await reader.line()
        except Refused:
            return 1
        if not self.installed:
            # The first request finds no runner; the next one installs it.
            self.installed = "mkdir" in command.argv[2]
            await command.write(f"{marker} {'installed' if self.installed else 'absent'}\n".encode())
            return 0
        await command.write(f"motd\n{marker} begin\n".encode())
        talk = Talk(command, reader, marker)
        try:
            await self.perform(talk)
        except Refused as refusal:
            await talk.say(f"error {refusal}")
            return 1
        await talk.mark("end")
        return 0

    async def perform(self, talk: Talk) -> None:
        """Read the rest of a request, then perform it."""
        operation, count, size, *space = (await talk.reader.line()).split() + [""]
        lines = [await talk.reader.line() for _ in range(int(count))]
        if await talk.reader.line() != "go":
            raise Refused("cut the request is broken")
        body = await talk.reader.bytes(int(size))
        owner = self.spaces.setdefault(space[0], MemoryRunner(self.command)) if space[0] else self
        perform = getattr(owner, f"do_{operation.replace('-', '_')}", None)
        if perform is None:
            raise Refused(f"unknown-operation {operation}")
        await perform(talk, *([lines, body] if operation in ("start", "collect") else lines))

    async def do_start(self, talk: Talk, lines: list[str], body: bytes) -> None:
        begun = []
        await talk.say(f"machine {MACHINE} memory")
        for asked in staged(lines, body, self.kept):
            if asked.uuid not in self.jobs:
                head = f'{{"v":1,"event":"start","id":{self.next},"instance":"{asked.uuid}","time":"{NOW}",'
                files = asked.files | {"start": head.encode() + asked.files["start"]}
                self.jobs[asked.uuid] = MemoryJob(asked.uuid, self.next, files, secrets=asked.secrets)
                self.events.append(json.loads(files["start"]))
                self.next += 1
            begun.append(self.jobs[asked.uuid])
        for job in begun:
            await talk.say(f"job {job.uuid} {job.id}")
            if job.work is None:
                job.files |= {"identity": f"{job.id} 1 boot none {NOW}".encode(), "main": b"%d 1" % job.id}
                job.work = asyncio.create_task(self.run(job))
            await talk.say(f"started {job.uuid}")

    def kept(self, uuid: str) -> Iterator[tuple[str, bytes]]:
        """Return the files that a retry takes over from the earlier job."""
        return (
            (name, data)
            for name, data in self.jobs[uuid].files.items()
            if name in ("spec", "spec.json", "env", "script", "stdin", "limit", "job.json")
        )

    async def run(self, job: MemoryJob) -> None:
        job.end(str(await self.command(job)))

    async def do_facts(self, talk: Talk, *selectors: str) -> None:
        await self.describe(talk)
        mine = [selector for selector in selectors if not selector.startswith("others ")]
        await self.tell(talk, await self.select(talk, mine))

    async def do_collect(self, talk: Talk, lines: list[str], body: bytes) -> None:
        if lines[:1] == ["start"]:
            await self.do_start(talk, lines[1:], body)
        else:
            await self.describe(talk)
            await self.tell(talk, await self.select(talk, lines))
        await talk.mark("ready")
        places: dict[str, dict[str, int]] = {}
        while (order := await self.take_orders(talk, places)) in ("look", "once"):
            if order == "once":
                for uuid, at in places.items():
                    await self.send_new(talk, self.jobs.get(uuid, GONE), at)
                places = {}
                await talk.mark("ready")
            else:
                await self.look_on(talk, places)

    async def take_orders(self, talk: Talk, places: dict[str, dict[str, int]]) -> str:
        """Carry out orders up to one that concerns no single job; return that, or ``end`` if the client hangs up."""
        while True:
            try:
                word, *rest = (await talk.reader.line()).split() or [""]
            except Refused:
                return "end"
            if word == "add":
                job = self.jobs.get(rest[0], GONE)
                places[rest[0]] = {
                    name: begin_at(job.streams[name], place, cursor)
                    for name, place, cursor in zip(("out", "err"), rest[1:], job.received, strict=True)
                    if place != "-"
                }
            elif word == "drop":
                places.pop(rest[0], None)
            elif word == "received":
                self.move(*rest)
            elif word != "pause":
                return word

    async def look_on(self, talk: Talk, places: dict[str, dict[str, int]]) -> None:
        """Send new output until the client says something; return at once if all watched jobs are over."""
        if places and not await self.look(talk, places):
            return
        word = asyncio.create_task(talk.reader.line())
        try:
            while not word.done():
                await self.look(talk, places)
                await asyncio.sleep(0.01)
            # Take the error of a client that hung up; orders are read next in any case.
            word.exception()
        finally:
            word.cancel()

    async def look(self, talk: Talk, places: dict[str, dict[str, int]]) -> bool:
        """Send new output of the watched jobs and report those that are over; tell whether any is left."""
        for uuid in list(places):
            if not (job := self.jobs.get(uuid)):
                await talk.say(f"gone {uuid}")
                del places[uuid]
                continue
            over = not job.lives
            await self.send_new(talk, job, places[uuid])
            if over:
                await self.tell(talk, [job])
                await talk.say(f"ended {uuid}")
                del places[uuid]
        return bool(places)

    async def send_new(self, talk: Talk, job: MemoryJob, at: dict[str, int]) -> None:
        """Send a job's streams from their positions on; if a stream is shorter than that, say so first."""
        for name, place in at.items():
            data, start = job.streams[name], place
            if start > len(data):
                await talk.say(f"shrank {job.uuid}/{name} {start} {len(data)}")
                cursors = dict(zip(job.streams, job.received, strict=True)) | {name: 0}
                job.received = cursors["out"], cursors["err"]
                start = 0
            if start < len(data):
                await talk.say(f"data {job.uuid}/{name} {start} {len(data) - start}")
                await talk.command.write(data[start:])
            at[name] = len(data)

    async def choose(self, talk: Talk, selectors: tuple[str, ...]) -> list[MemoryJob]:
        """Report the selected jobs; return those that the client chooses."""
        await self.describe(talk)
        found = await self.select(talk, list(selectors))
        if not found:
            return []
        await self.tell(talk, found)
        await talk.mark("ready")
        chosen = []
        while (line := await talk.reader.line()) != "end":
            chosen += [job for job in found if job.uuid == line]
        return chosen

    async def do_received(self, talk: Talk, moves: str) -> None:
        words = moves.split()
        for start in range(0, len(words), 3):
            self.move(*words[start : start + 3])

    async def do_save(self, talk: Talk, streams: str, path: str, *selectors: str) -> None:
        found = await self.choose(talk, selectors)
        for job in found:
            ends = [len(data) if streams in ("both", name) else 0 for name, data in job.streams.items()]
            new = [data[job.received[index] : ends[index]] for index, data in enumerate(job.streams.values())]
            self.files[path] = self.files.get(path, b"") + b"".join(new)
            self.move(job.uuid, *map(str, ends))
        await self.tell(talk, found)

    def move(self, uuid: str, out: str, err: str) -> None:
        job = self.jobs.get(uuid)
        if job is None:
            return
        job.received = max(job.received[0], int(out)), max(job.received[1], int(err))

    async def do_signal(self, talk: Talk, name: str, *selectors: str) -> None:
        chosen = await self.choose(talk, selectors)
        for job in chosen:
            await talk.say(f"{'signalled' if job.lives else 'ended'} {job.uuid}")
            job.signal(name)
        await self.tell(talk, chosen)

    async def do_tree(self, talk: Talk, name: str, *selectors: str) -> None:
        chosen = await self.choose(talk, selectors)
        for job in chosen:
            job.halted = job.lives and name == "STOP"
            await talk.say(f"{'signalled' if job.lives else 'ended'} {job.uuid}")
        await self.tell(talk, chosen)

    async def do_stop(self, talk: Talk, name: str, grace: str, *selectors: str) -> None:
        chosen = await self.choose(talk, selectors)
        for job in chosen:
            await self.stop(talk, job, name)
        await self.tell(talk, chosen)

    async def stop(self, talk: Talk, job: MemoryJob, name: str) -> None:
        if job.ended.is_set():
            await talk.say(f"ended {job.uuid}")
            return
        job.files["stop"] = f"{name} {NOW}".encode()
        job.signal(name)
        # The end of a job that was killed is recorded here, if at all.
        job.end("killed")
        await talk.say(f"stopped {job.uuid}")

    async def do_record_lost(self, talk: Talk, word: str, uuids: str) -> None:
        for uuid in uuids.split():
            # The record is irreversible: only dead jobs get one.
            if (job := self.jobs.get(uuid)) and job.killed:
                job.end(word)

    async def do_remove(self, talk: Talk, grace: str, *selectors: str) -> None:
        kept = []
        for job in await self.choose(talk, selectors):
            if grace != "-":
                await self.stop(talk, job, "TERM")
            if job.uuid not in self.jobs:
                await talk.say(f"absent {job.uuid}")
            elif job.ended.is_set():
                del self.jobs[job.uuid]
                await talk.say(f"removed {job.uuid}")
            else:
                kept.append(job)
                await talk.say(f"busy {job.uuid}")
        await self.tell(talk, kept)

    async def do_compact(self, talk: Talk) -> None:
        self.events = [event for event in self.events if event["instance"] in self.jobs]

    async def do_rebuild(self, talk: Talk) -> None:
        self.events = [json.loads(job.files["start"]) for job in self.jobs.values()]
        await talk.say(f"rebuilt {len(self.events)}")

    async def do_info(self, talk: Talk) -> None:
        await self.describe(talk)
        await talk.say("info home /memory")

    async def describe(self, talk: Talk) -> None:
        await talk.say(f"machine {MACHINE} memory\ntotal {len(self.jobs)}")

    async def select(self, talk: Talk, selectors: list[str]) -> list[MemoryJob]:
        chosen: dict[str, MemoryJob] = {}
        for selector in selectors:
            found = list(self.matching(*selector.partition(" ")[::2]))
            await talk.say(" ".join(["selected", *(job.uuid for job in found)]))
            chosen |= {job.uuid: job for job in found}
        return list(chosen.values())

    def matching(self, kind: str, rest: str) -> list[MemoryJob]:
        jobs, words = list(self.jobs.values()), rest.split()
        match kind:
            case "id":
                return [job for job in jobs if job.id == int(rest)]
            case "range":
                return [job for job in jobs if int(words[0]) <= job.id <= int(words[1])]
            case "instance":
                return [job for job in jobs if job.uuid.startswith(rest)]
            case "all":
                return jobs
            case "live":
                return [job for job in jobs if not job.ended.is_set()]
            case "newest":
                some = [job for job in jobs if words[1:] or job.ended.is_set()]
                return some[::-1][: int(words[0])]
            case "name":
                return [job for job in jobs if rest.encode() in job.files["start"]][-1:]
        return []

    async def tell(self, talk: Talk, jobs: list[MemoryJob]) -> None:
        for job in jobs:
            if not job.ended.is_set():
                states = f"S {'T' if job.halted else 'S'} -" if job.lives else "- - 0"
                await talk.say(f"alive {job.uuid} {states} same")
            await self.tell_files(talk, job.uuid, job.files | {"received": b"%d %d" % job.received}, job.streams)
            for number, child in enumerate(job.children, 1):
                await self.tell_files(talk, f"{job.uuid}/{number}", child.files, child.streams)

    async def tell_files(self, talk: Talk, folder: str, files: dict[str, bytes], streams: dict[str, bytes]) -> None:
        for name in sorted(files.keys() - {"spec", "spec.json", "env", "script", "stdin", "limit"}):
            for line in files[name].decode().splitlines():
                await talk.say(f"{folder}/{name}:{line}")
        for name, data in streams.items():
            await talk.say(f"size {len(data)} {folder}/{name}")
