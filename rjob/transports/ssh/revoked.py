"""Checking a host's key against the files of RevokedHostKeys; if that is impossible, the key counts as revoked."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from typing import TYPE_CHECKING

import asyncssh
from asyncssh.packet import SSHPacket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BINARY = b"SSHKRL\n\0"
_PATIENCE = 10.0


def problem(file: Path, data: bytes, keys: Sequence[asyncssh.SSHKey]) -> str | None:
    """Return why a key must not be trusted.

    Args:
        file: A list of public keys, one per line, or a key revocation list made by ``ssh-keygen -k``.
        data: The key or certificate that the host showed, in SSH's binary form.
        keys: The key itself, and the authority that signed it.

    Returns:
        The reason; None if the file can be read and does not hold the key.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        return f"RevokedHostKeys {file} cannot be read: {error.strerror}"
    if content.startswith(_BINARY):
        return _ask_openssh(file, data)
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            key = asyncssh.import_public_key(line)
        except (ValueError, LookupError):
            return f"RevokedHostKeys {file} cannot be read: line {number} is no public key"
        if key in keys:
            return f"the key is revoked by {file}, line {number}"
    return None


def _ask_openssh(file: Path, data: bytes) -> str | None:
    kind = SSHPacket(data).get_string()
    with tempfile.NamedTemporaryFile(prefix="rjob-", suffix=".pub") as shown:
        shown.write(kind + b" " + base64.b64encode(data) + b"\n")
        shown.flush()
        try:
            done = subprocess.run(
                ["ssh-keygen", "-Q", "-f", file, shown.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return f"RevokedHostKeys {file} cannot be read without ssh-keygen"
    return None if done.returncode == 0 else f"the key is revoked by {file}, or that cannot be read"
