"""Importing asyncssh without the parts that take a third of its import time and are not needed here."""

from __future__ import annotations

import ctypes.util
import sys


def load() -> None:
    """Import asyncssh, once, before any other module of this package does.

    Two things are left out: X.509 certificates, which OpenSSH does not support; and liboqs and nettle, which provide
    a key exchange and MACs that no server insists on, because looking for them starts ldconfig, gcc and ld.
    """
    if "asyncssh" in sys.modules:
        return
    find_library = ctypes.util.find_library
    ctypes.util.find_library = lambda name: None
    # A None entry makes the import statement fail, and asyncssh then works without the module.
    sys.modules["asyncssh.crypto.x509"] = None  # type: ignore[assignment]
    try:
        import asyncssh  # noqa: F401
    finally:
        ctypes.util.find_library = find_library
        del sys.modules["asyncssh.crypto.x509"]
