"""The primitive types of R4 (datatypes.html#primitive): a JSON value of each, right or wrong.

The regular expressions are the specification's; calendar days are checked beyond them ("2026-02-30" is no date).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from interop.fhir.findings import Check, Finding, fault
from interop.fhir.narrative import check_xhtml

MAX_STRING = 1024 * 1024  # characters; datatypes.html#string: strings SHALL NOT exceed 1MB

_DAY = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_YEAR_OR_MONTH = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)(?:-(?:0[1-9]|1[0-2]))?"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

# As JSON Schema can say it too; what else holds of a value is checked below.
PATTERNS = {
    "date": f"{_DAY}|{_YEAR_OR_MONTH}",
    "dateTime": f"{_DAY}(?:T{_CLOCK}{_ZONE})?|{_YEAR_OR_MONTH}",
    "instant": f"{_DAY}T{_CLOCK}{_ZONE}",
    "time": _CLOCK,
    "code": r"[^\s]+(?:\s[^\s]+)*",
    "id": r"[A-Za-z0-9\-.]{1,64}",
    "uri": r"\S+",
    "url": r"\S+",
    "canonical": r"\S+",
    "element-id": r"\S+",
    "oid": r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+",
    "uuid": r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
_is_date, _is_datetime, _is_instant, _is_time, _is_code, _is_id, _is_uri, _is_oid, _is_uuid = (
    re.compile(PATTERNS[kind]).fullmatch
    for kind in ("date", "dateTime", "instant", "time", "code", "id", "uri", "oid", "uuid")
)
_is_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_is_mime = re.compile(r"[^\s/;]+(?:/[^\s/;]+(?:\s*;.*)?)?").fullmatch
_is_currency = re.compile(r"[A-Z]{3}").fullmatch

valid_id = _is_id


def _not_a(kind: str, value: Any) -> list[Finding]:
    if isinstance(value, dict | list):
        return fault("structure", f"a {kind} is one JSON value, not an object or array")
    if value is None:
        return fault("structure", "null stands for nothing; leave the element out")
    return fault("value", f"not a {kind}")


def _string(value: Any) -> list[Finding] | None:
    if type(value) is not str:
        return _not_a("string", value)
    if not value:
        return fault("value", "a string is never empty")
    if len(value) > MAX_STRING:
        return fault("too-long", f"a string has at most {MAX_STRING} characters")
    return None


def _matching(kind: str, matches: Callable[[str], object]) -> Check:
    def check(value: Any) -> list[Finding] | None:
        if type(value) is str and matches(value):
            return None
        return _not_a(kind, value)

    return check


def _dated(kind: str, matches: Callable[[str], object]) -> Check:
    def check(value: Any) -> list[Finding] | None:
        if type(value) is not str or not matches(value):
            return _not_a(kind, value)
        if value[8:10] > "28" and int(value[8:10]) > monthrange(int(value[:4]), int(value[5:7]))[1]:
            return fault("value", f"not a {kind}: that month has no such day")
        return None

    return check


def _boolean(value: Any) -> list[Finding] | None:
    return None if value is True or value is False else _not_a("boolean", value)


def _whole(kind: str, least: int) -> Check:
    def check(value: Any) -> list[Finding] | None:
        if type(value) is int and least <= value <= 2147483647:
            return None
        return _not_a(kind, value)

    return check


def _decimal(value: Any) -> list[Finding] | None:
    if type(value) is not bool and isinstance(value, int | Decimal | float):
        return None
    return _not_a("decimal", value)


def _base64(value: Any) -> list[Finding] | None:
    if type(value) is str:
        packed = value if value.isalnum() else "".join(value.split())
        if len(packed) % 4 == 0 and _is_base64(packed):
            return None
    return _not_a("base64Binary", value)


PRIMITIVES: dict[str, Check] = {
    "boolean": _boolean,
    "integer": _whole("integer", -2147483648),
    "positiveInt": _whole("positiveInt", 1),
    "unsignedInt": _whole("unsignedInt", 0),
    "decimal": _decimal,
    "string": _string,
    "markdown": _string,
    "code": _matching("code", _is_code),
    "id": _matching("id", _is_id),
    "element-id": _matching("element id (a string without spaces)", _is_uri),
    "uri": _matching("uri", _is_uri),
    "url": _matching("url", _is_uri),
    "canonical": _matching("canonical", _is_uri),
    "oid": _matching("oid", _is_oid),
    "uuid": _matching("uuid", _is_uuid),
    "date": _dated("date", _is_date),
    "dateTime": _dated("dateTime", _is_datetime),
    "instant": _dated("instant", _is_instant),
    "time": _matching("time", _is_time),
    "base64Binary": _base64,
    "xhtml": check_xhtml,
}

# Required bindings to sets that cannot be listed: BCP 13 media types, ISO 4217 currencies.
OPEN_CODES: dict[str, Check] = {
    "mimetypes": _matching("media type", _is_mime),
    "currencies": _matching("currency code (ISO 4217)", _is_currency),
}


def code_of(codes: frozenset[str], name: str) -> Check:
    """A code that must be one of a required binding's."""
    listed = ", ".join(sorted(codes)) if len(codes) <= 12 else f"value set {name}"

    def check(value: Any) -> list[Finding] | None:
        if type(value) is str:
            if value in codes:
                return None
            return fault("code-invalid", f"not one of the codes required here ({listed})")
        return _not_a("code", value)

    return check
