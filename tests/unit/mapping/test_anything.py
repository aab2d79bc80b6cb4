"""Whatever a field holds: the result is correct FHIR or a refusal with a place, and never another exception."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from interop.errors import MalformedError
from interop.fhir.json import dumps, loads
from interop.fhir.validation import validate
from interop.hl7.message import parse
from interop.mapping.preview import preview
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

TABLES = compile_tables(shipped("mappings"))
CASES = [
    path.read_text("utf-8", "replace").replace("\n", "\r").rstrip("\r").split("\r")
    for path in sorted((Path(__file__).parent / "cases").glob("*.hl7"))
    if not path.stem.startswith("refused")
]
MARKS = [
    "^",
    "~",
    "&",
    "\\",
    '""',
    "\\X00\\",
    "\\X0B\\",
    "\\.br\\",
    "\\T\\",
    " ",
    "  ",
    "-",
    ":",
    "<",
    "\x01",
    "\u2028",
    "\ufffe",
]
WORDS = ["1", "20261121", "a", "Ω", "CT", "urn:x y", "http://x", "ISO", "1.2.3", "9" * 21, "1e9", "𝄞", "X" * 70]
PIECES = st.sampled_from(MARKS + WORDS)
RAW = st.lists(PIECES, max_size=6).map("".join)


@given(
    case=st.sampled_from(CASES),
    changes=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 45), RAW), min_size=1, max_size=4),
)
@settings(max_examples=1200, deadline=None)
def test_any_text_in_any_field_gives_fhir_or_a_refusal(case: list[str], changes: list[tuple[int, int, str]]) -> None:
    lines = [line.split("|") for line in case]
    for at, number, text in changes:
        line = lines[at % len(lines)]
        if line[0] == "MSH" and number < 3:
            continue
        line += [""] * (number + 1 - len(line))
        line[number] = text
    raw = "\r".join("|".join(line) for line in lines).encode()
    try:
        message = parse(raw)
    except MalformedError:
        return
    found = preview(message, TABLES, zone=ZoneInfo("Asia/Nicosia"), facility="IMG")
    if found["bundle"] is None:
        assert found["issues"][-1]["location"]
        return
    entries: list[dict[str, Any]] = loads(dumps(found["bundle"]))["entry"]
    for entry in entries:  # what changes an order is laid over it, and no whole resource
        if entry["resource"]["resourceType"] != "ServiceRequest" or {one["event"] for one in found["events"]} == {
            "new"
        }:
            validate(entry["resource"])
