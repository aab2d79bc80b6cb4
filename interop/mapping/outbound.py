"""FHIR orders and reports as HL7 v2 messages, by the rows of ``mappings/outbound``; rendered once, sent as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from interop.hl7.writing import Fields, FieldValue, timestamp, write
from interop.mapping.context import Context
from interop.mapping.fhir_rows import FhirRow, Resources, contained_of
from interop.mapping.obx_values import items_of
from interop.mapping.peers import Receiver
from interop.mapping.tables import Tables

_NUMBERED = frozenset({"PID", "PV1", "TQ1", "OBR"})  # their first field is a set id


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
    resolved: Mapping[str, dict[str, Any]] | None = None,
) -> bytes:
    """ORM^O01. ``control``: a lifecycle event (new, change, cancel …) or a code of table 0119 (NW, XO, CA …).

    ``modality`` fills OBR-24 where the order itself names none; ``resolved`` are resources by reference, for names.
    """
    order = {"control": control_of(control, tables), "now": now, "modality": modality}
    resources = {"ServiceRequest": service_request, "Patient": patient, "Order": order}
    each = {"NTE": list(service_request.get("note", []))}
    envelope = Envelope(control_id, now, zone, facility)
    return _message("ORM_O01", resources, each, receiver, envelope, tables, resolved)


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
    each = {"OBX": items_of(report, observations, study_uid)}
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
    inside = {root: contained_of(resources.get(root)) for root in ("ServiceRequest", "DiagnosticReport")}
    context.contained = inside
    segments: list[tuple[str, Fields]] = [("MSH", _header(table.type, receiver, envelope))]
    for segment, rows in table.segments:
        if segment in each:
            for number, item in enumerate(each[segment], 1):
                context.contained = {**inside, "Item": contained_of(item)}
                filled = _fields(rows, {**resources, "Item": {**item, "number": str(number)}}, context)
                segments.append((segment, filled))
        else:
            fields = _fields(rows, resources, context)
            if fields:
                segments.append((segment, {1: "1", **fields} if segment in _NUMBERED else fields))
    return write(segments, receiver.charset)


def _header(type_: str, receiver: Receiver, envelope: Envelope) -> Fields:
    return {
        3: receiver.sending_application,
        4: receiver.sending_facility or envelope.facility,
        5: receiver.application,
        6: receiver.facility,
        7: timestamp(envelope.now.astimezone(envelope.zone)),
        9: tuple(type_.split("^")),
        10: envelope.control_id,
        11: "P",
        12: receiver.version,
    }


def _fields(rows: Sequence[tuple[int, FhirRow]], resources: Resources, context: Context) -> dict[int, FieldValue]:
    fields: dict[int, FieldValue] = {}
    for number, row in rows:
        if number not in fields:  # the first row with a value sets a field
            value = row.value(resources, context)
            if value is not None:
                fields[number] = value
    return fields
