"""A message held against the standard of its version: what is missing, too much, too long, of the wrong type or code.

The structures are hl7apy's data; its parser is not used, since it leaves out what it does not expect. Here every
segment of the message is in the report, whatever becomes of it. hl7apy knows no lengths of fields, so lengths are those
of the primitive types (v2.5.1 2.A).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from interop.errors import UnavailableError
from interop.hl7.message import NULL, Message, Segment, Value
from interop.hl7.structure import Structure, structure_name

Severity = Literal["error", "warning", "information"]
Standing = Literal["fits", "local", "unknown", "unexpected", "misplaced"]

FALLBACK = "2.5.1"
_LONGEST = {"DT": 8, "TM": 16, "DTM": 24, "SI": 4, "NM": 16, "IS": 20, "ST": 199, "TX": 65536, "FT": 65536}
_MONTHDAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,4})?)?)?"
_ZONE = r"(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
_FORMS = {
    "NM": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)"),
    "SI": re.compile(r"\d{1,4}"),
    "DT": re.compile(rf"\d{{4}}(?:(?:0[1-9]|1[0-2])|{_MONTHDAY})?"),
    "TM": re.compile(rf"{_CLOCK}{_ZONE}"),
    "DTM": re.compile(rf"\d{{4}}(?:(?:0[1-9]|1[0-2])|{_MONTHDAY}(?:{_CLOCK})?)?{_ZONE}"),
}
_SAID: dict[Standing, tuple[Severity, str]] = {
    "local": ("information", "a local segment: the standard says nothing of it"),
    "unknown": ("error", "no segment of {version} is called so"),
    "unexpected": ("warning", "is no part of {structure}"),
    "misplaced": ("error", "stands where {structure} has none, or once too often"),
}
_GROWING = frozenset(
    {"HL70396"}
)  # coding systems: HL7 adds to it between versions; an IS table is the site's to extend
_MOMENT = ("leaf", None, "DTM", "TIME", None, -1)
_TEXT = ("ST", "TX", "FT")
_TIMES = frozenset({"TS"})  # TS.1 is a DTM; ST to hl7apy in versions before 2.5


@dataclass(frozen=True, slots=True)
class Found:
    """One departure from the standard."""

    location: str  # OBR[2]-4.1
    severity: Severity
    rule: str  # cardinality, length, type, table, structure, version
    text: str

    @property
    def place(self) -> str:
        """The location without counting segments and repetitions, to gather what recurs."""
        return re.sub(r"\[\d+\]", "", self.location)


@dataclass(frozen=True, slots=True)
class Line:
    """A segment, and how it stands to the message's structure."""

    location: str
    standing: Standing


@dataclass(slots=True)
class Report:
    """What a message is and how it departs."""

    control_id: str
    type: str
    version: str
    structure: str | None
    segments: list[Line] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)


def examine(message: Message) -> Report:
    """The report of a message; UnavailableError where hl7apy is not installed."""
    version, library, found = _library(message.version)
    name = structure_name(message.header.value(9), library.MESSAGES)
    report = Report(message.control_id, message.type, version, name, found=found)
    standings: list[Standing] = ["fits"] * len(message.segments)
    if name is None:
        text = (
            f"{message.type or 'a message without MSH-9'} has no structure in {version}: its segments are checked alone"
        )
        report.found.append(Found("MSH-9", "error", "structure", text))
    else:
        standings = _held_against(Structure(library.MESSAGES[name]), message, report, library.SEGMENTS)
    for segment, standing in zip(message.segments, standings, strict=True):
        known = library.SEGMENTS.get(segment.name)
        if name is None and known is None:
            standing = "local" if segment.name.startswith("Z") else "unknown"
        report.segments.append(Line(segment.location, standing))
        if known is not None:
            report.found += _segment(segment, known[1], library)
    return report


def _library(version: str) -> tuple[str, Any, list[Found]]:
    try:
        from hl7apy import SUPPORTED_LIBRARIES, load_library
    except ImportError as error:
        raise UnavailableError("hl7apy is not installed: pip install hl7apy") from error
    if version in SUPPORTED_LIBRARIES:
        return version, load_library(version), []
    text = f"version {version or '(none)'} is not one that is known here: checked against {FALLBACK}"
    return FALLBACK, load_library(FALLBACK), [Found("MSH-12", "warning", "version", text)]


