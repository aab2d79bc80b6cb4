"""Values of search parameters from their text (R4 search.html#ptypes): tokens, references, dates, numbers, and such."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo

from interop.errors import UnsupportedError
from interop.fhir.folding import fold
from interop.fhir.index_readers import split_reference
from interop.fhir.numbers import around, number_range
from interop.fhir.parameters import Component, Parameter
from interop.fhir.primitives import valid_id
from interop.fhir.query import (
    CompositeValue,
    DateValue,
    NumberValue,
    PositionValue,
    ReferenceValue,
    TokenValue,
    TypedIdentifier,
    Value,
)
from interop.fhir.times import bounds, micros

PREFIXES = ("eq", "ne", "lt", "le", "gt", "ge", "sa", "eb", "ap")
KILOMETRES = {"km": 1.0, "m": 0.001, "mi": 1.609344, "[mi_us]": 1.609347, "": 1.0}
NEAR = 50.0  # kilometres, where a search for what is near does not say how far


@dataclass(frozen=True, slots=True)
class Around:
    """What values are read with: the site's zone, our own address, and now (for ``ap``)."""

    zone: tzinfo
    base_url: str = ""
    now: datetime | None = None


def wrong(text: str) -> UnsupportedError:
    """A value that cannot be one; never to be ignored, however lenient a client is."""
    return UnsupportedError(text, issue_code="value")


def value_of(parameter: Parameter, text: str, around_: Around) -> Value:
    """The value that the text is, for this parameter."""
    match parameter.type:
        case "token":
            return token(parameter, text)
        case "uri":
            return TokenValue(None, unescaped(text))
        case "string":
            return folded(parameter.code, text)
        case "reference":
            return reference(parameter.code, parameter.targets, text, around_)
        case "date":
            return date(parameter.code, text, around_)
        case "composite":
            return composite(parameter, text, around_)
        case "special":
            return position(parameter.code, text)
    return number(parameter.code, text)


def token(parameter: Parameter, text: str) -> TokenValue:
    """R4 search.html#token: ``code``, ``system|code``, ``|code`` (no system), ``system|`` (any code)."""
    value = plain_token(parameter.code, text)
    return TokenValue(None, value.code) if value.system and value.system == parameter.implied_system else value


def plain_token(code: str, text: str) -> TokenValue:
    """The same, whatever the parameter."""
    parts = [unescaped(part) for part in split(text, "|")]
    if len(parts) == 1:
        return TokenValue(None, parts[0])
    system, named = parts[0], "|".join(parts[1:])
    if not system and not named:
        raise wrong(f"{code}: neither a system nor a code is given")
    return TokenValue(system, named or None)


