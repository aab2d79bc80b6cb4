"""Text as searches compare it (R4 search.html#string)."""

from __future__ import annotations

import hashlib
import unicodedata

MAX_TEXT = 500  # characters of folded text that are compared
BEFORE_EXACT = "\x1f"  # in an indexed string, between its folded and its own form
_MAX_EXACT = 64  # characters of a text that is kept as it is; a longer one by its hash


def fold(text: str) -> str:
    """Text as strings are compared: no case, no accents, a final sigma like any other, single spaces."""
    plain = text if text.isascii() else _without_marks(text)
    return " ".join(plain.casefold().split())[:MAX_TEXT]


def indexed(text: str) -> str:
    """The folded text, and the text itself behind it where it differs: what ``:exact`` compares."""
    folded = fold(text)
    if folded == text:
        return text
    if len(text) > _MAX_EXACT:
        return f"{folded}{BEFORE_EXACT}{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return f"{folded}{BEFORE_EXACT}{text}"


def _without_marks(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
