"""FHIR orders, reports and merges as HL7 v2 messages, by the rows of ``mappings/outbound``; rendered once.

What a receiver has otherwise than others (version, segments left out, lines of a text, offsets of times) is in its
entry of ``peers.toml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from interop.fhir.orders import detail_kind
from interop.hl7.writing import Fields, FieldValue, write
from interop.mapping.context import Context
from interop.mapping.fhir_rows import FhirRow, Resources, contained_of
from interop.mapping.hl7_values import stamp
from interop.mapping.obx_values import items_of, line_by_line
from interop.mapping.peers import VERSIONS, Receiver
from interop.mapping.tables import Tables

_NUMBERED = frozenset({"PID", "PV1", "TQ1", "OBR"})  # their first field is a set id
# The resources of a group of segments, and for segments that are repeated what each has of its own.
_Group = tuple[Resources, Mapping[str, Sequence[Resources]]]
_ORDERS = {"ORM^O01": "ORM_O01", "OMG^O19": "OMG_O19", "OMI^O23": "OMI_O23"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the message's header needs besides the receiver."""

    control_id: str
    now: datetime
    zone: tzinfo
    facility: str


@dataclass(frozen=True, slots=True)
class OrderStep:
    """One of several scheduled steps that a message tells of."""

    order: Mapping[str, Any]  # the ServiceRequest as if the step were its only one
    control: str  # a lifecycle event or a code of table 0119, of this step
    modality: str | None = None
    station: str | None = None


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
    steps: Sequence[OrderStep] = (),
) -> bytes:
    """ORM^O01, OMG^O19 or OMI^O23, as the receiver takes orders.

    ``control`` is a lifecycle event (new, change, cancel …) or a code of table 0119 (NW, XO, CA …). ``modality`` and
    ``station`` (the only one there is for it) are said where the order itself names none; ``resolved`` are resources
    by reference, for names. ``steps``: where it has several, those to tell of, instead of ``control``, ``modality`` and
    ``station``: a group for each, in OMI an IPC for each, those under one ORC that have all that it says in common.
    """
    name = _ORDERS[receiver.order_type or "ORM^O01"]
    timing = {"tq": "Y" if name == "ORM_O01" else "", "tq1": "" if receiver.before_tq1 else "Y"}
    notes: Sequence[Mapping[str, Any]] = list(service_request.get("note", []))
    if receiver.lines == "segments":
        notes = line_by_line(notes, "text")
    groups: list[_Group] = []
    for together in _together(name, steps or (OrderStep(service_request, control, modality, station),), tables):
        told = [{"ServiceRequest": one.order, "Order": _order(one, now, tables) | timing} for one in together]
        each: dict[str, Sequence[Resources]] = {"NTE": [] if groups else _items(notes)}
        each["IPC"] = [one | {"Item": item} for one in told for item in _protocols(one["ServiceRequest"])]
        if len(told) > 1:
            each["TQ1"] = told
        groups.append(({**told[0], "Patient": patient}, each))
    return _message(name, groups, receiver, Envelope(control_id, now, zone, facility), tables, resolved)


def _order(step: OrderStep, now: datetime, tables: Tables) -> dict[str, Any]:
    control = control_of(step.control, tables)
    return {"control": control, "now": now, "modality": step.modality, "station": step.station}


def _together(name: str, steps: Sequence[OrderStep], tables: Tables) -> list[list[OrderStep]]:
    """The steps that stand under one ORC: each by itself, but in OMI those that it says the same of."""
    if name != "OMI_O23":
        return [[step] for step in steps]
    found: dict[tuple[str, str, str], list[OrderStep]] = {}
    for step in steps:
        filler = next((str(one) for one in step.order.get("identifier", ()) if _is_filler(one)), "")
        found.setdefault((control_of(step.control, tables), str(step.order.get("status")), filler), []).append(step)
    return list(found.values())


def _is_filler(identifier: Mapping[str, Any]) -> bool:
    return any(coding.get("code") == "FILL" for coding in identifier.get("type", {}).get("coding", ()))


def _protocols(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """An IPC for each protocol code of the step (IHE RAD-4), one at least."""
    protocols = [one for one in order.get("orderDetail", []) if detail_kind(one) == "step"]
    return [{"protocol": one, "number": str(number)} for number, one in enumerate(protocols, 1)] or [{"number": "1"}]


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
    return _message("ADT_A40", [(resources, {})], receiver, Envelope(control_id, now, zone, facility), tables, None)


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
    each = {"OBX": _items(line_by_line(items, "valueString") if receiver.lines == "segments" else items)}
    envelope = Envelope(control_id, now, zone, facility)
    return _message("ORU_R01", [(resources, each)], receiver, envelope, tables, resolved)


def _items(items: Sequence[Mapping[str, Any]]) -> list[Resources]:
    """Each with its number, for a segment that is repeated."""
    return [{"Item": {**item, "number": str(number)}} for number, item in enumerate(items, 1)]


def _message(
    name: str,
    groups: Sequence[_Group],
    receiver: Receiver,
    envelope: Envelope,
    tables: Tables,
    resolved: Mapping[str, dict[str, Any]] | None,
) -> bytes:
    """Every group's segments from ORC on, and before them what stands once in a message."""
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
    segments: list[tuple[str, Fields]] = [("MSH", _header(table.type, receiver, envelope, context))]
    names = [segment for segment, _ in table.segments]
    begin = names.index("ORC") if "ORC" in names else 0
    for number, group in enumerate(groups, 1):
        for segment, rows in table.segments if number == 1 else table.segments[begin:]:
            if segment not in receiver.omit:
                segments += _written(segment, rows, group, number, context)
    return write(segments, receiver.charset, receiver.segment_end)


def _written(
    segment: str, rows: Sequence[tuple[int, FhirRow]], group: _Group, number: int, context: Context
) -> Iterator[tuple[str, Fields]]:
    """The segments of this name in the group, which is the message's ``number``-th."""
    resources, each = group
    context.contained = {root: contained_of(resources.get(root)) for root in ("ServiceRequest", "DiagnosticReport")}
    if segment not in each:
        fields = _fields(rows, resources, context)
        if fields:
            set_id = str(number if segment == "OBR" else 1)
            yield segment, {1: set_id, **fields} if segment in _NUMBERED else fields
        return
    inside = context.contained
    for place, item in enumerate(each[segment], 1):
        context.contained = {**inside, "Item": contained_of(item.get("Item"))}
        fields = _fields(rows, {**resources, **item}, context)
        yield segment, {1: str(place), **fields} if segment in _NUMBERED else fields


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
