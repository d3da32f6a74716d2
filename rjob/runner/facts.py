"""Parsing of what a host reports of an owner and its jobs: each value gets its type and its bounds here.

A host is not trusted. A malformed line is ignored, a malformed value counts as missing, and a reply that is too large
to be held is an error. So all other code gets values that can be held, compared, printed and written as JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rjob.errors import ProtocolError
from rjob.runner.values import UUID, instance_of, instant, json_object, number, typed_record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_FILE = re.compile(r"[A-Za-z0-9._-]{1,40}")
# The other patterns are compiled when they are used: a local verb needs few of them.
_UUIDS = rf"(?<!\S){UUID.pattern}(?!\S)"
_MACHINE = r"(?!\.)[A-Za-z0-9._-]{1,128}"
# Neither a number nor an address: resolvers read those in several ways (0x7f.1).
_HOST = r"[A-Za-z][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_-]{1,63})*"
_LOOPBACK = frozenset(("localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"))

_ROOM = 192 * 1024 * 1024
"""The approximate limit, in bytes of memory, for the lines of one reply."""
_OVERHEAD = 64
_JOBS = 200_000
"""The most jobs and children in one reply."""
_CHILDREN = 10_000
"""The most children of one job; no node set stands for more hosts."""
_ANSWERS = 100_000
_ANSWER = 1024 * 1024
"""The most characters of a line of an operation's own answer."""
_FILES = 32
_LINES = 64
"""The most lines that are kept of one of a job's small files."""
_HOST_LENGTH = 255
_LINE = 4096
"""The most characters that are kept of such a line, unless it holds a record."""
_WORDS = 16
_WORD = 64
_RECORDS = frozenset(("start", "job.json"))


class JobFacts:
    """The facts of one job: the content of its files and the state of its processes.

    Attributes:
        uuid: The job's instance id.
        machine: The machine id of its owner.
        foreign: Whether it belongs to another machine that shares the home.
        alive: The words of the ``alive`` line; None if the runner did not look (finished, or foreign).
        out_bytes: The size of its stream ``out``.
        err_bytes: The size of its stream ``err``.
        children: The facts of its children, by number.
    """

    __slots__ = (
        "_files",
        "_record",
        "_sized",
        "alive",
        "children",
        "err_bytes",
        "foreign",
        "machine",
        "out_bytes",
        "uuid",
    )

    def __init__(self, uuid: str, machine: str, *, foreign: bool = False) -> None:
        self.uuid = uuid
        self.machine = machine
        self.foreign = foreign
        self.alive: list[str] | None = None
        self.out_bytes = 0
        self.err_bytes = 0
        self.children: dict[int, ChildFacts] = {}
        self._files: dict[str, list[str]] = {}
        self._sized = False
        self._record: dict[str, Any] | None = None

    def measure(self, name: str, size: int) -> None:
        """Set the size of one of its streams, in bytes."""
        self._sized = True
        if name == "out":
            self.out_bytes = size
        elif name == "err":
            self.err_bytes = size

    def add(self, name: str, line: str) -> int:
        """Add one line of one of its small files.

        Args:
            name: The file's name.
            line: The line.

        Returns:
            How many bytes of memory it takes; 0 if the line was ignored.
        """
        lines = self._files.get(name)
        if lines is None:
            if len(self._files) >= _FILES or not _FILE.fullmatch(name):
                return 0
            lines = self._files[name] = []
        # A record is one line.
        if len(lines) >= (1 if name in _RECORDS else _LINES):
            return 0
        lines.append(line if name in _RECORDS else line[:_LINE])
        return _size(lines[-1])

    @property
    def empty(self) -> bool:
        """Whether none of its files was reported."""
        return not self._files and not self._sized and not self.children

    def words(self, name: str) -> list[str] | None:
        """Return the words of a file's first line; None if there is no such file."""
        lines = self._files.get(name)
        return None if lines is None else lines[0].split()[:_WORDS]

    def text(self, name: str) -> str | None:
        """Return a file's text; None if there is no such file."""
        lines = self._files.get(name)
        return None if lines is None else "\n".join(lines)

    @property
    def record(self) -> dict[str, Any] | None:
        """The start record; None if it is unreadable.

        Its ``id`` is valid; known fields have their types; other fields are text, numbers, booleans or lists of text.
        """
        if self._record is None:
            record = json_object(self._files.get("start"))
            if _is_id(record.get("id")):
                # If the record is too long for the registry, the complete one is in job.json.
                record.pop("truncated", None)
                whole = record | json_object(self._files.get("job.json"))
                self._record = typed_record(whole | {"id": record["id"]})
        return self._record

    @property
    def received(self) -> tuple[int, int]:
        """How many bytes of ``out`` and ``err`` were received."""
        words = self.words("received") or []
        if len(words) != 2:
            return 0, 0
        return number(words[0]) or 0, number(words[1]) or 0


