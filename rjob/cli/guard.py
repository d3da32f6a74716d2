"""``--stop-on-exit``: stopping the jobs that a command has started, if the command ends before they do."""

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

# Seconds. One Ctrl-C can bring two signals: timeout(1) sends one to its child and one to the child's process group.
_SAME = 0.2


class Guard:
    """A context that stops, or reports, the jobs that a command has started, if the command ends before they do.

    While jobs are being started, a signal only prevents requests to further hosts: a job whose start was requested
    can be stopped only after its host has answered. From then on a signal ends the command. While the jobs are being
    stopped, only another Ctrl-C ends the command; it leaves the jobs alone and reports which they are.

    Args:
        stop: Whether to stop the jobs if the command ends before they do (``--stop-on-exit``). Otherwise Ctrl-C keeps
            its effect, and the jobs that may have been started are only reported.
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
        """Note the jobs that were started; from now on a signal ends the command at once.

        Args:
            result: The result of the start.
            hosts: The arguments of ``-H``.

        Raises:
            KeyboardInterrupt: A signal has already arrived.
        """
        self.confirmed(result, hosts)
        if self._stop:
            # A shell without job control starts background commands with SIGINT ignored.
            self._handle(signal.default_int_handler, self._while_watching)
            if self._signal:
                raise KeyboardInterrupt

    def confirmed(self, result: Result, hosts: Sequence[str]) -> None:
        """Note the jobs that were started; leave signal handlers unchanged.

        Args:
            result: The result of the start.
            hosts: The arguments of ``-H``.
        """
        self._started = {job.instance_id: viewing.address(job, hosts) for job in result.jobs}

    def ended(self, result: Result) -> None:
        """Note the jobs that have ended.

        Args:
            result: The result of following them.
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
        """Report the jobs that may have been started, where an interrupt left that unknown."""
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
        # "Not found" is no error here: an owner need not have started what was requested.
        output.report(result._replace(errors=tuple(e for e in result.errors if not isinstance(e, JobNotFound))))

    def _left(self) -> list[str]:
        """Return references to the jobs that may not have ended."""
        return [ref for instance, ref in (self._asked() | self._started).items() if instance not in self._ended]

    def _asked(self) -> dict[str, str]:
        """Return references to the jobs that owners were requested to start, by instance id."""
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
