"""One message into FHIR: the patient, its orders or reports, and what could not be mapped. Pure; no ids, no store.

What a group needs and lacks is an error for the whole message (nothing is taken over in part); what merely cannot be
said in FHIR is an Issue beside the result.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from interop.errors import InvalidContentError, Issue, UnmappedCodeError, UnsupportedError
from interop.fhir.query import Identity
from interop.hl7.message import Message, OrderGroup, Segment, parse, sender_of
from interop.mapping.appointments import appointment_of
from interop.mapping.clinical import add_patient_notes
from interop.mapping.context import Context
from interop.mapping.controls import without_controls
from interop.mapping.datatypes import nte_to_annotation
from interop.mapping.documents import document_of, is_document
from interop.mapping.drafting import run
from interop.mapping.encounters import encounter_of
from interop.mapping.links import link_of
from interop.mapping.mapped import Mapped, MappedOrder, MappedReport
from interop.mapping.measurements import add_measurements
from interop.mapping.merges import merges_of
from interop.mapping.observations import Result, results_of
from interop.mapping.row_code import CompiledRows
from interop.mapping.steps import add_protocols, steps_in
from interop.mapping.tables import CompiledMessage, Rules, SiteRules, Tables
from interop.mapping.times import dtm

__all__ = ["Mapped", "MappedOrder", "MappedReport", "map_message", "read_message"]


def read_message(raw: bytes, tables: Tables) -> Message:
    """The message, decoded with the character set that the sender's site file gives where MSH-18 is silent."""
    site = tables.site(*sender_of(raw.lstrip(b"\xef\xbb\xbf \r\n\t\x00")))
    return parse(raw, default_charset=site.charset if site else None)


def map_message(
    message: Message, tables: Tables, *, site: SiteRules | None = None, zone: tzinfo, facility: str
) -> Mapped:
    """The message by the tables, and by its sender's site file (looked up unless given).

    UnsupportedError for a type that no table is for; InvalidContentError, with its position, for what is missing.
    """
    message.check_header()
    application, sending_facility = message.sender
    rules = site or tables.site(application, sending_facility) or tables
    table = rules.messages.get(message.type)
    if table is None:
        raise _unsupported(message, rules)
    context = Context(
        zone=_zone_of(message, rules.zone or zone),
        facility=facility,
        sender=sending_facility or application,
        authorities=tables.authorities,
        codes=rules.codes,
    )
    leading = message.leading()
    document = is_document(table)
    for note in () if document or table.appointment or table.order else leading.get("NTE", ()):
        context.unmapped("a note on the patient is not taken over", note.location, code="not-supported")
    merges = merges_of(message, table, context)
    link = link_of(message, table, context)
    patient = merges[0].survivor if merges else _patient(leading, table, context)
    notes = [found for note in leading.pop("NTE", ()) if (found := nte_to_annotation(note.value(3), context))]
    appointment = appointment_of(message, table, context)
    encounter = encounter_of(table.encounter, leading, context) if table.encounter and "PV1" in leading else None
    orders: list[MappedOrder] = []
    reports: list[MappedReport] = [document_of(message, table, context)] if document else []
    for group in message.order_groups():
        _one_patient(group)
        scope = {**leading, **group.segments}
        if table.order:
            for order in _orders(group, scope, table, context):
                orders.append(order)
                add_patient_notes(order.service_request, notes)
        if table.report and not document:
            reports.append(_report(group, scope, table, table.report, context))
    if not table.required <= message.names.keys():
        raise _lacking(message, table)
    issues = (*context.issues, *_unread(message, table))
    cleared = tuple(dict.fromkeys(context.cleared)) if context.cleared else ()
    mapped = Mapped(
        message.type, patient, tuple(orders), tuple(reports), issues, cleared, merges, encounter, appointment, link
    )
    return without_controls(message, mapped)


def _zone_of(message: Message, zone: tzinfo) -> tzinfo:
    """MSH-7's offset is the message's default (v2.5.1 2.15.9.7), unless the sender's clocks show it now anyway.

    An offset says nothing of the other half of the year: the zone that it fits knows of daylight saving time.
    """
    raw = message.header.field(7)
    if raw.isdigit():
        return zone
    stated = message.header.value(7).word(1)
    if stated[-5:-4] not in ("+", "-"):
        return zone
    sent = dtm(stated, zone)
    moment = datetime.fromisoformat(sent.instant) if sent and sent.instant else None
    if moment is None or moment.tzinfo is None:
        return zone
    try:
        fits = moment.astimezone(zone).utcoffset() == moment.utcoffset()
    except OverflowError:  # before the year 1 or after 9999 in UTC
        fits = False
    return zone if fits else moment.tzinfo


