"""A resource's index rows: everything that it says under each of its search parameters."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import tzinfo
from functools import cache
from typing import Any

from interop.fhir.index_readers import Reader
from interop.fhir.parameters import Parameter, Step, parameters
from interop.fhir.profile import accepted_types
from interop.fhir.query import IndexRow

FORM = 2  # of the rows; one more whenever the same parameters give other rows

_INSTANCE = "series.instance."
_Reading = tuple[tuple[str, str | None] | None, tuple[Step, ...], Reader, Parameter]


def index_rows(resource: dict[str, Any], zone: tzinfo) -> list[IndexRow]:
    """Every searchable fact of the resource.

    A value that no search can name (a code without coding, a reference without target) has a row ``code:present``, so
    that ``:missing`` knows of it.
    """
    found: list[IndexRow] = []
    type_ = resource["resourceType"]
    readings = _readings(type_)
    for name, element in resource.items():
        for chosen, steps, read, parameter in readings.get(name, ()):
            if element is None:
                continue
            nodes = element if type(element) is list else [element]
            if chosen is not None:
                nodes = _chosen(nodes, *chosen)
                if not nodes:
                    continue
            for value in _values(nodes, steps) if steps else nodes:
                before = len(found)
                read(parameter, value, zone, found)
                if len(found) == before and parameter.only is None and value is not None and not parameter.computed:
                    found.append(IndexRow(f"{parameter.code}:present", "token"))
    if type_ == "ImagingStudy":
        found += _instances(resource)
    for composite, whole in _composites(type_):
        _read_composite(composite, whole, resource, zone, found)
    return found


@cache  # every search asks whether the index is complete
def fingerprint() -> str:
    """What the index holds for the types as they are served: another text, and all must be indexed anew."""
    known = [
        (type, code, parameter.type, parameter.paths, parameter.source, parameter.only)
        for type in accepted_types()
        for code, parameter in sorted(parameters(type).items())
    ]
    return hashlib.sha256(repr((FORM, known)).encode()).hexdigest()[:16]


@cache
def _readings(type: str) -> dict[str, tuple[_Reading, ...]]:
    """Every path of every parameter, by its first element, because most are not there."""
    found: dict[str, list[_Reading]] = {}
    for parameter in parameters(type).values():
        if parameter.type == "composite" or parameter.paths[0].startswith(_INSTANCE):
            continue
        for steps, read in parameter.readers:
            (name, child, wanted), *rest = steps
            chosen = (child, wanted) if child else None
            found.setdefault(name, []).append((chosen, tuple(rest), read, parameter))
    return {name: tuple(readings) for name, readings in found.items()}


@cache
def _composites(type: str) -> tuple[tuple[Parameter, Parameter], ...]:
    """The composites, each also as its components read it: of every kind of target."""
    known = parameters(type).values()
    return tuple((each, replace(each, only=None)) for each in known if each.type == "composite" and each.readers)


def _instances(study: dict[str, Any]) -> list[IndexRow]:
    """What is said instance by instance, of which there are thousands: ``instance`` and ``dicom-class``."""
    each = [instance for series in study.get("series", ()) for instance in series.get("instance", ())]
    classes = {(kind.get("system", ""), kind.get("code")) for one in each if (kind := one.get("sopClass"))}
    rows = [IndexRow("dicom-class", "token", system, code) for system, code in classes if code is not None]
    rows += [IndexRow("instance", "token", "", one["uid"]) for one in each if "uid" in one]
    return rows


def _read_composite(
    parameter: Parameter, whole: Parameter, resource: dict[str, Any], zone: tzinfo, found: list[IndexRow]
) -> None:
    """A row for every pair of what the two components say at the same node."""
    for steps, _ in parameter.readers:
        for node in _values([resource], steps) if steps else [resource]:
            firsts = _component(parameter, whole, 0, node, zone)
            seconds = _component(parameter, whole, 1, node, zone) if firsts else []
            for first in firsts:
                for second in seconds:
                    found.append(_pair(parameter.code, first, second))


def _component(parameter: Parameter, whole: Parameter, part: int, node: Any, zone: tzinfo) -> list[IndexRow]:
    """The rows of one component at a node; they stand under the composite's own name."""
    rows: list[IndexRow] = []
    for steps, read in parameter.components[part].readers:
        for value in _values([node], steps):
            if value is not None:
                read(whole, value, zone, rows)
    return [row for row in rows if row.param == parameter.code]


def _pair(code: str, first: IndexRow, second: IndexRow) -> IndexRow:
    if second.kind in ("tuple", "date"):
        return IndexRow(
            code,
            "tuple",
            first.system,
            first.value,
            second.low,
            second.high,
            second.other_system,
            second.other,
            second.unit,
        )
    return IndexRow(code, "tuple", first.system, first.value, 0, 0, second.system, second.value)


def _values(nodes: list[Any], steps: tuple[Step, ...]) -> list[Any]:
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
    return [
        node for node in nodes if type(node) is dict and (node.get(child) == wanted or _coded(node.get(child), wanted))
    ]


def _coded(concept: Any, wanted: str | None) -> bool:
    return type(concept) is dict and any(coding.get("code") == wanted for coding in concept.get("coding", ()))
