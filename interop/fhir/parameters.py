"""The search parameters of each served type, compiled from data into readers of index rows.

A row of the definitions (ours or the standard's) names a code, a type and element paths such as
``telecom[system=email]`` or ``series.modality``; the datatype at a path's end chooses how it is read (R4 search.html,
the table of types under token, date, string and reference).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from typing import Any

from interop.errors import InvalidContentError
from interop.fhir.definitions import code_sets, search_definitions, type_definitions
from interop.fhir.profile import accepted_types, extension_rules, own_search_parameters
from interop.fhir.query import IndexRow
from interop.fhir.times import EARLIEST, LATEST, bounds

MAX_TEXT = 200  # characters of folded text that are compared

Reader = Callable[["Parameter", Any, tzinfo, list[IndexRow]], None]  # appends what it finds
_Step = tuple[str, str | None, str | None]  # name, and the child that must have a value


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter of one type."""

    code: str
    type: str  # token | reference | date | string | uri
    definition: str
    targets: tuple[str, ...] = ()  # of a reference; empty: any
    only: str | None = None  # index only references to this type: "where(resolve() is Patient)"
    implied_system: str | None = None  # of an element of type code: its one code system
    readers: tuple[tuple[tuple[_Step, ...], Reader], ...] = ()


def rows_of(resource: dict[str, Any], zone: tzinfo) -> list[IndexRow]:
    """What the resource says under each of its parameters."""
    found: list[IndexRow] = []
    readings = _readings(resource["resourceType"])
    for name, element in resource.items():
        for chosen, steps, read, parameter in readings.get(name, ()):
            if element is None:
                continue
            nodes = element if type(element) is list else [element]
            if chosen is not None:
                nodes = _chosen(nodes, *chosen)
            for value in _values(nodes, steps) if steps else nodes:
                read(parameter, value, zone, found)
    return found


_Reading = tuple[tuple[str, str | None] | None, tuple[_Step, ...], Reader, "Parameter"]


@cache
def _readings(type: str) -> dict[str, tuple[_Reading, ...]]:
    """Every path of every parameter, by its first element, because most are not there."""
    found: dict[str, list[_Reading]] = {}
    for parameter in parameters(type).values():
        for ((name, child, wanted), *steps), read in parameter.readers:
            chosen = (child, wanted) if child else None
            found.setdefault(name, []).append((chosen, tuple(steps), read, parameter))
    return {name: tuple(readings) for name, readings in found.items()}


@cache
def parameters(type: str) -> dict[str, Parameter]:
    """The parameters that are indexed and searched for a type, by code; ``_id`` and ``_lastUpdated`` not among them."""
    accepted = accepted_types().get(type)
    if accepted is None:
        return {}
    rows = {row["code"]: row for row in search_definitions()["Resource"] + search_definitions()[type]}
    for own in own_search_parameters():
        if type in own["base"]:
            rows[own["code"]] = {**own, "paths": [_path_of(own["expression"])], "definition": own["url"]}
    return {code: _compile(type, rows[code]) for code in accepted.search if rows[code]["type"] in _READERS}


def fold(text: str) -> str:
    """Text as strings are compared: no case, no accents, a final sigma like any other, single spaces."""
    plain = text if text.isascii() else _without_marks(text)
    return " ".join(plain.casefold().split())[:MAX_TEXT]


