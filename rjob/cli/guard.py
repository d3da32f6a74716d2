"""``--stop-on-exit``: stop the jobs that a command has started when the command is ended before them."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import typer

from rjob.cli import output, viewing
from rjob.cli.client import call
from rjob.cli.text import visible
from rjob.core.start import Launching
from rjob.errors import JobNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType

    from rjob.models import Result

# One Ctrl-C can bring two signals: timeout(1) sends one to its child and one to the group that the child is in.
_SAME = 0.2


class Guard:
    """Watches over the jobs that a command starts.

    While jobs are being started, a signal only keeps further hosts from being asked: a job that a host was asked for
    can be stopped only when the host has answered.  From then on a signal ends the command.  While the jobs are being
    stopped nothing but another Ctrl-C ends it, which leaves them alone and says which they are.

    Args:
        stop: Whether to stop them if the command ends before they do (``--stop-on-exit``).  Without it, Ctrl-C is left
            as it is; it is said only what may have been started.
    """

    def __init__(self, *, stop: bool) -> None:
        self.launching = Launching()
        self._stop = stop
        self._started: dict[str, str] = {}
        self._ended: set[str] = set()
        self._signal = 0
        self._since = 0.0
        self._given_up = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Guard:
        if self._stop:
            self._handle(self._while_starting, self._while_starting)
        return self

    def started(self, result: Result, hosts: Sequence[str]) -> None:
        """Take note of what was started; from now on a signal ends the command at once.

        Args:
            result: Of the start.
            hosts: What ``-H`` was given.

        Raises:
            KeyboardInterrupt: A signal has come already.
        """
        self.confirmed(result, hosts)
        if self._stop:
            # A shell without job control starts background commands with Ctrl-C switched off.
            self._handle(signal.default_int_handler, self._while_watching)
            if self._signal:
                raise KeyboardInterrupt

    def confirmed(self, result: Result, hosts: Sequence[str]) -> None:
        """Take note of what was started, and leave signals as they are.

        Args:
            result: Of the start.
            hosts: What ``-H`` was given.
        """
        self._started = {job.instance_id: viewing.address(job, hosts) for job in result.jobs}

    def ended(self, result: Result) -> None:
        """Take note of jobs that have ended.

        Args:
            result: Of looking at them.
        """
        self._ended |= {job.instance_id for job in result.jobs if job.state.finished}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        interrupted = isinstance(error, KeyboardInterrupt)
        if self._stop:
            self._since = self._since or time.monotonic()
            self._handle(self._while_stopping, self._while_stopping)
            try:
                self._stop_all()
            finally:
                for number, handler in self._before.items():
                    signal.signal(number, handler)
            if interrupted:
                raise typer.Exit(128 + (self._signal or signal.SIGINT)) from None
        elif interrupted:
            self.interrupted()

    def interrupted(self) -> None:
        """Say what may have been started, where it is not known because of an interrupt."""
        unknown = [ref for instance, ref in self._asked().items() if instance not in self._started]
        if unknown:
            output.note(f"rjob: interrupted; look whether a job was started: rjob get {self._refs(unknown)}")

    def _stop_all(self) -> None:
        left = self._left()
        if not left:
            return
        try:
            if self._given_up:
                raise KeyboardInterrupt
            output.note("rjob: stopping the job")
            result = call(lambda manager: manager.stop(left), jobs=left)
        except KeyboardInterrupt:
            output.note(f"rjob: interrupted again; what may still run is stopped by: rjob stop {self._refs(left)}")
            return
        # A host that was asked need not have started anything.
        output.report(result._replace(errors=tuple(e for e in result.errors if not isinstance(e, JobNotFound))))

    def _left(self) -> list[str]:
        """References of the jobs that may not have ended."""
        return [ref for instance, ref in (self._asked() | self._started).items() if instance not in self._ended]

    def _asked(self) -> dict[str, str]:
        """References of the jobs that owners were asked to start, by instance id."""
        return {one: f"{one}@{owner}" for owner, instances in self.launching.asked.items() for one in instances}

    @staticmethod
    def _refs(refs: Sequence[str]) -> str:
        from shlex import join

        return visible(join(refs))

    def _handle(self, interrupt: Callable[..., Any], end: Callable[..., Any]) -> None:
        """Set the handlers of SIGINT and of the signals that end a CI job."""
        for name, handler in {"SIGINT": interrupt, "SIGTERM": end, "SIGHUP": end}.items():
            if number := getattr(signal, name, None):
                before = signal.signal(number, handler)
                self._before.setdefault(number, before)

    def _while_starting(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            self._while_stopping(number, frame)
            return
        self._signal = number
        self._since = time.monotonic()
        self.launching.give_up()
        output.note("\nrjob: interrupted; what was started is stopped as soon as its host has answered")

    def _while_watching(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        signal.raise_signal(signal.SIGINT)

    def _while_stopping(self, number: int, frame: FrameType | None) -> None:
        self._signal = self._signal or number
        if number == signal.SIGINT and time.monotonic() - self._since > _SAME:
            self._given_up = True
            raise KeyboardInterrupt
