"""JobManager: the verbs, on one owner or many.  The command line and ``import rjob`` are thin faces of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rjob.config import Config, home
from rjob.core.isolation import guarded, merged, result_of
from rjob.core.link import Guard, Unusable
from rjob.core.loop import each
from rjob.core.options import Options, Position, Query, Streams
from rjob.core.owner import Found, Owner
from rjob.core.usage import check_spec, check_words, secret_values
from rjob.errors import PluginError, RjobError, UsageError
from rjob.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    Work = Callable[[Owner, list["Reference"]], Coroutine[Any, Any, Found]]

    from rjob.core.doctor import Finding
    from rjob.core.receive import Told
    from rjob.core.sink import Sink
    from rjob.core.start import Launching
    from rjob.models import Job, JobSpec, Result
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
    """

    def __init__(self, config: Config | None = None, plugins: Plugins | None = None) -> None:
        self._config = config or Config.load()
        self._plugins = plugins or Plugins()
        self._owners: dict[str, Owner] = {}

    async def __aenter__(self) -> JobManager:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        owners, self._owners = list(self._owners.values()), {}
        await each(owners, Owner.close, self._throttle)

    def local_only(self, jobs: Sequence[str] = (), hosts: Sequence[str] = ()) -> bool:
        """Whether nothing but this machine is involved, so that no event loop is needed.

        Args:
            jobs: References.
            hosts: Hosts as given.
        """
        named = {reference.host for reference in _parsed(jobs)}
        names = {host for host in named if host}
        if None in named or not named:
            names |= set(self._hosts(hosts))
        return names == {"."}

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
        from rjob.core.start import Launching, listed, spec_at, start_at

        launching = launching or Launching()
        for one_spec in listed(spec):
            check_spec(one_spec)
        asks = self._named(hosts)
        # What is wrong with a specification is found out before anything is sent.
        specs = {ask.host: [spec_at(self._owner(ask.host), given) for given in listed(spec)] for ask in asks}

        async def one(owner: Owner, _: list[Reference]) -> Found:
            return await start_at(owner, specs[owner.name], launching)

        return merged(await self._each(asks, one))

    async def get(self, jobs: Sequence[str] = (), *, hosts: Sequence[str] = (), query: Query = _LISTING) -> Result:
        """Tell where jobs stand.

        Args:
            jobs: Which; none means a listing.
            hosts: Whose.
            query: Which of a listing.
        """
        from rjob.core.find import listing

        if jobs:
            found = await self._find(jobs, hosts)
            return found._replace(jobs=tuple(job for job in found.jobs if query.admits(job)))
        newest = int(self._config.get("newest"))

        async def one(owner: Owner, _: list[Reference]) -> Found:
            return await listing(owner, query, newest)

        return merged(await self._each(self._named(hosts), one))

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
        from rjob.core.waiting import wait_for

        found = await self._find_by_owner(jobs, hosts)
        ended, errors = await wait_for(found, first=first, timeout=timeout, limit=self._throttle)
        order = [job.instance_id for part in found for job in part.jobs]
        done = sorted(ended, key=lambda job: order.index(job.instance_id))
        if first and any(job.state.finished for job in done):
            done = [job for job in done if job.state.finished][:1]
        return result_of(tuple(done), tuple(error for part in found for error in part.errors) + tuple(errors))

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
        asks = self._asks(jobs, hosts)

        async def one(owner: Owner, references: list[Reference]) -> Found:
            return await (receiving.follow if follow else receiving.receive)(owner, references, ledger, options)

        if not follow:
            # The order is the one that was asked for.
            return merged([await self._guarded(ask, one) for ask in asks])
        if len(asks) > 1:
            ledger.share()
        return merged(await self._each(asks, one))

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

        async def one(owner: Owner, references: list[Reference]) -> Found:
            return await save(owner, references, path, streams, told)

        return merged(await self._each(self._asks(jobs, hosts), one))

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
        from rjob.core.change import signal_word, stop_at

        word = signal_word(signal)
        seconds = self._grace if grace is None else grace
        return await self._change(jobs, hosts, lambda owner, found: stop_at(owner, found, word, seconds))

    async def signal(self, jobs: Sequence[str], signal: str, *, hosts: Sequence[str] = ()) -> Result:
        """Send a signal to jobs' main processes; whatever comes of it, they are not marked as stopped.

        Args:
            jobs: Which.
            signal: Its name or number.
            hosts: Whose.
        """
        from rjob.core.change import signal_at, signal_word

        word = signal_word(signal)
        return await self._change(jobs, hosts, lambda owner, found: signal_at(owner, found, "signal", word))

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
        from rjob.core.change import remove_at

        grace = self._grace
        return await self._change(jobs, hosts, lambda owner, found: remove_at(owner, found, force=force, grace=grace))

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
        from rjob.core.change import prune_at

        async def one(owner: Owner, _: list[Reference]) -> Found:
            return await prune_at(owner, older_than=older_than, keep=keep, dry_run=dry_run)

        return merged(await self._each(self._named(hosts), one))

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
        from rjob.core.start import retry_at

        values = secret_values(secrets)
        return await self._change(
            jobs, hosts, lambda owner, found: retry_at(owner, found, failed=failed, secrets=values)
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

        names = self._hosts([host])
        if len(names) != 1:
            raise UsageError(f"not one host: {host}")
        return await examine(self._owner(names[0]))

    # ---------------------------------------------------------------------------------------------- what they share

    async def _signal_tree(self, word: str, jobs: Sequence[str], hosts: Sequence[str]) -> Result:
        from rjob.core.change import signal_at

        return await self._change(jobs, hosts, lambda owner, found: signal_at(owner, found, "tree", word))

    async def _maintain(self, operation: str, hosts: Sequence[str]) -> Result:
        async def one(owner: Owner, _: list[Reference]) -> Found:
            await owner.call(operation)
            return Found(owner)

        return merged(await self._each(self._named(hosts), one))

    async def _change(
        self,
        jobs: Sequence[str],
        hosts: Sequence[str],
        work: Callable[[Owner, Sequence[Job]], Coroutine[Any, Any, Found]],
    ) -> Result:
        """Find jobs and do something to those that there are."""
        from rjob.core.find import look_up

        self._refuse_ambiguous(jobs, hosts)

        async def one(owner: Owner, references: list[Reference]) -> Found:
            found = await look_up(owner, references)
            if not found.jobs:
                return found
            done = await work(owner, found.jobs)
            return done._replace(errors=found.errors + done.errors)

        return merged(await self._each(self._asks(jobs, hosts), one))

    def _refuse_ambiguous(self, jobs: Sequence[str], hosts: Sequence[str]) -> None:
        """The same number is another job on every host."""
        if len(self._hosts(hosts)) < 2:
            return
        for reference in _parsed(jobs):
            if reference.host is None and reference.kind in ("id", "range", "last"):
                text = reference.text
                raise UsageError(
                    f"{text} may be another job on each of several hosts", hint=f"say which: {text}@HOST", job=text
                )

    async def _find(self, jobs: Sequence[str], hosts: Sequence[str]) -> Result:
        return merged(await self._find_by_owner(jobs, hosts))

    async def _find_by_owner(self, jobs: Sequence[str], hosts: Sequence[str]) -> list[Found]:
        from rjob.core.find import look_up

        return await self._each(self._asks(jobs, hosts), look_up)

    def _asks(self, jobs: Sequence[str], hosts: Sequence[str]) -> list[_Ask]:
        """Which host is to be asked for which jobs."""
        asks: dict[str, list[Reference]] = {}
        for reference in _parsed(jobs):
            for name in [reference.host] if reference.host else self._hosts(hosts):
                asks.setdefault(name, []).append(reference)
        return [_Ask(name, references) for name, references in asks.items()]

    def _named(self, hosts: Sequence[str]) -> list[_Ask]:
        """The hosts, asked for no job in particular."""
        return [_Ask(name, []) for name in self._hosts(hosts)]

    async def _each(self, asks: Sequence[_Ask], work: Work) -> list[Found]:
        """Do something for every host; one that fails is an error, the others go on."""
        return await each(asks, lambda ask: self._guarded(ask, work), self._throttle)

    async def _guarded(self, ask: _Ask, work: Work) -> Found:
        owner = self._owner(ask.host)
        return await guarded(owner, work(owner, ask.references))

    def _hosts(self, hosts: Sequence[str]) -> list[str]:
        check_words(hosts, "hosts", "gpu")
        asked = list(hosts) or self._config.get("host")
        names = self._config.hosts(asked)
        if not names:
            raise UsageError(f"no host in {' '.join(asked)}", hint="`rjob hosts` shows the hosts and groups")
        return names

    def _owner(self, name: str) -> Owner:
        """The owner of that name.  One that cannot be had is one that cannot be connected to."""
        if name not in self._owners:
            try:
                self._owners[name] = self._new_owner(name)
            except RjobError as error:
                # An error of its own: the plugins keep theirs, for the next host of that scheme.
                own = PluginError(error.message, hint=error.hint) if type(error) is PluginError else error
                own.__cause__ = error.__cause__
                self._owners[name] = Owner(name, Unusable(own), {}, "")
        return self._owners[name]

    def _new_owner(self, name: str) -> Owner:
        target, settings = self._config.target(name)
        where = str(home()) if name == "." else str(settings.get("home", ""))
        kind = self._plugins.transport(target.scheme)
        transport = Guard(None, target.scheme).call("beginning", lambda: kind(target, settings))
        return Owner(name, transport, settings, where)

    @property
    def _grace(self) -> float:
        return float(self._config.get("grace"))

    @property
    def _throttle(self) -> int:
        return int(self._config.get("throttle"))


class _Ask(NamedTuple):
    """A host as the user named it, and the references that are about its jobs."""

    host: str
    references: list[Reference]


def _parsed(jobs: Sequence[str]) -> list[Reference]:
    check_words(jobs, "jobs", "17")
    if not jobs:
        return []
    from rjob.references import parse

    return [parse(job) for job in jobs]
