"""The settings of an SSH host, merged from its URL, rjob's settings and OpenSSH's configuration files."""

from __future__ import annotations

import contextlib
import getpass
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit

from rjob.caller import Caller
from rjob.errors import ConfigError, without_password
from rjob.transports.base import check_host, check_user
from rjob.transports.ssh.sshconfig import SYSTEM_CONFIG, ConfigReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rjob.transports.base import Target

SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")
MOST_JUMPS = 8

HostKeyPolicy = Literal["yes", "accept-new", "no"]

_POLICIES: dict[str, HostKeyPolicy] = {
    "yes": "yes",
    "ask": "yes",  # nobody can be asked in the middle of a fan-out: refuse, and say how to accept
    "accept-new": "accept-new",
    "no": "no",
    "off": "no",
    "true": "yes",
    "false": "no",
}


class _Asked(NamedTuple):
    """The content of a URL or of one ProxyJump host."""

    name: str
    host: str
    user: str | None
    port: int | None


@dataclass(frozen=True)
class HostSettings:
    """All settings of one host: the target, or a jump host on the way.

    Attributes:
        name: The name that the user gave for the target, for messages.
        alias: The name that was looked up in the SSH configuration.
        hostname: The name or address to connect to.
        port: The port to connect to.
        user: The user to log in as.
        config: The SSH configuration that applies, for the library.
        identity_files: Private (or public) key files, in order of preference.
        identities_only: Whether to use only those keys of the agent that are in ``identity_files``.
        agent: The agent's socket, or None.
        known_hosts: The user's files of known host keys; new keys are written to the first one.
        global_known_hosts: The system's files of known host keys.
        revoked: Files of keys that no host may have.
        policy: What to do about an unknown host key.
        hash_hosts: Whether names written to ``known_hosts`` are hashed.
        jumps: The hosts to go through, as ProxyJump names them.
        connect_timeout: Seconds that connecting to this one host may take.
        keepalive: Seconds of silence after which a keepalive request is sent.
        keepalive_count: Unanswered keepalive requests after which the connection counts as lost.
        settings: The settings that this was built from.
        caller: The caller on whose behalf it logs in.
    """

    name: str
    alias: str
    hostname: str
    port: int
    user: str
    config: ConfigReader
    identity_files: tuple[Path, ...]
    identities_only: bool
    agent: str | None
    known_hosts: tuple[Path, ...]
    global_known_hosts: tuple[Path, ...]
    revoked: tuple[Path, ...]
    policy: HostKeyPolicy
    hash_hosts: bool
    jumps: tuple[str, ...]
    connect_timeout: float
    keepalive: float
    keepalive_count: int
    settings: Mapping[str, Any]
    caller: Caller

    @property
    def where(self) -> str:
        """The address as messages show it: ``host:port``."""
        return f"[{self.hostname}]:{self.port}" if ":" in self.hostname else f"{self.hostname}:{self.port}"

    @property
    def key_name(self) -> str:
        """The host's name in ``known_hosts``."""
        alias = cast("str | None", self.config.get("HostKeyAlias"))
        if alias:
            return alias.lower()
        name = self.hostname.lower()
        return name if self.port == 22 else f"[{name}]:{self.port}"

    @classmethod
    def of(cls, target: Target, settings: Mapping[str, Any], caller: Caller | None = None) -> HostSettings:
        """Merge the target's URL, its settings and the SSH configuration, in this order of precedence.

        Args:
            target: The machine; it has a host.
            settings: Its settings.
            caller: The caller on whose behalf it logs in; None for this process itself.

        Raises:
            ConfigError: A setting or the SSH configuration is unusable.
        """
        port = target.port if target.port is not None else _whole(settings, "port", None)
        asked = _Asked(target.name, cast("str", target.host), target.user or _text(settings, "user"), port)
        hostname, identity = _text(settings, "hostname"), _text(settings, "identity_file")
        return _merge(asked, settings, caller or Caller.here(), hostname=hostname, identity=identity)

    def route(self, depth: int = 0) -> list[HostSettings]:
        """Return the hosts to log in to one after another; this one is the last.

        Args:
            depth: How many jump hosts lead to this one.

        Raises:
            ConfigError: There are too many jump hosts (perhaps a loop), or their configuration is unusable.
        """
        if depth > MOST_JUMPS:
            raise ConfigError("ProxyJump leads through too many hosts", host=self.name, hint="is there a loop?")
        hops: list[HostSettings] = []
        general = {key: value for key, value in self.settings.items() if key in _GENERAL}
        for jump in self.jumps:
            hop = _merge(_parse_jump(jump, self.name), general, self.caller)
            # As in OpenSSH, only the first jump host may have jump hosts of its own.
            hops.extend(hop.route(depth + 1) if not hops else [hop])
        return [*hops, self]

    def unhonoured(self) -> list[str]:
        """Return the directives that apply to this host and its jump hosts but have no effect here."""
        return list(dict.fromkeys(line for hop in self.route() for line in hop.config.ignored))


