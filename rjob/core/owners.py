"""The owners: turns references and hosts into owners, and runs work at each."""

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
    """A host as the user named it, and the references to its jobs."""

    host: str
    references: list[Reference]


class Owners:
    """The owners of one job manager, each built once.

    Args:
        config: The settings.
        plugins: The transports.
        caller: The caller that the verbs are carried out for.
        space: The space on each machine; empty for the default one, which everybody sees.
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
        """How many owners to work at concurrently."""
        return int(self._config.get("throttle"))

    # ------------------------------------------------------------------------------------------------- selection

    def names(self, hosts: Sequence[str]) -> list[str]:
        """Return the names of owners.

        Args:
            hosts: Hosts as ``-H`` takes them; none for those of the settings.

        Raises:
            UsageError: They are malformed, or name no host.
        """
        check_words(hosts, "hosts", "gpu")
        asked = list(hosts) or self._config.get("host")
        names = self._config.hosts(asked)
        if not names:
            raise UsageError(f"no host in {' '.join(asked)}", hint="`rjob hosts` shows the hosts and groups")
        return names

    def asks(self, jobs: Sequence[str], hosts: Sequence[str]) -> list[Ask]:
        """Group references by owner.

        Args:
            jobs: References.
            hosts: The hosts for references that name none.
        """
        asks: dict[str, list[Reference]] = {}
        for reference in _parsed(jobs):
            for name in [reference.host] if reference.host else self.names(hosts):
                asks.setdefault(name, []).append(reference)
        return [Ask(name, references) for name, references in asks.items()]

    def asks_of_hosts(self, hosts: Sequence[str]) -> list[Ask]:
        """Return the owners without references.

        Args:
            hosts: See :meth:`names`.
        """
        return [Ask(name, []) for name in self.names(hosts)]

    def refuse_ambiguous(self, jobs: Sequence[str], hosts: Sequence[str]) -> None:
        """Refuse an id where each of several hosts may have another job of that id.

        Args:
            jobs: References.
            hosts: The owners of the jobs.

        Raises:
            UsageError: A reference is ambiguous.
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
        """Whether an event loop is needed: not for a single owner where nothing ever waits.

        Args:
            jobs: References.
            hosts: Hosts as given.
        """
        named = {reference.host for reference in _parsed(jobs)}
        names = {host for host in named if host}
        if None in named or not named:
            names |= set(self.names(hosts))
        return len(names) != 1 or self.owner(*names).needs_loop

    # ------------------------------------------------------------------------------------------------------- work

    async def each(
        self, asks: Sequence[Ask], work: Work, *, at_once: bool = False, children: bool = False
    ) -> list[OwnerResult]:
        """Run work at every owner; a failure at one becomes an error, the others go on.

        Args:
            asks: The owners, each with its references.
            work: The work.
            at_once: Whether to run at all owners concurrently, because the work follows jobs for long; only connecting
                is limited then.
            children: Whether the work can be done to a child of a job; otherwise a reference to one is an error.

        Returns:
            Each owner's result, in order.
        """
        limit = max(self.throttle, len(asks)) if at_once else self.throttle
        return await each(asks, lambda ask: self.at(ask, work, children=children), limit)

    async def at(self, ask: Ask, work: Work, *, children: bool = False) -> OwnerResult:
        """Run work at one owner; a failure becomes an error in its result.

        Args:
            ask: The owner and its references.
            work: The work.
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
        """Return the owner of a name. If it cannot be built, connecting to it raises the reason.

        Args:
            name: ``.`` or a host.
        """
        if name not in self._owners:
            try:
                self._owners[name] = self._new_owner(name)
            except RjobError as error:
                # A copy: the plugins raise the same error object again for the next host of that scheme.
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
    """Build the error for a child where a verb takes whole jobs only."""
    return UsageError(
        f"{reference.text} is a child: so far only `rjob get` takes one", host=owner.host, job=reference.text
    )


def _parsed(jobs: Sequence[str]) -> list[Reference]:
    check_words(jobs, "jobs", "17")
    if not jobs:
        return []
    from rjob.references import parse

    return [parse(job) for job in jobs]