class HostLink(NamedTuple):
    """What an owner knows of its connection to the host of a child."""

    lost: bool
    """Whether the host is unreachable now."""
    since: datetime | None = None
    reason: str = ""
    """Why the connection was lost, in words."""


class ChildFacts(JobFacts):
    """The facts of one child, from the owner's copy of a job on another host.

    Attributes:
        number: The child's number.
    """

    __slots__ = ("_parent", "number")

    def __init__(self, parent: JobFacts, number: int) -> None:
        super().__init__(parent.uuid, parent.machine, foreign=parent.foreign)
        self.number = number
        self._parent = parent

    def add(self, name: str, line: str) -> int:
        """Add one line of one of its small files; see :meth:`JobFacts.add`."""
        if name == "alive" and self.alive is None:
            # The runner checks no process for a child: a file holds the last report of the child's host.
            self.alive = [word[:_WORD] for word in line[:_LINE].split()[:_WORDS]]
        return super().add(name, line)

    @property
    def record(self) -> dict[str, Any] | None:
        """The parent's start record: every child runs the same command."""
        return self._parent.record

    @property
    def host(self) -> str:
        """The host that it runs on, as the user named it; empty if unknown."""
        return self._line("host")[:_HOST_LENGTH].strip()

    @property
    def instance(self) -> str | None:
        """Its instance id on its host; None if it has none yet."""
        return instance_of(self._line("instance").strip())

    @property
    def link(self) -> HostLink | None:
        """The connection to its host, from a line ``STATE SINCE REASON...``; None if unknown."""
        state, since, reason = (self._line("link").split(None, 2) + [""] * 3)[:3]
        return HostLink(state == "lost", instant(since), reason.strip()) if state in ("lost", "up") else None

    def _line(self, name: str) -> str:
        return (self.text(name) or "").partition("\n")[0]


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 < value < 10**18


def _size(text: str) -> int:
    """Return the approximate memory of a text, in bytes."""
    return (len(text) if text.isascii() else 4 * len(text)) + _OVERHEAD


