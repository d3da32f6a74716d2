"""Node sets: many host names written as one word, ``web[01-20],db[1-3,7]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rjob.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 10_000
"""The most names that one node set may stand for; a larger set is taken for a typing error."""

# 18 digits: every number fits a machine word, so a range's length can be computed without building the range.
_RANGE = r"([0-9]{1,18})(?:-([0-9]{1,18})(?:/([0-9]{1,18}))?)?"
_BRACKET = r"\[([^\[\]]*)\]"
_DIGITS = r"([0-9]{1,18})"
_PLACES = 8
"""The most numbers in a name that is folded: more do not occur in host names, and each costs another pass."""


def expand(text: str, *, limit: int = LIMIT) -> list[str]:
    """Expand a node set to names.

    A bracket holds numbers and ranges, ``[1-3,7]``, with an optional step, ``[1-9/2]``; leading zeros are kept.
    Several brackets in one name give every combination. Brackets around an IPv6 address are left alone.

    Args:
        text: Names separated by commas.
        limit: The most names to return.

    Returns:
        The names, in the order in which they are written.

    Raises:
        UsageError: The syntax is wrong, or there are more names than the limit.
    """
    names: list[str] = []
    for word in _split(text):
        names += _expand_word(word, text, limit - len(names))
    return names


def fold(names: Iterable[str]) -> str:
    """Fold names into a node set, for display.

    Args:
        names: Host names; duplicates count once.

    Returns:
        A node set that expands to the same set of names; numbers are sorted, otherwise the order is kept.
    """
    # Splitting at the numbers puts them at the odd indexes; each odd index is one dimension to fold.
    rows = [tuple(_split_digits(name)) for name in dict.fromkeys(names)]
    for place in range(max(map(len, rows), default=0) - 2, 0, -2):
        groups: dict[tuple[str, ...], list[str]] = {}
        for row in rows:
            if place < len(row):
                groups.setdefault((*row[:place], "", *row[place + 1 :]), []).append(row[place])
            else:
                groups[row] = []
        rows = [
            (*key[:place], _fold_numbers(values), *key[place + 1 :]) if values else key
            for key, values in groups.items()
        ]
    return ",".join("".join(row) for row in rows)


def _split(text: str) -> list[str]:
    """Split a text at the commas outside brackets."""
    words, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if depth not in (0, 1):
            raise UsageError(f"bracket out of place in node set {text!r}")
        if char == "," and not depth:
            words.append(text[start:index].strip())
            start = index + 1
    if depth:
        raise UsageError(f"bracket not closed in node set {text!r}")
    words.append(text[start:].strip())
    if not all(words):
        raise UsageError(f"empty name in node set {text!r}")
    return words


def _expand_word(word: str, text: str, limit: int) -> list[str]:
    """Expand one word to the product of its brackets."""
    names = [""]
    # The pattern's one group puts the content of brackets at the odd indexes.
    for place, part in enumerate(re.split(_BRACKET, word)):
        if not place % 2:
            choices = [part]
        elif ":" in part:
            choices = [f"[{part}]"]
        else:
            choices = _numbers(part, text, limit)
        if len(names) * len(choices) > limit:
            raise _too_many(text)
        names = [name + choice for name in names for choice in choices]
    return names


def _numbers(part: str, text: str, limit: int) -> list[str]:
    """Expand the content of one bracket."""
    numbers: list[str] = []
    for item in part.split(","):
        match = re.fullmatch(_RANGE, item.strip())
        if match is None:
            raise UsageError(f"not a number or range: {item!r} in node set {text!r}", hint="write it as web[01-20]")
        first, last = match[1], match[2] or match[1]
        step = int(match[3] or 1)
        if int(last) < int(first):
            raise UsageError(f"range runs backwards: {item!r} in node set {text!r}")
        if not step:
            raise UsageError(f"range with step 0: {item!r} in node set {text!r}")
        if _width(last) and len(last) != len(first):
            raise UsageError(f"range with uneven leading zeros: {item!r} in node set {text!r}")
        values = range(int(first), int(last) + 1, step)
        if len(numbers) + len(values) > limit:
            raise _too_many(text)
        numbers += [str(value).zfill(_width(first)) for value in values]
    return numbers


def _split_digits(name: str) -> list[str]:
    """Split a name into text, number, text, ...; a name with node set syntax or too many numbers stays whole."""
    parts = [name] if re.search(r"[\[\],]", name) else re.split(_DIGITS, name)
    return parts if len(parts) <= 2 * _PLACES + 1 else [name]


def _fold_numbers(values: list[str]) -> str:
    """Fold numbers into one bracket."""
    if len(values) == 1:
        return values[0]
    runs: list[list[str]] = []
    for value in sorted(values, key=lambda value: (int(value), len(value))):
        if runs and value == str(int(runs[-1][-1]) + 1).zfill(_width(runs[-1][0])):
            runs[-1].append(value)
        else:
            runs.append([value])
    return "[" + ",".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) + "]"


def _width(number: str) -> int:
    """Return the width to pad to: 0 for a number without leading zeros."""
    return len(number) if len(number) > 1 and number.startswith("0") else 0


def _too_many(text: str) -> UsageError:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return UsageError(f"node set {shown!r} stands for too many hosts (the limit is {LIMIT})")
