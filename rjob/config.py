"""The settings in force: from the file ``config.toml``, the environment and the defaults, with hosts and groups."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rjob import nodesets
from rjob.errors import ConfigError, UsageError
from rjob.settings import HOST, KEYS, check, dotted, from_text, suggest, wrong
from rjob.transports.base import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Setting(NamedTuple):
    """A setting's value and its source."""

    key: str
    """The key as the file writes it: ``defaults.newest``, ``hosts.gpu.user``, ``groups.web``."""
    value: Any
    source: str
    """``file``, ``default``, or the name of an environment variable."""


class Config:
    """The settings in force.

    Args:
        data: The parsed content of the settings file.
        path: The settings file, for messages.
        environ: The environment; None for this process's.

    Raises:
        ConfigError: The file or the environment holds an unusable value.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        path: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        environ = os.environ if environ is None else environ
        tables = check(data or {}, path)
        self._defaults: dict[str, Any] = tables["defaults"]
        self._hosts: dict[str, dict[str, Any]] = tables["hosts"]
        self._groups: dict[str, list[str]] = tables["groups"]
        self._environment = {
            key.name: Setting(dotted("defaults", key.name), from_text(key, environ[key.env]), key.env)
            for key in KEYS
            if key.env is not None and environ.get(key.env)
        }

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the settings file that the environment names.

        Args:
            environ: The environment; None for this process's.

        Raises:
            ConfigError: The file that ``RJOB_CONFIG`` names does not exist, or the file is unusable.
        """
        environ = os.environ if environ is None else environ
        path = config_path(environ)
        return cls(_read(path, required=bool(environ.get("RJOB_CONFIG"))), path=path, environ=environ)

    def get(self, name: str, flag: Any = None) -> Any:
        """Return a setting of the command line as a whole.

        Args:
            name: A key that ``[defaults]`` may hold.
            flag: The value given on the command line; None if none was given.

        Returns:
            The first that exists of: the flag, the environment's value, the file's value, the default.
        """
        return self._setting(name).value if flag is None else flag

    @property
    def host_names(self) -> list[str]:
        """The names of the hosts that have a table of their own."""
        return list(self._hosts)

    @property
    def group_names(self) -> list[str]:
        """The names of the groups, without ``all``."""
        return list(self._groups)

    def hosts(self, names: Sequence[str]) -> list[str]:
        """Expand the arguments of ``-H`` and ``--on`` to host names.

        Args:
            names: Hosts, node sets and groups (``@web``, ``@all``); one word may hold several, separated by commas.

        Returns:
            Host names without duplicates, in the order of their first appearance.

        Raises:
            UsageError: A group is unknown, or a node set is malformed.
            ConfigError: A group contains itself.
        """
        found: dict[str, None] = {}
        self._collect(names, found, [], set())
        return list(found)

    def target(self, name: str) -> tuple[Target, dict[str, Any]]:
        """Resolve a host's name to a target and the host's settings.

        Args:
            name: ``.``, a NAME of ``[hosts.NAME]``, a URL, or a host as SSH writes it: ``[user@]host[:port]``.

        Returns:
            The target, and the host's settings: ``[hosts.NAME]`` overrides ``[defaults]``, which overrides the built-in
            defaults. Settings without a value are absent.

        Raises:
            UsageError: The name is malformed.
            ConfigError: The host's ``transport`` is neither a scheme nor a URL.
        """
        if name == ".":
            return Target(".", "local"), self._settings(".")
        if name not in self._hosts and _is_url(name):
            return Target.parse(name), self._settings(name)
        user, host, port = (None, name, None) if name in self._hosts else _split_host(name)
        settings = self._settings(host)
        return self._named(name, host, user, port, settings).check(), settings

    def explain(self) -> list[Setting]:
        """List every setting in force with its source, for ``rjob config``."""
        settings = [self._setting(key.name) for key in KEYS if "defaults" in key.tables]
        for host, table in self._hosts.items():
            settings += [Setting(dotted("hosts", host, key), value, "file") for key, value in table.items()]
        settings += [Setting(dotted("groups", group), members, "file") for group, members in self._groups.items()]
        return settings

    def _setting(self, name: str) -> Setting:
        key = dotted("defaults", name)
        if name in self._environment:
            return self._environment[name]
        if name in self._defaults:
            return Setting(key, self._defaults[name], "file")
        default = next(known.default for known in KEYS if known.name == name and "defaults" in known.tables)
        return Setting(key, default, "default")

    def _settings(self, host: str) -> dict[str, Any]:
        merged = {key.name: key.default for key in KEYS if "hosts" in key.tables}
        merged |= {name: value for name, value in self._defaults.items() if name in merged}
        merged |= self._hosts.get(host, {})
        return {name: value for name, value in merged.items() if value is not None}

    def _named(self, name: str, host: str, user: str | None, port: int | None, settings: Mapping[str, Any]) -> Target:
        """Build the target of a host that is not a URL; ``user`` and ``port`` are those within the name itself."""
        transport: str = settings["transport"]
        if ":" in transport:
            try:
                target = Target.parse(transport, name=name)
            except UsageError as error:
                problem = f"transport: {error.message}"
                raise wrong(self.path, dotted("hosts", host), problem, error.hint) from error
            # The host's own table overrides the URL; the URL overrides [defaults], which is meant for bare names.
            own = self._hosts[host]
            return target._replace(
                host=own.get("hostname", target.host),
                user=user or own.get("user", target.user),
                port=port or own.get("port", target.port),
            )
        if transport == "local":
            return Target(name, transport)
        return Target(
            name,
            transport,
            settings.get("hostname", host),
            user or settings.get("user"),
            port or settings.get("port"),
        )

    def _collect(self, names: Iterable[str], found: dict[str, None], within: list[str], done: set[str]) -> None:
        for name in (name for text in names for name in nodesets.expand(text)):
            if not name.startswith("@"):
                found[name] = None
            elif name == "@all":
                found |= dict.fromkeys(self._hosts)
            elif name[1:] in within:
                circle = " → ".join(f"@{group}" for group in [*within, name[1:]])
                raise wrong(self.path, "groups", f"a group contains itself: {circle}")
            elif name[1:] not in self._groups:
                raise UsageError(f"no group {name}", hint=suggest(name[1:], [*self._groups, "all"], "@"))
            elif name not in done:
                self._collect(self._groups[name[1:]], found, [*within, name[1:]], done)
                done.add(name)


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the settings file's path.

    It is ``RJOB_CONFIG``, else ``rjob/config.toml`` in ``XDG_CONFIG_HOME`` or ``~/.config``.

    Args:
        environ: The environment; None for this process's.

    Raises:
        ConfigError: ``RJOB_CONFIG`` or ``HOME`` names no usable path.
    """
    environ = os.environ if environ is None else environ
    if named := environ.get("RJOB_CONFIG"):
        return _path("RJOB_CONFIG", named, environ)
    xdg = Path(environ.get("XDG_CONFIG_HOME", ""))
    # The XDG specification says to ignore a relative path.
    return (xdg if xdg.is_absolute() else _path("HOME", "~/.config", environ)) / "rjob" / "config.toml"


def home(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of this machine's jobs. XDG variables do not change it, so every shell sees the same one.

    Args:
        environ: The environment; None for this process's.

    Raises:
        ConfigError: ``RJOB_HOME`` or ``HOME`` names no usable path.
    """
    environ = os.environ if environ is None else environ
    if named := environ.get("RJOB_HOME"):
        path = _path("RJOB_HOME", named, environ)
        try:
            path = path.absolute()
        except OSError as error:
            problem = "RJOB_HOME is a relative path, and the current directory no longer exists"
            raise ConfigError(problem, hint="make it absolute") from error
    elif os.name == "nt":
        return Path(environ["LOCALAPPDATA"]) / "rjob"
    else:
        path = _path("HOME", "~/.local/state/rjob", environ)
    if "\n" in str(path):
        raise ConfigError(f"{'RJOB_HOME' if named else 'HOME'}: a folder of jobs must not have a newline in its path")
    return path


