"""FHIR orders, reports and merges as HL7 v2 messages, by the rows of ``mappings/outbound``; rendered once.

What a receiver has otherwise than others (version, segments left out, lines of a text, offsets of times) is in its
entry of ``peers.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from interop.hl7.writing import Fields, FieldValue, write
from interop.mapping.context import Context
from interop.mapping.fhir_rows import FhirRow, Resources, contained_of, is_modality
from interop.mapping.hl7_values import stamp
from interop.mapping.obx_values import items_of, line_by_line
from interop.mapping.peers import VERSIONS, Receiver
from interop.mapping.tables import Tables

_NUMBERED = frozenset({"PID", "PV1", "TQ1", "OBR"})  # their first field is a set id
_ORDERS = {"ORM^O01": "ORM_O01", "OMG^O19": "OMG_O19", "OMI^O23": "OMI_O23"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the message's header needs besides the receiver."""

    control_id: str
    now: datetime
    zone: tzinfo
    facility: str


def control_of(event: str, tables: Tables) -> str:
    """The order control code (ORC-1, table 0119) of a lifecycle event; a control code stays itself."""
    found = tables.codes["event_out"].find(event)
    return found.target if found else event


def order_message(
    service_request: Mapping[str, Any],
    patient: Mapping[str, Any],
    *,
    control: str,
    receiver: Receiver,
    control_id: str,
    now: datetime,
    zone: tzinfo,
    facility: str,
    tables: Tables,
    modality: str | None = None,
    station: str | None = None,
    resolved: Mapping[str, dict[str, Any]] | None = None,
) -> bytes:
    """ORM^O01, OMG^O19 or OMI^O23, as the receiver takes orders.

    ``control`` is a lifecycle event (new, change, cancel …) or a code of table 0119 (NW, XO, CA …). ``modality`` and
    ``station`` (the only one there is for it) are said where the order itself names none; ``resolved`` are resources
    by reference, for names.
    """
    name = _ORDERS[receiver.order_type or "ORM^O01"]
    timing = {"tq": "Y" if name == "ORM_O01" else "", "tq1": "" if receiver.before_tq1 else "Y"}
    order = {"control": control_of(control, tables), "now": now, "modality": modality, "station": station}
    resources = {"ServiceRequest": service_request, "Patient": patient, "Order": order | timing}
    each: dict[str, Sequence[Mapping[str, Any]]] = {"NTE": list(service_request.get("note", []))}
    protocols = [one for one in service_request.get("orderDetail", []) if not is_modality(one)]
    each["IPC"] = [{"protocol": one} for one in protocols] or [{}]  # several of one step: its protocol codes (RAD-4)
    if receiver.lines == "segments":
        each["NTE"] = line_by_line(each["NTE"], "text")
    envelope = Envelope(control_id, now, zone, facility)
    return _message(name, resources, each, receiver, envelope, tables, resolved)


def merge_message(
    survivor: Mapping[str, Any],
    prior: Mapping[str, Any],
    *,
    receiver: Receiver,
    control_id: str,
    now: datetime,
    zone: tzinfo,
    facility: str,
    tables: Tables,
) -> bytes:
    """ADT^A40: ``survivor`` is who stays, ``prior`` has the identifiers (and the name) that are gone."""
    resources = {"Patient": survivor, "Prior": prior, "Order": {"event": "A40", "now": now}}
    return _message("ADT_A40", resources, {}, receiver, Envelope(control_id, now, zone, facility), tables, None)


def report_message(
    report: Mapping[str, Any],
    observations: Sequence[Mapping[str, Any]],
    patient: Mapping[str, Any],
    service_request: Mapping[str, Any] | None,
    study_uid: str | None,
    *,
    receiver: Receiver,
    control_id: str,
    now: datetime,
    zone: tzinfo,
    facility: str,
    tables: Tables,
    resolved: Mapping[str, dict[str, Any]] | None = None,
) -> bytes:
    """ORU^R01: text, coded and numeric results, the impression, attachments as ED, the study's UID."""
    resources = {
        "DiagnosticReport": report,
        "ServiceRequest": service_request,
        "Patient": patient,
        "Order": {"control": "RE", "now": now},
    }
    items: Sequence[Mapping[str, Any]] = items_of(report, observations, study_uid)
    each = {"OBX": line_by_line(items, "valueString") if receiver.lines == "segments" else items}
    envelope = Envelope(control_id, now, zone, facility)
    return _message("ORU_R01", resources, each, receiver, envelope, tables, resolved)


def _message(
    name: str,
    resources: Resources,
    each: Mapping[str, Sequence[Mapping[str, Any]]],
    receiver: Receiver,
    envelope: Envelope,
    tables: Tables,
    resolved: Mapping[str, dict[str, Any]] | None,
) -> bytes:
    table = tables.outbound[name]
    context = Context(
        zone=envelope.zone,
        facility=envelope.facility,
        sender=envelope.facility,
        authorities=tables.authorities,
        codes=tables.codes,
    )
    context.resolved = resolved or {}
    context.lines, context.offsets = receiver.lines, receiver.offsets
    inside = {root: contained_of(resources.get(root)) for root in ("ServiceRequest", "DiagnosticReport")}
    context.contained = inside
    segments: list[tuple[str, Fields]] = [("MSH", _header(table.type, receiver, envelope, context))]
    for segment, rows in table.segments:
        if segment in receiver.omit:
            continue
        if segment in each:
            for number, item in enumerate(each[segment], 1):
                context.contained = {**inside, "Item": contained_of(item)}
                filled = _fields(rows, {**resources, "Item": {**item, "number": str(number)}}, context)
                segments.append((segment, filled))
        else:
            fields = _fields(rows, resources, context)
            if fields:
                segments.append((segment, {1: "1", **fields} if segment in _NUMBERED else fields))
    return write(segments, receiver.charset, receiver.segment_end)


def _header(type_: str, receiver: Receiver, envelope: Envelope, context: Context) -> Fields:
    parts = type_.split("^")
    if VERSIONS.index(receiver.version) < VERSIONS.index("2.3.1"):
        parts.pop()  # the structure, MSH-9.3, came with 2.3.1
    return {
        3: receiver.sending_application,
        4: receiver.sending_facility or envelope.facility,
        5: receiver.application,
        6: receiver.facility,
        7: stamp(envelope.now, context),
        9: tuple(parts),
        10: envelope.control_id,
        11: "P",
        12: receiver.version,
        **({15: "AL", 16: "AL"} if receiver.enhanced else {}),  # v2.5.1 2.9.3
        **{number: tuple(text.split("^")) for number, text in receiver.msh.items()},
    }


def _fields(rows: Sequence[tuple[int, FhirRow]], resources: Resources, context: Context) -> dict[int, FieldValue]:
    fields: dict[int, FieldValue] = {}
    for number, row in rows:
        if number not in fields:  # the first row with a value sets a field
            value = row.value(resources, context)
            if value is not None:
                fields[number] = value
    return fields
