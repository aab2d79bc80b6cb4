"""The generated function of a table does what its rows mean: the same values, issues, traces and refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.errors import InteropError
from interop.hl7.message import Segment, parse
from interop.mapping.codes import CodeTable
from interop.mapping.context import Context
from interop.mapping.row_code import CompiledRows
from interop.mapping.rows import Row, overridden
from interop.mapping.tables import compile_tables
from interop.mapping.targets import Draft
from interop.shipped import shipped
from tests.row_interpreter import interpret

TABLES = compile_tables(shipped("mappings"))
ZONE = ZoneInfo("Asia/Nicosia")
Scope = dict[str, list[Segment]]


def odd_rows() -> tuple[Row, ...]:
    """What the shipped rows do not happen to say, in segments whose names are words of Python."""
    file = "segments/ODD.toml"
    spoken: list[dict[str, Any]] = [
        {"source": ("FOR-1", "GET-2.2", "RAW-3"), "target": "status", "codes": "gender", "required": True},
        {"source": ("GET-2.2",), "target": "text", "when": {"GET-1": ("*", ""), "FOR-1.2": ("A", "*")}},
        {"source": ("RAW-2",), "target": "note.text", "when": {"FOR-2": ("", "CT"), "RAW-3.1": ("1",)}},
        {"source": ("RAW-500", "RAW-1"), "target": "list[]"},
        {"source": ("RAW-1.2",), "target": "list[]", "when": {"RAW-1.2": ("*",)}},
        {"source": ("FOR-3", "FOR-2"), "target": "valueString", "convert": "dtm_to_instant"},
        {"source": ("FOR-2",), "target": "valueCode", "codes": "modality", "convert": "code_to_modality"},
        {"source": ("RAW-3",), "target": "requester", "convert": "xcn_to_practitioner", "required": True},
        {"source": ("GET-1",), "target": "extension[station][].valueString"},
        {"source": ("GET-1",), "target": "text", "when": {"GET-1": ()}},
    ]
    return tuple(Row(file=file, number=number, **one) for number, one in enumerate(spoken, 1))


def tables() -> Mapping[str, tuple[tuple[Row, ...], Mapping[str, CodeTable]]]:
    """Every shipped table, as it is and as each site has it."""
    found = {name: (table.rows, TABLES.codes) for name, table in TABLES.segment_tables.items()}
    for site in TABLES.sites:
        for name, changes in site.changes.items():
            rows = overridden(TABLES.segment_tables[name].rows, changes)
            found[f"{name} of {site.name}"] = (rows, site.codes)
    return {**found, "odd": (odd_rows(), TABLES.codes)}


ROWS = tables()
SEEN: list[tuple[str, str]] = []
COMPILED = {name: CompiledRows(name, rows, codes) for name, (rows, codes) in ROWS.items()}
TRACED = {
    name: CompiledRows(name, rows, codes, lambda row, position: SEEN.append((row, position)))
    for name, (rows, codes) in ROWS.items()
}
PIECES = st.sampled_from(
    (
        *("^", "^", "&", "~", "\\T\\", "\\.br\\", '""', " ", "CT", "M", "NW", "F", "NM", "SN", "TX", "ED", "1", "12.5"),
        *("20261121", "20261121093015", "202611210930+0100", "19000101", "HOSP", "MR", "Παπάς", "1.2.840.1", "x" * 17),
    )
)
FIELD = st.lists(PIECES, min_size=1, max_size=5).map("".join)
PLAIN = st.sampled_from(["", "CT", "M", "20261121093015", "P1^HOSP", "A^B^C", "1.5", "Y"])


@st.composite
def scopes(draw: st.DrawFn, rows: tuple[Row, ...]) -> Scope:
    """Segments that the rows read: none, one or several of each, with anything in the fields that they read."""
    positions = {position for row in rows for position in (*row.source, *row.when)}
    lines = ["MSH|^~\\&|RIS|HOSP|||20261121100000||ORU^R01|1|P|2.5.1||||||UNICODE UTF-8"]
    for name in sorted({position[:3] for position in positions} - {"MSH"}):
        numbers = sorted({int(one[4:].split(".")[0]) for one in positions if one[:3] == name})
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            fields = draw(st.dictionaries(st.sampled_from(numbers), PLAIN | FIELD, max_size=12))
            last = max(fields, default=0)
            lines.append("|".join([name, *(fields.get(number, "") for number in range(1, last + 1))]))
    scope: Scope = {}
    for segment in parse("\r".join(lines).encode()).segments:
        scope.setdefault(segment.name, []).append(segment)
    return scope


def outcome(run: Callable[[Draft, Context], None], codes: Mapping[str, CodeTable]) -> Any:
    draft = Draft("Patient")
    context = Context(zone=ZONE, facility="IMG", sender="HOSP", authorities=TABLES.authorities, codes=codes)
    refused: Any = None
    try:
        run(draft, context)
        run(draft, context)  # the segments of one report come one after the other into the same draft
    except InteropError as error:
        refused = (type(error), error.issues)
    return draft.resource, draft.slots, context.issues, context.cleared, refused


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_generated_rows_are_the_rows(name: str, data: st.DataObject) -> None:
    rows, codes = ROWS[name]
    scope = data.draw(scopes(rows))
    told: list[tuple[str, str]] = []
    meant = outcome(
        lambda draft, context: interpret(
            rows, codes, scope, draft, context, lambda row, position: told.append((row, position))
        ),
        codes,
    )
    SEEN.clear()
    assert outcome(lambda draft, context: COMPILED[name].run(scope, draft, context), codes) == meant
    assert SEEN == []
    assert outcome(lambda draft, context: TRACED[name].run(scope, draft, context), codes) == meant
    assert told == SEEN


@pytest.mark.parametrize("name", ROWS)
def test_the_source_can_be_read(name: str) -> None:
    """Each row has a comment with its name; only a table that is traced pays for it."""
    for row in ROWS[name][0]:
        assert f"# {row.name}: {', '.join(row.source)}" in COMPILED[name].source
    assert "trace(" not in COMPILED[name].source
    assert "trace(" in TRACED[name].source
