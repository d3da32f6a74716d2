"""The runner protocol: the bytes of a request, the parsing of a reply.

A request is one command on the host (:meth:`rjob.runner.base.Runner.words`) and these bytes on its standard input::

    MARKER                    a random word that frames the reply
    HOME                      the folder of rjob's files on the host; empty for the default
    OPERATION LINES SIZE [SPACE]   how many lines and how many bytes follow
    ...                       LINES lines
    go
    ...                       SIZE bytes

The reply is framed by ``MARKER begin`` and ``MARKER end``; output of a login shell around it is ignored. The marker
is random, so nothing that a job writes can be mistaken for it. docs/reference/runner-protocol.md lists the operations
with their lines and replies; :mod:`rjob.runner.operations` is the table that every runner performs.
"""

import os
import re
from typing import NamedTuple

from rjob.errors import OwnerError, ProtocolError
from rjob.runner.operations import OPERATIONS

_LINE_LIMIT = 16 * 1024 * 1024
_TEXT_LIMIT = 512 * 1024 * 1024
"""The most bytes of lines in one reply; the bytes after ``data`` lines are not counted."""
_NOISE_LIMIT = 1024 * 1024
_NOISE_SHOWN = 2000


def new_marker() -> str:
    """Return a random word that cannot be guessed."""
    return os.urandom(16).hex()


def request(
    marker: str, operation: str, *lines: str | bytes, body: bytes = b"", home: str = "", space: str = ""
) -> bytes:
    """Build the bytes of a request for one operation.

    Args:
        marker: The marker that frames the reply (:func:`new_marker`).
        operation: One of :data:`rjob.runner.operations.OPERATIONS`.
        lines: Its arguments.
        body: Its data.
        home: The folder of rjob's files on the host; empty for the default.
        space: The space there, letters and digits; empty for the default one, which everybody sees.

    Raises:
        ValueError: A line holds a newline or a NUL, or there is no such operation.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"no such operation: {operation}")
    encoded = [os.fsencode(line) if isinstance(line, str) else line for line in (home, *lines)]
    if any(b"\n" in line or b"\0" in line for line in encoded):
        raise ValueError("a line of a request must not hold a newline or NUL")
    head = f"{operation} {len(lines)} {len(body)} {space}".rstrip().encode()
    return b"\n".join([marker.encode(), encoded[0], head, *encoded[1:], b"go\n"]) + body


def escape(value: str) -> bytes:
    """Escape any text so that it fits on one line (``%0A`` and ``%25``)."""
    return os.fsencode(value).replace(b"%", b"%25").replace(b"\n", b"%0A")


class Line(NamedTuple):
    """A line of a reply, without its newline."""

    text: str

    @property
    def words(self) -> list[str]:
        """The line's words."""
        return self.text.split(" ")


class Data(NamedTuple):
    """The announcement of bytes that follow: the stream's name, the offset of the first byte, the number of bytes."""

    name: str
    offset: int
    size: int


class Bytes(NamedTuple):
    """Some of the bytes that were announced."""

    data: bytes


class Ready(NamedTuple):
    """The runner waits for further lines on its standard input."""


class End(NamedTuple):
    """The reply is complete."""


class Absent(NamedTuple):
    """The runner is not on the host: install it and send the request again."""


Event = Line | Data | Bytes | Ready | End | Absent