def _held_against(structure: Structure, message: Message, report: Report, known: dict[str, Any]) -> list[Standing]:
    names = [segment.name for segment in message.segments]
    misplaced, missing = structure.match(names)
    standings: list[Standing] = []
    for index, segment in enumerate(message.segments):
        standing: Standing = "fits"
        if segment.name not in structure.names:
            standing = "local" if segment.name.startswith("Z") else "unexpected" if segment.name in known else "unknown"
        elif index in misplaced:
            standing = "misplaced"
        standings.append(standing)
        if standing != "fits":
            severity, words = _SAID[standing]
            text = words.format(version=report.version, structure=report.structure)
            report.found.append(Found(segment.location, severity, "structure", text))
    for name, group in missing:
        report.found.append(Found(name, "error", "cardinality", f"is missing{f' in {group}' if group else ''}"))
    return standings


def _segment(segment: Segment, known: tuple[Any, ...], library: Any) -> Iterator[Found]:
    for number, (_, reference, (least, most), _) in enumerate(known, 1):
        if segment.name == "MSH" and number <= 2:
            continue  # the separators: the message could not have been read otherwise
        values = segment.values(number)
        where = f"{segment.location}-{number}"
        title = reference[3].replace("_", " ").lower()
        if least and not values:
            yield Found(where, "error", "cardinality", f"{title} is required and missing")
        if 0 < most < len(values):
            yield Found(where, "error", "cardinality", f"{title} stands {len(values)} times, {most} allowed")
        for value in values:
            yield from _field(segment, value, reference, library)
    last = max((at for at, text in enumerate(segment.fields) if text), default=0)
    if last > len(known):
        yield Found(
            f"{segment.location}-{last}", "warning", "structure", f"the last field of {segment.name} is {len(known)}"
        )


def _field(segment: Segment, value: Value, reference: Any, library: Any) -> Iterator[Found]:
    if value.raw == NULL:
        return
    kind = reference[2]
    if kind == "varies":
        kind = segment.value(2).text() if segment.name == "OBX" else ""
        if not kind:
            return
        parts = library.DATATYPES_STRUCTS.get(kind)
        reference = ("sequence", parts, kind, "", None, -1) if parts else ("leaf", None, kind, "", None, -1)
    yield from _typed(value, reference, deep=True)


def _typed(value: Value, reference: Any, *, deep: bool) -> Iterator[Found]:
    shape, parts, kind, _, table, _ = reference
    if shape == "leaf":
        if value.size > 1 and kind not in _TEXT:
            yield Found(value.location, "warning", "type", f"{kind} has no components, {value.size} are there")
        yield from _primitive(value.location, value.text(kind not in _TEXT), kind, table)
        return
    if value.size > len(parts):
        text = f"{kind} has {len(parts)} components, {value.size} are there"
        yield Found(value.location, "warning", "structure", text)
    for number, (_, inner, (least, _), _) in enumerate(parts, 1):
        component = value.component(number)
        if component.raw:
            is_time = kind in _TIMES and number == 1
            yield from _component(component, _MOMENT if is_time else inner, deep=deep)
        elif least:
            text = f"{inner[3].replace('_', ' ').lower()} is missing"
            yield Found(component.location, "error", "cardinality", text)


def _component(component: Value, reference: Any, *, deep: bool) -> Iterator[Found]:
    if component.raw == NULL:
        return
    if reference[0] == "leaf":
        yield from _primitive(component.location, component.text(), reference[2], reference[4])
    elif deep:
        yield from _typed(component, reference, deep=False)


def _primitive(where: str, text: str, kind: str, table: str | None) -> Iterator[Found]:
    if not text:
        return
    form = _FORMS.get(kind)
    if form is not None and not form.fullmatch(text.strip()):
        yield Found(where, "error", "type", f"is no {kind}")
    longest = _LONGEST.get(kind)
    if longest is not None and len(text) > longest:
        yield Found(where, "warning", "length", f"{len(text)} characters, {kind} has at most {longest}")
    codes = codes_of(table)
    if kind in ("ID", "IS") and codes and text not in codes:
        severity: Severity = "warning" if kind == "IS" or table in _GROWING else "error"
        number = str(table).removeprefix("HL7")
        yield Found(where, severity, "table", f"{text[:20]!r} is not in table {number}")


def codes_of(table: str | None) -> frozenset[str]:
    """The codes of a table as v2.5.1 has it; none where it lists none."""
    from hl7apy import load_library

    tables = load_library(FALLBACK).TABLES
    return frozenset(tables[table][1] or ()) if table in tables else frozenset()
