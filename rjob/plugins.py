"""The plugins: which transport serves a scheme, which distribution provides it, and why it may be unusable.

A plugin is imported when it is first needed. The built-in transports are found in a table in the code. Only for
another scheme are the installed distributions searched for entry points, because that takes as long as a whole verb.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pluggy

from rjob import hookspecs
from rjob.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint
    from types import ModuleType

    from rjob.transports.base import Transport

GROUP = "rjob.transports"
"""The group of the entry points; an entry point's name is a scheme."""

BUILTIN = {"local": "rjob.transports.local", "ssh": "rjob.transports.ssh"}
"""The modules of the built-in transports by scheme: the same as this distribution's entry points."""

DISTRIBUTION = "rjob-cli"
"""The distribution that contains the built-in transports."""


class PluginInfo(NamedTuple):
    """A plugin, as ``rjob plugins`` lists it.

    Attributes:
        scheme: The URL scheme that it serves.
        distribution: The distribution that provides it.
        version: That distribution's version, None if unknown.
        module: The module that is imported.
        origin: How it was found.
        error: Why it cannot be used, None if it can.
    """

    scheme: str
    distribution: str
    version: str | None
    module: str
    origin: Literal["builtin", "entry point"]
    error: str | None


class _Source(NamedTuple):
    """Where a plugin can be imported from."""

    scheme: str
    distribution: str
    version: str | None
    module: str


class Plugins:
    """The plugins of this process."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("rjob")
        self._manager.add_hookspecs(hookspecs)
        self._transports: dict[str, type[Transport]] = {}
        self._failures: dict[str, PluginError] = {}
        for name in os.environ.get("RJOB_DISABLED_PLUGINS", "").split(","):
            if name.strip() not in ("", "local"):
                self._manager.set_blocked(name.strip().lower())

    def transport(self, scheme: str) -> type[Transport]:
        """Return the transport that serves a scheme; load it at its first use.

        Args:
            scheme: The scheme as in the URL, lower case.

        Raises:
            PluginError: There is none, there are several, or it cannot be loaded. Later calls raise the same error.
        """
        if scheme in self._failures:
            raise self._failures[scheme].with_traceback(None)
        if scheme not in self._transports:
            try:
                self._transports[scheme] = self._load(self._find(scheme))
            except PluginError as error:
                self._failures[scheme] = error
                raise
        return self._transports[scheme]

    def register(self, plugin: object) -> None:
        """Add a plugin object without an entry point; for tests and for programs that embed rjob.

        Args:
            plugin: A module or object that implements :func:`rjob.hookspecs.rjob_transports`.

        Raises:
            PluginError: It provides something that is not a transport, or its scheme is taken.
        """
        name = getattr(plugin, "__name__", None) or type(plugin).__name__
        for transport in self._classes(plugin, None, name):
            if transport.scheme in BUILTIN or transport.scheme in self._transports:
                raise PluginError(f"the scheme {transport.scheme!r} of {name} is taken already")
            self._transports[transport.scheme] = transport

    def listing(self) -> list[PluginInfo]:
        """List every installed plugin; load each to find out whether it can be used."""
        found: list[PluginInfo] = []
        own = _own_version()
        for scheme, module in BUILTIN.items():
            found.append(self._examine(_Source(scheme, DISTRIBUTION, own, module), "builtin"))
        for entry in sorted(_entry_points(), key=lambda entry: (entry.name, _distribution(entry))):
            found.append(self._examine(_source(entry), "entry point"))
        return found

    def _examine(self, source: _Source, origin: Literal["builtin", "entry point"]) -> PluginInfo:
        problem = None
        try:
            if origin == "entry point" and source.scheme in BUILTIN:
                raise _ambiguous(source.scheme, [DISTRIBUTION, source.distribution])
            self.transport(source.scheme)
        except PluginError as error:
            problem = error.message
        return PluginInfo(*source, origin, problem)

    def _find(self, scheme: str) -> _Source:
        if self._manager.is_blocked(scheme):
            raise PluginError(f"the transport {scheme!r} is disabled", hint="RJOB_DISABLED_PLUGINS names it")
        if scheme in BUILTIN:
            return _Source(scheme, DISTRIBUTION, None, BUILTIN[scheme])
        entries = _entry_points(scheme)
        if not entries:
            hint = "rjob plugins lists what is installed"
            raise PluginError(f"no transport is installed for {scheme}:", hint=hint)
        if len(entries) > 1:
            raise _ambiguous(scheme, map(_distribution, entries))
        return _source(entries[0])

    def _load(self, source: _Source) -> type[Transport]:
        module = _import(source)
        for transport in self._classes(module, source.scheme, source.distribution):
            if transport.scheme == source.scheme:
                return transport
        raise PluginError(f"{source.distribution}: {source.module} brings no transport for {source.scheme}:")

    def _classes(self, plugin: object, name: str | None, distribution: str) -> list[type[Transport]]:
        """Return the transport classes that a plugin provides. PluginError if one is not a Transport with a scheme."""
        from rjob.transports.base import Transport

        try:
            if not self._manager.is_registered(plugin):
                self._manager.register(plugin, name)
            others = [other for other in self._manager.get_plugins() if other is not plugin]
            answers: list[Any] = self._manager.subset_hook_caller("rjob_transports", others)()
            classes = [item for answer in answers for item in answer]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(f"{distribution}: the plugin does not work: {reason(error)}") from error
        for item in classes:
            if not (isinstance(item, type) and issubclass(item, Transport)):
                raise PluginError(f"{distribution}: the plugin brings {_shown(item)}, which is not a Transport class")
            if not isinstance(getattr(item, "scheme", None), str):
                raise PluginError(f"{distribution}: the plugin brings {_shown(item)}, which has no scheme")
        return classes


def _import(source: _Source) -> ModuleType:
    try:
        return importlib.import_module(source.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"{source.distribution}: cannot load {source.module}: {reason(error)}",
            hint=f"other schemes are not affected; reinstall or remove {source.distribution}",
        ) from error


_REASON_LIMIT = 300


def reason(error: BaseException) -> str:
    """Describe in one line the exception that a plugin raised.

    Args:
        error: Any exception, even one whose ``__str__`` fails.
    """
    try:
        text = " ".join(str(error).split())
    except Exception as worse:
        text = f"and then {type(worse).__name__}"
    return f"{type(error).__name__}: {text}".rstrip(": ")[:_REASON_LIMIT]


def _shown(item: object) -> str:
    try:
        return repr(item)[:_REASON_LIMIT]
    except Exception:
        return f"an object of {type(item).__name__}"


def _ambiguous(scheme: str, distributions: Iterable[str]) -> PluginError:
    names = " and ".join(sorted(distributions))
    return PluginError(f"{names} both bring the transport {scheme!r}", hint="remove all but one of them")


def _entry_points(scheme: str | None = None) -> list[EntryPoint]:
    """Return the entry points of other distributions, for one scheme or for all."""
    from importlib import metadata

    return [
        entry
        for entry in metadata.entry_points(group=GROUP)
        if _distribution(entry) != DISTRIBUTION and scheme in (None, entry.name)
    ]


def _source(entry: EntryPoint) -> _Source:
    version = entry.dist.version if entry.dist else None
    return _Source(entry.name, _distribution(entry), version, entry.module)


def _distribution(entry: EntryPoint) -> str:
    # A damaged installation has no name.
    return (entry.dist.name if entry.dist else None) or "an unnamed distribution"


def _own_version() -> str | None:
    from importlib import metadata

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None