def _unsupported(message: Message, rules: Rules) -> UnsupportedError:
    code = message.type.split("^")[0]
    event = any(one.startswith(f"{code}^") for one in rules.messages)
    reason = rules.codes["refused_message"].find(message.type)
    words = reason.note if reason else f"supported are {', '.join(sorted(rules.messages))}"
    return UnsupportedError(
        f"{message.type} is not supported; {words}", location="MSH-9", hl7_code="201" if event else "200"
    )


def _lacking(message: Message, table: CompiledMessage) -> InvalidContentError:
    name = min(table.required - message.names.keys())
    return InvalidContentError(f"{message.type} needs a {name} segment", location=name, hl7_code="100")


def _unread(message: Message, table: CompiledMessage) -> list[Issue]:
    """Segments that no row reads: said, so that nothing is lost silently."""
    return [_unread_segment(name, message.type) for name in message.names if name not in table.known]


@lru_cache(maxsize=1024)
def _unread_segment(name: str, type: str) -> Issue:
    return Issue("not-supported", f"{name} segments are not mapped in {type}", (), name, "information", "0")


def _patient(leading: dict[str, list[Segment]], table: CompiledMessage, context: Context) -> dict[str, Any] | None:
    found = leading.get("PID", [])
    if not found or not table.patient:
        return None
    if len(found) > 1:
        raise UnsupportedError("a message about more than one patient", location=found[1].location, hl7_code="207")
    return run(table.patient, "Patient", leading, context)


def _one_patient(group: OrderGroup) -> None:
    """A PID among the orders is another patient's, or the order's own in a wrong place: neither may be passed over."""
    found = group.first("PID")
    if found is not None:
        raise UnsupportedError("a PID after the first order or report", location=found.location, hl7_code="100")


def _orders(
    group: OrderGroup, scope: dict[str, list[Segment]], table: CompiledMessage, context: Context
) -> list[MappedOrder]:
    """The order of the group; once for each of its steps, where it has several."""
    steps = steps_in(scope, context)
    orders = [_order(group, one, table, context) for one in steps]
    if len(steps) > 1:
        context.issues[:] = dict.fromkeys(context.issues)  # what the steps share is said once
    return orders


def _order(group: OrderGroup, scope: dict[str, list[Segment]], table: CompiledMessage, context: Context) -> MappedOrder:
    orc = group.first("ORC")
    obr = group.first("OBR")
    if orc is None:
        where = obr.location if obr else "ORC"
        raise InvalidContentError("an order needs an ORC segment before its OBR", location=where, hl7_code="100")
    control = orc.field(1)
    if not control.isalnum():
        control = orc.value(1).text().strip()
    event = _event(orc, control, context)
    if event == "new" and obr is None:
        raise InvalidContentError("a new order needs an OBR segment", location=orc.location, hl7_code="100")
    assert table.order is not None
    resource = run(table.order, "ServiceRequest", scope, context)
    add_protocols(scope, resource, context)
    add_measurements(group, scope, resource, table.observation, context)
    if event == "new" and obr is not None and "code" not in resource:
        raise InvalidContentError("a new order says what is ordered", location=f"{obr.location}-4", hl7_code="101")
    return MappedOrder(control, event, resource, group.index)


def _event(orc: Segment, control: str, context: Context) -> str:
    found = context.codes["order_control"].find(control) if control else None
    if found is not None and found.target not in ("refuse", "status"):
        return found.target
    location = f"{orc.location}-1"
    if not control:
        raise InvalidContentError("ORC-1 is empty", location=location, hl7_code="101")
    if found is None:
        raise UnmappedCodeError(f"{control!r} is not an order control code of table 0119", location=location)
    if found.target == "refuse":
        words = f": {found.note}" if found.note else ""
        text = f"order control {control} ({found.display}) is not supported{words}"
        raise UnsupportedError(text, location=location, hl7_code="103")
    status = orc.value(5).text().strip()
    changed = context.codes["order_status"].find(status)
    if changed is None:
        raise UnmappedCodeError(f"{status!r} is not an order status of table 0038", location=f"{orc.location}-5")
    return changed.target


def _report(
    group: OrderGroup,
    scope: dict[str, list[Segment]],
    table: CompiledMessage,
    rows: CompiledRows,
    context: Context,
) -> MappedReport:
    obr = group.first("OBR")
    orc = group.first("ORC")
    if obr is None:
        where = orc.location if orc else "OBR"
        raise InvalidContentError("a report needs an OBR segment", location=where, hl7_code="100")
    report = run(rows, "DiagnosticReport", scope, context)
    result: Result = results_of(group, scope, report, table, context)
    identities = {
        kind["code"]: Identity(identifier["system"], identifier["value"])
        for identifier in report.get("identifier", [])
        for kind in identifier.get("type", {}).get("coding", [])
    }
    return MappedReport(
        control=orc.value(1).text().strip() or None if orc else None,
        report=report,
        observations=tuple(result.observations),
        placer=identities.get("PLAC"),
        filler=identities.get("FILL"),
        accession=identities.get("ACSN"),
        study_uid=result.study_uid,
        index=group.index,
    )
