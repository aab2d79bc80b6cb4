"""docs/reference/mappings.md, written from the tables themselves."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import Any

from interop.mapping.rows import Row, read_toml, rows_of

_INTRODUCTION = """\
# Mappings

Written by `interop.mapping.page.as_markdown()` from the files in `mappings/` (`make pages` writes it anew).

A row reads: the first source with a value, put through the converter (a named function) or the code table, becomes the
target. What a message holds that no row reads is an issue beside the result, as is a code without a row. A sender's
habits are a file in `mappings/sites/`, chosen by MSH-3 and MSH-4; its rows replace those of the same target.
`interop hl7 preview FILE` shows what a message becomes.
"""
_FOLDERS = (
    ("messages", "Messages in", "Which segments make what, by which segment table."),
    ("segments", "Segments in", "HL7 v2 to FHIR R4."),
    ("outbound", "Messages out", "FHIR R4 to HL7 v2."),
    ("dicom", "Worklist", "FHIR R4 to the attributes of a Modality Worklist item."),
)


def as_markdown(folder: Traversable) -> str:
    """The page."""
    parts = [_INTRODUCTION]
    for name, title, explanation in _FOLDERS:
        parts.append(f"## {title}\n\n{explanation}\n")
        parts += [_file(file, f"{name}/{file.name}") for file in _files(folder / name, ".toml")]
    parts.append("## Codes\n\n| table | codes |\n|---|---|\n" + "".join(_codes(folder / "codes")))
    return "\n".join(parts)


def _files(folder: Traversable, ending: str) -> list[Traversable]:
    return sorted((file for file in folder.iterdir() if file.name.endswith(ending)), key=lambda file: file.name)


def _file(file: Traversable, name: str) -> str:
    document = read_toml(file.read_text(encoding="utf-8"), name)
    lines = [f"### {name}\n", *_facts(document), "| source | target | by | when | note |", "|---|---|---|---|---|"]
    keys = [key for key, value in document.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    lines += [_row(row) for key in keys for row in rows_of(document, name, key=key)]
    return "\n".join(lines) + "\n"


def _facts(document: Mapping[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, str):
            yield f"{key}: `{value}`\n"
        elif isinstance(value, list) and value and isinstance(value[0], str):
            yield f"{key}: " + ", ".join(f"`{one}`" for one in value) + "\n"


def _row(row: Row) -> str:
    by = [f"`{row.convert}`"] if row.convert else []
    by += [f"codes `{row.codes}`"] if row.codes else []
    when = "; ".join(f"`{position}` is {' or '.join(values) or 'empty'}" for position, values in row.when.items())
    target = f"`{row.target}`" + (" (required)" if row.required else "")
    cells = (", ".join(f"`{source}`" for source in row.source), target, ", ".join(by), when, row.note)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _codes(folder: Traversable) -> Iterator[str]:
    for file in _files(folder, ".csv"):
        rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
        pairs = ", ".join(f"{row['code'] or '(empty)'} → {row['target'] or '(none)'}" for row in rows)
        pairs = pairs.replace("|", "\\|")
        yield f"| {file.name.removesuffix('.csv')} | {pairs} |\n"
