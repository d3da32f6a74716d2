"""The algorithms that OpenSSH admits for host keys; the library's defaults also admit SHA-1 signatures and more."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""The default of HostKeyAlgorithms without certificates, and of CASignatureAlgorithms."""

CERTIFICATES = tuple(f"{name.removesuffix('@openssh.com')}-cert-v01@openssh.com" for name in PLAIN)
"""The default of HostKeyAlgorithms for certificates."""

SMALLEST_RSA = 1024
"""The smallest RSA key in bits, whatever RequiredRSASize says."""


def choose(wanted: str | None, defaults: Sequence[str]) -> list[str]:
    """Apply a directive to its default, as in ssh_config(5).

    Args:
        wanted: Names; after ``+`` they are added, after ``-`` removed (patterns), after ``^`` put first. Or None.
        defaults: The value without the directive.
    """
    if not wanted:
        return list(defaults)
    names = wanted.lstrip("+-^").split(",")
    if wanted.startswith("-"):
        return [name for name in defaults if not any(fnmatchcase(name, pattern) for pattern in names)]
    if wanted.startswith("+"):
        names = [*defaults, *names]
    elif wanted.startswith("^"):
        names = [*names, *defaults]
    return list(dict.fromkeys(names))