def typed_identifier(code: str, text: str) -> TypedIdentifier:
    """``:of-type``: ``system|code|value``, all three (R4 search.html#token)."""
    parts = [unescaped(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise wrong(f"{code}:of-type is system|code|value: the type of the identifier, and its value")
    return TypedIdentifier(*parts)


def folded(code: str, text: str) -> str:
    """Text to compare with."""
    found = fold(unescaped(text))
    if not found:
        raise wrong(f"{code}: nothing is left to compare")
    return found


def reference(code: str, targets: tuple[str, ...], text: str, around_: Around) -> ReferenceValue:
    """``id``, ``Type/id`` or an absolute URL (R4 search.html#reference)."""
    plain = unescaped(text)
    if around_.base_url and plain.startswith(around_.base_url + "/"):
        plain = plain[len(around_.base_url) + 1 :]
    local = split_reference(plain)
    if local:
        return ReferenceValue(*local)
    if valid_id(plain):
        return ReferenceValue(targets[0] if len(targets) == 1 else None, plain)
    if ":" in plain:
        return ReferenceValue(None, plain)
    raise wrong(f"{code}: a reference is an id, Type/id or an absolute URL")


def date(code: str, text: str, around_: Around) -> DateValue:
    """A date with its prefix, in the site's zone where it has none (R4 search.html#date)."""
    prefix, rest = _prefixed(code, text)
    try:
        low, high = bounds(rest.replace(" ", "+"), around_.zone)  # an unescaped + of a zone arrives as a space
    except ValueError as error:
        raise wrong(f"{code}: {error}") from error
    if prefix == "ap" and around_.now is not None:
        slack = abs(micros(around_.now) - low) // 10
        low, high = low - slack, high + slack
    return DateValue(prefix, low, high)


def number(code: str, text: str) -> NumberValue:
    """``[prefix]number`` or ``[prefix]number|system|code`` (R4 search.html#quantity); units are not converted."""
    parts = [unescaped(part) for part in split(text, "|")]
    prefix, rest = _prefixed(code, parts[0])
    if len(parts) not in (1, 3) or (len(parts) == 3 and not parts[2]):
        raise wrong(f"{code}: a quantity is number, number|system|code or number||unit")
    try:
        exact, low, high = number_range(rest)
    except ValueError as error:
        raise wrong(f"{code}: {error}") from error
    if prefix == "ap":
        low, high = min(low, around(exact)[0]), max(high, around(exact)[1])
    system, unit = (parts[1] or None, parts[2]) if len(parts) == 3 else (None, None)
    return NumberValue(prefix, exact, low, high, system, unit)


def position(code: str, text: str) -> PositionValue:
    """``latitude|longitude[|distance[|km or [mi_us]]]`` (R4 location.html#positional)."""
    parts = [unescaped(part) for part in split(text, "|")]
    try:
        numbers = [float(part) for part in parts[:3] if part]
    except ValueError as error:
        raise wrong(f"{code}: latitude, longitude and distance are numbers") from error
    unit = parts[3] if len(parts) > 3 else ""
    if not 2 <= len(parts) <= 4 or len(numbers) < 2 or unit not in KILOMETRES:
        raise wrong(f"{code} is latitude|longitude|distance|unit, the unit one of km, m, mi, [mi_us]")
    latitude, longitude, distance = numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else None
    far = NEAR if distance is None else distance * KILOMETRES[unit]
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 < far <= 1000):
        raise wrong(f"{code}: latitude is within 90, longitude within 180 degrees, the distance within 1000 km")
    return PositionValue(latitude, longitude, far)


def composite(parameter: Parameter, text: str, around_: Around) -> CompositeValue:
    """``a$b`` (R4 search.html#composite)."""
    parts = split(text, "$")
    if len(parts) != 2 or not all(parts):
        raise wrong(f"{parameter.code} is two values with $ between them")
    first, second = (
        _component(parameter.code, component, part, around_)
        for component, part in zip(parameter.components, parts, strict=True)
    )
    assert isinstance(first, TokenValue | ReferenceValue)
    assert isinstance(second, TokenValue | DateValue | NumberValue | str)
    return CompositeValue(first, second)


def _component(code: str, component: Component, text: str, around_: Around) -> Value:
    match component.type:
        case "token":
            return plain_token(code, text)
        case "reference":
            return reference(code, component.targets, text, around_)
        case "date":
            return date(code, text, around_)
        case "string":
            return folded(code, text)
    return number(code, text)


def _prefixed(code: str, text: str) -> tuple[str, str]:
    if not text[:1].isalpha():
        return "eq", text
    if text[:2] not in PREFIXES:
        raise wrong(f"{code}: a value has one of the prefixes {', '.join(PREFIXES)}, or none")
    return text[:2], text[2:]


def split(text: str, separator: str) -> list[str]:
    """At every separator that no backslash escapes (R4 search.html#escaping)."""
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    for piece in re.findall(r"\\.|.", text, re.DOTALL):
        if piece == separator:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def unescaped(text: str) -> str:
    """The text without the backslashes that escape."""
    return re.sub(r"\\([\\,|$])", r"\1", text) if "\\" in text else text
