"""A preview in three columns: nothing is cut, and wide letters and combining marks move no column."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from interop.cli import app

MESSAGE = (
    "MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261120101500||ORM^O01|C1|P|2.5.1||||||UNICODE UTF-8\n"
    "PID|1||100234^^^HOSP^MR||山田^太郎~Nguye\u0302\u0303n^Ha\u0301~Παπαδόπουλος^Νίκος||19670321|Q\n"
    "ORC|NW|P1^RIS\n"
    "OBR|1|P1^RIS||CTCH^CT chest with a name that is so long that it has to be folded^L||||||||||||||A1||S1||||CT\n"
    "ZXX|1\n"
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "order.hl7"
    path.write_text(MESSAGE, "utf-8")
    return str(path)


def shown(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, ["hl7", "preview", *arguments])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.parametrize("width", [120, 160, 220])
def test_fhir_worklist_and_issues_stand_side_by_side(file: str, width: int) -> None:
    lines = shown("--columns", str(width), file)
    (head,) = (number for number, line in enumerate(lines) if line.startswith("FHIR <- field"))
    table = lines[head:]
    second = table[0].index("worklist item")
    third = table[0].index("issues")
    assert {cell_len(line) for line in table} == {width}
    columns: tuple[list[str], list[str], list[str]] = ([], [], [])
    for line in table:
        for text, (begin, end) in zip(columns, ((0, second), (second, third), (third, width)), strict=True):
            text.append(between(line, begin, end))
    assert "name[0].family <- PID-5.1" in columns[0]
    assert [text for text in columns[0] if text in ("  山田", "  Nguye\u0302\u0303n")] == [
        "  山田",
        "  Nguye\u0302\u0303n",
    ]
    assert "PatientID <- PID-3.1" in columns[1]
    assert any(text.startswith("warning PID-8") for text in columns[2])
    assert any("ZXX segments" in text for text in columns[2])


def between(line: str, begin: int, end: int) -> str:
    """What stands in these columns of a terminal."""
    at, found = 0, ""
    for char in line:
        if begin <= at < end or (cell_len(char) == 0 and found and at <= end):
            found += char
        at += cell_len(char)
    return found.rstrip()


def test_a_narrow_one_has_them_one_under_the_other(file: str) -> None:
    lines = shown("--columns", "119", file)
    assert not any("worklist item <- field" in line for line in lines)
    assert any(line.startswith("worklist: ") for line in lines)


def test_into_a_pipe_nothing_is_changed(file: str) -> None:
    assert not any("worklist item <- field" in line for line in shown(file))
    assert shown("--json", file) == shown("--json", "--columns", "200", file)
