"""JSON as FHIR has it (R4 json.html): decimals keep their text, duplicate keys and NaN are refused."""

from __future__ import annotations

import json
from decimal import Decimal
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


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_float=DecimalText, parse_constant=_no_constant)


def loads(data: bytes | str) -> Any:
    """The value that the JSON text says; floats come as DecimalText. MalformedError (400) if it is not JSON."""
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        if _depth_exceeds(text):
            raise MalformedError(f"the JSON is nested deeper than {MAX_DEPTH} levels")
        return _decoder.decode(text)
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON: a number or a nesting beyond limits") from error


def _depth_exceeds(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    in_string = False
    position = 0
    while position < len(text):
        char = text[position]
        if in_string:
            if char == "\\":
                position += 1
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif char in "}]":
            depth -= 1
        position += 1
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
