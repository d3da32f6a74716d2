"""JobManager: the verbs, on one owner or many. The command line and ``import rjob`` are thin layers on top of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rjob.caller import Caller
from rjob.config import Config
from rjob.core.isolation import merged, result_of
from rjob.core.options import Options, Position, Query, Streams
from rjob.core.owner import OwnerResult
from rjob.core.owners import Owners
from rjob.core.usage import check_spec, secret_values
from rjob.errors import UsageError
from rjob.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rjob.core.owner import Owner
    from rjob.core.owners import Ask, Work
    from rjob.core.receive import Told
    from rjob.core.sink import Sink
    from rjob.core.start import Launching
    from rjob.models import Finding, JobSpec, Result
    from rjob.references import Reference

_LISTING = Query()
_CURSOR = Position()


class JobManager:
    """Jobs on this machine and on hosts.

    Every verb takes references as the command line does (``17``, ``build*``, ``last``, ``17@gpu``) and hosts as ``-H``
    does (names, node sets, ``@groups``, ``.``). Without hosts it applies to those of the settings, by default this
    machine. A job or a host that cannot be served is an error in the result, never an exception; a request that makes
    no sense raises :class:`rjob.errors.UsageError` or ConfigError.

    Args:
        config: The settings; None to read the settings file.
        plugins: The transports; None for the built-in and the installed ones.
        caller: The caller that the verbs are carried out for; None for this process itself.
        space: The space to work in on each machine, with jobs and ids of its own; empty for the default one, which
            everybody sees.
    """

    def __init__(
        self,
        config: Config | None = None,
        plugins: Plugins | None = None,
        *,
        caller: Caller | None = None,
        space: str = "",
    ) -> None:
        self._config = config or Config.load()
        self._caller = caller or Caller.here()
        self._owners = Owners(self._config, plugins or Plugins(), self._caller, space)

    async def __aenter__(self) -> JobManager:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._owners.close()

    def needs_loop(self, jobs: Sequence[str] = (), hosts: Sequence[str] = ()) -> bool:
        """Whether an event loop is needed: not for a single machine where nothing ever waits.

        Args:
            jobs: References.
            hosts: Hosts as given.
        """
        return self._owners.need_loop(jobs, hosts)

    # ------------------------------------------------------------------------------------------------- the verbs

    async def start(
        self, spec: JobSpec | Sequence[JobSpec], *, hosts: Sequence[str] = (), launching: Launching | None = None
    ) -> Result:
        """Start jobs on each host; return when each host has confirmed that they began, or refused.

        Args:
            spec: What to run; several specifications are sent to each host in one request.
            hosts: The hosts to run them on.
            launching: Records what may have been started so far, and can give up the rest.

        Returns:
            The jobs that began.
        """
        from rjob.core.start import Launching, start_at

        launching = launching or Launching()
        asks, specs = self._specs(spec, hosts)

        async def one(owner: Owner, _: list[Reference]) -> OwnerResult:
            return await start_at(owner, specs[owner.name], launching)

        return merged(await self._owners.each(asks, one))

    async def run(
        self,
        spec: JobSpec | Sequence[JobSpec],
        begun: Callable[[Result], None],
        *,
        hosts: Sequence[str] = (),
        launching: Launching | None = None,
        sink: Sink | None = None,
    ) -> Result:
        """Start jobs on each host, and follow them until they have ended.

        Args:
            spec: What to run; several specifications are sent to each host in one request.
            begun: Is called with the jobs that have begun, after each host has confirmed that they did, or refused.
            hosts: The hosts to run them on.
            launching: Records what may have been started so far, and can give up the rest.
            sink: Receives the jobs' output as it is written; None if it is not wanted.

        Returns:
            The jobs as they are at the end.
        """
        from rjob.core.ledger import Ledger
        from rjob.core.start import Confirmations, Launching, run_at

        launching = launching or Launching()
        ledger = Ledger(sink) if sink else None
        asks, specs = self._specs(spec, hosts)
        confirmations = Confirmations(len(asks), begun)
        if ledger and len(asks) > 1:
            ledger.share()

        async def one(owner: Owner, _: list[Reference]) -> OwnerResult:
            try:
                return await run_at(owner, specs[owner.name], launching, confirmations.wait, ledger)
            finally:
                confirmations.fail(OwnerResult(owner))

        return merged(await self._owners.each(asks, one, at_once=True))

    def _specs(
        self, spec: JobSpec | Sequence[JobSpec], hosts: Sequence[str]
    ) -> tuple[list[Ask], dict[str, list[JobSpec]]]:
        """Return what to run on which host. Errors in a specification are raised before anything is sent."""
        from rjob.core.start import listed, spec_at

        for one in listed(spec):
            check_spec(one)
        asks = self._owners.asks_of_hosts(hosts)
        return asks, {ask.host: [spec_at(self._owners.owner(ask.host), one) for one in listed(spec)] for ask in asks}

    async def get(self, jobs: Sequence[str] = (), *, hosts: Sequence[str] = (), query: Query = _LISTING) -> Result:
        """Return the state of jobs.

        Args:
            jobs: References; none for a listing.
            hosts: The owners of the jobs.
            query: Selects the jobs of a listing.
        """
        from rjob.core.find import look_up
        from rjob.core.get import listing

        if jobs:
            found = merged(await self._owners.each(self._owners.asks(jobs, hosts), look_up, children=True))
            return found._replace(jobs=tuple(job for job in found.jobs if query.admits(job)))
        newest = int(self._config.get("newest"))

        async def one(owner: Owner, _: list[Reference]) -> OwnerResult:
            return await listing(owner, query, newest)

        return merged(await self._owners.each(self._owners.asks_of_hosts(hosts), one))

    async def wait(
        self, jobs: Sequence[str], *, hosts: Sequence[str] = (), first: bool = False, timeout: float | None = None
    ) -> Result:
        """Wait until jobs have ended.

        Args:
            jobs: References.
            hosts: The owners of the jobs.
            first: Return as soon as one of them has ended.
            timeout: Seconds to wait; 0 to look only once.

        Returns:
            The jobs as they are at the end; an unfinished one ran into the timeout.
        """
        from rjob.core.find import look_up
        from rjob.core.wait import Until, has_ended, wait_at, wait_for_first

        until = Until(first, None if timeout is None else time.monotonic() + timeout)
        asks = self._owners.asks(jobs, hosts)
        if first and len(asks) > 1:
            found = await self._owners.each(asks, look_up)
            if not any(map(has_ended, found)):
                found = await wait_for_first(found, until)
        else:
            found = await self._owners.each(asks, lambda owner, named: wait_at(owner, named, until), at_once=True)
        done = tuple(job for part in found for job in part.jobs)
        ended = tuple(job for job in done if job.state.finished)
        return result_of(
            ended[:1] if first and ended else done, tuple(error for part in found for error in part.errors)
        )

    async def receive(
        self,
        jobs: Sequence[str],
        sink: Sink,
        *,
        hosts: Sequence[str] = (),
        position: Position = _CURSOR,
        keep: bool = False,
        streams: Streams = "both",
        follow: bool = False,
    ) -> Result:
        """Deliver jobs' output; delivered output is not delivered again.

        Args:
            jobs: References, in the order of delivery.
            sink: Receives the output.
            hosts: The owners of the jobs.
            position: Where to begin; any position but the cursor leaves the cursor where it is.
            keep: Leave the cursor where it is.
            streams: Which streams to deliver.
            follow: Go on until the jobs have ended.

        Returns:
            The jobs as they are at the end.
        """
        from rjob.core import receive as receiving
        from rjob.core.ledger import Ledger

        options = Options(position, keep, streams)
        ledger = Ledger(sink)
        asks = self._owners.asks(jobs, hosts)

        async def one(owner: Owner, references: list[Reference]) -> OwnerResult:
            return await (receiving.follow if follow else receiving.receive)(owner, references, ledger, options)

        if not follow:
            # One owner at a time, so that the output comes in the requested order.
            return merged([await self._owners.at(ask, one) for ask in asks])
        if len(asks) > 1:
            ledger.share()
        return merged(await self._owners.each(asks, one, at_once=True))

    async def save(
        self,
        jobs: Sequence[str],
        path: str,
        *,
        hosts: Sequence[str] = (),
        streams: Streams = "both",
        told: Told | None = None,
    ) -> Result:
        """Append the new output of jobs to a file on their own machine; it counts as received.

        Args:
            jobs: References, in the order of delivery.
            path: The file there; a relative path is below the home directory.
            hosts: The owners of the jobs.
            streams: Which streams to save.
            told: Is called for each stream that was truncated: job, stream, received position, size (both in bytes).

        Returns:
            The jobs as they are at the end.
        """
        from rjob.core.receive import save

        if not path or "\n" in path or "\0" in path:
            raise UsageError(f"not a file's name: {path!r}")

        async def one(owner: Owner, references: list[Reference]) -> OwnerResult:
            return await save(owner, references, path, streams, told)

        return merged(await self._owners.each(self._owners.asks(jobs, hosts), one))

    async def stop(
        self, jobs: Sequence[str], *, hosts: Sequence[str] = (), signal: str = "TERM", grace: float | None = None
    ) -> Result:
        """Stop jobs: send a signal, wait, kill, and verify that no process is left.

        Args:
            jobs: References.
            hosts: The owners of the jobs.
            signal: The name or number of the first signal.
            grace: Seconds before SIGKILL; None for the setting ``grace``.

        Returns:
            The jobs as they are at the end; a survivor is an error.
        """
        from rjob.core.stop import stop_at
        from rjob.signals import word_of

        word = word_of(signal)
        seconds = self._grace if grace is None else grace
        return await self._change(jobs, hosts, lambda owner, named: stop_at(owner, named, word, seconds))

    async def signal(self, jobs: Sequence[str], signal: str, *, hosts: Sequence[str] = ()) -> Result:
        """Send a signal to jobs' main processes. The jobs are not marked as stopped, whatever its effect.

        Args:
            jobs: References.
            signal: The signal's name or number.
            hosts: The owners of the jobs.
        """
        from rjob.core.stop import signal_at
        from rjob.signals import word_of

        word = word_of(signal)
        return await self._change(jobs, hosts, lambda owner, named: signal_at(owner, named, "signal", word))

    async def suspend(self, jobs: Sequence[str], *, hosts: Sequence[str] = ()) -> Result:
        """Suspend every process of jobs, until they are resumed."""
        return await self._signal_tree("STOP", jobs, hosts)

    async def resume(self, jobs: Sequence[str], *, hosts: Sequence[str] = ()) -> Result:
        """Resume suspended jobs."""
        return await self._signal_tree("CONT", jobs, hosts)

    async def remove(self, jobs: Sequence[str], *, hosts: Sequence[str] = (), force: bool = False) -> Result:
        """Remove finished jobs with all their files.

        Args:
            jobs: References.
            hosts: The owners of the jobs.
            force: Stop unfinished jobs first.

        Returns:
            The jobs that were removed.
        """
        from rjob.core.remove import remove_at

        grace = self._grace
        return await self._change(jobs, hosts, lambda owner, named: remove_at(owner, named, force=force, grace=grace))

    async def prune(
        self,
        *,
        hosts: Sequence[str] = (),
        older_than: float | None = None,
        keep: int | None = None,
        dry_run: bool = False,
    ) -> Result:
        """Remove finished jobs.

        Args:
            hosts: The owners of the jobs.
            older_than: Remove only jobs that ended more than this number of seconds ago.
            keep: How many of the newest finished jobs to keep.
            dry_run: Return the jobs without removing them.

        Returns:
            The jobs that were removed, or would be.
        """
        from rjob.core.remove import prune_at

        async def one(owner: Owner, _: list[Reference]) -> OwnerResult:
            return await prune_at(owner, older_than=older_than, keep=keep, dry_run=dry_run)

        return merged(await self._owners.each(self._owners.asks_of_hosts(hosts), one))

    async def retry(
        self,
        jobs: Sequence[str],
        *,
        hosts: Sequence[str] = (),
        failed: bool = False,
        secrets: Sequence[str] | Mapping[str, str] = (),
    ) -> Result:
        """Start finished jobs again, as new jobs with the same command.

        Args:
            jobs: References.
            hosts: The owners of the jobs.
            failed: Retry only those that did not complete.
            secrets: The secrets that jobs may be given again: names of the caller's variables, or values by name. A job
                that had other secrets is an error: a host must never decide which variables leave this machine.

        Returns:
            The new jobs.
        """
        from rjob.core.retry import retry_at

        values = secret_values(secrets, self._caller)
        return await self._change(
            jobs, hosts, lambda owner, named: retry_at(owner, named, failed=failed, secrets=values)
        )

    async def rebuild(self, *, hosts: Sequence[str] = ()) -> Result:
        """Rebuild owners' registries from the job folders."""
        return await self._maintain("rebuild", hosts)

    async def compact(self, *, hosts: Sequence[str] = ()) -> Result:
        """Drop the entries of removed jobs from owners' registries."""
        return await self._maintain("compact", hosts)

    async def doctor(self, host: str = ".") -> list[Finding]:
        """Check everything that rjob needs on a machine.

        Args:
            host: The machine.

        Raises:
            UsageError: The host is not exactly one machine.
            RjobError: It cannot be reached, or its home cannot be written to.
        """
        from rjob.core.doctor import examine

        names = self._owners.names([host])
        if len(names) != 1:
            raise UsageError(f"not one host: {host}")
        return await examine(self._owners.owner(names[0]))

    # ------------------------------------------------------------------------------------------------------ helpers

    async def _signal_tree(self, word: str, jobs: Sequence[str], hosts: Sequence[str]) -> Result:
        from rjob.core.stop import signal_at

        return await self._change(jobs, hosts, lambda owner, named: signal_at(owner, named, "tree", word))

    async def _maintain(self, operation: str, hosts: Sequence[str]) -> Result:
        async def one(owner: Owner, _: list[Reference]) -> OwnerResult:
            await owner.channel.call(operation)
            return OwnerResult(owner)

        return merged(await self._owners.each(self._owners.asks_of_hosts(hosts), one))

    async def _change(self, jobs: Sequence[str], hosts: Sequence[str], work: Work) -> Result:
        self._owners.refuse_ambiguous(jobs, hosts)
        return merged(await self._owners.each(self._owners.asks(jobs, hosts), work))

    @property
    def _grace(self) -> float:
        return float(self._config.get("grace"))
