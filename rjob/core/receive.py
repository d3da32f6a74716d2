"""Receiving: bringing a job's output home, each byte once.

What was written to the reader is one thing, what reached it another: the cursor moves by the latter.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, NamedTuple

from rjob.core.find import look_up, settle
from rjob.core.owner import Patience
from rjob.core.sink import ReaderGone
from rjob.errors import TransportError
from rjob.runner.facts import Facts
from rjob.runner.protocol import Bytes, Data, Line, Ready

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rjob.core.options import Options, Stream, Streams
    from rjob.core.owner import Exchange, Found, Owner
    from rjob.core.sink import Sink
    from rjob.models import Job
    from rjob.references import Reference

_LIFE = 600
"""Seconds after which a follower on the host ends by itself, to be asked for again."""


class _Uninterrupted:
    """Holds back Ctrl-C until what was written is also noted, or it would be told twice; a second one comes through."""

    def __init__(self) -> None:
        self._came = False

    def __enter__(self) -> None:
        # An event loop's handler raises nothing here, and other threads get no signals.
        here = threading.current_thread() is threading.main_thread()
        self._held = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._held:
            signal.signal(signal.SIGINT, self._note)

    def __exit__(self, *_: object) -> None:
        if self._held:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._came:
            raise KeyboardInterrupt

    def _note(self, *_: object) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True


class Ledger:
    """What was written to a sink, of which job, and how much of it arrived."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._written: dict[Stream, list[tuple[str, int, int]]] = {"out": [], "err": []}
        self._told: dict[tuple[str, Stream], int] = {}
        self.gone = False
        """Whether the reader has gone."""

    def write(self, job: Job, stream: Stream, offset: int, data: bytes) -> None:
        """Write bytes that begin at ``offset`` of the job's stream; after the reader has gone, nothing."""
        told = self._told.get((job.instance_id, stream), offset)
        if told > offset:
            # Asked for again, after a connection broke.
            data, offset = data[told - offset :], told
        if self.gone or not data:
            return
        count = len(data)
        with _Uninterrupted():
            try:
                self._sink.write(job, stream, data)
            except ReaderGone as gone:
                self.gone = True
                count = gone.written
            self._told[job.instance_id, stream] = offset + count
            entries = self._written[stream]
            if entries and entries[-1][0] == job.instance_id and entries[-1][2] == offset:
                entries[-1] = (job.instance_id, entries[-1][1], offset + count)
            else:
                entries.append((job.instance_id, offset, offset + count))

    def delivered(self) -> dict[str, tuple[int, int]]:
        """How far each job's streams were delivered.

        Returns:
            By instance id: the offsets behind the last delivered bytes of ``out`` and ``err``.
        """
        ends: dict[str, dict[Stream, int]] = {}
        for stream, entries in self._written.items():
            held = self._sink.held(stream)
            for uuid, start, end in reversed(entries):
                lost = min(held, end - start)
                held -= lost
                ends.setdefault(uuid, {}).setdefault(stream, end - lost)
        return {uuid: (by.get("out", 0), by.get("err", 0)) for uuid, by in ends.items()}


async def receive(owner: Owner, references: Sequence[Reference], sink: Sink, options: Options) -> Found:
    """Deliver what is there of the jobs that references name.

    Args:
        owner: Whose jobs.
        references: Which, in this order.
        sink: Where to.
        options: From where on, and whether it counts.

    Returns:
        The jobs, as they are after that.
    """
    found = await look_up(owner, references)
    if not found.jobs:
        return found
    ledger = Ledger(sink)
    reading = await _read_through(owner, found.jobs, ledger, options)
    jobs = reading.jobs or found.jobs
    return found._replace(jobs=_after(jobs, ledger) if options.moves else jobs)


async def save(owner: Owner, references: Sequence[Reference], path: str, streams: Streams) -> Found:
    """Append what is new to a file on the owner; what stands there was received.

    Args:
        owner: Whose jobs.
        references: Which, in this order.
        path: The file; a relative one is below the home directory.
        streams: Which of the two.

    Returns:
        The jobs, as they are after that.
    """
    found = await look_up(owner, references)
    if not found.jobs:
        return found
    selectors = [f"instance {job.instance_id}" for job in found.jobs]
    jobs, _ = await settle(owner, await owner.call("save", streams, path, *selectors))
    return found._replace(jobs=tuple(jobs.get(job.instance_id, job) for job in found.jobs))


async def _read_through(owner: Owner, jobs: Sequence[Job], ledger: Ledger, options: Options) -> _Reading:
    """Read what is there, also when the connection breaks on the way."""
    patience = Patience(owner)
    while True:
        try:
            # After a break: what arrived before it counts, even if the rest never comes.
            if options.moves:
                await _move(owner, ledger)
            return await _read(owner, jobs, ledger, options)
        except TransportError as error:
            await patience.bear(error)


