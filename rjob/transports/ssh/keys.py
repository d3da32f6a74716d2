"""Authentication to SSH hosts: the agent's keys, key files, and passphrases as the last resort."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import threading
from typing import TYPE_CHECKING, NamedTuple, cast

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rjob.transports.ssh.config import HostSettings

_TRIES = 3
_asking = threading.Lock()
_passphrases: dict[Path, str] = {}
"""Passphrases entered so far, so that a fan-out asks once; kept for the lifetime of the process."""


class KeyFile(NamedTuple):
    """A key file: its public key if it is readable, its private key unless that is encrypted or stored elsewhere."""

    path: Path
    public: bytes | None
    private: asyncssh.SSHKey | None
    certificate: asyncssh.SSHCertificate | None
    encrypted: bool


class Keyring:
    """The keys to offer to one host, best first; further ones only after the previous ones were refused.

    Args:
        host: The host.
        prompting: Called with True before a passphrase is asked for and with False afterwards, in another thread.
    """

    def __init__(self, host: HostSettings, prompting: Callable[[bool], None]) -> None:
        self._host = host
        self._prompting = prompting
        self._files = [file for file in map(_load, host.identity_files) if file is not None]
        self._locked = [file for file in self._files if file.encrypted]
        self._agent: asyncssh.SSHAgentClient | None = None
        self._started = False
        self.offered: list[str] = []
        self.skipped: list[Path] = []

    async def next(self) -> Sequence[asyncssh.SSHKeyPair]:
        """Return the keys to try next; empty when there are no more."""
        if not self._started:
            self._started = True
            files = [file for file in self._files if file.private is not None]
            keys = [*await self._agent_keys(), *asyncssh.load_keypairs([_pair(file) for file in files])]
            self.offered.extend(str(file.path) for file in files)
            if keys:
                return keys
        while self._locked:
            file = self._locked.pop(0)
            if not self._can_ask():
                self.skipped.append(file.path)
                continue
            self.offered.append(str(file.path))
            with contextlib.suppress(asyncssh.KeyImportError, asyncssh.KeyEncryptionError, OSError):
                # If its public key is readable, the host is asked about the key before the user is asked.
                return await asyncio.to_thread(asyncssh.load_keypairs, str(file.path), cast("str", self._ask))
        return ()

    async def close(self) -> None:
        """Close the connection to the agent."""
        if self._agent is not None:
            self._agent.close()
            await self._agent.wait_closed()

    async def _agent_keys(self) -> list[asyncssh.SSHKeyPair]:
        """Return the agent's keys, those named by the configuration first: a host limits the number of failures."""
        if self._host.agent is None:
            return []
        try:
            self._agent = await asyncssh.connect_agent(self._host.agent)
            keys = list(await self._agent.get_keys())
        except (OSError, ValueError):
            return []  # an agent that does not answer counts as none
        named = [file.public for file in self._files if file.public is not None]
        if self._host.identities_only:
            keys = [key for key in keys if key.public_data in named]
        if keys:
            self.offered.append(f"{len(keys)} of the ssh-agent")
        return sorted(keys, key=lambda key: named.index(key.public_data) if key.public_data in named else len(named))

    def _can_ask(self) -> bool:
        """Whether a passphrase can be used and the user can be asked for it."""
        # bcrypt is an extra of the library, which cannot decrypt the current key format without it.
        return importlib.util.find_spec("bcrypt") is not None and self._host.caller.can_answer

    def _ask(self, filename: str) -> str | None:
        """Ask for a passphrase, one at a time; runs in a thread."""
        path = next(file.path for file in self._files if str(file.path) == filename)
        with _asking:
            if path in _passphrases:
                return _passphrases[path]
            self._prompting(True)
            try:
                for _ in range(_TRIES):
                    passphrase = self._host.caller.ask(f"Passphrase for {filename}: ")
                    if not passphrase:
                        return None
                    with contextlib.suppress(asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
                        asyncssh.read_private_key(filename, passphrase)
                        _passphrases[path] = passphrase
                        return passphrase
                return None
            finally:
                self._prompting(False)


def _pair(file: KeyFile) -> asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]:
    assert file.private is not None
    return file.private if file.certificate is None else (file.private, file.certificate)


def _load(path: Path) -> KeyFile | None:
    try:
        status = path.stat()
        return _read(path, status.st_mtime_ns)
    except OSError:
        return None


@functools.lru_cache(maxsize=64)
def _read(path: Path, _modified: int) -> KeyFile | None:
    """Read a key file once per process: a fan-out uses the same files for every host."""
    public = certificate = private = None
    encrypted = False
    for candidate in (path, path.with_name(f"{path.name}.pub")):
        with contextlib.suppress(OSError, asyncssh.KeyImportError):
            public = public or asyncssh.read_public_key(candidate).public_data
    with contextlib.suppress(OSError, asyncssh.KeyImportError):
        certificate = asyncssh.read_certificate(path.with_name(f"{path.name}-cert.pub"))
    try:
        private = asyncssh.read_private_key(path)
        public = private.public_data
    except asyncssh.KeyImportError as error:
        encrypted = str(error).startswith("Passphrase")
    if public is None and not encrypted:
        return None
    return KeyFile(path, public, private, certificate, encrypted)
