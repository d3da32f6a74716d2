"""From references and hosts to owners: which of them a verb is about, and doing something at each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rjob.config import home
from rjob.core.isolation import guarded
from rjob.core.link import Guard, Unusable
from rjob.core.loop import Gate, each
from rjob.core.owner import Owner, OwnerResult
from rjob.core.usage import check_words
from rjob.errors import PluginError, RjobError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from rjob.caller import Caller
    from rjob.config import Config
    from rjob.plugins import Plugins
    from rjob.references import Reference

    Work = Callable[[Owner, list[Reference]], Coroutine[Any, Any, OwnerResult]]


class Ask(NamedTuple):
    """A host as the user named it, and the references that are about its jobs."""

    host: str
    references: list[Reference]


class Owners:
    """The owners that one job manager deals with, each made once.

    Args:
        config: The settings.
        plugins: The transports.
        caller: Whoever it is done for.
        space: Which of the spaces on each machine; empty for the one that everybody sees.
    """

    def __init__(self, config: Config, plugins: Plugins, caller: Caller, space: str = "") -> None:
        self._config = config
        self._plugins = plugins
        self._caller = caller
        self._space = space
        self._gate = Gate(self.throttle)
        self._owners: dict[str, Owner] = {}

    async def close(self) -> None:
        """Close every connection."""
        owners, self._owners = list(self._owners.values()), {}
        await each(owners, Owner.close, self.throttle)

    @property
    def throttle(self) -> int:
        """How many owners to work at, at a time."""
        return int(self._config.get("throttle"))

    # ----------------------------------------------------------------------------------------------------- which

    def names(self, hosts: Sequence[str]) -> list[str]:
        """The names of owners.

        Args:
            hosts: As ``-H`` takes them; none means those of the settings.

        Raises:
            UsageError: They make no sense, or name nothing.
        """
        check_words(hosts, "hosts", "gpu")
        asked = list(hosts) or self._config.get("host")
        names = self._config.hosts(asked)
        if not names:
            raise UsageError(f"no host in {' '.join(asked)}", hint="`rjob hosts` shows the hosts and groups")
        return names

    def asks(self, jobs: Sequence[str], hosts: Sequence[str]) -> list[Ask]:
        """Which owner is to be asked for which jobs.

        Args:
            jobs: References.
            hosts: Whose jobs they are where they do not say.
        """
        asks: dict[str, list[Reference]] = {}
        for reference in _parsed(jobs):
            for name in [reference.host] if reference.host else self.names(hosts):
                asks.setdefault(name, []).append(reference)
        return [Ask(name, references) for name, references in asks.items()]

    def asks_of_hosts(self, hosts: Sequence[str]) -> list[Ask]:
        """The owners, asked for no job in particular.

        Args:
            hosts: See :meth:`names`.
        """
        return [Ask(name, []) for name in self.names(hosts)]

    def refuse_ambiguous(self, jobs: Sequence[str], hosts: Sequence[str]) -> None:
        """Refuse a number where it may be another job on each of several hosts.

        Args:
            jobs: References.
            hosts: Whose jobs.

        Raises:
            UsageError: There is one.
        """
        if len(self.names(hosts)) < 2:
            return
        for reference in _parsed(jobs):
            if reference.host is None and reference.kind in ("id", "range", "last", "child"):
                text = reference.text
                raise UsageError(
                    f"{text} may be another job on each of several hosts", hint=f"say which: {text}@HOST", job=text
                )

    def need_loop(self, jobs: Sequence[str], hosts: Sequence[str]) -> bool:
        """Whether an event loop is needed: not if one owner takes part, and what is done there never waits.

        Args:
            jobs: References.
            hosts: Hosts as given.
        """
        named = {reference.host for reference in _parsed(jobs)}
        names = {host for host in named if host}
        if None in named or not named:
            names |= set(self.names(hosts))
        return len(names) != 1 or self.owner(*names).needs_loop

    # ------------------------------------------------------------------------------------------------------ doing

    async def each(
        self, asks: Sequence[Ask], work: Work, *, at_once: bool = False, children: bool = False
    ) -> list[OwnerResult]:
        """Do something at every owner; one that fails is an error, the others go on.

        Args:
            asks: The owners, and which of their jobs it is about.
            work: What to do.
            at_once: Whether nobody is to wait for the others, but to connect: it is a matter of looking on.
            children: Whether it can be done to a child of a job; otherwise a reference to one is an error.

        Returns:
            What each has, in their order.
        """
        limit = max(self.throttle, len(asks)) if at_once else self.throttle
        return await each(asks, lambda ask: self.at(ask, work, children=children), limit)

    async def at(self, ask: Ask, work: Work, *, children: bool = False) -> OwnerResult:
        """Do something at one owner; whatever goes wrong is an error of its.

        Args:
            ask: The owner, and which of its jobs it is about.
            work: What to do.
            children: See :meth:`each`.
        """
        owner = self.owner(ask.host)
        refused = [] if children else [reference for reference in ask.references if reference.kind == "child"]
        left = [reference for reference in ask.references if reference not in refused]
        errors = tuple(_unserved(owner, reference) for reference in refused)
        if errors and not left:
            return OwnerResult(owner, (), errors)
        found = await guarded(owner, work(owner, left))
        return found._replace(errors=found.errors + errors)

    def owner(self, name: str) -> Owner:
        """The owner of that name.  One that cannot be had is one that cannot be connected to.

        Args:
            name: ``.`` or a host.
        """
        if name not in self._owners:
            try:
                self._owners[name] = self._new_owner(name)
            except RjobError as error:
                # An error of its own: the plugins keep theirs, for the next host of that scheme.
                own = PluginError(error.message, hint=error.hint) if type(error) is PluginError else error
                own.__cause__ = error.__cause__
                self._owners[name] = Owner(name, Unusable(own), {}, self._caller)
        return self._owners[name]

    def _new_owner(self, name: str) -> Owner:
        target, settings = self._config.target(name)
        where = str(home()) if name == "." else str(settings.get("home", ""))
        kind = self._plugins.transport(target.scheme)
        transport = Guard(None, target.scheme).call("beginning", lambda: kind(target, settings))
        return Owner(name, transport, settings, self._caller, home=where, space=self._space, gate=self._gate)


def _unserved(owner: Owner, reference: Reference) -> UsageError:
    """The error for a child where a verb takes whole jobs only."""
    return UsageError(
        f"{reference.text} is a child: so far only `rjob get` takes one", host=owner.host, job=reference.text
    )


def _parsed(jobs: Sequence[str]) -> list[Reference]:
    check_words(jobs, "jobs", "17")
    if not jobs:
        return []
    from rjob.references import parse

    return [parse(job) for job in jobs]