class _Reading(NamedTuple):
    """What a read brought: the jobs as they were before it, and the offsets behind their last bytes."""

    jobs: tuple[Job, ...]
    ends: dict[str, dict[Stream, int]]


async def _read(owner: Owner, jobs: Sequence[Job], ledger: Ledger, options: Options, where: str = "") -> _Reading:
    """Read what is there, write it to the ledger, move the cursors by what was delivered."""
    by_id = {job.instance_id: job for job in jobs}
    ends: dict[str, dict[Stream, int]] = {uuid: {"out": 0, "err": 0} for uuid in by_id}
    facts = Facts()
    job = jobs[0]
    stream: Stream = "out"
    arguments = [
        options.streams,
        where or options.position.words(),
        "ack" if options.moves else "keep",
        *(f"instance {uuid}" for uuid in by_id),
    ]
    async with owner.exchange("read", *arguments, talk=True) as exchange:
        async for event in exchange.events():
            if isinstance(event, Bytes):
                place = ends[job.instance_id]
                ledger.write(job, stream, place[stream], event.data)
                place[stream] += len(event.data)
                if ledger.gone:
                    break
            elif isinstance(event, Data):
                stream = "err" if event.name == "err" else "out"
                ends[job.instance_id][stream] = event.offset
            elif isinstance(event, Line):
                job = by_id.get(event.text.removeprefix("bytes "), job)
                facts.add(event.text)
            elif isinstance(event, Ready):
                await _acknowledge(exchange, ledger)
    if ledger.gone and options.moves:
        # The rest of the reply was not worth waiting for, so the cursors are moved by an operation of their own.
        await _move(owner, ledger)
    made, _ = await settle(owner, facts)
    return _Reading(tuple(made[uuid] for uuid in by_id if uuid in made), ends)


async def _acknowledge(exchange: Exchange, ledger: Ledger) -> None:
    for uuid, (out, err) in ledger.delivered().items():
        await exchange.say(f"{uuid} {out} {err}\n".encode())
    await exchange.say(b"end\n")


async def _move(owner: Owner, ledger: Ledger) -> None:
    moves = " ".join(f"{uuid} {out} {err}" for uuid, (out, err) in ledger.delivered().items())
    if moves:
        await owner.call("received", moves)


def _after(jobs: Sequence[Job], ledger: Ledger) -> tuple[Job, ...]:
    """The jobs, with their cursors where the delivery has put them."""
    delivered = ledger.delivered()
    after = []
    for job in jobs:
        out, err = delivered.get(job.instance_id, (0, 0))
        after.append(job._replace(out_received=max(job.out_received, out), err_received=max(job.err_received, err)))
    return tuple(after)


async def follow(owner: Owner, job: Job, sink: Sink, options: Options) -> Job:
    """Deliver a job's output as it is written, until the job ends.

    Args:
        owner: Whose job.
        job: Which.
        sink: Where to.
        options: From where on, and whether it counts.

    Returns:
        The job in its last state.
    """
    ledger = Ledger(sink)
    where = options.position.words()
    patience = Patience(owner)
    at: dict[Stream, int] = {}
    try:
        while True:
            try:
                # The state is read before the bytes: after a finished job's rest there is nothing more.
                reading = await _read(owner, [job], ledger, options._replace(keep=True), where)
                if ledger.gone or not reading.jobs:
                    break
                job = reading.jobs[0]
                at = reading.ends[job.instance_id]
                where = f"{at['out']} {at['err']}"
                if job.state.finished:
                    break
                await _stream(owner, job, ledger, options.streams, at)
                where = f"{at['out']} {at['err']}"
                patience.reset()
            except TransportError as error:
                # Positions are ours, so nothing is lost or told twice.
                where = f"{at['out']} {at['err']}" if at else where
                await patience.bear(error)
    finally:
        # Also when the viewer was interrupted: what it showed was received.
        if options.moves:
            await _move(owner, ledger)
    return _after([job], ledger)[0] if options.moves else job


async def _stream(owner: Owner, job: Job, ledger: Ledger, streams: Streams, at: dict[Stream, int]) -> None:
    """Deliver what is written, as it is written, for a while or until the job ends; ``at`` is how far that went."""
    positions = (str(at["out"]), str(at["err"]), str(_LIFE))
    async with owner.exchange("follow", job.instance_id, *positions, streaming=True, talk=True) as exchange:
        async for event in exchange.events():
            if not isinstance(event, Bytes):
                continue
            stream: Stream = "err" if event.stream == "err" else "out"
            if streams in ("both", stream):
                ledger.write(job, stream, at[stream], event.data)
            at[stream] += len(event.data)
            if ledger.gone:
                return
