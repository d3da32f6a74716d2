"""The transport to this very machine.

Its coroutines wait for nothing, so one local operation runs without an event loop.  Where there is a loop (other
hosts take part), what blocks goes to a thread.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rjob.errors import ConnectFailed
from rjob.hookspecs import hookimpl
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Stream, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

P = ParamSpec("P")
T = TypeVar("T")


async def _off_loop(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what may block, in a thread if there is an event loop to keep turning."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            result: T = await asyncio.to_thread(function, *args, **kwargs)
            return result
    return function(*args, **kwargs)


class LocalProcess(Process):
    """A child process of this one."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin
        assert child.stdout
        assert child.stderr
        self._child = child
        self._stdin = child.stdin
        self._streams: dict[int, Stream] = {child.stdout.fileno(): "out", child.stderr.fileno(): "err"}
        self._selector = selectors.DefaultSelector()
        for descriptor in self._streams:
            self._selector.register(descriptor, selectors.EVENT_READ)

    async def write(self, data: bytes) -> None:
        await _off_loop(self._write, data)

    def _write(self, data: bytes) -> None:
        if self._stdin.closed:
            return
        try:
            self._stdin.write(data)
            self._stdin.flush()
        except BrokenPipeError:
            self._end_stdin()

    async def write_eof(self) -> None:
        self._end_stdin()

    def _end_stdin(self) -> None:
        try:
            self._stdin.close()
        except BrokenPipeError:
            pass

    async def read(self, size: int = CHUNK) -> Chunk | None:
        return await _off_loop(self._read, size)

    def _read(self, size: int) -> Chunk | None:
        while self._streams:
            for key, _ in self._selector.select():
                data = os.read(key.fd, size)
                if data:
                    return Chunk(self._streams[key.fd], data)
                self._selector.unregister(key.fd)
                del self._streams[key.fd]
        return None

    async def wait(self) -> int | None:
        status = await _off_loop(self._child.wait)
        return status if status >= 0 else 128 - status

    async def close(self) -> None:
        """End its standard input; a runner goes when that ends.  Whoever does not is reaped when it goes."""
        self._end_stdin()
        for stream in (self._child.stdout, self._child.stderr):
            if stream and not stream.closed:
                stream.close()
        self._selector.close()
        if self._child.poll() is None:
            threading.Thread(target=self._child.wait, daemon=True).start()


class LocalConnection(Connection):
    """Nothing to hold open."""

    async def run(self, argv: Sequence[str]) -> LocalProcess:
        try:
            # In a session of its own: Ctrl-C is for the viewer, not for an operation under way.
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise ConnectFailed(f"cannot run {argv[0]}: {error.strerror}") from error
        return LocalProcess(child)

    async def close(self) -> None:
        """Nothing to do."""


class LocalTransport(Transport):
    """Run commands as children of this process."""

    scheme = "local"

    async def connect(self) -> LocalConnection:
        """There is nothing to connect to."""
        return LocalConnection()


@hookimpl
def rjob_transports() -> list[type[Transport]]:
    """The local transport."""
    return [LocalTransport]
