"""Rows that read FHIR: paths in, values of DICOM elements or HL7 fields out (``mappings/dicom``, ``outbound``).

A path begins with what it reads: a resource type, or one of the facts that the caller adds (``Order``, ``Step``,
``Item``). Brackets choose among several: ``ServiceRequest.identifier[PLAC]`` by type, ``extension[station]`` by its
short name, ``orderDetail[modality]`` the DICOM modality, ``orderDetail[transport]`` how the patient comes,
``orderDetail[step]`` what is neither, ``supportingInfo[Flag]`` what refers to a Flag, ``supportingInfo[other]`` what is
no measurement, allergy or flag, and ``supportingInfo[text]`` what of that is mere words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interop.errors import InvalidContentError
from interop.fhir import names, orders
from interop.mapping.codes import CodeTable
from interop.mapping.context import Context, kind_of
from interop.mapping.inbound import Trace
from interop.mapping.origins import Origins
from interop.mapping.rows import ANY, Row
from interop.mapping.uris import EXTENSIONS

Resources = Mapping[str, Any]  # by type, and the caller's facts
OutConverter = Callable[[Any, Context], Any]
Path = Callable[[Resources], list[Any]]
Found = dict[str, list[Any]]  # what paths have found in the same resources, by their text

ROOTS = (
    *("Patient", "Prior", "ServiceRequest", "DiagnosticReport", "Order", "Step", "Item"),
    *(
        "Encounter",
        "Visit",
        "AllergyIntolerance",
        "Flag",
        "Weight",
        "Size",
        "Pregnancy",
    ),  # of the patient
)
_SUPPORTING = ("Observation", "AllergyIntolerance", "Flag")
_STEP = re.compile(r"(\w+)(?:\[(\w+)\])?\Z")


def path(text: str, row: Row) -> Path:
    """The function that finds the values of a path; TableError if it is none."""
    root, *steps = text.split(".")
    if root not in ROOTS:
        raise row.error(f"{text!r} does not begin with one of {', '.join(ROOTS)}")
    parts: list[tuple[str, Callable[[Any], bool] | None]] = []
    for step in steps:
        match = _STEP.match(step)
        if match is None:
            raise row.error(f"{text!r} is no path")
        parts.append((match[1], _choice(match[1], match[2], row)))

    def find(resources: Resources) -> list[Any]:
        given = resources.get(root)
        found = given if isinstance(given, list) else [given] if given is not None else []
        for name, chosen in parts:
            following: list[Any] = []
            for place in found:
                value = place.get(name) if isinstance(place, dict) else None
                if isinstance(value, list):
                    following += value
                elif value is not None:
                    following.append(value)
            if not following:
                return following
            found = [value for value in following if chosen(value)] if chosen else following
        return found

    return find


def _choice(name: str, key: str | None, row: Row) -> Callable[[Any], bool] | None:
    if name == "identifier":
        return _identifier(key)
    if key is None:
        return None
    if name == "extension":
        if key not in EXTENSIONS:
            raise row.error(f"{key!r} is no extension; known are {', '.join(EXTENSIONS)}")
        return lambda value: bool(value.get("url") == EXTENSIONS[key])
    if name == "orderDetail" and key in ("modality", "transport", "step"):
        return lambda value: orders.detail_kind(value) == key
    if name == "supportingInfo" and key == "text":
        return lambda value: _supporting(value) == "other" and "reference" not in value
    if name == "supportingInfo" and key in (*_SUPPORTING, "other"):
        return lambda value: _supporting(value) == key
    if name == "location" and key == "active":
        return lambda value: value.get("status", key) == key
    if name in ("name", "telecom", "address"):
        return lambda value: bool(value.get("use") == key)
    raise row.error(f"{name}[{key}] is no choice that is known here")


def _identifier(key: str | None) -> Callable[[Any], bool]:
    """Identifiers without a value are none: id and issuer must come from the same one; a former number is no type's."""
    if key is None:
        return lambda value: bool(value.get("value"))
    if key == "study":
        return lambda value: bool(value.get("value")) and value.get("system") == names.STUDY_UID

    def typed(value: Mapping[str, Any]) -> bool:
        if not value.get("value") or value.get("use") == "old":
            return False
        return any(coding.get("code") == key for coding in value.get("type", {}).get("coding", ()))

    return typed


