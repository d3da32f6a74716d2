"""The table of settings, and the check of a settings file against it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rjob.errors import ConfigError, UsageError, without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

Table = Literal["defaults", "hosts"]


class Key(NamedTuple):
    """One setting, as the check, ``rjob config`` and the documentation use it."""

    name: str
    type: str
    """A word of TYPES, or the allowed words separated by ``|``."""
    default: Any
    tables: tuple[Table, ...]
    description: str
    env: str | None = None
    """The environment variable that overrides the file."""


_DEFAULTS: tuple[Table, ...] = ("defaults",)
_HOSTS: tuple[Table, ...] = ("hosts",)
_BOTH: tuple[Table, ...] = ("defaults", "hosts")

KEYS = (
    Key("host", "names", ["."], _DEFAULTS, "whose jobs the commands are about when no -H is given", "RJOB_HOST"),
    Key("newest", "count", 20, _DEFAULTS, "finished jobs that get shows unless asked for more"),
    Key("grace", "duration", 10.0, _DEFAULTS, "how long stop lets a job end by itself before it is killed"),
    Key("throttle", "positive", 32, _DEFAULTS, "hosts that are worked on at a time"),
    Key("color", "auto|always|never", "auto", _DEFAULTS, "when to colour tables"),
    Key("transport", "text", "ssh", _BOTH, "how to reach the host: a URL scheme, for one host also a whole URL"),
    Key("hostname", "text", None, _HOSTS, "the host's real name or address"),
    Key("user", "text", None, _BOTH, "whom to log in as"),
    Key("port", "port", None, _BOTH, "the port to connect to"),
    Key("identity_file", "path", None, _BOTH, "the private key to log in with"),
    Key("known_hosts", "path", None, _BOTH, "the file of known host keys"),
    Key("ssh_config", "path", None, _BOTH, "the OpenSSH configuration to honour"),
    Key("home", "text", None, _HOSTS, "RJOB_HOME on the host: where its jobs are kept"),
    Key("runner", "posix|windows", None, _HOSTS, "what the host speaks, where the transport does not tell"),
    Key("shell", "text", None, _BOTH, "the shell for -c lines unless --shell is given"),
    Key(
        "connect_timeout",
        "duration",
        None,
        _BOTH,
        "how long to wait for a connection; SSH's own value, else 15 s",
    ),
    Key("keepalive", "duration", None, _BOTH, "how often to ask whether a connection lives; 0: never; else as above"),
    Key(
        "reply_timeout",
        "duration",
        120.0,
        _BOTH,
        "how long a host may be silent while it is connected to or works on a request; 0: for ever",
    ),
    Key("retries", "count", 2, _BOTH, "further attempts at a connection that may succeed a moment later"),
)
"""Every setting, once."""

OPTIONS = "options"
"""The table within ``[hosts.NAME]`` whose keys belong to the host's transport and are passed on unchanged."""


class Type(NamedTuple):
    """A type of value: its name in messages, and its parser, which raises ValueError, TypeError or UsageError."""

    says: str
    read: Callable[[Any], Any]


def _number(low: int, high: float = float("inf")) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        # In Python, True is an int equal to 1; in TOML, true is not a number.
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    from rjob import times

    return times.duration(str(value))


def _names(value: Any) -> list[str]:
    return [_text(name) for name in (value if isinstance(value, list) else [value])]


def _choice(words: str) -> Type:
    allowed = words.split("|")

    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError
        return str(value)

    return Type("one of " + ", ".join(allowed), read)


TYPES = {
    "text": Type("a string", _text),
    "path": Type("a path", lambda value: os.path.expanduser(_text(value))),
    "count": Type("a whole number, 0 or more", _number(0)),
    "positive": Type("a whole number, 1 or more", _number(1)),
    "port": Type("a port number", _number(1, 65535)),
    "duration": Type("seconds, or a duration such as 1m30s", _seconds),
    "names": Type("a string or a list of strings", _names),
} | {key.type: _choice(key.type) for key in KEYS if "|" in key.type}
"""The types of value by the word that KEYS uses."""


def check(data: Mapping[str, Any], path: Path | None = None) -> dict[str, dict[str, Any]]:
    """Check that a settings file holds only known keys with usable values.

    Args:
        data: The parsed content of the file.
        path: The file, for messages.

    Returns:
        The tables ``defaults``, ``hosts`` and ``groups``, with durations in seconds, and with lists where the file may
        have a single word.

    Raises:
        ConfigError: A table, key or value is wrong; the message names the table and the key.
    """
    return _Checker(path).tables(data)


def from_text(key: Key, text: str) -> Any:
    """Parse a setting from its environment variable.

    Args:
        key: The setting.
        text: The variable's value.

    Raises:
        ConfigError: It is not a value for that setting.
    """
    kind = TYPES[key.type]
    try:
        return kind.read(text)
    except (ValueError, TypeError, UsageError) as error:
        raise ConfigError(f"{key.env}: expected {kind.says}, not {text!r}") from error


