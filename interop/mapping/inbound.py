"""Rows of ``mappings/segments`` compiled: HL7 positions in, FHIR elements out.

Positions are those of ``interop.hl7.message``. A list target takes every repetition in every segment of that name; any
other the first that is not empty. ``""`` (v2.5.1 2.5.3: delete) sets nothing and is remembered for the target.

A table becomes one Python function (``row_code``), which reads the ordinary value, one in one segment, in a few lines
of its own. Here is what it calls for all others, and what it is made from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from interop.errors import InvalidContentError, UnmappedCodeError
from interop.hl7.message import Segment, Value
from interop.mapping import datatypes, identifiers, results
from interop.mapping.code_values import CODE_CONVERTERS
from interop.mapping.codes import CodeTable
from interop.mapping.context import Context
from interop.mapping.converters import CONVERTERS, NEEDS
from interop.mapping.origins import Origins
from interop.mapping.rows import Row
from interop.mapping.targets import CHOICE, Draft, setter

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

    @property
    def variable(self) -> str:
        """How generated source calls it: ``ORC_7_4``."""
        return f"{self.segment}_{self.field}" + (f"_{self.component}" if self.component else "")


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
        found += segment.values(number)
    if component and found:
        return [part for part in (value.component(component) for value in found) if part.raw]
    return found


def said(scope: Scope, at: Source) -> str:
    """The first component at a position, for ``when``; "" without one."""
    segments = scope.get(at.segment)
    text = segments[0].field(at.field) if segments else ""
    if text and (at.component or not text.isalnum()):  # there may be components, blanks, escapes
        found = values(scope, at)
        text = found[0].text(1).strip() if found else ""
    return text


def opened(segments: Sequence[Segment] | None, blank: list[str]) -> tuple[list[str], Segment | None]:
    """The raw fields of the segment, as many as ``blank`` has at least, and the segment; blanks and None without one.

    Of several segments all fields are the repetition separator: any row then takes its values the long way.
    """
    if not segments:
        return blank, None
    segment = segments[0]
    if len(segments) > 1:
        return [segment.encoding.repetition] * len(blank), segment
    fields = segment.fields
    return (fields + blank[len(fields) :] if len(fields) < len(blank) else fields), segment


class CompiledRow:
    """One row: its parts by name for the generated function, and the long way round for what is not ordinary."""

    __slots__ = (
        "convert",
        "element",
        "empty",
        "many",
        "name",
        "plain",
        "put",
        "required",
        "root",
        "row",
        "sources",
        "trace",
        "when",
    )

    def __init__(self, row: Row, codes: Mapping[str, CodeTable], trace: Trace | None = None) -> None:
        """TableError for an unknown name."""
        self.row = row
        self.name = row.name
        self.trace = trace
        self.sources = tuple(source(text, row) for text in row.source)
        self.when: tuple[tuple[Source, frozenset[str]], ...] = tuple(
            (source(text, row), frozenset(allowed)) for text, allowed in row.when.items()
        )
        self.convert = _conversion(row, codes)
        self.empty = _meaning_of_nothing(row, codes)
        self.many = "[]" in row.target
        self.required = row.required
        self.element = _clearable(row.target)
        self.root = re.split(r"[.\[]", row.target)[0]
        self.plain = row.target.removesuffix("[]") == self.root and not CHOICE.match(self.root)
        try:
            self.put = setter(row.target)
        except ValueError as error:
            raise row.error(str(error)) from error
        if isinstance(trace, Origins):
            self.put = trace.watch(self.put)

    def take(self, scope: Scope, at: Source, draft: Draft, context: Context) -> tuple[bool, bool]:
        """Whether there is a value at the position, and whether one was taken (or asked to be deleted)."""
        found = values(scope, at)
        taken = False
        for value in found if self.many else found[:1]:
            if value.null:
                if self.required:
                    raise InvalidContentError("cannot be emptied", location=value.location, hl7_code="101")
                if self.element:
                    context.cleared.append(self.element)
                return True, True
            result = self.convert(value, context)
            if result is not None and self.put(draft, result):
                taken = True
                if self.trace is not None:
                    self.trace(self.name, value.location)
        return bool(found), taken

    def missing(self, scope: Scope) -> InvalidContentError:
        """The refusal of a message that lacks what the row needs."""
        text, name, number, _ = self.sources[0]
        segments = scope.get(name)
        where = f"{segments[0].location}-{number}" if segments else text
        return InvalidContentError(f"{text} is needed", location=where, hl7_code="101")


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
