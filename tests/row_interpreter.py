"""What rows of ``mappings/segments`` mean, as plainly as it can be said: the measure of the generated functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interop.errors import InvalidContentError, UnmappedCodeError
from interop.hl7.message import Segment, Value
from interop.mapping.code_values import CODE_CONVERTERS
from interop.mapping.codes import CodeTable
from interop.mapping.context import Context
from interop.mapping.converters import CONVERTERS
from interop.mapping.rows import Row
from interop.mapping.targets import Draft, setter

Scope = Mapping[str, Sequence[Segment]]
_POSITION = re.compile(r"([A-Z][A-Z0-9]{2})-(\d+)(?:\.(\d+))?")


def interpret(
    rows: Sequence[Row],
    codes: Mapping[str, CodeTable],
    scope: Scope,
    draft: Draft,
    context: Context,
    trace: Callable[[str, str], None],
) -> None:
    """Run the rows one by one."""
    for row in rows:
        if all(_holds(scope, position, allowed) for position, allowed in row.when.items()):
            _run(row, codes, scope, draft, context, trace)


def _values(scope: Scope, position: str) -> list[Value]:
    match = _POSITION.fullmatch(position)
    assert match is not None
    found = [value for segment in scope.get(match[1], ()) for value in segment.values(int(match[2]))]
    if match[3]:
        found = [part for part in (value.component(int(match[3])) for value in found) if part.raw]
    return found


def _holds(scope: Scope, position: str, allowed: Sequence[str]) -> bool:
    """Of the first segment alone; an empty field there is empty, whatever a second segment says."""
    match = _POSITION.fullmatch(position)
    assert match is not None
    segments = scope.get(match[1])
    found = _values(scope, position) if segments and segments[0].field(int(match[2])) else []
    text = found[0].text(1).strip() if found else ""
    return text in allowed or bool(text and "*" in allowed)


def _run(
    row: Row,
    codes: Mapping[str, CodeTable],
    scope: Scope,
    draft: Draft,
    context: Context,
    trace: Callable[[str, str], None],
) -> None:
    many = "[]" in row.target
    put = setter(row.target)
    there = False
    for position in row.source:
        found = _values(scope, position) if many else _values(scope, position)[:1]
        there = there or bool(found)
        taken = False
        for value in found:
            if value.null:
                if row.required:
                    raise InvalidContentError("cannot be emptied", location=value.location, hl7_code="101")
                element = row.target.removesuffix("[]")
                if element.isalpha() and element not in ("identifier", "extension"):
                    context.cleared.append(element)
                return
            result = _converted(row, codes, value, context)
            if result is not None and put(draft, result):
                taken = True
                trace(row.name, value.location)
        if taken:
            return
    if not there:
        _empty(row, codes, scope, draft, trace)
    if row.required and re.split(r"[.\[]", row.target)[0] not in draft.resource:
        segments = scope.get(row.source[0][:3])
        where = f"{segments[0].location}{row.source[0][3:].split('.')[0]}" if segments else row.source[0]
        raise InvalidContentError(f"{row.source[0]} is needed", location=where, hl7_code="101")


def _empty(
    row: Row, codes: Mapping[str, CodeTable], scope: Scope, draft: Draft, trace: Callable[[str, str], None]
) -> None:
    """What an empty field of a segment that is there means, where the code table says so."""
    if row.codes and "" in codes[row.codes].rows and scope.get(row.source[0][:3]):
        meant = CODE_CONVERTERS[row.convert or "code_to_code"](codes[row.codes].find(""), None)
        if meant is not None and setter(row.target)(draft, meant):
            trace(row.name, row.source[0])


def _converted(row: Row, codes: Mapping[str, CodeTable], value: Value, context: Context) -> Any:
    if not row.codes:
        return CONVERTERS[row.convert or "st_to_string"](value, context)
    text = value.text(1).strip()
    found = context.find(row.codes, text, value)
    if found is None and row.required:
        found = codes[row.codes].find("")
        if found is None:
            raise UnmappedCodeError(f"{text!r} is not in the table {row.codes}", location=value.location)
    return CODE_CONVERTERS[row.convert or "code_to_code"](found, value)
