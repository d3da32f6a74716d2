"""How rjob and a runner speak: the operations, the bytes of a request, the bytes of a reply.

A request is one command on the host (:func:`bootstrap`) and these bytes on its standard input::

    HOME                      where rjob's files are on the host; empty for the default
    OPERATION LINES SIZE      how many lines and how many bytes follow
    …                         LINES lines
    go
    …                         SIZE bytes

The reply stands between ``MARKER begin`` and ``MARKER end``; whatever a login shell prints around it is ignored.  The
marker is random, so nothing that a job writes can be taken for it.  docs/reference/runner-protocol.md lists the
operations with their lines and replies; :data:`OPERATIONS` holds their names, and every runner performs all of them.
"""

import os
import re
from typing import NamedTuple

from rjob.errors import OwnerError, ProtocolError

try:
    # hashlib loads OpenSSL, which takes longer than all the rest of a local verb.
    from _blake2 import blake2b
except ImportError:  # pragma: no cover  (an interpreter without it)
    from hashlib import blake2b

OPERATIONS = frozenset(
    (
        "start",
        "facts",
        "read",
        "received",
        "save",
        "follow",
        "wait",
        "signal",
        "tree",
        "stop",
        "conclude",
        "remove",
        "compact",
        "rebuild",
        "info",
    )
)
"""What every runner can do."""

_LINE_LIMIT = 16 * 1024 * 1024
_TEXT_LIMIT = 512 * 1024 * 1024
"""Bytes of lines in one reply; what follows ``data`` and ``stream`` is not counted."""
_NOISE_LIMIT = 1024 * 1024
_NOISE_SHOWN = 2000

# One line, without ' ! \ and newlines, so that any login shell hands it on.
_LOCATE = (
    "IFS= read -r rj_home || exit 1; case $rj_home in "
    '"") rj_home=${HOME:?}/.local/state/rjob;; "~/"*) rj_home=$HOME/${rj_home#??};; esac; '
)
_SERVE = (
    'rj_self=$rj_home/runner/{name}; if [ -f "$rj_self" ] && [ -O "$rj_self" ] && [ -O "$rj_home" ]; '
    'then . "$rj_self"; else echo "$1 absent"; fi'
)


class Runner(NamedTuple):
    """A script that performs the operations on one kind of machine."""

    name: str
    """Its file's name on the host, which holds its content's hash."""
    script: bytes

    def bootstrap(self, marker: str) -> list[str]:
        """The command that performs one request.

        Args:
            marker: What frames the reply (:func:`new_marker`).

        Returns:
            Its words, as :meth:`rjob.transports.base.Connection.run` takes them.
        """
        return ["sh", "-c", _LOCATE + _SERVE.format(name=self.name), "rjob", marker]

    def installer(self, marker: str) -> list[str]:
        """The command that takes the script (:meth:`install_request`) from standard input and keeps it on the host."""
        return ["sh", "-c", _LOCATE + _KEEP.format(name=self.name, size=len(self.script)), "rjob", marker]

    def install_request(self, home: str) -> bytes:
        """The bytes for :meth:`installer`'s standard input."""
        return os.fsencode(home) + b"\n" + self.script


# Written beside, checked, renamed; a folder of somebody else's is left alone.
_KEEP = (
    "umask 077; rj_dir=$rj_home/runner; rj_new=$rj_dir/{name}.$$; "
    'if [ -e "$rj_home" ] && ( [ -O "$rj_home" ] && exit 1; exit 0 ); then echo "$1 error foreign $rj_home"; '
    'elif rj_why=$(mkdir -p "$rj_dir" 2>&1 && cat >"$rj_new" && [ $(wc -c <"$rj_new") -eq {size} ] 2>&1 '
    '&& mv -f "$rj_new" "$rj_dir/{name}" 2>&1); then echo "$1 installed"; '
    'else rm -f "$rj_new" 2>/dev/null; echo "$1 error read-only $rj_dir"; fi'
)


_POSIX = (
    "job",
    "owner",
    "lock",
    "journal",
    "start",
    "select",
    "facts",
    "output",
    "watch",
    "signals",
    "upkeep",
    "serve",
)


def posix_runner() -> Runner:
    """The runner for POSIX machines: the parts in ``posix/``, one behind the other."""
    folder = os.path.join(os.path.dirname(__file__), "posix")
    parts = []
    for part in _POSIX:
        with open(os.path.join(folder, part + ".sh"), "rb") as file:
            parts.append(file.read())
    script = b"\n".join(parts)
    return Runner("posix-" + blake2b(script, digest_size=16).hexdigest(), script)


