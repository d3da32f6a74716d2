"""JobManager: the verbs, on one owner or many.  The command line and ``import rjob`` are thin faces of it."""

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

    Every verb takes references as the command line does (``17``, ``build*``, ``last``, ``17@gpu``) and hosts as
    ``-H`` does (names, node sets, ``@groups``, ``.``); without hosts it means those of the settings: this machine,
    unless they say otherwise.  A job or a host that cannot be served is an error in the result, never an exception;
    what makes no sense at all raises :class:`rjob.errors.UsageError` or ConfigError.

    Args:
        config: The settings; read from the settings file when None.
        plugins: The transports; the built-in and the installed ones when None.
        caller: Whoever the verbs are carried out for; this process itself when None.
        space: Which of the spaces on each machine to work in, each with jobs and numbers of its own; empty for the one
            that everybody sees.
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
        """Whether an event loop is needed: not if one machine takes part, and what is done there never waits.

        Args:
            jobs: References.
            hosts: Hosts as given.
        """
        return self._owners.need_loop(jobs, hosts)

    # ------------------------------------------------------------------------------------------------- the verbs

    async def start(
        self, spec: JobSpec | Sequence[JobSpec], *, hosts: Sequence[str] = (), launching: Launching | None = None
    ) -> Result:
        """Start jobs on each host; returns when each has confirmed that they began, or refused.

        Args:
            spec: What to run; several are started with one request to each host.
            hosts: Where.
            launching: Notes what may have been started while this goes on, and can give up the rest.

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
        """Start jobs on each host, and look at them until they have ended.

        Args:
            spec: What to run; several are started with one request to each host.
            begun: Is told which jobs have begun, when each host has confirmed that they did, or refused.
            hosts: Where.
            launching: Notes what may have been started while this goes on, and can give up the rest.
            sink: Where to deliver what they write, as it is written; None if nobody wants it.

        Returns:
            The jobs as they are then.
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
        """What to run where.  What is wrong with a specification is found out before anything is sent."""
        from rjob.core.start import listed, spec_at

        for one in listed(spec):
            check_spec(one)
        asks = self._owners.asks_of_hosts(hosts)
        return asks, {ask.host: [spec_at(self._owners.owner(ask.host), one) for one in listed(spec)] for ask in asks}

    async def get(self, jobs: Sequence[str] = (), *, hosts: Sequence[str] = (), query: Query = _LISTING) -> Result:
        """Tell where jobs stand.

        Args:
            jobs: Which; none means a listing.
            hosts: Whose.
            query: Which of a listing.
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
            jobs: Which.
            hosts: Whose.
            first: Be content with the first that ends.
            timeout: Seconds; 0 only looks.

        Returns:
            The jobs as they are then; one that is not finished ran into the time-out.
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
        """Deliver jobs' output; what arrived is not delivered again.

        Args:
            jobs: Which, in this order.
            sink: Where to.
            hosts: Whose.
            position: Where to begin; anything but the cursor leaves the cursor alone.
            keep: Leave the cursor alone.
            streams: Which of the two.
            follow: Go on until the jobs have ended.

        Returns:
            The jobs as they are after that.
        """
        from rjob.core import receive as receiving
        from rjob.core.ledger import Ledger

        options = Options(position, keep, streams)
        ledger = Ledger(sink)
        asks = self._owners.asks(jobs, hosts)

        async def one(owner: Owner, references: list[Reference]) -> OwnerResult:
            return await (receiving.follow if follow else receiving.receive)(owner, references, ledger, options)

        if not follow:
            # The order is the one that was asked for.
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
        """Append what is new of jobs' output to a file on their own machine; it counts as received.

        Args:
            jobs: Which, in this order.
            path: The file there; a relative one is below the home directory.
            hosts: Whose.
            streams: Which of the two.
            told: Is told of each stream that a job has cut short: job, stream, how far it was received, its size.

        Returns:
            The jobs as they are after that.
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
        """Stop jobs: signal, grace, kill, proof.

        Args:
            jobs: Which.
            hosts: Whose.
            signal: The first signal's name or number.
            grace: Seconds before SIGKILL; the settings' ``grace`` when None.

        Returns:
            The jobs as they are then; a survivor is an error.
        """
        from rjob.core.stop import stop_at
        from rjob.signals import word_of

        word = word_of(signal)
        seconds = self._grace if grace is None else grace
        return await self._change(jobs, hosts, lambda owner, named: stop_at(owner, named, word, seconds))

    async def signal(self, jobs: Sequence[str], signal: str, *, hosts: Sequence[str] = ()) -> Result:
        """Send a signal to jobs' main processes; whatever comes of it, they are not marked as stopped.

        Args:
            jobs: Which.
            signal: Its name or number.
            hosts: Whose.
        """
        from rjob.core.stop import signal_at
        from rjob.signals import word_of

        word = word_of(signal)
        return await self._change(jobs, hosts, lambda owner, named: signal_at(owner, named, "signal", word))

    async def suspend(self, jobs: Sequence[str], *, hosts: Sequence[str] = ()) -> Result:
        """Halt every process of jobs, until they are resumed."""
        return await self._signal_tree("STOP", jobs, hosts)

    async def resume(self, jobs: Sequence[str], *, hosts: Sequence[str] = ()) -> Result:
        """Let suspended jobs go on."""
        return await self._signal_tree("CONT", jobs, hosts)

    async def remove(self, jobs: Sequence[str], *, hosts: Sequence[str] = (), force: bool = False) -> Result:
        """Remove finished jobs and everything of theirs.

        Args:
            jobs: Which.
            hosts: Whose.
            force: Stop those that are not finished first.

        Returns:
            The jobs that are gone.
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
            hosts: Whose.
            older_than: Only those that ended more than these seconds ago.
            keep: All but the newest so many.
            dry_run: Only say which.

        Returns:
            The jobs that are gone, or would be.
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
            jobs: Which.
            hosts: Whose.
            failed: Of those only the ones that did not complete.
            secrets: The variables that jobs may get which were given them as secrets: names, whose values are then this
                process's own, or values by name.  A job that was given others is an error: which variables leave this
                machine is never for a host to say.

        Returns:
            The new jobs.
        """
        from rjob.core.retry import retry_at

        values = secret_values(secrets, self._caller)
        return await self._change(
            jobs, hosts, lambda owner, named: retry_at(owner, named, failed=failed, secrets=values)
        )

    async def rebuild(self, *, hosts: Sequence[str] = ()) -> Result:
        """Write owners' registries again from the job folders."""
        return await self._maintain("rebuild", hosts)

    async def compact(self, *, hosts: Sequence[str] = ()) -> Result:
        """Drop from owners' registries what is told of jobs that were removed."""
        return await self._maintain("compact", hosts)

    async def doctor(self, host: str = ".") -> list[Finding]:
        """Look at everything that rjob needs on a machine.

        Args:
            host: The machine.
        """
        from rjob.core.doctor import examine

        names = self._owners.names([host])
        if len(names) != 1:
            raise UsageError(f"not one host: {host}")
        return await examine(self._owners.owner(names[0]))

    # ---------------------------------------------------------------------------------------------- what they share

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
