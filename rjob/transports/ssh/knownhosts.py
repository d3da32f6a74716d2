"""Reading and writing lines of ``known_hosts``, as in files and in the output of a KnownHostsCommand."""

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
        files: The files; missing and unreadable ones are ignored.
    """
    for file in files:
        try:
            status = file.stat()
            yield from _read(file, status.st_mtime_ns, status.st_size)
        except OSError:
            continue  # as in OpenSSH, a missing file has no known hosts


@functools.lru_cache(maxsize=16)
def _read(file: Path, _modified: int, _size: int) -> tuple[Entry, ...]:
    """Read a file once per process, unless it changes: a fan-out looks up every host in it."""
    return _parse(file, file.read_bytes())


def ask(command: Sequence[str], patience: float) -> tuple[Entry, ...]:
    """Run a KnownHostsCommand as OpenSSH does: without a shell, with an absolute path; a failure is an error.

    Args:
        command: The command and its arguments.
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
    """Split a file into entries. Keys are decoded only in lines that match, because decoding is slow."""
    entries = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#"):
            entries.append(Entry(file, number, marker, words[0], f"{words[1]} {words[2]}"))
    return tuple(entries)


def matches(names: str, name: str) -> bool:
    """Whether a line's names (``a,*.b,!c``, ``[a]:2222`` or one hashed) match a name.

    Args:
        names: The line's first field.
        name: The name to look up.
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
    # Not fnmatch: the brackets of "[host]:port" are literal.
    return re.compile("".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern))


def line(name: str, key: asyncssh.SSHKey, *, hashed: bool) -> str:
    """Build the line for a known host.

    Args:
        name: The host's name.
        key: Its key.
        hashed: Whether to hash the name.
    """
    if hashed:
        salt = secrets.token_bytes(20)
        digest = hmac.digest(salt, name.encode(), hashlib.sha1)
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    kind, data = key.export_public_key("openssh").decode().split()[:2]
    return f"{name} {kind} {data}"
