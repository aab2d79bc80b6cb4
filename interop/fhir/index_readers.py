"""From a value of some datatype to the index rows that find it (R4 search.html, the tables under each type).

A reader appends what it finds; the datatype at the end of a parameter's path chooses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Protocol

from interop.errors import InvalidContentError
from interop.fhir.folding import fold, indexed
from interop.fhir.numbers import quantity_range, range_of, samples_range
from interop.fhir.query import IndexRow
from interop.fhir.times import EARLIEST, LATEST, bounds


class Named(Protocol):
    """What a reader needs to know of the parameter that it reads for."""

    @property
    def code(self) -> str:
        """The parameter's name, under which the rows stand."""
        ...

    @property
    def only(self) -> str | None:
        """The one type of target that counts, of a reference."""
        ...


Reader = Callable[[Named, Any, tzinfo, list[IndexRow]], None]


def split_reference(reference: str) -> tuple[str, str] | None:
    """``Type/id`` (a version left off) as a pair; None for anything else."""
    match = _RELATIVE.fullmatch(reference)
    return (match[1], match[2]) if match else None


_RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


# tokens


def _plain_token(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if value is not None:
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        found.append(IndexRow(parameter.code, "token", "", text))


def _coding(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if "code" in value:
        found.append(IndexRow(parameter.code, "token", value.get("system", ""), value["code"]))
    if "display" in value:
        found.append(IndexRow(f"{parameter.code}:text", "string", "", fold(value["display"])))


def _codeable_concept(parameter: Named, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    for coding in value.get("coding", ()):
        _coding(parameter, coding, zone, found)
    if "text" in value:
        found.append(IndexRow(f"{parameter.code}:text", "string", "", fold(value["text"])))


def _identifier(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if "value" in value:
        found.append(IndexRow(parameter.code, "token", value.get("system", ""), value["value"]))
    named = value.get("type")
    if named and "text" in named:
        found.append(IndexRow(f"{parameter.code}:text", "string", "", fold(named["text"])))


def _contact_point(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    """The system is that of the contact: ``phone`` and ``email`` are these rows with theirs."""
    if "value" in value:
        found.append(IndexRow(parameter.code, "token", value.get("system", ""), value["value"]))


def is_true(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    """A parameter that asks whether an element is there and not false (Patient ``deceased``): one row if so."""
    if value is not None and value is not False:
        found.append(IndexRow(parameter.code, "token", "", "true"))


# references


def _reference(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if type(value) is str:
        _canonical(parameter, value, found)
        return
    literal = value.get("reference", "")
    local = split_reference(literal)
    if local:
        if parameter.only in (None, local[0]):
            found.append(IndexRow(parameter.code, "reference", local[0], local[1]))
    elif literal and literal[0] != "#":
        found.append(IndexRow(parameter.code, "reference", "", literal))
    logical(parameter, value, _zone, found)


def logical(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    """Only the identifier of a reference (R4 references.html#logical): what ``:identifier`` finds."""
    identifier = value.get("identifier")
    if identifier and "value" in identifier and value.get("type") in (None, parameter.only or value.get("type")):
        found.append(
            IndexRow(f"{parameter.code}:identifier", "token", identifier.get("system", ""), identifier["value"])
        )


def _canonical(parameter: Named, value: str, found: list[IndexRow]) -> None:
    """A definition is found with its version and without (R4 references.html#canonical)."""
    found.append(IndexRow(parameter.code, "reference", "", value))
    plain, mark, _ = value.partition("|")
    if mark:
        found.append(IndexRow(parameter.code, "reference", "", plain))


# dates


def _date(parameter: Named, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    found.append(_span(parameter, value, value, zone))


def _period(parameter: Named, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    if "start" in value or "end" in value:
        found.append(_span(parameter, value.get("start"), value.get("end"), zone))


def _timing(parameter: Named, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    for event in value.get("event", ()):
        if event is not None:
            found.append(_span(parameter, event, event, zone))
    _period(parameter, value.get("repeat", {}).get("boundsPeriod", {}), zone, found)


def _span(parameter: Named, start: str | None, end: str | None, zone: tzinfo) -> IndexRow:
    try:
        low = EARLIEST if start is None else bounds(start, zone)[0]
        high = LATEST if end is None else bounds(end, zone)[1]
    except ValueError as error:
        raise InvalidContentError(f"{parameter.code}: {error}", issue_code="value") from error
    return IndexRow(parameter.code, "date", low=low, high=high)


# strings


def _text(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if value is not None:
        found.append(IndexRow(parameter.code, "string", "", indexed(value)))


def texts(*names: str) -> Reader:
    """A reader of these parts of a name or an address."""

    def read(parameter: Named, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
        for name in names:
            part = value.get(name)
            for text in part if isinstance(part, list) else (part,):
                _text(parameter, text, zone, found)

    return read


# numbers


def _quantity(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    _measured(parameter, quantity_range(value), value, found)


def _amounts(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    low, high = value.get("low") or {}, value.get("high") or {}
    _measured(parameter, range_of(low, high), low or high, found)


def _samples(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    _measured(parameter, samples_range(value), value.get("origin") or {}, found)


def _measured(parameter: Named, span: tuple[float, float] | None, of: Any, found: list[IndexRow]) -> None:
    if span is not None:
        system, code, unit = of.get("system", ""), of.get("code", ""), of.get("unit", "")
        found.append(IndexRow(parameter.code, "tuple", "", "", *span, system, code, unit))


def _position(parameter: Named, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    """Latitude as the low end, longitude as the high: what ``near`` compares."""
    if "latitude" in value and "longitude" in value:
        found.append(IndexRow(parameter.code, "tuple", low=float(value["latitude"]), high=float(value["longitude"])))


HUMAN_NAME = ("text", "family", "given", "prefix", "suffix")
ADDRESS = ("text", "line", "city", "district", "state", "postalCode", "country")
_TOKENS: dict[str, Reader] = {
    "Coding": _coding,
    "CodeableConcept": _codeable_concept,
    "Identifier": _identifier,
    "ContactPoint": _contact_point,
}
_QUANTITIES: dict[str, Reader] = {"SampledData": _samples, "Range": _amounts}
_DATES: dict[str, Reader] = {"Period": _period, "Timing": _timing}
_STRINGS: dict[str, Reader] = {"HumanName": texts(*HUMAN_NAME), "Address": texts(*ADDRESS)}
READERS: dict[str, Callable[[str], Reader]] = {
    "token": lambda datatype: _TOKENS.get(datatype, _plain_token),
    "uri": lambda _: _plain_token,
    "date": lambda datatype: _DATES.get(datatype, _date),
    "string": lambda datatype: _STRINGS.get(datatype, _text),
    "reference": lambda _: _reference,
    "quantity": lambda datatype: _QUANTITIES.get(datatype, _quantity),
    "special": lambda _: _position,
}