_GENERAL = {"ssh_config", "known_hosts", "connect_timeout", "keepalive", "retries"}
"""The settings that apply to jump hosts too."""


def _merge(
    asked: _Asked,
    settings: Mapping[str, Any],
    caller: Caller,
    *,
    hostname: str | None = None,
    identity: str | None = None,
) -> HostSettings:
    name = asked.name
    # Checked before the configuration is read, because it may pass them to commands.
    check_host(asked.host, name)
    check_host(hostname, name)
    check_user(asked.user, name)
    config = _read_config(asked, hostname, settings, caller)
    get = config.get
    policy = str(get("StrictHostKeyChecking", "ask")).lower()
    if policy not in _POLICIES:
        raise ConfigError(f"StrictHostKeyChecking cannot be {policy!r}", host=name)
    port = cast("int", get("Port", 22))
    if not 0 < port < 65536:
        raise ConfigError(f"Port cannot be {port}", host=name)
    return HostSettings(
        name=name,
        alias=asked.host,
        hostname=cast("str", get("Hostname", asked.host)),
        port=port,
        user=cast("str", get("User", _local_user())),
        config=config,
        identity_files=_identity_files(config, identity, name),
        identities_only=bool(get("IdentitiesOnly", False)),
        agent=_agent(config, caller),
        known_hosts=_known_hosts(config, _text(settings, "known_hosts")),
        # Taken literally, as in OpenSSH: no tokens, no home directory.
        global_known_hosts=tuple(map(Path, cast("list[str]", get("GlobalKnownHostsFile", SYSTEM_KNOWN_HOSTS)))),
        revoked=_paths(cast("list[str]", get("RevokedHostKeys", []))),
        policy=_POLICIES[policy],
        hash_hosts=bool(get("HashKnownHosts", False)),
        jumps=_jumps(config, name),
        connect_timeout=_seconds(settings, "connect_timeout", cast("float", get("ConnectTimeout") or 15)),
        keepalive=_seconds(settings, "keepalive", cast("float", get("ServerAliveInterval", 15))),
        keepalive_count=cast("int", get("ServerAliveCountMax", 3)),
        settings=settings,
        caller=caller,
    )


def _read_config(asked: _Asked, hostname: str | None, settings: Mapping[str, Any], caller: Caller) -> ConfigReader:
    """Read the user's file, then the system's: the first value of a directive counts."""
    files = _config_files(asked.name, settings, caller)

    def read(final: bool) -> ConfigReader:
        user, port = asked.user or (), () if asked.port is None else asked.port
        config = ConfigReader(None, False, False, final, _local_user(), user, asked.host, port)
        config.environ = caller.environ
        if hostname:
            config._options["Hostname"] = hostname
        for file in files:
            config.parse(file)
        config.expand()
        return config

    with _usable(asked.name):
        config = read(final=False)
        return read(final=True) if config.has_match_final() else config


