"""Reads and writes lines of ``known_hosts``: files, and what a KnownHostsCommand prints in their form."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rjob.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import asyncssh


class Entry(NamedTuple):
    """One line of a ``known_hosts`` file."""

    file: Path
    line: int
    marker: str
    names: str
    key: str


def read(*files: Path) -> Iterator[Entry]:
    """Read files of known host keys.

    Args:
        files: Those that are not there, or cannot be read, know no hosts.
    """
    for file in files:
        try:
            status = file.stat()
            yield from _read(file, status.st_mtime_ns, status.st_size)
        except OSError:
            continue  # as in OpenSSH: a file that is not there knows no hosts


@functools.lru_cache(maxsize=16)
def _read(file: Path, _modified: int, _size: int) -> tuple[Entry, ...]:
    """Read a file once per process, unless it changed: a fan-out looks every host up in it."""
    return _parse(file, file.read_bytes())


def ask(command: Sequence[str], patience: float) -> tuple[Entry, ...]:
    """Run a KnownHostsCommand, as OpenSSH does: no shell, an absolute path, and a failure is no empty answer.

    Args:
        command: Its words.
        patience: Seconds after which it counts as failed.

    Raises:
        ConfigError: It cannot be run, or failed.
    """
    if not command[0].startswith("/"):
        raise ConfigError(f"KnownHostsCommand needs an absolute path, not {command[0]!r}")
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            f"KnownHostsCommand {command[0]} failed: {getattr(error, 'strerror', None) or error}"
        ) from error
    if done.returncode != 0:
        raise ConfigError(f"KnownHostsCommand {command[0]} failed: exit status {done.returncode}")
    return _parse(Path(command[0]), done.stdout)


def _parse(file: Path, data: bytes) -> tuple[Entry, ...]:
    """Split a file into its lines; its keys are decoded only in lines that match, for that is what costs."""
    entries = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#"):
            entries.append(Entry(file, number, marker, words[0], f"{words[1]} {words[2]}"))
    return tuple(entries)


def matches(names: str, name: str) -> bool:
    """Tell whether a line's names (``a,*.b,!c``, ``[a]:2222`` or one hashed) hold a name.

    Args:
        names: The line's first field.
        name: The name to look for.
    """
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


def line(name: str, key: asyncssh.SSHKey, *, hashed: bool) -> str:
    """Make a line of a known host.

    Args:
        name: The name to know it by.
        key: Its key.
        hashed: Whether to hash the name.
    """
    if hashed:
        salt = secrets.token_bytes(20)
        digest = hmac.digest(salt, name.encode(), hashlib.sha1)
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    kind, data = key.export_public_key("openssh").decode().split()[:2]
    return f"{name} {kind} {data}"