class _Checker:
    """The check of a settings file: each method returns a checked part, or raises ConfigError with its place."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def tables(self, data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        known = ("defaults", "hosts", "groups")
        for name, value in data.items():
            if name not in known:
                raise self.error(f"unknown table {name!r}", hint=suggest(name, known))
            self.table(value, name)
        return {
            "defaults": self.keys(data.get("defaults", {}), "defaults", "defaults"),
            "hosts": {self.host(name): self.host_table(name, table) for name, table in data.get("hosts", {}).items()},
            "groups": {self.group(name): self.members(name, value) for name, value in data.get("groups", {}).items()},
        }

    def table(self, value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error("expected a table", name)
        return value

    def host_table(self, name: str, table: Any) -> dict[str, Any]:
        where = dotted("hosts", name)
        table = dict(self.table(table, where))
        options = self.table(table.pop(OPTIONS, {}), dotted("hosts", name, OPTIONS))
        for option in options:
            self.no_secret(option, dotted("hosts", name, OPTIONS))
        return self.keys(table, "hosts", where) | ({OPTIONS: options} if options else {})

    def keys(self, table: Mapping[str, Any], kind: Table, where: str) -> dict[str, Any]:
        known = {key.name: key for key in KEYS if kind in key.tables}
        for name in table:
            self.no_secret(name, where)
            if name not in known:
                raise self.error(f"unknown key {name!r}", where, hint=suggest(name, known))
        values = {name: self.value(known[name], value, where) for name, value in table.items()}
        if kind == "defaults" and ":" in values.get("transport", ""):
            raise self.error("transport: a URL is for one host, here stands a scheme", where)
        return values

    def value(self, key: Key, value: Any, where: str) -> Any:
        kind = TYPES[key.type]
        self.no_password(key.name, value, where)
        try:
            return kind.read(value)
        except (ValueError, TypeError, UsageError) as error:
            raise self.error(f"{key.name}: expected {kind.says}, not {value!r}", where) from error

    def host(self, name: str) -> str:
        if name != "." and not re.fullmatch(HOST, name):
            raise self.error(f"not a name for a host: {name!r}", "hosts", hint=f"it may not hold {_NOT_IN_NAMES}")
        return name

    def group(self, name: str) -> str:
        if name == "all" or not re.fullmatch(HOST, name):
            problem = "@all is every host of the file" if name == "all" else f"it may not hold {_NOT_IN_NAMES}"
            raise self.error(f"not a name for a group: {name!r}", "groups", hint=problem)
        return name

    def members(self, name: str, value: Any) -> list[str]:
        self.no_password(name, value, "groups")
        try:
            members = _names(value)
            for member in members:
                from rjob import nodesets

                nodesets.expand(member)
        except ValueError as error:
            raise self.error(f"{name}: expected {TYPES['names'].says}, not {value!r}", "groups") from error
        except UsageError as error:
            raise self.error(f"{name}: {error.message}", "groups", hint=error.hint) from error
        return members

    def no_secret(self, name: str, where: str) -> None:
        if re.fullmatch(_PRIVATE, name):
            hint = "use keys, an agent or a keyring; a plugin may name a file or a command"
            raise self.error(f"{name}: no secret belongs in this file", where, hint=hint)

    def no_password(self, name: str, value: Any, where: str) -> None:
        """Refuse ``ssh://user:password@host``: every verb that shows the settings would print the password."""
        for text in value if isinstance(value, list) else [value]:
            # Without a scheme, commas separate hosts: "gpu:22,ada@web" holds no password.
            for word in [text] if "://" in str(text) else str(text).split(","):
                if without_password(word) != word:
                    raise self.error(f"{name}: no password belongs in this file", where, hint="use keys or an agent")

    def error(self, problem: str, table: str = "", *, hint: str | None = None) -> ConfigError:
        return wrong(self.path, table, problem, hint)


_PRIVATE = r"(?i)(?:.*[_-])?(?:password|passwd|passphrase|secret|token)"
HOST = r"(?!\.$)[^\s@/:,\[\]\0-\x1f\x7f-][^\s@/:,\[\]\0-\x1f\x7f]*"
"""A host's or group's name: not like an option, without characters of URLs, references, node sets and groups."""

_NOT_IN_NAMES = "blanks, @ / : , [ or ], nor begin with -"


def wrong(path: Path | None, table: str, problem: str, hint: str | None = None) -> ConfigError:
    """Build the error about a place in the settings file."""
    places = (f"{path}:" if path else "", f"[{table}]" if table else "", problem)
    return ConfigError(" ".join(filter(None, places)), hint=hint)


def dotted(*names: str) -> str:
    """Join names into a key as TOML writes it."""
    return ".".join(name if re.fullmatch("[A-Za-z0-9_-]+", name) else f'"{name}"' for name in names)


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a hint about an unknown name: the most similar known one, else all known ones."""
    import difflib

    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {prefix}{near[0]}?" if near else "known: " + ", ".join(prefix + word for word in known)
