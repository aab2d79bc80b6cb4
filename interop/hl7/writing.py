"""Writing HL7 v2: fields in, bytes out; data never becomes structure (v2.5.1 2.5.4, 2.7).

A field is text; a tuple of components (each text, or a tuple of subcomponents); or a list of repetitions of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from interop.errors import InvalidContentError
from interop.hl7.charsets import UTF8, Charset, charset_named, stated_as
from interop.hl7.encoding import Encoding

Component = str | tuple[str, ...]
FieldValue = str | tuple[Component, ...] | list[str | tuple[Component, ...]]
Fields = Mapping[int, FieldValue]

_ENCODING = Encoding()
_MSH2 = "^~\\&"
_HEADERS = ("MSH", "FHS", "BHS")  # whose second field names the encoding characters
_PLAIN = str.maketrans("", "", "-T:")
_CONTROL = re.compile("[\x80-\x9f]")
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")


class UnwritableError(InvalidContentError):
    """A character has no place in the set that a message is to be written in."""


def write(segments: Sequence[tuple[str, Fields]], charset: str = UTF8, end: str = "\r") -> bytes:
    """The message: (name, fields by number) for each segment, MSH first; MSH-1, MSH-2, MSH-18 (and 20) are filled in.

    ``end`` ends each segment: CR (v2.5.1 2.5.2), unless the reader is known to want something else.

    UnwritableError if a character has no place in ``charset``, or holds there a byte that MLLP takes for its own.
    """
    known = charset_named(charset)
    if known is None:
        raise ValueError(f"{charset!r} is not a character set of table 0211")
    lines = [segment(name, {**fields, **stated_as(known)} if name == "MSH" else fields) for name, fields in segments]
    text = end.join(lines) + end
    try:
        raw = text.encode(known.codec)
    except UnicodeEncodeError as error:
        raise _misplaced(text, error.start, known) from error
    if b"\x0b" in raw or b"\x1c" in raw:  # in a character's two or four bytes: as characters they are escaped
        raise _untransportable(text, known)
    control = _CONTROL.search(text) if known.name == "8859/1" else None
    if control:  # readers take these bytes for windows-1252, as they nearly always are
        raise _misplaced(text, control.start(), known)
    if known.multibyte and known.name != UTF8:  # some sets have one place for two characters: the other comes back
        back = raw.decode(known.codec)
        if back != text:
            raise _misplaced(text, next(at for at, char in enumerate(text) if back[at : at + 1] != char), known)
    return raw


def _untransportable(text: str, charset: Charset) -> UnwritableError:
    codec = f"{charset.codec}_le"
    at = next(at for at, char in enumerate(text) if not {0x0B, 0x1C}.isdisjoint(char.encode(codec)))
    return _misplaced(text, at, charset, "cannot go through MLLP")


def _misplaced(text: str, at: int, charset: Charset, why: str = "has no place") -> UnwritableError:
    name = text[max(text.rfind("\r", 0, at), text.rfind("\n", 0, at)) + 1 :][:3]
    return UnwritableError(f"U+{ord(text[at]):04X} {why} in {charset.name}", location=name, hl7_code="207")


def segment(name: str, fields: Fields) -> str:
    """One segment without its end."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a segment name")
    last = max((number for number, value in fields.items() if value), default=0)
    texts = [name] + [""] * last
    for number, value in fields.items():
        if value:
            texts[number] = field(value)
    if name in _HEADERS:
        texts[1:3] = [_MSH2]
    while len(texts) > 1 and not texts[-1]:
        texts.pop()
    return "|".join(texts)


def field(value: FieldValue) -> str:
    """One field with its repetitions, escaped."""
    if isinstance(value, str):
        return _ENCODING.escaped(value)
    if isinstance(value, tuple):
        return _joined("^", [_component(part) for part in value])
    return _joined("~", [field(part) for part in value])


def _component(value: Component) -> str:
    if isinstance(value, str):
        return _ENCODING.escaped(value)
    return _joined("&", [_ENCODING.escaped(part) for part in value])


def _joined(mark: str, parts: list[str]) -> str:
    while parts and not parts[-1]:
        parts.pop()
    return mark.join(parts)


def timestamp(instant: datetime) -> str:
    """An aware instant as DTM with its offset, to the second (v2.5.1 2.A.22)."""
    return _without_marks(instant.isoformat(timespec="seconds"))  # a fifth of what strftime takes


@lru_cache(maxsize=64)  # a second is written many times
def _without_marks(text: str) -> str:
    return text[:19].translate(_PLAIN) + text[19:].replace(":", "")