class Facts:
    """The content of one reply.

    Attributes:
        machine: The owner's machine id.
        host: The owner's host name.
        total: How many jobs the owner has.
        selected: For each selector of the request, the instance ids of the jobs that it names.
        jobs: The jobs, by instance id.
        broken: Instance ids whose folder is something else, with what it is.
        other: The words of every other line: the operation's own answer.
        hosts: The host names of the owner and of other machines under the same home, by machine id.
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
        self._room = _ROOM
        self._places = _JOBS

    @classmethod
    def read(cls, lines: Iterable[str]) -> Facts:
        """Parse the lines of a reply."""
        facts = cls()
        for line in lines:
            facts.add(line)
        return facts

    def again(self) -> Facts:
        """Return empty facts with the same owner, for the next part of the same reply."""
        fresh = Facts()
        fresh.machine, fresh.host, fresh.total = self.machine, self.host, self.total
        fresh.hosts = self.hosts
        return fresh

    def add(self, line: str) -> None:
        """Add one line.

        Raises:
            ProtocolError: The lines so far exceed a limit.
        """
        first, _, rest = line.partition(" ")
        if "/" in first:
            self._add_file(line)
        elif first in ("machine", "owner"):
            self._add_machine(first, rest[:_LINE].split())
        elif first in ("total", "selected", "alive", "size", "symlink"):
            self._add_fact(first, rest)
        elif line and len(line) <= _ANSWER:
            self._take(_size(line) + _OVERHEAD * line.count(" "))
            if len(self.other) >= _ANSWERS:
                raise _too_much()
            self.other.append([first, *rest.split()])

    def reachable_host(self, machine: str) -> str | None:
        """Return the host name of another machine under the same home, if it can name that machine and no other.

        Args:
            machine: The other machine's id.

        Returns:
            None if the recorded name is no host name, names this machine, or is recorded for two machines.
        """
        name = self.hosts.get(machine, "")
        low, here = name.lower().rstrip("."), self.host.lower()
        if (
            not re.fullmatch(_HOST, name)
            or len(name) > 253
            or low.partition(".")[0] in (*_LOOPBACK, here.partition(".")[0])
        ):
            return None
        if low.endswith((".localhost", ".localdomain")):
            return None
        return name if sum(other.lower() == name.lower() for other in self.hosts.values()) == 1 else None

    def _add_machine(self, kind: str, words: list[str]) -> None:
        if not words or not re.fullmatch(_MACHINE, words[0]) or len(self.hosts) >= _ANSWERS:
            return
        name = " ".join(words[1:])[:255]
        if kind == "machine":
            self.machine, self.host = words[0], name
        self._take(_size(name) + _OVERHEAD)
        self.hosts[words[0]] = name

    def _add_fact(self, kind: str, rest: str) -> None:
        if kind == "selected":
            self._take(3 * len(rest) + _OVERHEAD)
            self.selected.append(re.findall(_UUIDS, rest))
            return
        words = rest[:_LINE].split()
        if kind == "total" and words:
            self.total = number(words[0]) or 0
        elif kind == "alive" and words:
            if job := self._job([words[0]]):
                job.alive = [word[:_WORD] for word in words[1:_WORDS]]
        elif kind == "size" and len(words) == 2:
            self._add_size(words[1], number(words[0]) or 0)
        elif kind == "symlink" and words and UUID.fullmatch(words[0]) and len(self.broken) < _JOBS:
            self.broken[words[0]] = "a symbolic link"

    def _add_file(self, line: str) -> None:
        """Add a line of a small file, ``[MACHINE/jobs/]UUID/[N/]NAME:LINE``, as grep prints it."""
        path, colon, text = line.partition(":")
        *folder, name = path.split("/")
        if colon and folder and (job := self._job(folder)):
            self._take(job.add(name, text))

    def _add_size(self, path: str, size: int) -> None:
        *folder, name = path.split("/")
        if job := self._job(folder):
            job.measure(name, size)

    def _job(self, folder: list[str]) -> JobFacts | None:
        """Return the job or the child with a folder.

        Args:
            folder: The parts of its path: ``UUID``, ``UUID N``, or either of them after ``MACHINE jobs``.

        Returns:
            None if the path is malformed, or if the instance id was already reported for another machine.
        """
        parts = [part for part in folder if part not in (".", "..")]
        child = 0
        if len(parts) in (2, 4):
            child = number(parts.pop()) or 0
            if not 0 < child <= _CHILDREN:
                return None
        machine = self.machine
        if len(parts) == 3 and parts[1] == "jobs":
            machine = parts[0]
        elif len(parts) != 1:
            return None
        if not UUID.fullmatch(parts[-1]):
            return None
        job = self.jobs.get(parts[-1]) or self._new_job(parts[-1], machine)
        if job is None or job.machine != machine:
            return None
        return self._child(job, child) if child else job

    def _new_job(self, uuid: str, machine: str) -> JobFacts | None:
        foreign = machine != self.machine
        if foreign and not re.fullmatch(_MACHINE, machine):
            return None
        self._take_place()
        self.jobs[uuid] = JobFacts(uuid, machine, foreign=foreign)
        return self.jobs[uuid]

    def _child(self, job: JobFacts, child: int) -> ChildFacts:
        if child not in job.children:
            self._take_place()
            job.children[child] = ChildFacts(job, child)
        return job.children[child]

    def _take_place(self) -> None:
        self._places -= 1
        if self._places < 0:
            raise _too_much()

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise _too_much()


def _too_much() -> ProtocolError:
    return ProtocolError(
        "the host tells more than can be held", hint="ask for fewer jobs at a time, as --newest and an id do"
    )