def _without_marks(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def split_reference(reference: str) -> tuple[str, str] | None:
    """``Type/id`` (a version left off) as a pair; None for anything else."""
    match = _RELATIVE.fullmatch(reference)
    return (match[1], match[2]) if match else None


_RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_STEP = re.compile(r"(\w+)(?:\[(\w+)=([^\]]*)\])?(?:\.|$)")
_WHERE = re.compile(r"\.where\((\w+)='([^']*)'\)")


def _path_of(expression: str) -> str:
    """The element path of one of our own parameters: ``Type.a.where(b='c').d`` only."""
    path = _WHERE.sub(r"[\1=\2]", expression.partition(".")[2])
    extension = re.fullmatch(r"extension\[url=([^\]]*)\]\.value", path)
    if extension:
        value_type = extension_rules()[extension[1]].value_type
        path += value_type[0].upper() + value_type[1:]
    return path


def _compile(type: str, row: dict[str, Any]) -> Parameter:
    readers, implied = [], None
    for path in row["paths"]:
        steps = tuple((m[1], m[2], m[3]) for m in _STEP.finditer(path))
        datatype, spec = _datatype(type, [step[0] for step in steps])
        readers.append((steps, _READERS[row["type"]](datatype)))
        if datatype == "code" and spec.get("codes"):
            systems = list(code_sets().get(spec["codes"], ()))
            implied = systems[0] if len(systems) == 1 else None
    return Parameter(
        row["code"],
        row["type"],
        row["definition"],
        tuple(row.get("target", ())),
        row.get("only"),
        implied,
        tuple(readers),
    )


def _datatype(type: str, names: list[str]) -> tuple[str, dict[str, Any]]:
    """The datatype at the end of a path, and the element's definition."""
    elements = type_definitions()[type]["elements"]
    datatype: str = type
    spec: dict[str, Any] = {}
    for name in names:
        datatype, spec = _element(elements, name)
        elements = spec["parts"] if "parts" in spec else type_definitions().get(datatype, {}).get("elements", {})
    return datatype, spec


def _element(elements: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    if name in elements:
        spec = elements[name]
        return spec.get("types", ["BackboneElement"])[0], spec
    for key, spec in elements.items():
        if key.endswith("[x]") and name.startswith(key[:-3]):
            for datatype in spec["types"]:
                if name == key[:-3] + datatype[0].upper() + datatype[1:]:
                    return datatype, spec
    raise KeyError(f"no element {name}")


def _values(nodes: list[Any], steps: tuple[_Step, ...]) -> list[Any]:
    for name, child, wanted in steps:
        found: list[Any] = []
        for node in nodes:
            value = node.get(name) if type(node) is dict else None
            if value is None:
                continue
            if type(value) is list:
                found += value
            else:
                found.append(value)
        nodes = _chosen(found, child, wanted) if child else found
    return nodes


def _chosen(nodes: list[Any], child: str, wanted: str | None) -> list[Any]:
    return [node for node in nodes if type(node) is dict and node.get(child) == wanted]


def _plain_token(parameter: Parameter, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if value is not None:
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        found.append(IndexRow(parameter.code, "token", "", text))


def _coding(parameter: Parameter, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if "code" in value:
        found.append(IndexRow(parameter.code, "token", value.get("system", ""), value["code"]))


def _codeable_concept(parameter: Parameter, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    for coding in value.get("coding", ()):
        _coding(parameter, coding, zone, found)


def _identifier(parameter: Parameter, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if "value" in value:
        found.append(IndexRow(parameter.code, "token", value.get("system", ""), value["value"]))


def _contact_point(parameter: Parameter, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if "value" in value:
        found.append(IndexRow(parameter.code, "token", "", value["value"]))


def _reference(parameter: Parameter, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if type(value) is str:  # a canonical
        value = {"reference": value}
    literal = value.get("reference", "")
    local = split_reference(literal)
    if local:
        if parameter.only in (None, local[0]):
            found.append(IndexRow(parameter.code, "reference", local[0], local[1]))
    elif literal and literal[0] != "#":
        found.append(IndexRow(parameter.code, "reference", "", literal))
    identifier = value.get("identifier")
    if identifier and "value" in identifier and value.get("type") in (None, parameter.only or value.get("type")):
        found.append(
            IndexRow(f"{parameter.code}:identifier", "token", identifier.get("system", ""), identifier["value"])
        )


def _date(parameter: Parameter, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    found.append(_range(parameter, value, value, zone))


def _period(parameter: Parameter, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    if "start" in value or "end" in value:
        found.append(_range(parameter, value.get("start"), value.get("end"), zone))


def _timing(parameter: Parameter, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
    for event in value.get("event", ()):
        if event is not None:
            found.append(_range(parameter, event, event, zone))
    _period(parameter, value.get("repeat", {}).get("boundsPeriod", {}), zone, found)


def _range(parameter: Parameter, start: str | None, end: str | None, zone: tzinfo) -> IndexRow:
    try:
        low = EARLIEST if start is None else bounds(start, zone)[0]
        high = LATEST if end is None else bounds(end, zone)[1]
    except ValueError as error:
        raise InvalidContentError(f"{parameter.code}: {error}", issue_code="value") from error
    return IndexRow(parameter.code, "date", low=low, high=high)


def _text(parameter: Parameter, value: Any, _zone: tzinfo, found: list[IndexRow]) -> None:
    if value is not None:
        found.append(IndexRow(parameter.code, "string", "", fold(value)))


def _texts(*names: str) -> Reader:
    def read(parameter: Parameter, value: Any, zone: tzinfo, found: list[IndexRow]) -> None:
        for name in names:
            part = value.get(name)
            for text in part if isinstance(part, list) else (part,):
                _text(parameter, text, zone, found)

    return read


_TOKENS: dict[str, Reader] = {
    "Coding": _coding,
    "CodeableConcept": _codeable_concept,
    "Identifier": _identifier,
    "ContactPoint": _contact_point,
}
_DATES: dict[str, Reader] = {"Period": _period, "Timing": _timing}
_STRINGS: dict[str, Reader] = {
    "HumanName": _texts("text", "family", "given", "prefix", "suffix"),
    "Address": _texts("text", "line", "city", "district", "state", "postalCode", "country"),
}
_READERS: dict[str, Callable[[str], Reader]] = {
    "token": lambda datatype: _TOKENS.get(datatype, _plain_token),
    "uri": lambda _: _plain_token,
    "date": lambda datatype: _DATES.get(datatype, _date),
    "string": lambda datatype: _STRINGS.get(datatype, _text),
    "reference": lambda _: _reference,
}
