"""The mapping tables of a folder, read once and compiled: an unknown name is an error at start, not at a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from interop.hl7.acknowledgement_mode import BY_MESSAGE, Manner
from interop.hl7.charsets import charset_named
from interop.mapping import clinical, visits
from interop.mapping.authorities import Authorities, authorities_of
from interop.mapping.codes import CodeTable, read_codes
from interop.mapping.element_rules import check_codes, check_rows
from interop.mapping.fhir_rows import FhirRow
from interop.mapping.inbound import Trace
from interop.mapping.manners import manner_of
from interop.mapping.out_tables import OutboundTable, compile_outbound, compile_worklist, worklist_rows
from interop.mapping.row_code import CompiledRows
from interop.mapping.rows import Row, TableError, check_keys, overridden, read_toml, rows_of

# What a message's rows may make, and the FHIR resource that the named segment table has to be for.
TARGETS = {
    "patient": "Patient",
    "prior": "Patient",
    "linked": "Patient",
    "encounter": "Encounter",
    "appointment": "Appointment",
    "order": "ServiceRequest",
    "report": "DiagnosticReport",
    "observation": "Observation",
}
REGISTERED = (clinical, visits)  # their import makes their converters known
NEEDED_CODES = (
    "order_control",
    "order_status",
    "report_part",
    "coding_system",
    "procedure_modality",
    "event_out",
    "refused_message",
)
NEEDED_ANSWERS = ("order_answer", "order_refusal")
_SITE_TEXTS = ("name", "application", "facility", "zone", "charset", "note")
_SITE_KEYS = ("name", "application", "facility", "zone", "charset", "acknowledgement", "codes", "segments", "note")


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """One file of ``segments/``."""

    name: str
    resource: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class MessageTable:
    """One file of ``messages/``: the types it is for, and which segments make what by which segment table."""

    name: str
    types: tuple[str, ...]
    ignore: frozenset[str]  # segments that are known to say nothing here
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """A message table, ready to run."""

    patient: CompiledRows | None
    order: CompiledRows | None
    report: CompiledRows | None  # from OBR
    report_parts: CompiledRows | None  # from OBX
    observation: CompiledRows | None
    prior: CompiledRows | None  # from MRG
    encounter: CompiledRows | None
    appointment: CompiledRows | None
    linked: CompiledRows | None  # from each of two PIDs
    required: frozenset[str]  # segments
    known: frozenset[str]  # segments that rows read, or that are ignored on purpose


@dataclass(frozen=True, slots=True)
class Rules:
    """What applies to one sender: the shipped tables, or these with a site file over them."""

    codes: Mapping[str, CodeTable]
    messages: Mapping[str, CompiledMessage]
    zone: ZoneInfo | None = None
    charset: str | None = None  # of messages that state none
    manner: Manner = BY_MESSAGE  # of acknowledging


@dataclass(frozen=True, slots=True)
class SiteRules(Rules):
    """One file of ``sites/``."""

    name: str = ""
    application: str = ""  # MSH-3; empty: any
    facility: str = ""  # MSH-4; empty: any
    changes: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tables(Rules):
    """Everything in ``mappings/``."""

    authorities: Authorities = field(default_factory=lambda: Authorities(()))
    worklist: tuple[FhirRow, ...] = ()
    worklist_rows: tuple[Row, ...] = ()
    outbound: Mapping[str, OutboundTable] = field(default_factory=dict)
    sites: tuple[SiteRules, ...] = ()
    message_tables: tuple[MessageTable, ...] = ()
    segment_tables: Mapping[str, SegmentTable] = field(default_factory=dict)
    _sites: dict[tuple[str, str], SiteRules] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_sender = {(site.application, site.facility): site for site in reversed(self.sites)}  # the first counts
        object.__setattr__(self, "_sites", by_sender)

    @property
    def segments_out(self) -> frozenset[str]:
        """The segments that messages out have."""
        return frozenset(segment for table in self.outbound.values() for segment, _ in table.segments)

    def site(self, application: str, facility: str) -> SiteRules | None:
        """The rules for a sender (MSH-3, MSH-4); those that name both before those that name one."""
        sites = self._sites
        return sites.get((application, facility)) or sites.get((application, "")) or sites.get(("", facility))


def compile_tables(folder: Traversable, *, trace: Trace | None = None) -> Tables:
    """The tables of a folder such as ``shipped("mappings")``; TableError names file and row of what is wrong.

    ``trace`` is told of every row that gave a value (row name, position): for coverage and for explaining a mapping.
    """
    codes = {name: read_codes(text, name) for name, text in _files(folder / "codes", ".csv")}
    for name in (*NEEDED_CODES, *NEEDED_ANSWERS):
        if name not in codes:
            raise TableError(f"codes/{name}.csv is missing")
    segments = {name: _segment_table(name, text) for name, text in _files(folder / "segments", ".toml")}
    messages = tuple(_message_table(name, text) for name, text in _files(folder / "messages", ".toml"))
    authorities = authorities_of(
        read_toml((folder / "authorities.toml").read_text("utf-8"), "authorities.toml"), "authorities.toml"
    )
    worklist = worklist_rows((folder / "dicom" / "worklist.toml").read_text("utf-8"))
    compiled = _compiled(messages, segments, codes, trace)
    return Tables(
        codes=codes,
        messages=compiled,
        authorities=authorities,
        worklist=compile_worklist(worklist, codes, trace),
        worklist_rows=worklist,
        outbound=compile_outbound(dict(_files(folder / "outbound", ".toml")), codes, trace),
        sites=_told_apart([_site(name, text, messages, segments, codes, trace) for name, text in _site_files(folder)]),
        message_tables=messages,
        segment_tables=segments,
    )


def _files(folder: Traversable, suffix: str) -> list[tuple[str, str]]:
    found = sorted((file for file in folder.iterdir() if file.name.endswith(suffix)), key=lambda file: file.name)
    return [(file.name.removesuffix(suffix), _text(file, folder.name)) for file in found]


def _text(file: Traversable, folder: str) -> str:
    try:
        return file.read_text("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise TableError(f"{folder}/{file.name} is not UTF-8 (byte {error.start + 1})") from error


def _site_files(folder: Traversable) -> list[tuple[str, str]]:
    sites = folder / "sites"
    return _files(sites, ".toml") if sites.is_dir() else []


def _segment_table(name: str, text: str) -> SegmentTable:
    file = f"segments/{name}.toml"
    document = read_toml(text, file)
    check_keys(document, ("resource", "row"), file)
    if document.get("resource") not in TARGETS.values():
        raise TableError(f"{file}: resource has to be one of {', '.join(TARGETS.values())}")
    return SegmentTable(name, document["resource"], rows_of(document, file))


def _message_table(name: str, text: str) -> MessageTable:
    file = f"messages/{name}.toml"
    document = read_toml(text, file)
    check_keys(document, ("types", "ignore", "row"), file)
    if not document.get("types"):
        raise TableError(f'{file}: types is needed, e.g. ["ORM^O01"]')
    return MessageTable(name, tuple(document["types"]), frozenset(document.get("ignore", [])), rows_of(document, file))


def _compiled(
    messages: tuple[MessageTable, ...],
    segments: Mapping[str, SegmentTable],
    codes: Mapping[str, CodeTable],
    trace: Trace | None,
) -> dict[str, CompiledMessage]:
    ready = {name: CompiledRows(name, table.rows, codes, trace) for name, table in segments.items() if table.rows}
    for table in segments.values():
        check_rows(table.resource, table.rows, codes)
    check_codes(codes)
    found: dict[str, CompiledMessage] = {}
    for message in messages:
        compiled = _compiled_message(message, segments, ready)
        for type_ in message.types:
            if type_ in found:
                raise TableError(f"messages/{message.name}.toml: {type_} has a table already")
            found[type_] = compiled
    return found


def _compiled_message(
    message: MessageTable,
    segments: Mapping[str, SegmentTable],
    ready: Mapping[str, CompiledRows],
) -> CompiledMessage:
    parts: dict[str, CompiledRows | None] = dict.fromkeys((*TARGETS, "report_parts"))
    known = set(message.ignore)
    for row in message.rows:
        table = segments.get(row.convert)
        if row.target not in TARGETS:
            raise row.error(f"a message makes {', '.join(TARGETS)}, not {row.target}")
        if table is None:
            raise row.error(f"unknown segment table {row.convert!r}")
        if table.resource != TARGETS[row.target]:
            raise row.error(f"{table.name} makes a {table.resource}, not a {TARGETS[row.target]}")
        target = "report_parts" if row.target == "report" and row.source == ("OBX",) else row.target
        parts[target] = ready.get(table.name)
        known |= {*row.source, *(position[:3] for one in table.rows for position in (*one.source, *one.when))}
    required = frozenset(name for row in message.rows if row.required for name in row.source)
    return CompiledMessage(
        parts["patient"],
        parts["order"],
        parts["report"],
        parts["report_parts"],
        parts["observation"],
        parts["prior"],
        parts["encounter"],
        parts["appointment"],
        parts["linked"],
        required,
        frozenset(known),
    )


def _site(
    name: str,
    text: str,
    messages: tuple[MessageTable, ...],
    segments: Mapping[str, SegmentTable],
    codes: Mapping[str, CodeTable],
    trace: Trace | None,
) -> SiteRules:
    file = f"sites/{name}.toml"
    document = read_toml(text, file)
    check_keys(document, _SITE_KEYS, file)
    for key in _SITE_TEXTS:
        if not isinstance(document.get(key, ""), str):
            raise TableError(f"{file}: {key} has to be text, not {document[key]!r}")
    if not document.get("application") and not document.get("facility"):
        raise TableError(f"{file}: application (MSH-3) or facility (MSH-4) has to say whose messages it is for")
    charset = document.get("charset")
    if charset is not None and charset_named(charset) is None:
        raise TableError(f"{file}: charset {charset!r} is not a character set of HL7 table 0211")
    own_codes = _site_codes(document.get("codes", {}), codes, file)
    changes = _site_rows(document.get("segments", {}), segments, file)
    own_segments = {
        table.name: replace(table, rows=overridden(table.rows, changes.get(table.name, ())))
        for table in segments.values()
    }
    return SiteRules(
        codes=own_codes,
        messages=_compiled(messages, own_segments, own_codes, trace),
        zone=_zone(document.get("zone"), file),
        charset=charset,
        manner=manner_of(document, file),
        name=document.get("name", name),
        application=document.get("application", ""),
        facility=document.get("facility", ""),
        changes=changes,
        note=document.get("note", ""),
    )


def _told_apart(sites: Sequence[SiteRules]) -> tuple[SiteRules, ...]:
    """The sites, each with a name and a sender of its own: of two for one sender, one would be passed over silently."""
    seen: dict[object, str] = {}
    for site in sites:
        for what, key in (("name", site.name), ("application and facility", (site.application, site.facility))):
            if key in seen:
                raise TableError(
                    f"sites: {seen[key]} and {site.name} have the same {what}: one of them would not count"
                )
            seen[key] = site.name
    return tuple(sites)


def _site_codes(more: Mapping[str, dict[str, str]], codes: Mapping[str, CodeTable], file: str) -> dict[str, CodeTable]:
    if not isinstance(more, dict):
        raise TableError(f"{file}: codes has to be tables, such as [codes.modality]")
    for table, rows in more.items():
        if table not in codes:
            raise TableError(f"{file}: unknown code table {table!r}")
        if not isinstance(rows, dict):
            raise TableError(f'{file}: codes.{table} has to be a table, such as "their code" = "ours"')
        for code, ours in rows.items():
            if not isinstance(ours, str):
                raise TableError(f"{file}: codes.{table}: {code!r} has to become text, not {ours!r}")
    own = {name: codes[name].with_rows(rows, f"{file} codes.{name}") for name, rows in more.items()}
    return {**codes, **own}


def _site_rows(more: Mapping[str, Any], segments: Mapping[str, SegmentTable], file: str) -> dict[str, tuple[Row, ...]]:
    if not isinstance(more, dict):
        raise TableError(f"{file}: segments has to be rows, such as [[segments.PID_Patient]]")
    for table in more:
        if table not in segments:
            raise TableError(f"{file}: unknown segment table {table!r}")
    return {table: rows_of(more, f"{file} segments.{table}", key=table) for table in more}


def _zone(name: str | None, file: str) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise TableError(f"{file}: zone {name!r} is not an IANA time zone") from error
