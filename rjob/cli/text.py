"""Showing text from any source: making it harmless to the terminal, and measuring its width."""

from __future__ import annotations

_FILLER = "\ue000"
# The private use characters of plane 15; visible() escapes those in the text itself.
_LETTERS = range(0xF0000, 0xFFFFE)

# Persian, the Indic scripts and emoji need the two joiners; every other invisible character only deceives.
_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    r"""Escape control characters, direction overrides and bytes that are not text.

    Args:
        text: Text from a host, a user or a command line; surrogate escapes stand for bytes.

    Returns:
        The text with ``\x1b``, ``\n``, ``\u202e``, ``\xff`` written out.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _JOINERS else _escape(char) for char in text)


def legible(text: str) -> str:
    """Replace everything that is not a character by U+FFFD.

    Args:
        text: Text in which surrogate escapes stand for bytes; other surrogates stand for nothing.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = "".join(
            char if char < "\ud800" or "\udc80" <= char <= "\udcff" or char > "\udfff" else "\ufffd" for char in text
        )
        return whole.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


def width(text: str) -> int:
    """Return how many columns a text takes on a terminal.

    Args:
        text: A text that :func:`visible` returned.
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def fit(text: str, columns: int) -> str:
    """Shorten a text to a number of columns; an ellipsis marks the omission.

    Args:
        text: A text that :func:`visible` returned.
        columns: At least 1.
    """
    if width(text) <= columns:
        return text
    used, kept = 1, ""
    for char in text:
        used += _columns(char)
        if used > columns:
            break
        kept += char
    return kept + "…"


class Letters:
    """An encoding of text whose length is its width, for code that counts characters.

    A character with its combining marks becomes one private use character, followed by a filler if it is wide.
    """

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def put(self, text: str) -> str:
        """Encode a text: replace everything that does not fill exactly one column.

        Args:
            text: A text that :func:`visible` returned.
        """
        if text.isascii():
            return text
        clusters: list[str] = []
        for char in text:
            if clusters and not _columns(char):
                clusters[-1] += char
            else:
                clusters.append(char)
        return "".join(map(self._letter, clusters))

    def back(self, text: str) -> str:
        """Decode a text.

        Args:
            text: A text made from texts that :meth:`put` returned.
        """
        text = text.replace(_FILLER, "")
        return text.translate({ord(letter): cluster for cluster, letter in self._letters.items()})

    def _letter(self, cluster: str) -> str:
        columns = width(cluster)
        if columns == len(cluster):
            return cluster
        if not columns:
            # Combining marks without a base character.
            return ""
        if len(self._letters) == len(_LETTERS):
            cluster = cluster[0]
        letter = cluster if len(cluster) == 1 else self._letters.setdefault(cluster, chr(_LETTERS[len(self._letters)]))
        return letter + _FILLER * (columns - 1)


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    from unicodedata import category, east_asian_width

    if category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1
