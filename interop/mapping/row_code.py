"""A table of rows as one Python function: its source is written, compiled once at start, and kept to be read.

``CompiledRows.source`` is the text, and tracebacks show its lines. Each row has a comment with its name, then a few
lines for the ordinary value: one segment, one repetition, no ``""``. All else goes the row's long way
(``CompiledRow.take``). Names in the text: ``PID`` the raw fields of the segment, ``in_PID`` the segment, ``NO_PID`` the
fields of none, ``PID_3`` a position, ``n3_put`` a part of row 3, ``mark`` the repetition separator. Rows are checked
before, and what is not a number is bound by name, so nothing else becomes source; of a message nothing ever does.
"""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from interop.hl7.message import NULL, Value
from interop.mapping.code_values import CODE_CONVERTERS, CodeConverter
from interop.mapping.codes import CodeTable
from interop.mapping.context import Contained, Context
from interop.mapping.converters import PLAIN
from interop.mapping.inbound import CompiledRow, Scope, Source, Trace, opened, said
from interop.mapping.origins import Origins, SaidValue
from interop.mapping.rows import ANY, Row
from interop.mapping.targets import Draft

Run = Callable[[Scope, Draft, Context], None]
_INDENT = "    "


class CompiledRows:
    """The rows of one segment table, ready to run."""

    __slots__ = ("run", "source")

    def __init__(
        self, name: str, rows: Sequence[Row], codes: Mapping[str, CodeTable], trace: Trace | None = None
    ) -> None:
        """TableError for an unknown name in a row. With ``trace`` the function tells of each row that gave a value."""
        writer = _Writer([CompiledRow(row, codes, trace) for row in rows], codes, trace)
        self.source = "\n".join(writer.lines()) + "\n"
        file = f"<mappings/segments/{name}.toml as Python, {id(writer):x}>"
        linecache.cache[file] = (len(self.source), None, self.source.splitlines(keepends=True), file)
        names = writer.names
        exec(compile(self.source, file, "exec"), names)  # noqa: S102 - of our rows only; values are bound by name
        self.run: Run = names["put_rows"]


