"""Verification of SSH host keys: ``known_hosts``, read and appended to.

The library would switch verification off for ``UserKnownHostsFile none`` and does not know StrictHostKeyChecking. So
it only gets the keys that were found here, and calls :meth:`HostKeys.judge` about every other key. Whatever else
OpenSSH refuses, :meth:`HostKeys.inspect` refuses before the library checks the key.
"""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

import asyncssh
from asyncssh.packet import SSHPacket, String
from asyncssh.public_key import decode_ssh_certificate, decode_ssh_public_key

from rjob.errors import ConfigError, HostKeyRejected
from rjob.transports.ssh import algorithms, knownhosts, revoked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncssh.public_key import SSHOpenSSHCertificate

    from rjob.transports.ssh.config import HostSettings
    from rjob.transports.ssh.knownhosts import Entry

logger = logging.getLogger("rjob.ssh")


class HostKeys:
    """The known keys of one host, and the result of checking the key that it showed.

    Args:
        host: The host.
        direct: Whether it is reached without a jump host, so that ``ssh-keyscan`` can reach it as well.

    Raises:
        ConfigError: The KnownHostsCommand failed.
    """

    def __init__(self, host: HostSettings, *, direct: bool) -> None:
        self._host = host
        self._alias = bool(host.config.get("HostKeyAlias"))
        self._direct = direct and not host.config.get("ProxyCommand") and not self._alias
        self._accepted: asyncssh.SSHKey | None = None
        self.refusal: HostKeyRejected | None = None
        self._known: dict[asyncssh.SSHKey, Entry] = {}
        self._authorities: list[asyncssh.SSHKey] = []
        self._revoked: list[asyncssh.SSHKey] = []
        self._entries = [*knownhosts.read(*host.known_hosts, *host.global_known_hosts), *_told(host)]
        self._learn(self._entries, host.key_name)
        if host.port != 22 and not self._alias and not self._known and not self._authorities:
            # As in OpenSSH, a host on another port may be known by its bare name.
            self._learn(self._entries, host.hostname.lower())

    def _learn(self, entries: Iterable[Entry], name: str) -> None:
        for entry in entries:
            if not knownhosts.matches(entry.names, name) or (key := _key(entry)) is None:
                continue
            if entry.marker == "@revoked":
                self._revoked.append(key)
            elif entry.marker == "@cert-authority":
                self._authorities.append(key)
            elif not entry.marker:
                self._known[key] = entry

    def trusted(self, _host: str, _addr: str, _port: int | None) -> tuple[list[asyncssh.SSHKey], ...]:
        """Return the keys that the library may accept without asking, in the form that it expects."""
        return list(self._known), self._authorities, self._revoked, [], [], [], []

    def algorithms(self) -> list[str]:
        """Return the key types to request: the types of known keys first, so that the host shows its known key."""
        known = {name.decode() for key in self._known for name in key.sig_algorithms}
        plain = sorted(algorithms.PLAIN, key=lambda name: name not in known)
        certificates = algorithms.CERTIFICATES if self._authorities else ()
        wanted = cast("str | None", self._host.config.get("HostKeyAlgorithms"))
        return algorithms.choose(wanted, [*certificates, *plain])

    def inspect(self, data: bytes, address: str) -> None:
        """Refuse a key that OpenSSH refuses but the library accepts, and keep the reason in :attr:`refusal`.

        Args:
            data: The key or certificate that the host showed, in SSH's binary form.
            address: The address of the host.

        Raises:
            HostKeyNotVerifiable: The key is refused.
        """
        try:
            certificate = cast("SSHOpenSSHCertificate", decode_ssh_certificate(data))
            keys = [certificate.key, certificate.signing_key]
            problem = self._problem_of_authority(data, certificate.signing_key)
        except asyncssh.KeyImportError:
            keys, problem = [decode_ssh_public_key(data)], self._problem_of_address(data, address)
        problem = problem or self._problem_of_size(keys[0])
        for file in self._host.revoked:
            problem = problem or revoked.problem(file, data, keys)
        if problem is not None:
            self.refuse(problem)
            raise asyncssh.HostKeyNotVerifiable(problem)

    def _problem_of_authority(self, data: bytes, authority: asyncssh.SSHKey) -> str | None:
        """Return why the signature of a certificate is not admitted; None if it is."""
        wanted = cast("str | None", self._host.config.get("_CASignatureAlgorithms"))
        # A certificate ends with the authority's key and its signature, which begins with its algorithm.
        signature = data.rpartition(String(authority.public_data))[2]
        used = SSHPacket(SSHPacket(signature).get_string()).get_string().decode("ascii", "replace")
        if used in algorithms.choose(wanted, algorithms.PLAIN):
            return None
        return f"its certificate is signed with {used}, which CASignatureAlgorithms does not admit"

    def _problem_of_address(self, data: bytes, address: str) -> str | None:
        """Return the conflict with known_hosts for the host's address, if CheckHostIP is set; None if there is none."""
        if not self._host.config.get("CheckHostIP") or not self._direct or address == self._host.hostname:
            return None
        name = address.lower() if self._host.port == 22 else f"[{address.lower()}]:{self._host.port}"
        lines = [entry for entry in self._entries if not entry.marker and knownhosts.matches(entry.names, name)]
        keys = [key for key in map(_key, lines) if key is not None]
        if not keys or decode_ssh_public_key(data) in keys:
            return None
        return f"CheckHostIP: known_hosts has another key for {address}, in {lines[0].file}, line {lines[0].line}"

    def _problem_of_size(self, key: asyncssh.SSHKey) -> str | None:
        least = max(algorithms.SMALLEST_RSA, cast("int", self._host.config.get("RequiredRSASize", 0)))
        bits = getattr(key.pyca_key, "key_size", least) if key.algorithm == b"ssh-rsa" else least
        return None if bits >= least else f"its RSA key has {bits} bits; RequiredRSASize is {least}"

    def judge(self, key: asyncssh.SSHKey) -> bool:
        """Decide whether to accept an unknown key; keep the reason for a refusal in :attr:`refusal`."""
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
        elif self._host.policy == "yes" or not self._host.known_hosts:  # OpenSSH accepts no key that it cannot record
            self.refusal = HostKeyRejected(
                f"the host key of {self._host.where} is not known: {shown}",
                hint=self._way_out(key),
                host=self._host.name,
            )
        else:
            self._accepted = key
        return self.refusal is None

    def refuse(self, reason: str) -> None:
        """Keep the first reason in :attr:`refusal`, including the library's own, such as a revoked key."""
        self.refusal = self.refusal or HostKeyRejected(
            f"the host key of {self._host.where} is refused: {reason}",
            hint="ask whoever runs the host; the reason stands in known_hosts or in the SSH configuration",
            host=self._host.name,
        )

    def remember(self) -> None:
        """Append the accepted key to known_hosts, once the host has proved that it owns the key."""
        if self._accepted is None or not self._host.known_hosts:
            return
        file = self._host.known_hosts[0]
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            line = knownhosts.line(self._host.key_name, self._accepted, hashed=self._host.hash_hosts)
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
            line = knownhosts.line(self._host.key_name, key, hashed=False)
            return f"compare the fingerprint, then: echo {shlex.quote(line)} >> {file}"
        port = "" if self._host.port == 22 else f"-p {self._host.port} "
        return f"compare the fingerprint, then: ssh-keyscan {port}{shlex.quote(self._host.hostname)} >> {file}"


def _key(entry: Entry) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.import_public_key(entry.key)
    except asyncssh.KeyImportError:
        return None  # the host cannot offer a key type that the library does not support


def _told(host: HostSettings) -> tuple[Entry, ...]:
    """Return the output of a host's KnownHostsCommand."""
    command = cast("list[str]", host.config.get("KnownHostsCommand", []))
    if not command:
        return ()
    for word in command:
        if any(token in word for token in ("%f", "%K", "%t")):
            hint = "rjob asks before it has seen the host's key; the plugin rjob-openssh can do it"
            raise ConfigError("KnownHostsCommand with %f, %K or %t is not possible here", hint=hint, host=host.name)
    try:
        words = [word.replace("%H", host.key_name).replace("%I", "HOSTNAME") for word in command]
        return knownhosts.ask(words, host.connect_timeout)
    except ConfigError as error:
        error.host = host.name
        raise


def _shown_path(path: Path) -> str:
    home = Path.home()
    if path.is_relative_to(home):
        return f"~/{shlex.quote(str(path.relative_to(home)))}"
    return shlex.quote(str(path))