def _path(variable: str, text: str, environ: Mapping[str, str]) -> Path:
    """Expand ``~`` in a variable's path. With the variable HOME, the result must be absolute."""
    mine = environ.get("HOME")
    try:
        if mine and text.partition("/")[0] == "~":
            path = Path(mine.rstrip("/") + text[1:] or "/")
        else:
            path = Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{variable}: nobody knows the home directory in {text}") from error
    if variable == "HOME" and not (environ.get("HOME", "/") and path.is_absolute()):
        raise ConfigError("HOME is not an absolute path")
    return path


_WORD = (
    rf"(?:(?P<user>[^\s@/:-][^\s@/:]*)@)?(?:(?P<name>{HOST})|\[(?P<six>[0-9A-Fa-f:.%\w]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_IPV6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?"


def _is_url(name: str) -> bool:
    """Whether a name begins with a URL's scheme. The host of ``gpu:22`` and an IPv6 address are not schemes."""
    if re.fullmatch(_IPV6, name) or re.fullmatch(r"[^:/]*:[0-9]+", name):
        return False
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name))


def _split_host(name: str) -> tuple[str | None, str, int | None]:
    """Split ``[user@]host[:port]`` into user, host and port. UsageError if malformed."""
    if re.fullmatch(_IPV6, name):
        return None, name, None
    match = re.fullmatch(_WORD, name)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 0 < port < 65536):
        raise UsageError(f"not a host: {name!r}", hint="write it as host, user@host:port or scheme://host")
    return match["user"], match["name"] or match["six"], port


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{path}: no such file", hint="RJOB_CONFIG names it") from error
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    # Imported here: without a settings file, the parser's import time is saved.
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: not UTF-8 (at line {line})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
