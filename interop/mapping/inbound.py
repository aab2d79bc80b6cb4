"""Rows of ``mappings/segments`` compiled: HL7 positions in, FHIR elements out.

Positions are those of ``interop.hl7.message``. A list target takes every repetition in every segment of that name; any
other the first that is not empty. ``""`` (v2.5.1 2.5.3: delete) sets nothing and is remembered for the target.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from interop.errors import InvalidContentError, UnmappedCodeError
from interop.hl7.message import Segment, Value
from interop.mapping import datatypes, identifiers, results
from interop.mapping.code_values import CODE_CONVERTERS
from interop.mapping.codes import CodeTable
from interop.mapping.context import Context
from interop.mapping.converters import CONVERTERS, NEEDS
from interop.mapping.rows import ANY, Row
from interop.mapping.targets import Draft, setter

Scope = Mapping[str, Sequence[Segment]]
Trace = Callable[[str, str], None]  # row name, position that gave the value

REGISTERED = (datatypes, identifiers, results)  # the modules whose import makes the converters known
_POSITION = re.compile(r"([A-Z][A-Z0-9]{2})-(\d+)(?:\.(\d+))?\Z")


class Source(NamedTuple):
    """A position in a segment; component 0 is the whole field."""

    text: str
    segment: str
    field: int
    component: int


def source(text: str, row: Row) -> Source:
    """A position such as ``ORC-7.4``; TableError if it is none."""
    match = _POSITION.match(text)
    if match is None:
        raise row.error(f"{text!r} is not a position such as PID-3 or ORC-7.4")
    return Source(text, match[1], int(match[2]), int(match[3] or 0))


def values(scope: Scope, at: Source) -> list[Value]:
    """All values at a position, empty ones left out."""
    _, name, number, component = at
    found: list[Value] = []
    for segment in scope.get(name, ()):
        fields = segment.fields
        if number < len(fields) and fields[number]:
            found += segment.values(number)
    if component and found:
        return [part for part in (value.component(component) for value in found) if part.raw]
    return found


def first(scope: Scope, at: Source) -> Sequence[Value]:
    """The first value at a position, alone; nothing without one."""
    _, name, number, component = at
    segments = scope.get(name)
    if not segments:
        return ()
    if component or len(segments) > 1:
        return values(scope, at)[:1]
    segment = segments[0]  # the usual case, kept short
    fields = segment.fields
    raw = fields[number] if number < len(fields) else ""
    if not raw:
        return ()
    if segment.encoding.repetition in raw:
        return segment.values(number)[:1]
    return (Value(raw, segment, number),)


Condition = tuple[Source, frozenset[str]]


def holds(conditions: Sequence[Condition], scope: Scope) -> bool:
    """A row's ``when``: each position has one of its values ("" empty, * any)."""
    for at, allowed in conditions:
        text = said(scope, at)
        if text not in allowed and not (text and ANY in allowed):
            return False
    return True


def said(scope: Scope, at: Source) -> str:
    """The first component at a position; "" without one."""
    segments = scope.get(at.segment)
    text = segments[0].field(at.field) if segments else ""
    if text and (at.component or not text.isalnum()):  # there may be components, blanks, escapes
        found = first(scope, at)
        text = found[0].text(1).strip() if found else ""
    return text


