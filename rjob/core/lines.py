"""Keeping lines whole when several streams share one display."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from rjob.errors import RjobError
from rjob.loopless import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from rjob.core.options import Streams
    from rjob.models import Job
    from rjob.transports.base import Stream

    Key = tuple[str, Stream]
    Put = Callable[[Job, Stream, int, bytes], None]

QUIET = 2.0
"""Seconds after which an unfinished line is shown, if no other stream was written meanwhile."""

LIMIT = 65536
"""The most bytes of an unfinished line that are held back."""


class _Held(NamedTuple):
    job: Job
    stream: Stream
    offset: int
    data: bytes


class WholeLines:
    """A filter that holds back an unfinished line until its end, so that no other job's line splits it.

    It is shown earlier when its job ends, when no other stream was written for a while (a prompt, progress), and when
    it is too long. Once it is shown, its continuation is written at once.

    Args:
        put: Writes bytes that begin at an offset of a job's stream.
    """

    def __init__(self, put: Put) -> None:
        self._put = put
        self._active: dict[Key, float] = {}
        self._held: dict[Key, _Held] = {}
        self._shown: Key | None = None
        self.failed: RjobError | None = None
        """The error of a line that could not be shown later."""

    def begin(self, job: Job, streams: Streams) -> None:
        """Expect a job's output."""
        both: tuple[Stream, Stream] = ("out", "err")
        self._active |= {(job.instance_id, stream): 0.0 for stream in both if streams in ("both", stream)}

    def finish(self, job: Job) -> None:
        """Show the held back lines of a job that has ended."""
        for key in [key for key in self._held if key[0] == job.instance_id]:
            self._show(key)
        self.leave(job)

    def leave(self, job: Job) -> None:
        """Expect no more output of a job; drop its held back lines."""
        self._active = {key: moment for key, moment in self._active.items() if key[0] != job.instance_id}
        self._held = {key: held for key, held in self._held.items() if key[0] != job.instance_id}
        if self._shown and self._shown[0] == job.instance_id:
            self._shown = None
        for key in list(self._held):
            if self._alone(key):
                self._show(key)

    def write(self, job: Job, stream: Stream, offset: int, data: bytes) -> None:
        """Write the whole lines of some data; hold back the rest."""
        key = (job.instance_id, stream)
        self._active[key] = time.monotonic()
        if held := self._held.pop(key, None):
            offset, data = held.offset, held.data + data
        cut = data.rfind(b"\n") + 1
        if self._shown == key and not cut:
            self._put(job, stream, offset, data)
            return
        if cut:
            self._shown = None
            self._put(job, stream, offset, data[:cut])
        if cut < len(data):
            self._held[key] = _Held(job, stream, offset + cut, data[cut:])
            if self._alone(key) or len(data) - cut > LIMIT or not running():
                self._show(key)
            elif not held or cut:
                self._look_later(key, QUIET)

    def flush(self, job: Job, stream: Stream) -> None:
        """Show the held back line of a stream that will not be continued."""
        if (job.instance_id, stream) in self._held:
            self._show((job.instance_id, stream))

    def _alone(self, key: Key) -> bool:
        return all(other == key for other in self._active)

    def _show(self, key: Key) -> None:
        held = self._held.pop(key)
        self._shown = key
        self._put(*held)

    def _look_later(self, key: Key, seconds: float) -> None:
        import asyncio

        asyncio.get_running_loop().call_later(seconds, self._look, key, self._held[key].offset)

    def _look(self, key: Key, offset: int) -> None:
        """Show a line that has been held back for a while, unless others are writing."""
        if key not in self._held or self._held[key].offset != offset:
            return
        last = max((moment for other, moment in self._active.items() if other != key), default=0.0)
        left = last + QUIET - time.monotonic()
        if left > 0:
            self._look_later(key, left)
            return
        try:
            self._show(key)
        except RjobError as error:
            # A timer has no caller to raise this to: the next write raises it.
            self.failed = error