def _supporting(reference: Mapping[str, Any]) -> str:
    """What a reference in supportingInfo is to, as far as it is told apart."""
    kind = kind_of(reference)
    return kind if kind in _SUPPORTING else "other"


class FhirRow:
    """One compiled row; ``target`` is for the caller to interpret."""

    __slots__ = (
        "_codes",
        "_condition",
        "_convert",
        "_many",
        "_required",
        "_sources",
        "name",
        "roots",
        "target",
        "trace",
    )

    def __init__(
        self,
        row: Row,
        converters: Mapping[str, OutConverter],
        codes: Mapping[str, CodeTable],
        trace: Trace | None = None,
    ) -> None:
        """TableError for an unknown name."""
        self.name = row.name
        self.target = row.target.removesuffix("[]")
        self.trace = trace
        self._many = row.target.endswith("[]")
        self._sources = tuple((text, text.partition(".")[0], path(text, row)) for text in row.source)
        read = (*row.source, *row.when)
        self.roots = frozenset(text.partition(".")[0] for text in read)  # without any of them it finds nothing
        self._condition = tuple((path(text, row), frozenset(allowed)) for text, allowed in row.when.items())
        self._required = row.required
        if row.codes and row.codes not in codes:
            raise row.error(f"unknown code table {row.codes!r}")
        self._codes = row.codes
        if row.convert and row.convert not in converters:
            raise row.error(f"unknown converter {row.convert!r}; known are {', '.join(sorted(converters))}")
        self._convert = converters[row.convert] if row.convert else None

    def value(self, resources: Resources, context: Context, found: Found | None = None) -> Any:
        """What the row finds: a list for a repeating target; None for nothing.

        ``found``, of these very resources: many rows read the same paths.
        """
        if self._condition and not self._holds(resources):
            return None
        for text, root, find in self._sources:
            values = None if found is None else found.get(text)
            if values is None:
                values = find(resources)
                if found is not None:
                    found[text] = values
            if not values:
                continue
            context.reading = root
            converted = [one for value in values if (one := self._one(value, text, context))]
            if converted:
                if self.trace is not None:
                    self._tell(text, values, context)
                return converted if self._many else converted[0]
        return self._default(context)

    def _default(self, context: Context) -> Any:
        """What stands where no source has a value: the table's row for nothing."""
        first = self._sources[0][0]
        if self._codes and "" in context.codes[self._codes].rows:
            none = context.codes[self._codes].rows[""]
            if self.trace is not None and none.target:
                self.trace(self.name, first)
                if isinstance(self.trace, Origins):
                    self.trace.read(self.target, f"codes/{self._codes}", [])
            return none.target or None
        if self._required:
            raise InvalidContentError(f"{first} is needed", expression=first)
        return None

    def _tell(self, text: str, found: Sequence[Any], context: Context) -> None:
        assert self.trace is not None
        self.trace(self.name, text)
        if isinstance(self.trace, Origins):
            given = [value for value in found if self._one(value, text, context)]
            self.trace.read(self.target, text, given if self._many else given[:1])

    def _one(self, value: Any, text: str, context: Context) -> Any:
        if self._codes:
            found = context.codes[self._codes].find(str(value))
            if found is None:
                context.unmapped(f"{value!r} is not in the table {self._codes}", text, code="code-invalid")
                return None
            value = found.target
        return self._convert(value, context) if self._convert else value

    def _holds(self, resources: Resources) -> bool:
        for find, allowed in self._condition:
            found: Sequence[Any] = find(resources)
            text = str(found[0]) if found else ""
            if text not in allowed and not (text and ANY in allowed):
                return False
        return True


def contained_of(resource: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What the resource holds inside, by its reference (``#requester``)."""
    return {f"#{inner.get('id')}": inner for inner in (resource or {}).get("contained", [])}
