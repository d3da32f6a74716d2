"""Reading ssh_config files as OpenSSH does, where the SSH library is laxer or ignores a directive."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncssh.config import ConfigParseError, SSHClientConfig

from rjob.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")

_DEEPEST = 16
"""How deep Include may nest, as in OpenSSH."""

UNHONOURED = {
    "CanonicalizeHostname": "the name is used as it is",
    "ControlMaster": "rjob keeps a connection of its own",
    "ControlPath": "rjob keeps a connection of its own",
    "ControlPersist": "rjob keeps a connection of its own",
    "DynamicForward": "nothing is forwarded",
    "ForwardAgent": "nothing is forwarded",
    "ForwardX11": "nothing is forwarded",
    "GSSAPIAuthentication": "no GSSAPI: log in with a key",
    "GSSAPIDelegateCredentials": "no GSSAPI: log in with a key",
    "GSSAPIKeyExchange": "no GSSAPI: log in with a key",
    "LocalCommand": "no local command is run",
    "LocalForward": "nothing is forwarded",
    "NoHostAuthenticationForLocalhost": "every host key is checked",
    "ProxyUseFdpass": "the proxy command keeps the connection",
    "RemoteCommand": "rjob sends its own command",
    "RemoteForward": "nothing is forwarded",
    "RequestTTY": "no terminal is asked for",
    "Tunnel": "nothing is forwarded",
    "UpdateHostKeys": "known_hosts is not rewritten",
    "VerifyHostKeyDNS": "only known_hosts files are trusted",
}
"""Directives without an effect here, and what happens instead."""

_EXPANDED = ("CertificateFile", "IdentityAgent", "IdentityFile", "KnownHostsCommand", "UserKnownHostsFile")
_PROXY_TOKENS = frozenset("%hnpr")
_KEY_TOKENS = frozenset("fHIKt")
_SAFE_IN_A_SHELL = re.compile(r"(?!-)[\w.:%@+,=^/-]*")


class ConfigReader(SSHClientConfig):
    """The values that apply to one host: call :meth:`parse` for each file, then :meth:`expand`.

    The library expands tokens at the end of every file, again in values that it has expanded before, and environment
    variables in the values of tokens. Here each value is expanded once, after all files were read.
    """

    _percent_expand: set[str] = set()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.environ: Mapping[str, str] = os.environ
        self.ignored: list[str] = []
        self._depth = 0

    def parse(self, path: Path) -> None:
        """Read a file. Refuse one that other users may write to, because it can name commands to run.

        Raises:
            ConfigError: Other users may write to it.
            ConfigParseError: It is not a usable ssh_config file.
            OSError: It cannot be read.
        """
        status = path.stat()
        if path == SYSTEM_CONFIG:  # not checked, as in OpenSSH: it is root's
            self._default_path = path.parent
        elif status.st_uid not in (0, os.geteuid()):
            raise ConfigError(f"{path} belongs to somebody else, who could change it", hint="use a copy of your own")
        elif status.st_mode & 0o022:
            raise ConfigError(f"{path} may be changed by other users", hint=f"chmod go-w {path}")
        super().parse(path)

    def expand(self) -> None:
        """Expand tokens and ``${VARIABLES}`` in the values. Call once, after the last file."""
        self._set_tokens()
        for option in _EXPANDED:
            value = self._options.get(option)
            if isinstance(value, list):
                keep = _KEY_TOKENS if option == "KnownHostsCommand" else ()
                self._options[option] = [self._expand_path(item, keep) for item in value]
            elif isinstance(value, str):
                self._options[option] = self._expand_path(value)
        if isinstance(command := self._options.get("ProxyCommand"), str):
            self._options["ProxyCommand"] = self._expand_in_shell(command, _PROXY_TOKENS)

    def expand_jump(self, jump: str) -> str:
        """Expand the tokens in one host of ProxyJump; the result is checked like a host name given by the user."""
        return self._replace(jump, _PROXY_TOKENS)

    def _expand_val(self, value: str) -> str:
        # The library now calls this for Hostname only, which allows no environment variables.
        return self._replace(value, frozenset("%h"))

    def _expand_path(self, value: str, keep: Iterable[str] = ()) -> str:
        return self._replace(os.path.expanduser(value), None, keep=keep, environment=True)

    def _expand_in_shell(self, command: str, allowed: frozenset[str] | None) -> str:
        """Expand tokens in a line for ``sh``. Refuse values that could add commands to it.

        OpenSSH checks user and host where they are given, but trusts HostName and User of its configuration.
        """
        for token in {match[1] for match in re.finditer("%(.)", command)} & self._tokens.keys():
            if not _SAFE_IN_A_SHELL.fullmatch(self._tokens[token]):
                raise ConfigParseError(f"%{token} has characters that no command may see: {self._tokens[token]!r}")
        return self._replace(command, allowed)

    def _replace(
        self, value: str, allowed: frozenset[str] | None, *, keep: Iterable[str] = (), environment: bool = False
    ) -> str:
        def one(match: re.Match[str]) -> str:
            token, variable = match[1], match[2]
            if token is None:
                if variable not in self.environ:
                    raise ConfigParseError(f"no variable {variable} in the environment: {value}")
                return self.environ[variable]
            if token in keep:
                return match[0]
            if token not in self._tokens or (allowed is not None and token not in allowed):
                raise ConfigParseError(f"%{token} cannot stand here: {value}")
            return self._tokens[token]

        return re.sub(r"%(.)|\$\{(.*?)\}" if environment else "%(.)()", one, value)

    def _set_tokens(self) -> None:
        super()._set_tokens()
        self._tokens["k"] = str(self._options.get("HostKeyAlias") or self._orig_host)

    def _include(self, option: str, args: list[str]) -> None:
        """Read other files, in the order of their names: the first value of a directive counts."""
        if self._depth >= _DEEPEST:
            self._error("Include nests too deep")
        path, line = self._path, self._line_no
        self._depth += 1
        for pattern in args:
            for found in sorted(glob.glob(os.path.join(self._default_path, os.path.expanduser(pattern)))):
                self.parse(Path(found))
        self._depth -= 1
        self._path, self._line_no, self._matching = path, line, True
        args.clear()

    def _match(self, option: str, args: list[str]) -> None:
        """Expand the tokens of ``Match exec``, which the library does not expand."""
        words = iter(range(len(args)))
        for place in words:
            criterion = args[place].lower().lstrip("!")
            if criterion in ("all", "canonical", "final") or next(words, None) is None:
                continue
            if criterion == "exec":
                self._set_tokens()
                args[place + 1] = self._expand_in_shell(args[place + 1], None)
        super()._match(option, args)

    def _set_exact(self, option: str, args: list[str]) -> None:
        """Store a value for which ``none`` has no special meaning."""
        self._options.setdefault(option, args.pop(0))

    def _note(self, option: str, args: list[str]) -> None:
        # The value is also withheld from the library, which would act on some of these directives.
        value = args[0].lower()
        args.clear()
        if value not in ("no", "none", "false") and (option, value) != ("RequestTTY", "auto"):
            self.ignored.append(f"{option} ({self._path}, line {self._line_no}): {UNHONOURED[option]}")


ConfigReader._handlers = {
    **SSHClientConfig._handlers,
    # Under another name: the library would apply it to the user's keys too, but not to the authorities.
    "casignaturealgorithms": ("_CASignatureAlgorithms", ConfigReader._set_exact),
    "checkhostip": ("CheckHostIP", ConfigReader._set_bool),
    "hashknownhosts": ("HashKnownHosts", ConfigReader._set_bool),
    "include": ("Include", ConfigReader._include),
    "match": ("Match", ConfigReader._match),
    "hostkeyalias": ("HostKeyAlias", ConfigReader._set_exact),
    "knownhostscommand": ("KnownHostsCommand", ConfigReader._set_string_list),
    "requiredrsasize": ("RequiredRSASize", ConfigReader._set_int),
    "revokedhostkeys": ("RevokedHostKeys", ConfigReader._set_string_list),
    "stricthostkeychecking": ("StrictHostKeyChecking", ConfigReader._set_exact),
    **{name.lower(): (name, ConfigReader._note) for name in UNHONOURED},
}
