"""References: how a job is named on the command line, ``SEL[@HOST]``."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rjob.errors import UsageError

Kind = Literal["id", "range", "name", "glob", "instance", "last", "child"]

NAME_BYTES = 200
"""The longest job name, in bytes of UTF-8."""

_INSTANCE = r"[0-9a-f]{8,32}"
_RANGE = r"([0-9]+)-([0-9]+)"
_CHILD = r"(?s)([0-9]+)\.(.+)"
_ID_DIGITS = 18
# Persian, the Indic scripts and emoji need the two joiners; every other invisible character only deceives.
_JOINERS = "\u200c\u200d"


class Reference(NamedTuple):
    """A word that stands for one or more jobs; the fields that its kind does not use keep their defaults."""

    kind: Kind
    text: str
    """The word as it was given."""
    host: str | None = None
    """The host after the first ``@``, or None."""
    id: int = 0
    """id, child: the job's id; range: the first id."""
    end: int = 0
    """range: the last id."""
    name: str = ""
    """name: the name; glob: the pattern, which is matched case-insensitively."""
    instance: str = ""
    """instance: 8 to 32 hexadecimal digits in lower case, without dashes."""
    child: str = ""
    """child: the child's number or location."""


def parse(text: str) -> Reference:
    """Parse a reference.

    Args:
        text: ``17``, ``3-7``, ``build``, ``build*``, ``last``, ``17.3``, ``17.web3`` or 8 or more digits of an
            instance id, each with or without ``@HOST``.

    Returns:
        The reference. Whether such a job exists is not checked.

    Raises:
        UsageError: It cannot stand for a job.
    """
    selector, at, host = text.partition("@")
    if not selector:
        raise UsageError(f"no job in {text!r}", hint="write it as JOB or JOB@HOST", job=text)
    if at and not host:
        raise UsageError(f"no host after @ in {text!r}", hint="write it as JOB or JOB@HOST", job=text)
    return _selector(selector)._replace(text=text, host=host or None)


def check_name(name: str) -> None:
    """Check that a job can have a name, and that the name reads back as a reference to it.

    Args:
        name: The name that the user chose for the job.

    Raises:
        UsageError: It reads as another kind of reference, or holds a forbidden character.
    """
    if problem := _problem(name):
        raise UsageError(f"not a job name: {name!r}: {problem}")


def _selector(text: str) -> Reference:
    if re.fullmatch("[0-9]+", text):
        return Reference("id", text, id=_number(text, text))
    if text == "last":
        return Reference("last", text)
    instance = _instance(text)
    if match := re.fullmatch(_RANGE, text):
        first, last = _number(match[1], text), _number(match[2], text)
        if first <= last:
            return Reference("range", text, id=first, end=last)
        # The first digits of an instance id, 12345678-1234, can look like a range, but then it runs backwards.
        if not instance:
            raise UsageError(f"range runs backwards: {text!r}", job=text)
    if instance:
        return Reference("instance", text, instance=instance)
    # Before the glob, so that 17.web* names the children of 17: no job name can begin like that.
    if match := re.fullmatch(_CHILD, text):
        return Reference("child", text, id=_number(match[1], text), child=match[2])
    return Reference("glob" if re.search(r"[*?\[]", text) else "name", text, name=text)


def _number(digits: str, text: str) -> int:
    if len(digits.lstrip("0")) > _ID_DIGITS:
        raise UsageError(f"no job has such a number: {text!r}", job=text)
    return int(digits[-_ID_DIGITS:])


def _instance(text: str) -> str:
    """Return the digits of an instance id or of its beginning; empty if the text is neither."""
    text = text.lower()
    digits = text.replace("-", "")
    if not re.fullmatch(_INSTANCE, digits):
        return ""
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return digits if text in (digits, "-".join(filter(None, parts))) else ""


def _problem(name: str) -> str | None:
    from unicodedata import category

    if not name.strip():
        return "it is empty"
    if name.startswith("-"):
        return "it would read as an option"
    if "@" in name:
        return "@ separates a job from its host"
    if any(category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS for char in name):
        return "it holds a control character"
    if len(name.encode()) > NAME_BYTES:
        return f"it is longer than {NAME_BYTES} bytes"
    if re.search(r"[*?\[]", name):
        return "it holds a glob character"
    if re.fullmatch("Job[0-9]+", name):
        return f"it is the default name of job {name[3:]}"
    try:
        kind = _selector(name).kind
    except UsageError as error:
        return error.message
    return None if kind == "name" else f"it reads as {_READS[kind]}"


_READS: dict[Kind, str] = {
    "id": "a job's number",
    "range": "a range of numbers",
    "instance": "an instance id",
    "last": "the newest job",
    "child": "a child of a job",
    "glob": "a glob",
}
