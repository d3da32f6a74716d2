"""What a runner tells of an owner and its jobs, read from the lines of a reply.

A host is not trusted: a line that makes no sense is passed over, a value that makes none counts as not told.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBER = re.compile(r"[0-9]{1,18}")


def number(word: str) -> int | None:
    """The number that a word of a host's is; None if it is none, or one that no file can reach."""
    return int(word) if _NUMBER.fullmatch(word) else None


def _object(lines: list[str] | None) -> dict[str, Any]:
    """The JSON object on a file's first line; an empty one where there is none."""
    try:
        value = json.loads(lines[0]) if lines else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class JobFacts:
    """What the files and the processes of one job tell.

    Attributes:
        uuid: The job's instance id.
        machine: The machine id of its owner.
        foreign: Whether it belongs to another machine that shares the home.
        alive: The words of the ``alive`` line; None when the runner did not look (finished, or foreign).
        out_bytes: What it has written.
        err_bytes: Likewise.
    """

    def __init__(self, uuid: str, machine: str, *, foreign: bool = False) -> None:
        self.uuid = uuid
        self.machine = machine
        self.foreign = foreign
        self.alive: list[str] | None = None
        self.out_bytes = 0
        self.err_bytes = 0
        self._files: dict[str, list[str]] = {}
        self._sized = False
        self._record: dict[str, Any] | None = None

    def measure(self, name: str, size: int) -> None:
        """Take the size of one of its streams."""
        self._sized = True
        if name == "out":
            self.out_bytes = size
        elif name == "err":
            self.err_bytes = size

    def add(self, name: str, line: str) -> None:
        """Take one line of one of its small files."""
        self._files.setdefault(name, []).append(line)

    @property
    def empty(self) -> bool:
        """Whether none of its files was there."""
        return not self._files and not self._sized

    def words(self, name: str) -> list[str] | None:
        """The words of a file's first line; None if there is no such file."""
        lines = self._files.get(name)
        return None if lines is None else lines[0].split()

    def text(self, name: str) -> str | None:
        """A file's text; None if there is no such file."""
        lines = self._files.get(name)
        return None if lines is None else "\n".join(lines)

    @property
    def record(self) -> dict[str, Any] | None:
        """The start record; None if it cannot be read."""
        if self._record is None:
            record = _object(self._files.get("start"))
            if type(record.get("id")) is int:
                # A record that is too long for the registry lies beside it, whole.
                record.pop("truncated", None)
                self._record = record | _object(self._files.get("job.json"))
        return self._record

    @property
    def received(self) -> tuple[int, int]:
        """How many bytes of its two streams were received."""
        words = self.words("received") or []
        if len(words) != 2:
            return 0, 0
        return number(words[0]) or 0, number(words[1]) or 0


class Facts:
    """What one reply tells.

    Attributes:
        machine: The owner's machine id.
        host: The owner's host name.
        total: How many jobs the owner has.
        selected: For each selector of the request, the instance ids that it names.
        jobs: The jobs, by instance id.
        broken: Instance ids in whose place something else lies, with what.
        other: Every other line's words: the operation's own answer.
    """

    def __init__(self) -> None:
        self.machine = ""
        self.host = ""
        self.total = 0
        self.selected: list[list[str]] = []
        self.jobs: dict[str, JobFacts] = {}
        self.broken: dict[str, str] = {}
        self.other: list[list[str]] = []
        self.hosts: dict[str, str] = {}

    @classmethod
    def read(cls, lines: Iterable[str]) -> Facts:
        """Read the lines of a reply."""
        facts = cls()
        for line in lines:
            facts.add(line)
        return facts

    def add(self, line: str) -> None:
        """Take one line."""
        first, _, rest = line.partition(" ")
        if "/" in first:
            self._add_file(line)
            return
        words = rest.split()
        if first == "machine" and words:
            self.machine, self.host = words[0], " ".join(words[1:])
            self.hosts[self.machine] = self.host
        elif first == "owner" and words:
            self.hosts[words[0]] = " ".join(words[1:])
        elif first == "total" and words:
            self.total = number(words[0]) or 0
        elif first == "selected":
            self.selected.append([word for word in words if _UUID.fullmatch(word)])
        elif first == "alive" and words:
            if job := self._job(words[0]):
                job.alive = words[1:]
        elif first == "size" and len(words) == 2:
            self._add_size(words[1], number(words[0]) or 0)
        elif first == "symlink" and words:
            self.broken[words[0]] = "a symbolic link"
        elif line:
            self.other.append([first, *words])

    def _add_file(self, line: str) -> None:
        """``[../../MACHINE/jobs/]UUID/NAME:LINE``, as grep prints it."""
        path, colon, text = line.partition(":")
        *folder, name = path.split("/")
        if colon and folder and (job := self._job("/".join(folder))):
            job.add(name, text)

    def _add_size(self, path: str, size: int) -> None:
        folder, _, name = path.rpartition("/")
        if job := self._job(folder):
            job.measure(name, size)

    def _job(self, path: str) -> JobFacts | None:
        parts = [part for part in path.split("/") if part not in (".", "..")]
        if not parts or not _UUID.fullmatch(parts[-1]):
            return None
        machine = parts[0] if len(parts) == 3 else self.machine
        if parts[-1] not in self.jobs:
            self.jobs[parts[-1]] = JobFacts(parts[-1], machine, foreign=machine != self.machine)
        return self.jobs[parts[-1]]
