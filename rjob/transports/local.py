"""The transport to this machine itself.

Without an event loop its coroutines block instead of suspending, so a local operation needs none. With a loop (other
hosts take part), other tasks go on while this transport waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from rjob.errors import ConnectFailed
from rjob.hookspecs import hookimpl
from rjob.loopless import ready
from rjob.transports.base import CHUNK, Chunk, Connection, Process, Stream, Transport

if TYPE_CHECKING:
    from collections.abc import Sequence


class LocalProcess(Process):
    """A child process of this one."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin
        assert child.stdout
        assert child.stderr
        self._child = child
        self._stdin = child.stdin
        os.set_blocking(child.stdin.fileno(), False)
        self._streams: dict[int, Stream] = {child.stdout.fileno(): "out", child.stderr.fileno(): "err"}

    async def write(self, data: bytes) -> None:
        """Write bytes to its standard input."""
        view = memoryview(data)
        while view and not self._stdin.closed:
            try:
                view = view[os.write(self._stdin.fileno(), view) :]
            except BlockingIOError:
                await ready(writable=self._stdin.fileno())
            except BrokenPipeError:
                self._stdin.close()

    async def write_eof(self) -> None:
        """Close its standard input."""
        self._stdin.close()

    async def read(self, size: int = CHUNK) -> Chunk | None:
        """Wait for bytes of either stream."""
        while self._streams:
            for descriptor in await ready(*self._streams):
                data = os.read(descriptor, size)
                if data:
                    return Chunk(self._streams[descriptor], data)
                del self._streams[descriptor]
        return None

    async def wait(self) -> int | None:
        """Wait for its exit status. Its streams have ended, so it is about to exit."""
        status = self._child.wait()
        return status if status >= 0 else 128 - status

    async def close(self) -> None:
        """Close its streams; a runner exits when its input ends. A thread reaps a child that outlives the call."""
        self._streams.clear()
        for stream in (self._stdin, self._child.stdout, self._child.stderr):
            if stream:
                stream.close()
        if self._child.poll() is None:
            threading.Thread(target=self._child.wait, daemon=True).start()


def _ignored() -> list[signal.Signals]:
    """Return the signals that this process ignores because its parent did: a shell inherits that and cannot undo it."""
    # Python itself ignores these two, and restores them in children.
    own = (signal.SIGPIPE, signal.SIGXFSZ)
    return [number for number in signal.valid_signals() if number not in own and _handler(number) is signal.SIG_IGN]


def _handler(number: int) -> Any:
    return signal.getsignal(number)


def _default_signals() -> None:
    """Restore the default action of ignored signals. Runs in the child process."""
    for number in _ignored():
        signal.signal(number, signal.SIG_DFL)


class LocalConnection(Connection):
    """A connection without anything to hold open."""

    async def run(self, argv: Sequence[str]) -> LocalProcess:
        """Start a child process."""
        try:
            # In a session of its own: Ctrl-C is for this client, not for an operation in progress.
            child = subprocess.Popen(  # noqa: ASYNC220  (it takes a millisecond)
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                preexec_fn=_default_signals if _ignored() else None,  # noqa: PLW1509  (no thread of ours holds a lock)
            )
        except OSError as error:
            raise ConnectFailed(f"cannot run {argv[0]}: {error.strerror}") from error
        return LocalProcess(child)

    async def close(self) -> None:
        """Do nothing."""


class LocalTransport(Transport):
    """The transport that runs commands as children of this process."""

    scheme = "local"
    needs_loop = False
    shares_directory = True

    async def connect(self) -> LocalConnection:
        """Return a connection; nothing needs to be opened."""
        return LocalConnection()


@hookimpl
def rjob_transports() -> list[type[Transport]]:
    """Return the local transport."""
    return [LocalTransport]