def new_marker() -> str:
    """A word that nobody can guess."""
    return os.urandom(16).hex()


def request(operation: str, *lines: str | bytes, body: bytes = b"", home: str = "") -> bytes:
    """The bytes that ask for one operation.

    Args:
        operation: One of :data:`OPERATIONS`.
        lines: Its arguments.
        body: Its bytes.
        home: Where rjob's files are on the host; empty for the default.

    Raises:
        ValueError: A line holds a newline or a NUL, or there is no such operation.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"no such operation: {operation}")
    encoded = [os.fsencode(line) if isinstance(line, str) else line for line in (home, *lines)]
    if any(b"\n" in line or b"\0" in line for line in encoded):
        raise ValueError("a line of a request must not hold a newline or NUL")
    head = f"{operation} {len(lines)} {len(body)}".encode()
    return b"\n".join([encoded[0], head, *encoded[1:], b"go\n"]) + body


def escape(value: str) -> bytes:
    """A value of any text on one line (``%0A`` and ``%25``)."""
    return os.fsencode(value).replace(b"%", b"%25").replace(b"\n", b"%0A")


class Line(NamedTuple):
    """A line of a reply, without its newline."""

    text: str

    @property
    def words(self) -> list[str]:
        """The line's words."""
        return self.text.split(" ")


class Data(NamedTuple):
    """The head of bytes that follow: what they are, where in it they begin, how many."""

    name: str
    offset: int
    size: int


class Bytes(NamedTuple):
    """Some of the bytes that were announced, or of a followed stream."""

    data: bytes
    stream: str = "out"


class Ready(NamedTuple):
    """The runner waits for more on its standard input."""


class End(NamedTuple):
    """The reply is complete."""


class Absent(NamedTuple):
    """The runner is not on the host: install it and ask again."""


Event = Line | Data | Bytes | Ready | End | Absent


class Reply:
    """Reads a reply, whatever pieces it comes in.

    Args:
        marker: What frames it.
        streaming: Whether the reply is a followed stream (``follow``).
    """

    def __init__(self, marker: str, *, streaming: bool = False) -> None:
        self._marker = marker.encode()
        self._buffer = b""
        self._at = 0
        self._raw = 0
        self.begun = False
        self.ended = False
        self._streams = {"out": _Stream(self._marker), "err": _Stream(self._marker)} if streaming else None
        self._noise = b""
        self._unread = 0
        self._text = 0

    def feed(self, stream: str, data: bytes) -> list[Event]:
        """Take bytes of the command's ``out`` or ``err``.

        Returns:
            What they complete.

        Raises:
            OwnerError: The runner says that it cannot do it.
            ProtocolError: This is no reply.
        """
        if self.ended:
            return []
        if not self.begun:
            self._unread += len(data)
            if self._unread > _NOISE_LIMIT and self._marker not in self._buffer + data:
                raise ProtocolError(
                    "the host talks without end and does not answer",
                    hint="does its login shell start a program? see what `ssh HOST true` prints",
                )
        if stream == "err":
            if self._streams:
                return [Bytes(part, "err") for part in self._streams["err"].feed(data)]
            self._noise = (self._noise + data)[-_NOISE_SHOWN:]
            return []
        if self._streams and self._streams["out"].begun and not self._streams["out"].over:
            return self._follow(data)
        # What was taken is cut off once for all the lines of a piece: cutting at each would copy the rest each time.
        self._buffer += data
        events: list[Event] = []
        try:
            while self._step(events):
                pass
        finally:
            self._buffer, self._at = self._buffer[self._at :], 0
        if len(self._buffer) > _LINE_LIMIT:
            raise ProtocolError("the reply has a line without end")
        return events

    @property
    def said(self) -> bytes:
        """The end of what came instead of a reply, for error messages."""
        return self._noise if self.begun else (self._noise + self._buffer)[-_NOISE_SHOWN:]

    def _follow(self, data: bytes) -> list[Event]:
        assert self._streams is not None
        out = self._streams["out"]
        events: list[Event] = [Bytes(part) for part in out.feed(data)]
        if out.over:
            events += self.feed("out", out.rest)
        return events

    def _step(self, events: list[Event]) -> bool:
        """Take one thing from the buffer; say whether there was one."""
        if self.ended:
            return False
        if self._raw:
            return self._take_raw(events)
        if not self.begun and not self._find_begin():
            return False
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            return False
        line, self._at = self._buffer[self._at : end], end + 1
        # Empty lines count, too: no host may keep this busy for ever.
        self._text += len(line) + 32
        if self._text > _TEXT_LIMIT:
            raise ProtocolError("the reply does not end", hint="ask for fewer jobs at a time, as --newest does")
        self._take_line(os.fsdecode(line), events)
        return True

    def _find_begin(self) -> bool:
        """Look for the marker's line; what stands before it is a login shell's."""
        at = self._buffer.find(self._marker)
        if at < 0:
            # It may have begun to arrive.
            at = max(0, len(self._buffer) - len(self._marker))
        self._noise = (self._noise + self._buffer[:at])[-_NOISE_SHOWN:]
        self._buffer = self._buffer[at:]
        self.begun = self._buffer.startswith(self._marker) and b"\n" in self._buffer
        return self.begun

    def _take_raw(self, events: list[Event]) -> bool:
        part = self._buffer[self._at : self._at + self._raw]
        if not part:
            return False
        self._at += len(part)
        self._raw -= len(part)
        events.append(Bytes(part))
        return True

    def _take_line(self, text: str, events: list[Event]) -> None:
        first, _, rest = text.partition(" ")
        if first == self._marker.decode():
            self._take_mark(rest, events)
        elif first == "error":
            raise owner_error(rest)
        elif first == "data":
            name, offset, size = _data_words(rest)
            self._raw = size
            events.append(Data(name, offset, size))
        else:
            events.append(Line(text))

    def _take_mark(self, word: str, events: list[Event]) -> None:
        if word in ("begin", "beat"):
            return
        if word in ("end", "installed"):
            self.ended = True
            events.append(End())
        elif word == "absent":
            self.ended = True
            events.append(Absent())
        elif word == "ready":
            events.append(Ready())
        elif word == "stream" and self._streams:
            out = self._streams["out"]
            out.begun = True
            data, self._buffer, self._at = self._buffer[self._at :], b"", 0
            events += self._follow(data)
        elif word.startswith("error "):
            raise owner_error(word[6:])
        else:
            raise ProtocolError(f"the reply has an unknown mark: {word[:80]!r}")


