"""Rows of ``mappings/segments`` compiled: HL7 positions in, FHIR elements out.

Positions are those of ``interop.hl7.message``. A list target takes every repetition in every segment of that name; any
other the first that is not empty. ``""`` (v2.5.1 2.5.3: delete) sets nothing and is remembered for the target.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from interop.errors import InvalidContentError, UnmappedCodeError
from interop.hl7.message import Segment, Value
from interop.mapping import datatypes, results
from interop.mapping.code_values import CODE_CONVERTERS
from interop.mapping.codes import CodeTable
from interop.mapping.context import Context
from interop.mapping.rows import ANY, Row
from interop.mapping.targets import Draft, setter

Scope = Mapping[str, Sequence[Segment]]
Trace = Callable[[str, str], None]  # row name, position that gave the value

REGISTERED = (datatypes, results)  # the modules whose import makes the converters known
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
    segments = scope.get(at.segment)
    if not segments:
        return []
    found = [value for segment in segments for value in segment.values(at.field)]
    if at.component:
        found = [value.component(at.component) for value in found]
        found = [value for value in found if value.raw]
    return found


def first(scope: Scope, at: Source) -> Sequence[Value]:
    """The first value at a position, alone; nothing without one."""
    segments = scope.get(at.segment)
    if not segments:
        return ()
    if len(segments) == 1 and not at.component:  # the usual case, kept short
        segment = segments[0]
        raw = segment.field(at.field)
        if not raw:
            return ()
        if segment.encoding.repetition not in raw:
            return (Value(raw, segment, at.field),)
    return values(scope, at)[:1]


def condition(row: Row) -> Callable[[Scope], bool] | None:
    """The row's ``when``: each position has one of its values ("" empty, * any); None without one."""
    wanted = [(source(text, row), frozenset(allowed)) for text, allowed in row.when.items()]
    if not wanted:
        return None

    def holds(scope: Scope) -> bool:
        for at, allowed in wanted:
            found = first(scope, at)
            text = found[0].text(1).strip() if found else ""
            if text not in allowed and not (text and ANY in allowed):
                return False
        return True

    return holds


class CompiledRow:
    """One row, ready to run."""

    __slots__ = (
        "_condition",
        "_convert",
        "_element",
        "_empty",
        "_many",
        "_put",
        "_required",
        "_sources",
        "name",
        "trace",
    )

    def __init__(self, row: Row, codes: Mapping[str, CodeTable], trace: Trace | None = None) -> None:
        """TableError for an unknown name."""
        self.name = row.name
        self.trace = trace
        self._sources = tuple(source(text, row) for text in row.source)
        self._condition = condition(row)
        self._convert = _conversion(row, codes)
        self._empty = _meaning_of_nothing(row, codes)
        self._many = "[]" in row.target
        self._required = row.required
        self._element = re.split(r"[.\[]", row.target)[0]
        try:
            self._put = setter(row.target)
        except ValueError as error:
            raise row.error(str(error)) from error

    def run(self, scope: Scope, draft: Draft, context: Context) -> None:
        """Put what the row finds into the draft."""
        if self._condition is not None and not self._condition(scope):
            return
        there = False
        for at in self._sources:
            found = values(scope, at) if self._many else first(scope, at)
            if found:
                there = True
                if self._take(found, draft, context):
                    return
        if there:
            return
        if self._empty is not None:
            self._keep(self._empty(context), draft, self._sources[0].text)
        elif self._required:
            position = self._sources[0].text
            raise InvalidContentError(f"{position} is needed", location=position, hl7_code="101")

    def _take(self, found: Sequence[Value], draft: Draft, context: Context) -> bool:
        taken = False
        for value in found:
            if value.null:
                context.cleared.append(f"{context.target}.{self._element}")
                return True
            taken |= self._keep(self._convert(value, context), draft, value)
        return taken

    def _keep(self, result: Any, draft: Draft, origin: Value | str) -> bool:
        if result is None or not self._put(draft, result):
            return False
        if self.trace is not None:
            self.trace(self.name, origin if isinstance(origin, str) else origin.location)
        return True


def _conversion(row: Row, codes: Mapping[str, CodeTable]) -> Callable[[Value, Context], Any]:
    if row.codes:
        return _by_codes(row, codes)
    name = row.convert or "st_to_string"
    if name not in datatypes.CONVERTERS:
        raise row.error(f"unknown converter {name!r}")
    for table in datatypes.NEEDS[name]:
        if table not in codes:
            raise row.error(f"{name} needs the code table codes/{table}.csv")
    return datatypes.CONVERTERS[name]


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
        found = context.find(table, text, value.location)
        if found is None and required:
            raise UnmappedCodeError(f"{text!r} is not in the table {table}", location=value.location)
        return shape(found, value)

    return convert


def _meaning_of_nothing(row: Row, codes: Mapping[str, CodeTable]) -> Callable[[Context], Any] | None:
    """What an absent field means, where the code table has a row for it."""
    if not row.codes or "" not in codes[row.codes].rows:
        return None
    table, shape = row.codes, CODE_CONVERTERS[row.convert or "code_to_code"]
    return lambda context: shape(context.codes[table].find(""), None)
