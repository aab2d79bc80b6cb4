"""JSON as FHIR has it (R4 json.html): decimals keep their text, duplicate keys and NaN are refused.

What reads also writes: a value that ``loads`` gave can be written by ``dumps`` and stored by any database. So text that
no Unicode encoding can hold (half a surrogate pair) and U+0000 are refused here.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from math import isinf
from typing import Any

import orjson

from interop.errors import MalformedError

MAX_DEPTH = 64  # deeper than any real resource; guards the recursive readers behind this one


class DecimalText(Decimal):
    """A decimal that is written as it was read: ``1.10`` stays ``1.10`` (R4 datatypes.html#decimal)."""

    text: str

    def __new__(cls, text: str) -> DecimalText:
        self = super().__new__(cls, text)
        self.text = text
        return self


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedError(f"the JSON object names {name!r} twice")
            seen.add(name)
    return members


def _no_constant(name: str) -> Any:
    raise MalformedError(f"{name} is not a JSON value")


def _integer(text: str) -> int | DecimalText:
    """Beyond 64 bits, and for -0, the text is kept: it can only be a decimal."""
    return int(text) if len(text) < 19 and text != "-0" else _real(text)


def _real(text: str) -> DecimalText:
    if (len(text) > 300 or "e" in text or "E" in text) and isinf(float(text)):
        raise MalformedError("a number is beyond the range of a double, which most readers of JSON have")
    return DecimalText(text)


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)


def number(text: str) -> int | DecimalText | None:
    """The number that the text is in JSON's grammar, as ``loads`` reads it; None if it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    try:
        return _integer(text) if match[1] is match[2] is None else _real(text)
    except (ValueError, InvalidOperation) as error:
        raise MalformedError("a number is beyond limits") from error


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_real, parse_int=_integer, parse_constant=_no_constant
)


def loads(data: bytes | str) -> Any:
    """The value that the JSON text says; floats come as DecimalText. MalformedError (400) if it is not JSON."""
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        if _depth_exceeds(text):
            raise MalformedError(f"the JSON is nested deeper than {MAX_DEPTH} levels")
        value = _decoder.decode(text)
        if "\\u" in text and _has_unwritable(text):
            raise MalformedError("a string holds U+0000 or half of a surrogate pair")
        return value
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise MalformedError("not JSON: a number or a nesting beyond limits") from error


# A number whose text is kept, in JSON without blanks: it follows a name's colon, a bracket or a comma.
_KEPT_NUMBER = re.compile(rb'(?:":|[\[,])(?:-0|-?[0-9]+[.eE]|-?[0-9]{18})')


def reloads(data: bytes) -> Any:
    """The value that ``dumps`` wrote, as ``loads`` reads it; several times as fast where no decimal is in it."""
    return loads(data) if _KEPT_NUMBER.search(data) else orjson.loads(data)


_STRING = re.compile(rb'"[^"]*"')
_ALL_BUT_BRACKETS = bytes(set(range(256)).difference(b'"{}[]'))
_OPENING = ord("[")
_OF_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _depth_exceeds(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")  # what is left of a quote then ends or starts a string
    marks = text.encode("utf-8", "surrogatepass").translate(_OF_ONE_KIND, _ALL_BUT_BRACKETS)
    brackets = _STRING.sub(b"", marks.replace(b'""', b""))  # an empty string, or two that become one
    left = brackets
    for _ in range(MAX_DEPTH):
        left = left.replace(b"[]", b"")  # without its innermost pairs it is one level less deep
        if not left:
            return False
    return max(accumulate(1 if bracket == _OPENING else -1 for bracket in brackets), default=0) > MAX_DEPTH


def _has_unwritable(text: str) -> bool:
    if not _SUSPECT.search(text):
        return False
    if _NUL.search(text):
        return True
    try:
        orjson.loads(text)  # strict about surrogates
    except orjson.JSONDecodeError:
        return True
    return False


def _as_written(value: Any) -> Any:
    if isinstance(value, DecimalText):
        return orjson.Fragment(value.text)
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON; decimals as they were read."""
    return orjson.dumps(value, default=_as_written)


def dumps_sorted(value: Any) -> bytes:
    """The same with the members of every object by name: equal for values that are."""
    return orjson.dumps(value, default=_as_written, option=orjson.OPT_SORT_KEYS)


def indented(data: bytes) -> bytes:
    """The same JSON for people to read; decimals as they were."""
    return orjson.dumps(loads(data), default=_as_written, option=orjson.OPT_INDENT_2)
