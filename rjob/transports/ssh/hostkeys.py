"""Owns the decision whether an SSH host is the one that it says it is: ``known_hosts``, read and added to.

The library would switch verification off for ``UserKnownHostsFile none`` and knows nothing of StrictHostKeyChecking, so
it only gets the keys that were found here, and asks :meth:`HostKeys.judge` about every other one.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import logging
import os
import re
import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from rjob.errors import HostKeyRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rjob.transports.ssh.config import HostSettings

logger = logging.getLogger("rjob.ssh")


class Entry(NamedTuple):
    """One line of a ``known_hosts`` file."""

    file: Path
    line: int
    marker: str
    names: str
    key: str


class HostKeys:
    """What is known about one host's keys, and what was found when it was called.

    Args:
        host: The host.
        direct: Whether it is reached without a jump host, so that ``ssh-keyscan`` can reach it as well.
    """

    def __init__(self, host: HostSettings, *, direct: bool) -> None:
        self._host = host
        self._direct = direct and not host.config.get("ProxyCommand") and not host.config.get("HostKeyAlias")
        self._accepted: asyncssh.SSHKey | None = None
        self.refusal: HostKeyRejected | None = None
        self._known: dict[asyncssh.SSHKey, Entry] = {}
        self._authorities: list[asyncssh.SSHKey] = []
        self._revoked: list[asyncssh.SSHKey] = []
        entries = list(_read(*host.known_hosts, *host.global_known_hosts))
        self._learn(entries, host.key_name)
        if host.key_name.startswith("[") and not self._known and not self._authorities:
            # As in OpenSSH: a host on another port may be known by its bare name.
            self._learn(entries, host.hostname.lower())

    def _learn(self, entries: Iterable[Entry], name: str) -> None:
        for entry in entries:
            if not _matches(entry.names, name):
                continue
            try:
                key = asyncssh.import_public_key(entry.key)
            except asyncssh.KeyImportError:
                continue  # a kind of key that the library does not know cannot be offered by the host either
            if entry.marker == "@revoked":
                self._revoked.append(key)
            elif entry.marker == "@cert-authority":
                self._authorities.append(key)
            elif not entry.marker:
                self._known[key] = entry

    def trusted(self, _host: str, _addr: str, _port: int | None) -> tuple[list[asyncssh.SSHKey], ...]:
        """The keys that the library may take without asking, in the form in which it wants them."""
        return list(self._known), self._authorities, self._revoked, [], [], [], []

    def algorithms(self) -> list[str] | tuple[()]:
        """The kinds of key to ask the host for: those that are known first, so that its known key is the one shown."""
        if self._host.config.get("HostKeyAlgorithms"):
            return ()
        known = [name for key in self._known for name in key.sig_algorithms]
        certificates = get_default_certificate_algs() if self._authorities else []
        return [name.decode() for name in dict.fromkeys([*certificates, *known, *get_default_public_key_algs()])]

    def judge(self, key: asyncssh.SSHKey) -> bool:
        """Decide about a key that is not known, and keep the reason for a refusal in :attr:`refusal`."""
        shown = f"{key.get_algorithm()} {key.get_fingerprint()}"
        if self._known:
            entry = next(iter(self._known.values()))
            self.refusal = HostKeyRejected(
                f"the host key of {self._host.where} has CHANGED: {shown} is not the one in {entry.file}, "
                f"line {entry.line}",
                hint="if that is expected: ssh-keygen -f "
                f"{_shown_path(entry.file)} -R {shlex.quote(self._host.key_name)}",
                host=self._host.name,
            )
        elif self._host.policy == "yes":
            self.refusal = HostKeyRejected(
                f"the host key of {self._host.where} is not known: {shown}",
                hint=self._way_out(key),
                host=self._host.name,
            )
        else:
            self._accepted = key
        return self.refusal is None

    def reject(self, reason: str) -> HostKeyRejected:
        """The refusal, also where it was the library's own: a revoked key, a certificate of somebody else."""
        return self.refusal or HostKeyRejected(
            f"the host key of {self._host.where} is refused: {reason}",
            hint="ask whoever runs the host; the reason stands in known_hosts",
            host=self._host.name,
        )

    def remember(self) -> None:
        """Write down the key that was accepted, once the host has proved that it owns it."""
        if self._accepted is None or not self._host.known_hosts:
            return
        file = self._host.known_hosts[0]
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            line = _line(self._host.key_name, self._accepted, hashed=self._host.hash_hosts)
            descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, b"\n" * torn + line.encode() + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("%s: cannot remember the host key in %s: %s", self._host.name, file, error.strerror)

    def _way_out(self, key: asyncssh.SSHKey) -> str:
        if not self._host.known_hosts:
            return "there is no known_hosts file to add it to: name one with known_hosts in the host's settings"
        file = _shown_path(self._host.known_hosts[0])
        if not self._direct:
            line = _line(self._host.key_name, key, hashed=False)
            return f"compare the fingerprint, then: echo {shlex.quote(line)} >> {file}"
        port = "" if self._host.port == 22 else f"-p {self._host.port} "
        return f"compare the fingerprint, then: ssh-keyscan {port}{shlex.quote(self._host.hostname)} >> {file}"


def _line(name: str, key: asyncssh.SSHKey, *, hashed: bool) -> str:
    if hashed:
        salt = secrets.token_bytes(20)
        digest = hmac.digest(salt, name.encode(), hashlib.sha1)
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    kind, data = key.export_public_key("openssh").decode().split()[:2]
    return f"{name} {kind} {data}"


def _shown_path(path: Path) -> str:
    home = Path.home()
    if path.is_relative_to(home):
        return f"~/{shlex.quote(str(path.relative_to(home)))}"
    return shlex.quote(str(path))


def _read(*files: Path) -> Iterator[Entry]:
    for file in files:
        try:
            status = file.stat()
            yield from _parse(file, status.st_mtime_ns, status.st_size)
        except OSError:
            continue  # as in OpenSSH: a file that is not there knows no hosts


@functools.lru_cache(maxsize=16)
def _parse(file: Path, _modified: int, _size: int) -> tuple[Entry, ...]:
    """Split a file into its lines; its keys are decoded only in lines that match, for that is what costs."""
    entries = []
    for number, line in enumerate(file.read_bytes().decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#"):
            entries.append(Entry(file, number, marker, words[0], f"{words[1]} {words[2]}"))
    return tuple(entries)


def _matches(names: str, name: str) -> bool:
    """Whether a line's names (``a,*.b,!c``, ``[a]:2222`` or one hashed) hold this one."""
    if names.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part) for part in names[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), hashlib.sha1), digest)
    if not re.search(r"[*?!]", names):  # nearly every line, and there may be thousands
        return name in names.lower().split(",")
    found = False
    for pattern in names.lower().split(","):
        if _glob(pattern.removeprefix("!")).fullmatch(name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


@functools.lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    # Not fnmatch: its brackets are those of "[host]:port".
    return re.compile("".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern))
