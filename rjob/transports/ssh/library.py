"""Owns how asyncssh is imported: without the parts that take a third of the time and serve nothing here."""

from __future__ import annotations

import ctypes.util
import sys


def load() -> None:
    """Import asyncssh, once, before any other module of this package does.

    Two things are left out.  X.509 certificates: OpenSSH knows none.  liboqs and nettle, which bring a key exchange and
    MACs that no server insists on: looking for them starts ldconfig, gcc and ld.
    """
    if "asyncssh" in sys.modules:
        return
    find_library = ctypes.util.find_library
    ctypes.util.find_library = lambda name: None
    # None says "not there" to an import statement, and asyncssh then does without it.
    sys.modules["asyncssh.crypto.x509"] = None  # type: ignore[assignment]
    try:
        import asyncssh  # noqa: F401
    finally:
        ctypes.util.find_library = find_library
        del sys.modules["asyncssh.crypto.x509"]
