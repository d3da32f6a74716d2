"""Jobs with a known output, and the witness file, outside the home, in which each notes that it ran."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random


class Plan(NamedTuple):
    """A command whose output and exit status are known beforehand.

    Attributes:
        name: The job's name; no other plan has it.
        kind: ``quick``, ``slow``, ``bulk`` or ``endless``.
        lines: The number of lines that it writes on each stream.
        status: Its exit status.
        limit: The ``--time-limit`` to give it; empty for none.
    """

    name: str
    kind: str
    lines: int
    status: int
    limit: str = ""

    @property
    def out(self) -> bytes:
        """Return all that it writes to standard output."""
        return self._written("o")

    @property
    def err(self) -> bytes:
        """Return all that it writes to standard error."""
        return self._written("e")

    @property
    def ends(self) -> bool:
        """Tell whether it ends by itself."""
        return self.kind != "endless"

    def line(self, witness: Path) -> str:
        """Return the shell line that runs it.

        Args:
            witness: The file that it appends to when it begins and when it ends.
        """
        say = f'{self.name} "$RJOB_INSTANCE" >>{witness}'
        if self.kind == "bulk":
            body = "; ".join(
                f"awk 'BEGIN {{ for (i = 1; i <= {self.lines}; i++) print \"{self.name} {tag} \" i }}'{target}"
                for tag, target in (("o", ""), ("e", " >&2"))
            )
        else:
            pause = " sleep 0.05;" if self.kind == "slow" else ""
            body = (
                f"i=0; while [ $i -lt {self.lines} ]; do i=$((i + 1)); "
                f'echo "{self.name} o $i"; echo "{self.name} e $i" >&2;{pause} done'
            )
        if self.kind == "endless":
            body += "; sleep 300 & sleep 301; wait"
        return f"echo begin {say}; {body}; echo end {say}; exit {self.status}"

    def _written(self, tag: str) -> bytes:
        return b"".join(b"%s %s %d\n" % (self.name.encode(), tag.encode(), at + 1) for at in range(self.lines))


def draw_plan(random: Random, name: str) -> Plan:
    """Draw a job.

    Args:
        random: The random generator.
        name: Its name.
    """
    kind = random.choices(["quick", "slow", "bulk", "endless"], [5, 4, 3, 2])[0]
    lines = {"quick": (1, 40), "slow": (8, 30), "bulk": (500, 3000), "endless": (1, 8)}[kind]
    limit = random.choice(["", "", "", "1h", "1" if kind == "endless" else "1h"])
    return Plan(name, kind, random.randint(*lines), random.choice([0, 0, 0, 1, 2, 3, 77]), limit)


class Testimony(NamedTuple):
    """The witness file's statement about one instance."""

    name: str
    begins: int
    ends: int


def read_witness(path: Path) -> dict[str, Testimony]:
    """Read a witness file.

    Returns:
        The statement about each instance, by its id.
    """
    said: dict[str, Testimony] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            event, name, instance = line.split()
            old = said.get(instance, Testimony(name, 0, 0))
            said[instance] = Testimony(name, old.begins + (event == "begin"), old.ends + (event == "end"))
    return said


class Portion(NamedTuple):
    """The bytes of one stream that one ``receive`` brought to its reader.

    Attributes:
        data: The bytes.
        torn: Empty if the reader took all of it; ``reader`` if it left early; ``killed`` if the client was killed.
        call: The call's number.
        status: The call's exit status.
    """

    data: bytes
    torn: str
    call: int
    status: int = 0


class Tracked:
    """A job whose start was confirmed.

    Attributes:
        plan: What it runs.
        ref: Its reference from ``start`` or ``retry``; empty if that could not be seen.
        receiving: The lock of a receiver: only what is received one after the other can be checked exactly.
        portions: What was received of ``out`` and of ``err``, in order.
    """

    def __init__(self, plan: Plan, ref: str) -> None:
        self.plan = plan
        self.ref = ref
        self.receiving = threading.Lock()
        self.portions: dict[str, list[Portion]] = {"out": [], "err": []}