class _Stream:
    """One followed stream: everything up to the marker, as early as it can be told from it.

    A sign of life (``MARKER beat``) may stand anywhere in it: one process writes the stream, another these lines.
    """

    def __init__(self, marker: bytes) -> None:
        self._begin = marker + b" stream\n"
        self._end = marker + b" over\n"
        self._beat = marker + b" beat\n"
        self._held = b""
        self.begun = False
        self.over = False
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        if self.over:
            return []
        data = self._held + data
        self._held = b""
        if not self.begun:
            at = data.find(self._begin)
            if at < 0:
                self._held = data[-len(self._begin) :]
                return []
            self.begun = True
            data = data[at + len(self._begin) :]
        at = data.find(self._end)
        if at >= 0:
            self.over = True
            self.rest = data[at + len(self._end) :]
            data = data[:at]
        data = data.replace(self._beat, b"")
        if not self.over:
            keep = max(_overlap(data, self._end), _overlap(data, self._beat))
            if keep:
                data, self._held = data[:-keep], data[-keep:]
        return [data] if data else []


def _overlap(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of ``data`` may be the beginning of ``mark``."""
    for size in range(min(len(data), len(mark) - 1), 0, -1):
        if data.endswith(mark[:size]):
            return size
    return 0


def _data_words(text: str) -> tuple[str, int, int]:
    match = re.fullmatch(r"(\S+) ([0-9]{1,18}) ([0-9]{1,18})", text)
    if match is None:
        raise ProtocolError(f"the reply has a broken data line: {text[:80]!r}")
    return match[1], int(match[2]), int(match[3])


_SAYINGS = {
    "read-only": ("cannot write to {}", "make it writable, or set `home` for this host in the settings file"),
    "no-space": ("cannot write to {}: no space left, or not permitted", "free some space there and try again"),
    "foreign": ("{} belongs to somebody else", "set RJOB_HOME (or `home` for this host) to a folder of your own"),
    "locked": ("the registry is locked by {}, and has been for a minute", "see what that process is waiting for"),
    "machine": ("not a usable machine id: {}", "set RJOB_MACHINE on that machine to letters and digits"),
    "cut": ("the request did not arrive whole", "try again: nothing was done"),
    "unknown-operation": ("the runner there does not know the operation {}", None),
}


def owner_error(text: str) -> OwnerError:
    """The error that a runner's ``error CODE TEXT`` line means."""
    code, _, detail = text[:_NOISE_SHOWN].partition(" ")
    message, hint = _SAYINGS.get(code, ("{}", None))
    # The word is for programs: what is none is not handed on.
    reason = code if re.fullmatch("[a-z][a-z-]{0,40}", code) else "owner"
    return OwnerError(message.format(detail or code), reason=reason, hint=hint)
