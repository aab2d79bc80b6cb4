"""The tables that read FHIR, compiled: worklist items (``dicom/``) and messages out (``outbound/``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from interop.dicom.keywords import unknown_in
from interop.mapping import dicom_values, hl7_values, obx_values, patient_values
from interop.mapping.codes import CodeTable
from interop.mapping.fhir_rows import FhirRow
from interop.mapping.inbound import Trace
from interop.mapping.rows import Row, TableError, check_keys, read_toml, rows_of

REGISTERED = (
    dicom_values,
    hl7_values,
    obx_values,
    patient_values,
)  # their import makes the converters known
# Code tables that converters read by themselves, beside those that rows name.
_OWN_CODES = (
    "coding_scheme",
    "patient_fact",
    "pregnancy_dicom",
    "mass_unit",
    "length_unit",
    "coding_system_out",
    "name_use_out",
    "name_representation_out",
    "address_use_out",
    "telecom_use_out",
    "telecom_system_out",
    "marital_status_out",
)
_TYPE = re.compile(r"[A-Z]{3}\^[A-Z0-9]{3}\^[A-Z0-9]{3}_[A-Z0-9]{3}\Z")
_KEYWORD = re.compile(r"(?:[A-Z]\w*Sequence\.)?[A-Z]\w*(?:\[\])?\Z")
_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9]\d*)(?:\[\])?\Z")
SHARED = "shared"


@dataclass(frozen=True, slots=True)
class OutboundTable:
    """One file of ``outbound/``: the message's type (MSH-9) and its segments in order, their rows by field."""

    name: str
    type: str
    segments: tuple[tuple[str, tuple[tuple[int, FhirRow], ...]], ...]
    rows: tuple[Row, ...]


def worklist_rows(text: str) -> tuple[Row, ...]:
    """The rows of ``dicom/worklist.toml``."""
    file = "dicom/worklist.toml"
    document = read_toml(text, file)
    check_keys(document, ("row",), file)
    rows = rows_of(document, file)
    for row in rows:
        if not _KEYWORD.match(row.target):
            raise row.error("the target has to be a DICOM keyword, in one sequence at most")
        unknown = unknown_in(row.target.removesuffix("[]"))
        if unknown:
            raise row.error(unknown)
    return rows


def compile_worklist(rows: tuple[Row, ...], codes: Mapping[str, CodeTable], trace: Trace | None) -> tuple[FhirRow, ...]:
    """The worklist's rows, ready to run."""
    return tuple(FhirRow(row, dicom_values.CONVERTERS, codes, trace) for row in rows)


def compile_outbound(
    files: Mapping[str, str], codes: Mapping[str, CodeTable], trace: Trace | None
) -> dict[str, OutboundTable]:
    """The messages out by file name.

    Segments that a file does not describe are those of the one that it is ``like``, or of ``shared.toml``.
    """
    for table in _OWN_CODES:
        if table not in codes:
            raise TableError(f"codes/{table}.csv is missing")
    shared_file = f"outbound/{SHARED}.toml"
    document = read_toml(files.get(SHARED, ""), shared_file)
    shared = {segment: _rows(document, shared_file, segment) for segment in document}
    return {
        name: _outbound(name, text, shared | _like(name, files), codes, trace)
        for name, text in files.items()
        if name != SHARED
    }


def _like(name: str, files: Mapping[str, str]) -> dict[str, tuple[Row, ...]]:
    """The segments of the message that this one is like: it describes those that differ."""
    file = f"outbound/{name}.toml"
    other = read_toml(files[name], file).get("like")
    if other is None:
        return {}
    if other not in files:
        raise TableError(f"{file}: like names {other!r}, for which there is no file")
    model = f"outbound/{other}.toml"
    document = read_toml(files[other], model)
    return {segment: _rows(document, model, segment) for segment in document.get("segments", []) if segment in document}


def _outbound(
    name: str, text: str, shared: Mapping[str, tuple[Row, ...]], codes: Mapping[str, CodeTable], trace: Trace | None
) -> OutboundTable:
    file = f"outbound/{name}.toml"
    document = read_toml(text, file)
    type_, order = document.get("type", ""), document.get("segments", [])
    check_keys(document, ("type", "like", "segments", *order), file)
    if not _TYPE.match(type_):
        raise TableError(f"{file}: type has to be MSH-9, e.g. ORM^O01^ORM_O01")
    segments = []
    every: list[Row] = []
    for segment in order:
        rows = _rows(document, file, segment) if segment in document else shared.get(segment, ())
        if not rows:
            raise TableError(f"{file}: no rows for {segment}")
        every += rows
        compiled = tuple((_number(row), FhirRow(row, hl7_values.CONVERTERS, codes, trace)) for row in rows)
        segments.append((segment, compiled))
    return OutboundTable(name, type_, tuple(segments), tuple(every))


def _rows(document: Mapping[str, object], file: str, segment: str) -> tuple[Row, ...]:
    rows = rows_of(document, f"{file} {segment}", key=segment)
    for row in rows:
        match = _FIELD.match(row.target)
        if match is None or match[1] != segment:
            raise row.error(f"the target has to be a field of {segment}")
    return rows


def _number(row: Row) -> int:
    match = _FIELD.match(row.target)
    return int(match[2]) if match else 0
