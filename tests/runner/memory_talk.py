"""Reading requests and writing replies for the runner in memory: lines and bytes of the protocol."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rjob.testing.fake import FakeCommand


class Refused(Exception):
    """An operation that cannot be performed; the text is ``CODE TEXT``, as in an ``error`` line."""


CUT = "cut the request ended early"


@dataclass
class Reader:
    """A request, read as lines and as bytes."""

    command: FakeCommand
    buffer: bytes = b""

    async def line(self) -> str:
        """Read the next line; raise :class:`Refused` if the client hangs up before its end."""
        while b"\n" not in self.buffer:
            if not (data := await self.command.read()):
                raise Refused(CUT)
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return os.fsdecode(line)

    async def bytes(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not (data := await self.command.read()):
                raise Refused(CUT)
            self.buffer += data
        part, self.buffer = self.buffer[:size], self.buffer[size:]
        return part


@dataclass
class Talk:
    """One reply."""

    command: FakeCommand
    reader: Reader
    marker: str

    async def say(self, line: str) -> None:
        await self.command.write(os.fsencode(line) + b"\n")

    async def mark(self, word: str) -> None:
        await self.command.write(f"{self.marker} {word}\n".encode())


def plain(text: str) -> bytes:
    return re.sub(r"%(0A|25)", lambda match: "\n" if match[1] == "0A" else "%", text).encode(errors="surrogateescape")


@dataclass
class Staged:
    """A job as a ``start`` request describes it."""

    uuid: str
    files: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)


def staged(lines: list[str], body: bytes, kept: Callable[[str], Iterable[tuple[str, bytes]]]) -> list[Staged]:
    """Read the keyed lines of a ``start`` request.

    Args:
        lines: The lines.
        body: The bytes of the jobs' parts, one after the other.
        kept: Returns the files that a job takes over from an earlier one.
    """
    jobs: list[Staged] = []
    for line in lines:
        key, _, value = line.partition(" ")
        name, _, rest = value.partition(" ")
        if key == "job":
            jobs.append(Staged(value))
        elif key == "copy":
            jobs[-1].files |= dict(kept(value))
        elif key == "text":
            jobs[-1].files[name] = plain(rest)
        elif key == "part":
            jobs[-1].files[name], body = body[: int(rest)], body[int(rest) :]
        elif key in ("limit", "record"):
            jobs[-1].files["start" if key == "record" else key] = value.encode()
        elif key == "secret":
            name, _, rest = plain(value).decode().partition("=")
            jobs[-1].secrets[name] = rest
        elif key not in ("now", "jobs"):
            raise Refused(f"unknown-line {key}")
    return jobs


def begin_at(data: bytes, place: str, cursor: int) -> int:
    """Return the byte offset of a position in a stream."""
    if place == "cursor":
        return cursor
    if place.startswith("tail:"):
        count = int(place.removeprefix("tail:"))
        last = data.splitlines(keepends=True)[-count:] if count else []
        return len(data) - sum(map(len, last))
    return int(place)