class _Writer:
    """Writes the function; ``names`` are what its text refers to."""

    def __init__(self, rows: Sequence[CompiledRow], codes: Mapping[str, CodeTable], trace: Trace | None) -> None:
        self._rows = rows
        self._codes = codes
        self._traced = trace is not None
        self._explained = isinstance(trace, Origins)
        value = SaidValue if self._explained else Value
        self.names: dict[str, Any] = {"NULL": NULL, "Value": value, "opened": opened, "said": said, "trace": trace}
        self._sizes: dict[str, int] = {}
        for row in rows:
            for at in (*row.sources, *(at for at, _ in row.when)):
                self._sizes[at.segment] = max(self._sizes.get(at.segment, 0), at.field + 1)
                self.names[at.variable] = at
        read = Counter(at for row in rows for at in set(row.sources) if not at.component)
        self._shared = sorted(at.variable for at, times in read.items() if times > 1)  # split once for several rows

    def lines(self) -> Iterator[str]:
        """The function."""
        yield "def put_rows(scope, draft, context):"
        for line in (*self._beginning(), *(line for n, row in enumerate(self._rows, 1) for line in self._row(n, row))):
            yield _INDENT + line

    def _beginning(self) -> Iterator[str]:
        yield "resource = draft.resource"
        yield "get = scope.get"
        for name, size in self._sizes.items():
            self.names[f"NO_{name}"] = [""] * size
            yield f"{name}, in_{name} = opened(get({name!r}), NO_{name})"
        present = " or ".join(f"in_{name}" for name in self._sizes)
        yield f"present = {present or None}"
        yield "mark = present.encoding.repetition if present else ''"
        for name in self._shared:
            yield f"v_{name} = None"
        for at in dict.fromkeys(at for row in self._rows for at, _ in row.when if not at.component):
            yield f"s_{at.variable} = {at.segment}[{at.field}]"
            yield f"if s_{at.variable} and not s_{at.variable}.isalnum(): s_{at.variable} = said(scope, {at.variable})"

    def _row(self, n: int, row: CompiledRow) -> Iterator[str]:
        how = " ".join(part for part in (row.row.convert, row.row.codes and f"codes {row.row.codes}") if part)
        yield f"# {row.name}: {', '.join(row.row.source)} {how}".rstrip()
        self.names |= {f"n{n}_convert": row.convert, f"n{n}_put": row.put, f"n{n}_take": row.take}
        depth = 0
        if row.when:
            yield f"if {' and '.join(_holds(at, allowed) for at, allowed in row.when)}:"
            depth = 1
        for line in self._sources(n, row):
            yield _INDENT * depth + line

    def _sources(self, n: int, row: CompiledRow) -> Iterator[str]:
        if row.empty:
            yield "there = False"
        if len(row.sources) > 1:
            yield "taken = False"
        for place, at in enumerate(row.sources):
            yield f"raw = {at.segment}[{at.field}]"
            yield "if raw:" if place == 0 else "if raw and not taken:"
            for line in self._source(n, row, at):
                yield _INDENT + line
        if row.empty:
            self.names[f"n{n}_empty"] = row.empty
            yield f"if not there and in_{row.sources[0].segment} is not None:"
            yield f"{_INDENT}found = n{n}_empty(context)"
            yield from (_INDENT + line for line in self._put(n, row, repr(row.sources[0].text)))
        if row.required:
            self.names[f"n{n}_missing"] = row.missing
            yield f"if {row.root!r} not in resource: raise n{n}_missing(scope)"

    def _source(self, n: int, row: CompiledRow, at: Source) -> Iterator[str]:
        """What is done with a raw field that is not empty."""
        flags = ("there" if row.empty else "_", "taken" if len(row.sources) > 1 else "_")
        long = f"{flags[0]}, {flags[1]} = n{n}_take(scope, {at.variable}, draft, context)"
        if row.empty and row.sources[0] is not at:
            long = long.replace("there", "more", 1) + "; there = there or more"
        segment = f"in_{at.segment}"
        if at.component:
            self.names["component"] = _component
            yield f"if mark not in raw: raw = component(raw, {segment}, {at.component})"
        yield f"if raw == NULL or mark in raw: {long}"
        yield "elif raw:" if at.component else "else:"
        if row.empty:
            yield f"{_INDENT}there = True"
        if at.component:
            value = f"Value(raw, {segment}, {at.field}, 1, {at.component}, {segment}.encoding.subcomponent)"
        else:
            value = f"Value(raw, {segment}, {at.field})"
        for line in (*self._convert(n, row, at, value), *self._put(n, row, f"{value}.location")):
            yield _INDENT + line

    def _convert(self, n: int, row: CompiledRow, at: Source, value: str) -> Iterator[str]:
        plain = "" if self._explained else self._plain(n, row)  # a text that has its position is never plain
        depth = ""
        if plain:
            yield f"found = {plain}"
            yield "if found is None:"
            depth = _INDENT
        if at.variable in self._shared:
            yield f"{depth}if v_{at.variable} is None: v_{at.variable} = {value}"
            value = f"v_{at.variable}"
        yield f"{depth}found = n{n}_convert({value}, context)"

    def _plain(self, n: int, row: CompiledRow) -> str:
        """How a text of letters and digits alone becomes a value without a look at its structure; "" if not at all."""
        if row.row.codes:
            name = row.row.convert or "code_to_code"
            rows = {code: found for code, found in self._codes[row.row.codes].rows.items() if code.isalnum()}
            if name == "code_to_code":
                self.names[f"n{n}_codes"] = {code: found.target for code, found in rows.items() if found.target}
                return f"n{n}_codes.get(raw)"
            self.names[f"n{n}_plain"] = _plain_code(self._codes[row.row.codes], CODE_CONVERTERS[name])
            return f"n{n}_plain(raw) if raw.isalnum() else None"
        name = row.row.convert or "st_to_string"
        if name not in PLAIN:
            return ""
        self.names[f"n{n}_plain"] = PLAIN[name]
        return f"n{n}_plain(raw, context) if raw.isalnum() else None"

    def _put(self, n: int, row: CompiledRow, where: str) -> Iterator[str]:
        put = f"n{n}_put(draft, found)"
        taken = len(row.sources) > 1
        if not self._traced and row.plain:  # the first value of an element or list of its own, put there right away
            self.names["Contained"] = Contained
            yield f"if found is None: {'taken = False' if taken else 'pass'}"
            yield f"elif {row.root!r} not in resource and found.__class__ is not Contained:"
            yield f"{_INDENT}resource[{row.root!r}] = {'[found]' if row.many else 'found'}"
            if taken:
                yield f"{_INDENT}taken = True"
            yield f"else: {'taken = ' if taken else ''}{put}"
            return
        if self._traced:
            yield f"if found is not None and {put}:"
            yield f"{_INDENT}trace({row.name!r}, {where})"
            if taken:
                yield f"{_INDENT}taken = True"
        elif taken:
            yield f"taken = found is not None and {put}"
        else:
            yield f"if found is not None: {put}"


def _plain_code(table: CodeTable, shape: CodeConverter) -> Callable[[str], Any]:
    def plain_code(raw: str) -> Any:
        found = table.find(raw)
        return shape(found, None) if found is not None and found.target else None

    return plain_code


def _holds(at: Source, allowed: frozenset[str]) -> str:
    """The condition that a position has one of its values ("" empty, * any)."""
    if at.component:
        return f"said(scope, {at.variable}) in {_set(allowed)}" if ANY not in allowed else _any(at, allowed)
    if ANY in allowed:
        return _any(at, allowed)
    return f"s_{at.variable} in {_set(allowed)}"


def _any(at: Source, allowed: frozenset[str]) -> str:
    text = f"said(scope, {at.variable})" if at.component else f"s_{at.variable}"
    return "True" if "" in allowed else text


def _set(allowed: frozenset[str]) -> str:
    return f"{{{', '.join(map(repr, sorted(allowed)))}}}" if allowed else "()"


def _component(raw: str, segment: Any, number: int) -> str:
    parts = raw.split(segment.encoding.component, number)
    return parts[number - 1] if number <= len(parts) else ""