@contextlib.contextmanager
def _usable(name: str) -> Iterator[None]:
    """Convert the library's errors about an unusable configuration to ConfigError.

    Args:
        name: The name that the user gave for the target.
    """
    try:
        yield
    except ConfigError as error:
        error.host = name
        raise
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}", host=name) from error
    except Exception as error:  # an odd line makes the library's reader raise IndexError, UnicodeDecodeError and more
        raise ConfigError(
            f"cannot use the SSH configuration: {str(error) or type(error).__name__}", host=name
        ) from error


def _config_files(name: str, settings: Mapping[str, Any], caller: Caller) -> list[Path]:
    """List the configuration files. As with ``ssh -F``, a named file replaces the user's and the system's."""
    named = _text(settings, "ssh_config") or caller.environ.get("RJOB_SSH_CONFIG")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"no SSH configuration file {named}", host=name)
        return [path]
    return [path for path in (Path("~/.ssh/config").expanduser(), SYSTEM_CONFIG) if os.access(path, os.R_OK)]


def _identity_files(config: ConfigReader, first: str | None, name: str) -> tuple[Path, ...]:
    if first and not Path(first).expanduser().exists():
        # Only for rjob's own setting: like ssh, ignore missing files that the SSH configuration names.
        raise ConfigError(f"identity_file: {first}: no such file", host=name, hint="`rjob config` tells who names it")
    named = ([first] if first else []) + cast("list[str]", config.get("IdentityFile", []))
    if not named and "IdentityFile" not in config.get_options(False):
        named = [f"~/.ssh/{key}" for key in DEFAULT_KEYS]
    return _paths(named)


def _agent(config: ConfigReader, caller: Caller) -> str | None:
    named = cast("str | None", config.get("IdentityAgent", "SSH_AUTH_SOCK"))
    if named is None:
        return None
    if named == "SSH_AUTH_SOCK" or named.startswith("$"):
        return caller.environ.get(named.lstrip("$")) or None
    return os.path.expanduser(named)


def _known_hosts(config: ConfigReader, named: str | None) -> tuple[Path, ...]:
    if named:
        return _paths([named])
    return _paths(cast("list[str]", config.get("UserKnownHostsFile", ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"])))


def _paths(names: list[str]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(name).expanduser() for name in names))


def _jumps(config: ConfigReader, name: str) -> tuple[str, ...]:
    jumps = cast("str | None", config.get("ProxyJump"))
    with _usable(name):
        return tuple(config.expand_jump(jump.strip()) for jump in jumps.split(",")) if jumps else ()


def _parse_jump(jump: str, name: str) -> _Asked:
    """Parse ``[user@]host[:port]`` or ``ssh://[user@]host[:port]``."""
    try:
        parts = urlsplit(jump if "://" in jump else f"ssh://{jump}")
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"cannot use ProxyJump {without_password(jump)!r}", host=name) from error
    host = parts.netloc.rpartition("@")[2]
    if port is not None:
        host = host.rpartition(":")[0]
    host = host.strip("[]")
    if not host:
        raise ConfigError(f"cannot use ProxyJump {without_password(jump)!r}: no host", host=name)
    return _Asked(name, host, parts.username, port)


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise ConfigError("this account has no name", hint="set LOGNAME, or user in the settings") from error


def _text(settings: Mapping[str, Any], key: str) -> str | None:
    value = settings.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{key} must be a string, not {value!r}")
    return value


def _whole(settings: Mapping[str, Any], key: str, default: int | None) -> int | None:
    value = settings.get(key, default)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ConfigError(f"{key} must be a whole number, not {value!r}")
    return value


def _seconds(settings: Mapping[str, Any], key: str, default: float) -> float:
    value = settings.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{key} must be a number of seconds, not {value!r}")
    return value