class Reply:
    """An incremental parser of a reply that arrives in arbitrary pieces.

    Args:
        marker: The marker that frames it.
        lasts: Whether it goes on as long as jobs are followed: then its data and marks do not count towards its limit.
    """

    def __init__(self, marker: str, *, lasts: bool = False) -> None:
        self._marker = marker.encode()
        self._lasts = lasts
        self._buffer = b""
        self._at = 0
        self._raw = 0
        self.begun = False
        self.ended = False
        self._noise = b""
        self._unread = 0
        self._text = 0

    def feed(self, stream: str, data: bytes) -> list[Event]:
        """Add bytes of the command's ``out`` or ``err``.

        Returns:
            The events that they complete.

        Raises:
            OwnerError: The runner reports that it cannot perform the operation.
            ProtocolError: This is not a reply.
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
            self._noise = (self._noise + data)[-_NOISE_SHOWN:]
            return []
        # Cut the buffer once for all the lines of a piece: cutting at each line would copy the rest each time.
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
        """The last bytes that came instead of a reply, for error messages."""
        return self._noise if self.begun else (self._noise + self._buffer)[-_NOISE_SHOWN:]

    def _step(self, events: list[Event]) -> bool:
        """Take one element from the buffer; return whether there was one."""
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
        # Empty lines count too: a host must not keep the client busy for ever, unless it is to follow jobs.
        if not (self._lasts and line.startswith((b"data ", self._marker))):
            self._text += len(line) + 32
        if self._text > _TEXT_LIMIT:
            raise ProtocolError("the reply does not end", hint="ask for fewer jobs at a time, as --newest does")
        self._take_line(os.fsdecode(line), events)
        return True

    def _find_begin(self) -> bool:
        """Find the marker's line; what precedes it is a login shell's output."""
        at = self._buffer.find(self._marker)
        if at < 0:
            # The buffer may end within the marker: keep that many bytes.
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
            # "beat" is a heartbeat: a sign of life while there is nothing to report.
            return
        if word in ("end", "installed"):
            self.ended = True
            events.append(End())
        elif word == "absent":
            self.ended = True
            events.append(Absent())
        elif word == "ready":
            events.append(Ready())
        elif word.startswith("error "):
            raise owner_error(word[6:])
        else:
            raise ProtocolError(f"the reply has an unknown mark: {word[:80]!r}")


def _data_words(text: str) -> tuple[str, int, int]:
    match = re.fullmatch(r"(\S+) ([0-9]{1,18}) ([0-9]{1,18})", text)
    if match is None:
        raise ProtocolError(f"the reply has a broken data line: {text[:80]!r}")
    return match[1], int(match[2]), int(match[3])


_SAYINGS = {
    "read-only": ("cannot write to {}", "make it writable, or set `home` for this host in the settings file"),
    "no-space": ("cannot write to {}: no space left, or not permitted", "free some space there and try again"),
    "foreign": ("{} belongs to somebody else", "set RJOB_HOME (or `home` for this host) to a folder of your own"),
    "exposed": (
        "others may write to {}",
        "chmod go-w it, or set RJOB_HOME (or `home` for this host) to another folder",
    ),
    "link": ("{} is a symbolic link: no runner is run through one", "remove the link"),
    "locked": ("the registry is locked by {}, and has been for a minute", "see what that process is waiting for"),
    "no-links": (
        "the file system of {} has no symbolic links, which the lock is made of",
        "set RJOB_HOME (or `home` for this host) to a folder on another one",
    ),
    "broken": ("{} is a folder and should be a file", "move it away, then see `rjob registry rebuild`"),
    "missing": ("{} is missing, so nobody knows what the job ran", "start its command again"),
    "numbers": ("all numbers for jobs in {} are used up", "set RJOB_HOME (or `home` for this host) to another folder"),
    "machine-file": (
        "{} is to hold a random machine id, as the machine has none of its own, and is not usable: "
        "somebody else's, empty, or not writable",
        "set RJOB_MACHINE on that machine to letters and digits, always the same",
    ),
    "machine": ("not a usable machine id: {}", "set RJOB_MACHINE on that machine to letters and digits"),
    "cut": ("the request did not arrive whole", "try again: nothing was done"),
    "unknown-line": ("the runner there does not know what {} in a request means", None),
    "unknown-operation": ("the runner there does not know the operation {}", None),
}


def owner_error(text: str) -> OwnerError:
    """Build the error for a runner's ``error CODE TEXT`` line."""
    code, _, detail = text[:_NOISE_SHOWN].partition(" ")
    message, hint = _SAYINGS.get(code, ("{}", None))
    # The code is for programs: a malformed one is not passed on.
    reason = code if re.fullmatch("[a-z][a-z-]{0,40}", code) else "owner"
    return OwnerError(message.format(detail or code), reason=reason, hint=hint)
