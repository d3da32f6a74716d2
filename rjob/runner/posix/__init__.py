"""The runner for POSIX machines: a script for ``sh``, made of the parts beside this file."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from rjob.runner.base import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.models import Finding, JobSpec

try:
    # hashlib loads OpenSSL, which takes longer than all the rest of a local verb.
    from _blake2 import blake2b
except ImportError:  # pragma: no cover  (an interpreter without it)
    from hashlib import blake2b

PARTS = (
    "job",
    "become",
    "owner",
    "lock",
    "journal",
    "facts",
    "ended",
    "start",
    "supervisor",
    "launch",
    "select",
    "receive",
    "collect",
    "stop",
    "remove",
    "registry",
    "doctor",
    "serve",
)
"""The parts, in their order in the script."""


class PosixRunner(Runner):
    """The runner for any POSIX ``sh``."""

    platform = "posix"
    needs = "a POSIX sh"
    life = 0.0

    @cached_property
    def script(self) -> bytes:
        """The parts, concatenated."""
        return b"\n".join(_text_of_supervisor() if part == "supervisor" else _read_part(part) for part in PARTS)

    @cached_property
    def name(self) -> str:
        """``posix-`` and the hash of the script."""
        return "posix-" + blake2b(self.script, digest_size=16).hexdigest()

    def words(self) -> list[str]:
        """Return one line for ``sh``, which finds the cached script and sources it."""
        return ["sh", "-c", _one_line("bootstrap"), "rjob", _one_line("check"), self.name]

    def installer(self) -> list[str]:
        """Return one line for ``sh``, which caches the script that it reads."""
        return ["sh", "-c", _one_line("install"), "rjob", _one_line("check"), self.name, str(len(self.script))]

    def install_request(self, marker: str, home: str) -> bytes:
        """Return two lines and the script."""
        return os.fsencode(f"{marker}\n{home}\n") + self.script

    def parts(self, spec: JobSpec) -> Sequence[tuple[str, bytes]]:
        """Return a shell text with the words to run, and one with the variables."""
        from rjob.runner.posix.launch import parts

        return parts(spec)

    def findings(self, info: Mapping[str, str]) -> Sequence[Finding]:
        """Interpret what a shell found out about its machine."""
        from rjob.runner.posix.doctor import findings

        return findings(info)


def _read_part(part: str) -> bytes:
    with open(os.path.join(os.path.dirname(__file__), part + ".sh"), "rb") as file:
        return file.read()


def _text_of_supervisor() -> bytes:
    """Return the supervisor as the value of a variable of the script, without comments except fault points."""
    lines = _read_part("supervisor").split(b"\n")
    text = b"\n".join(line for line in lines if line and (line.startswith(b"#@") or not line.startswith(b"#")))
    return b"rj_supervisor='" + text + b"'\n"


def _one_line(part: str) -> str:
    """Return a part as one line without comments, so that any login shell passes it on as an argument."""
    lines = (line.strip() for line in _read_part(part).decode().split("\n"))
    return " ".join(line for line in lines if line and not line.startswith("#"))


RUNNER = PosixRunner()
