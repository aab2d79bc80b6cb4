"""Messages and what becomes of them: one .hl7 and one .json file per case, the file name is the case.

``python tests/unit/mapping/test_cases.py`` writes the .json files anew; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from interop.fhir.json import dumps, loads
from interop.fhir.validation import validate
from interop.mapping.messages import read_message
from interop.mapping.preview import preview
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

CASES = sorted((Path(__file__).parent / "cases").glob("*.hl7"))
TABLES = compile_tables(shipped("mappings"))
ZONE = ZoneInfo("Asia/Nicosia")


def raw_of(path: Path) -> bytes:
    return path.read_bytes().replace(b"\n", b"\r")


def result_of(path: Path) -> dict[str, Any]:
    found = preview(read_message(raw_of(path), TABLES), TABLES, zone=ZONE, facility="IMG")
    return dict(loads(dumps(found)))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_each_message_becomes_what_its_case_says(path: Path) -> None:
    expected = loads(path.with_suffix(".json").read_bytes())
    assert dumps(result_of(path)) == dumps(expected)


@pytest.mark.parametrize("path", [path for path in CASES if not path.stem.startswith("refused")], ids=lambda p: p.stem)
def test_what_it_becomes_is_fhir(path: Path) -> None:
    entries = result_of(path)["bundle"]["entry"]
    assert entries
    for entry in entries:
        validate(entry["resource"])


@pytest.mark.parametrize("path", [path for path in CASES if path.stem.startswith("refused")], ids=lambda p: p.stem)
def test_a_refusal_says_where(path: Path) -> None:
    found = result_of(path)
    assert found["bundle"] is None
    assert found["answer"] in ("AE", "AR")
    assert found["issues"][0]["location"]


if __name__ == "__main__":
    for case in CASES:
        text = orjson.dumps(
            result_of(case), default=lambda number: orjson.Fragment(number.text), option=orjson.OPT_INDENT_2
        )
        case.with_suffix(".json").write_bytes(text + b"\n")
