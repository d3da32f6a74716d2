"""Parsing of single values that a host sends: each gets its type and its bounds, or counts as missing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The pattern of an instance id."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,199}"
_TYPE = r"[A-Za-z]{1,40}"
# Only 128 surrogates stand for bytes that are not text (os.fsdecode); no other surrogate can be encoded.
_NO_CHARACTER = "[\ud800-\udc7f\udd00-\udfff]"
_NESTED = 100_000
"""The most brackets in a record: parsed, three characters of it can take more than 60 bytes."""
_INTEGERS = 1 << 63


def number(word: str) -> int | None:
    """Parse a decimal that a host sent. None if it is malformed or longer than 18 digits."""
    return int(word) if _NUMBER.fullmatch(word) else None


def status_number(word: str) -> int | None:
    """Parse an exit status that a host sent; some platforms write a sign. None if it is malformed."""
    value = number(word.removeprefix("-"))
    return -value if value is not None and word.startswith("-") else value


def signal_number(word: str) -> int | None:
    """Parse the number of a signal that a host sent. None if there can be no such signal."""
    value = number(word)
    return value if value is not None and 0 < value < 128 else None


def instant(text: str | None) -> datetime | None:
    """Parse a time as runners write it, ``2026-11-23T08:36:56Z``. None if malformed, or outside 1970 to 8999."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # These bounds keep it within a datetime's range in whatever time zone it is shown.
    return moment.astimezone(UTC) if moment.tzinfo and 1970 <= moment.year < 9000 else None


def text_of(value: Any) -> str | None:
    """Make a string encodable, with surrogate escapes for bytes that are not UTF-8. None for any other type."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else re.sub(_NO_CHARACTER, "\ufffd", value)


def instance_of(value: Any) -> str | None:
    """Return an instance id unchanged; None for anything else."""
    return value if isinstance(value, str) and UUID.fullmatch(value) else None


def secrets_of(record: dict[str, Any]) -> list[str] | None:
    """Return the names of the secrets that a job was given; None if the record's list of them is malformed."""
    names = record.get("secrets", [])
    sound = isinstance(names, list) and all(isinstance(name, str) and re.fullmatch(_VARIABLE, name) for name in names)
    return list(dict.fromkeys(names)) if sound else None


def json_object(lines: list[str] | None) -> dict[str, Any]:
    """Parse the JSON object on a file's first line; an empty one if there is none."""
    if not lines or lines[0].count("[") + lines[0].count("{") > _NESTED:
        return {}
    try:
        value = json.loads(lines[0], parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    kept = {text_of(key) or "": _field(key, field) for key, field in value.items()}
    return {key: field for key, field in kept.items() if field is not None}


def _refuse(_: str) -> None:
    """Refuse NaN and Infinity: they are not JSON, and other programs cannot read them."""
    raise ValueError


def _field(key: str, value: Any) -> Any:
    """Return a record's field if it has a form that rjob writes; None otherwise."""
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_INTEGERS <= value < _INTEGERS else None
    if isinstance(value, float):
        return value if abs(value) < _INTEGERS else None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [text_of(item) for item in value]
    # A malformed list of secrets must not be ignored: secrets_of() reports False as malformed.
    return False if key == "secrets" and value is not None else None


_TEXTS = ("name", "command", "line", "script", "cwd", "shell", "time", "instance", "event")
_LISTS = ("argv", "args", "env")


def typed_record(record: dict[str, Any]) -> dict[str, Any]:
    """Remove the known fields that have a wrong type from a record; return it."""
    for key in _TEXTS:
        if not isinstance(record.get(key, ""), str):
            del record[key]
    for key in _LISTS:
        if not isinstance(record.get(key, []), list):
            del record[key]
    if "type" in record and not (isinstance(record["type"], str) and re.fullmatch(_TYPE, record["type"])):
        del record["type"]
    if instance_of(record.get("retry_of")) is None:
        record.pop("retry_of", None)
    return record