class CompiledRow:
    """One row, ready to run."""

    __slots__ = (
        "_convert",
        "_element",
        "_empty",
        "_many",
        "_put",
        "_required",
        "_root",
        "_sources",
        "name",
        "trace",
        "when",
    )

    def __init__(self, row: Row, codes: Mapping[str, CodeTable], trace: Trace | None = None) -> None:
        """TableError for an unknown name."""
        self.name = row.name
        self.trace = trace
        self._sources = tuple(source(text, row) for text in row.source)
        self.when: tuple[Condition, ...] = tuple(
            (source(text, row), frozenset(allowed)) for text, allowed in row.when.items()
        )
        self._convert = _conversion(row, codes)
        self._empty = _meaning_of_nothing(row, codes)
        self._many = "[]" in row.target
        self._required = row.required
        self._element = _clearable(row.target)
        self._root = re.split(r"[.\[]", row.target)[0]
        try:
            self._put = setter(row.target)
        except ValueError as error:
            raise row.error(str(error)) from error

    def run(self, scope: Scope, draft: Draft, context: Context) -> None:
        """Put what the row finds into the draft, if its conditions hold."""
        if not self.when or holds(self.when, scope):
            self.apply(scope, draft, context)

    def apply(self, scope: Scope, draft: Draft, context: Context) -> None:
        """Put what the row finds into the draft."""
        there = False
        for at in self._sources:
            found = values(scope, at) if self._many else first(scope, at)
            if found:
                there = True
                if self._take(found, draft, context):
                    return
        if not there and self._empty is not None and scope.get(self._sources[0].segment):
            self._keep(self._empty(context), draft, self._sources[0].text)
        if self._required and self._root not in draft.resource:
            raise self._missing(scope)

    def _missing(self, scope: Scope) -> InvalidContentError:
        text, name, number, _ = self._sources[0]
        segments = scope.get(name)
        where = f"{segments[0].location}-{number}" if segments else text
        return InvalidContentError(f"{text} is needed", location=where, hl7_code="101")

    def _take(self, found: Sequence[Value], draft: Draft, context: Context) -> bool:
        taken = False
        for value in found:
            if value.null:
                if self._required:
                    raise InvalidContentError("cannot be emptied", location=value.location, hl7_code="101")
                if self._element:
                    context.cleared.append(self._element)
                return True
            taken |= self._keep(self._convert(value, context), draft, value)
        return taken

    def _keep(self, result: Any, draft: Draft, origin: Value | str) -> bool:
        if result is None or not self._put(draft, result):
            return False
        if self.trace is not None:
            self.trace(self.name, origin if isinstance(origin, str) else origin.location)
        return True


class Choice:
    """Consecutive rows that ask for values of the same one position, as OBX-5 does for OBX-2: it is read once."""

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: Sequence[CompiledRow]) -> None:
        self._at = rows[0].when[0][0]
        every = dict.fromkeys(value for row in rows for value in row.when[0][1])
        self._rows = {value: [row for row in rows if value in row.when[0][1]] for value in every}

    def run(self, scope: Scope, draft: Draft, context: Context) -> None:
        """Run the rows for what the position says."""
        for row in self._rows.get(said(scope, self._at), ()):
            row.apply(scope, draft, context)


Step = CompiledRow | Choice


def steps(rows: Sequence[CompiledRow]) -> tuple[Step, ...]:
    """The rows in their order, choices among them put together."""
    found: list[Step] = []
    for position, group in groupby(rows, key=_chosen_by):
        together = list(group)
        found += [Choice(together)] if position is not None and len(together) > 1 else together
    return tuple(found)


def _chosen_by(row: CompiledRow) -> Source | None:
    if len(row.when) != 1 or ANY in row.when[0][1]:
        return None
    return row.when[0][0]


def _clearable(target: str) -> str:
    """The element that ``""`` empties: a whole one only, and no number by which something is known."""
    element = target.removesuffix("[]")
    return element if element.isalpha() and element not in ("identifier", "extension") else ""


def _conversion(row: Row, codes: Mapping[str, CodeTable]) -> Callable[[Value, Context], Any]:
    if row.codes:
        return _by_codes(row, codes)
    name = row.convert or "st_to_string"
    if name not in CONVERTERS:
        raise row.error(f"unknown converter {name!r}")
    for table in NEEDS[name]:
        if table not in codes:
            raise row.error(f"{name} needs the code table codes/{table}.csv")
    return CONVERTERS[name]


def _by_codes(row: Row, codes: Mapping[str, CodeTable]) -> Callable[[Value, Context], Any]:
    table = row.codes
    if table not in codes:
        raise row.error(f"unknown code table {table!r}")
    name = row.convert or "code_to_code"
    if name not in CODE_CONVERTERS:
        raise row.error(f"{name!r} does not take a code; known are {', '.join(sorted(CODE_CONVERTERS))}")
    shape = CODE_CONVERTERS[name]
    required = row.required

    def convert(value: Value, context: Context) -> Any:
        text = value.text(1).strip()
        found = context.find(table, text, value)
        if found is None and required:  # what is needed and unknown is said to be unknown (design law 6)
            found = context.codes[table].find("")
            if found is None:
                raise UnmappedCodeError(f"{text!r} is not in the table {table}", location=value.location)
        return shape(found, value)

    return convert


def _meaning_of_nothing(row: Row, codes: Mapping[str, CodeTable]) -> Callable[[Context], Any] | None:
    """What an empty field of a segment that is there means, where the code table has a row for it."""
    if not row.codes or "" not in codes[row.codes].rows:
        return None
    table, shape = row.codes, CODE_CONVERTERS[row.convert or "code_to_code"]
    return lambda context: shape(context.codes[table].find(""), None)
