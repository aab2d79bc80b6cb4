"""docs/reference/mappings.md, written from the tables so that it cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interop.mapping.code_values import CODE_CONVERTERS
from interop.mapping.converters import CONVERTERS
from interop.mapping.dicom_values import CONVERTERS as TO_DICOM
from interop.mapping.hl7_values import CONVERTERS as TO_HL7
from interop.mapping.manners import in_words
from interop.mapping.rows import Row
from interop.mapping.tables import Tables

_INTRODUCTION = """\
# Mappings

Written by `interop.mapping.reference.as_markdown()` from the tables in `mappings/` (`make pages`); a test keeps it
current, and every row is tested. A row names where a value comes from (the first source that has one), where it goes,
and the function or code table that turns one into the other. A note says why a row differs from HL7's v2-to-FHIR guide,
or what it leaves open.

What cannot be mapped is an issue beside the result: it is stored with the message, and an ERR segment of the
acknowledgement tells the sender of it. `interop hl7 preview FILE` shows what a message becomes, FHIR and worklist item,
each element with the field that it came from, with `--site NAME` as that site's sender; FHIR, worklist and issues stand
side by side on a terminal of 120 columns or with `--columns N`. `interop mappings check [FOLDER]` compiles tables
as a server does at its start, and refuses, by file, table, row and code: a target that R4 or the DICOM dictionary does
not have, a code outside of the value set that R4 requires there, a word that this server does not act on.

How to read a target: `name[]` takes every value, any other the first; `identifier[PLAC]` is the one of that type;
`extension[station]` is known by its short name. `""` in HL7 empties an element on record.
"""


_SITES = """\
A file in `mappings/sites/` for one sender (MSH-3, MSH-4); its rows replace those of the same target. Those that are
shipped are examples, each with a message of such a sender beside the tests, to look at with
`interop hl7 preview --site hosted_ris tests/unit/mapping/cases/site-hosted-ris.hl7`.
"""


def as_markdown(tables: Tables) -> str:
    """The page."""
    parts = [_INTRODUCTION, "## Messages in\n"]
    for message in tables.message_tables:
        ignored = ", ".join(sorted(message.ignore))
        parts.append(f"### {', '.join(message.types)}\n\nSegments without effect: {ignored}. Others: an issue each.\n")
        lines = [_line(row.source[0], row.target, row.convert, "yes" if row.required else "") for row in message.rows]
        parts.append(_table(("segment", "makes", "by the table", "needed"), lines))
    for table in tables.segment_tables.values():
        parts.append(f"### {table.name} → {table.resource}\n")
        parts.append(_rows(table.rows))
    parts.append("## Messages out\n")
    shown: set[str] = set()
    for out in tables.outbound.values():
        order = " ".join(segment for segment, _ in out.segments)
        parts.append(f"### {out.type}\n\nSegments: MSH {order}.\n")
        parts.append(_rows([row for row in out.rows if row.name not in shown]))
        shown |= {row.name for row in out.rows}
    parts += ["## Worklist\n", _rows(tables.worklist_rows), "## Sites\n", _sites(tables), "## Authorities\n"]
    parts += [_authorities(tables), "## Functions\n", _functions(), "## Code tables\n", _codes(tables)]
    return "\n".join(parts).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _line(*cells: str) -> tuple[str, ...]:
    return tuple(_cell(cell) for cell in cells)


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines)]
    return "\n".join(rows) + "\n"


def _rows(rows: Sequence[Row]) -> str:
    lines = [
        _line(", ".join(row.source), f"`{row.target}`", _how(row), _when(row), row.note + _needed(row)) for row in rows
    ]
    return _table(("source", "target", "by", "only when", "note"), lines)


def _how(row: Row) -> str:
    parts = (f"`{row.convert}`" if row.convert else "", f"codes {row.codes}" if row.codes else "")
    return " ".join(part for part in parts if part)


def _when(row: Row) -> str:
    spoken = {"": "empty", "*": "valued"}
    wanted = {position: " ".join(spoken.get(one, one) for one in values) for position, values in row.when.items()}
    return "; ".join(f"{position} {values}" for position, values in wanted.items())


def _needed(row: Row) -> str:
    return (" (needed)" if row.note else "needed") if row.required else ""


def _sites(tables: Tables) -> str:
    parts = [_SITES]
    for site in tables.sites:
        about = f"MSH-3 {site.application or 'any'}, MSH-4 {site.facility or 'any'}"
        zone = f", zone {site.zone.key}" if site.zone else ""
        charset = f", character set {site.charset}" if site.charset else ""
        acks = f", acknowledgements {in_words(site.manner)}"
        parts.append(f"### {site.name}\n\n{about}{zone}{charset}{acks}. {site.note}\n")
        for table, codes in site.codes.items():
            own = [f"`{row.code}` {row.target}" for row in codes.rows.values() if row.note == "site"]
            parts += [f"Codes of its own in {table}: {', '.join(own)}.\n"] if own else []
        for name, rows in site.changes.items():
            parts.append(f"{name}:\n\n{_rows(rows)}")
    return "\n".join(parts)


def _authorities(tables: Tables) -> str:
    lines = [
        _line(
            f"`{row.system}`",
            ", ".join((row.namespace, *row.aliases)),
            row.oid,
            row.issuer or row.namespace,
            row.note,
        )
        for row in tables.authorities.rows
    ]
    return _table(("FHIR system", "HL7 namespace", "OID", "DICOM issuer", "note"), lines)


def _functions() -> str:
    known = {**CONVERTERS, **CODE_CONVERTERS, **TO_DICOM, **TO_HL7}
    lines = [
        _line(f"`{name}`", " ".join((function.__doc__ or "").split("\n\n")[0].split()))
        for name, function in sorted(known.items())
    ]
    return _table(("function", "what it does"), lines)


def _codes(tables: Tables) -> str:
    parts = []
    for table in tables.codes.values():
        lines = [
            _line(row.code or "(empty)", row.target or "(nothing)", row.display, row.note)
            for row in table.rows.values()
        ]
        systems = sorted({row.system for row in table.rows.values() if row.system})
        parts.append(f"### {table.name}\n\n{', '.join(systems)}\n" if systems else f"### {table.name}\n")
        parts.append(_table(("code", "becomes", "display", "note"), lines))
    return "\n".join(parts)
