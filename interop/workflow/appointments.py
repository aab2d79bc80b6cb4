"""Appointments: what is booked, moved, ended or missed, and the order that goes with it (v2.5.1 10.4).

A booking moves the order's time. One that is cancelled, discontinued, deleted or missed puts the order on hold, so
that no modality waits for the patient; the next booking releases it. Only such a hold: one asked for by ORC-1 HD stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from interop.audit.event import Event
from interop.errors import ConflictError, InvalidContentError, Issue
from interop.fhir.query import Identity
from interop.fhir.scheduled_steps import steps_of
from interop.mapping.mapped import MappedAppointment
from interop.mapping.uris import EXTENSIONS
from interop.store import OrderRow, Stored, Tx
from interop.workflow import numbers, orders
from interop.workflow.lifecycle import ACTIVE, HL7, ON_HOLD, TABLE, State
from interop.workflow.numbers import Numbers
from interop.workflow.site import Site

Resource = dict[str, Any]

_STATUS = "http://hl7.org/fhir/appointmentstatus"
_REASON = EXTENSIONS["statusReason"]
_TIMES = ("occurrencePeriod", "occurrenceTiming")  # give way to the booked time
_FALLS_AWAY = {
    "cancelled": "the appointment was cancelled",
    "noshow": "the patient did not come",
    "entered-in-error": "the appointment was deleted",
}


@dataclass(frozen=True, slots=True)
class Booked:
    """The appointment as it stands, its order if it has one, and what the sender should know."""

    stored: Stored
    row: OrderRow | None = None
    issues: tuple[Issue, ...] = ()


def book(tx: Tx, site: Site, told: MappedAppointment, patient: str, told_by: str) -> Booked:
    """Carry out what a message says of an appointment; ``patient`` is ``Patient/<id>``, ``told_by`` the message type.

    InvalidContentError without a number or, where one is needed, a time; ConflictError if it is another patient's.
    """
    keys = [Identity(item["system"], item["value"]) for item in told.appointment.get("identifier", ())]
    if not keys:
        raise InvalidContentError("an appointment needs its number", location="SCH-2", hl7_code="101")
    tx.lock(*(f"appointment:{key.system}|{key.value}" for key in keys))
    present = next((found for key in keys for found in tx.by_identifier("Appointment", key.system, key.value)), None)
    before = present.resource() if present is not None else {}
    _refuse_other_patient(before, patient)
    row, issues = _order_of(tx, site, told, before, patient)
    after = _laid_over(before, told.appointment, patient)
    if row is not None:
        after["basedOn"] = [{"reference": f"ServiceRequest/{row.id}"}]
    stored = tx.create(after) if present is None else tx.update(after)
    action = "C" if present is None else "U"
    tx.audit(Event("hl7", told_by, action, patient=patient, entity=stored.reference))
    if row is not None:
        row, more = follow(tx, site, row, before, after)
        issues = (*issues, *more)
    return Booked(stored, row, issues)


def _refuse_other_patient(before: Resource, patient: str) -> None:
    if before and patient not in [one.get("actor", {}).get("reference") for one in before["participant"]]:
        text = f"the appointment number is that of Appointment/{before['id']} of another patient"
        raise ConflictError(text, expression="Appointment.participant", location="SCH-2")


def _order_of(
    tx: Tx, site: Site, told: MappedAppointment, before: Resource, patient: str
) -> tuple[OrderRow | None, tuple[Issue, ...]]:
    """The order that is named, else that of the appointment before, else the one open order for the same service."""
    if told.placer is not None or told.filler is not None:
        row = numbers.find_named(tx, Numbers(told.placer, told.filler))
    elif before.get("basedOn"):
        row = tx.order(before["basedOn"][0]["reference"].removeprefix("ServiceRequest/"))
    else:
        row = _by_service(tx, told.appointment, patient)
    if row is None:
        text = "no order goes with the appointment: it is kept, and nothing is scheduled by it"
        return None, (Issue("not-found", text, ("Appointment.basedOn",), "SCH-26", "warning", "204"),)
    if f"Patient/{row.patient_id}" != patient:
        raise ConflictError(f"ServiceRequest/{row.id} is an order of another patient", location="PID-3")
    return row, ()


def _by_service(tx: Tx, appointment: Resource, patient: str) -> OrderRow | None:
    wanted = _codes(appointment.get("serviceType", ()))
    open_ = [
        row
        for row in tx.find_orders(patient_id=patient.removeprefix("Patient/"), limit=1000)
        if row.status in (ACTIVE, ON_HOLD)
        and wanted & _codes([tx.get("ServiceRequest", row.id).resource().get("code", {})])
    ]
    return open_[0] if len(open_) == 1 else None


def _codes(concepts: Any) -> set[tuple[str, str]]:
    return {(one.get("system", ""), one["code"]) for concept in concepts for one in concept.get("coding", ())}


def _laid_over(before: Resource, told: Resource, patient: str) -> Resource:
    after = {name: value for name, value in before.items() if name != "cancelationReason"} | told
    if "start" in told:  # a new time has a new end
        after["end"] = told.get("end") or _end(told["start"], after.get("minutesDuration", 0))
    if "start" not in after and after["status"] == "booked":
        raise InvalidContentError("a booked appointment needs its time", location="SCH-11.4", hl7_code="101")
    others = [one for one in after.get("participant", ()) if not one.get("actor", {}).get("reference")]
    after["participant"] = [{"actor": {"reference": patient}, "status": "accepted"}, *others]
    known = {(item["system"], item["value"]) for item in told["identifier"]}
    kept = [item for item in before.get("identifier", ()) if (item["system"], item["value"]) not in known]
    after["identifier"] = [*told["identifier"], *kept]
    return after


def _end(start: str, minutes: int) -> str:
    """R4 app-2: an appointment with a start has an end; the same instant where nobody says how long it takes."""
    return (datetime.fromisoformat(start) + timedelta(minutes=minutes)).isoformat()


def follow(
    tx: Tx, site: Site, row: OrderRow, before: Resource, appointment: Resource, door: str = HL7
) -> tuple[OrderRow, tuple[Issue, ...]]:
    """The order after the appointment; what its state does not allow is an Issue and changes nothing of it."""
    if tx.order_steps(row.id):
        return _follow_step(tx, site, row, before, appointment, door)
    return _follow(tx, site, row, appointment, door)


def falls_away(appointment: Resource) -> bool:
    """Whether nobody is expected by it (any more)."""
    return appointment.get("status") in _FALLS_AWAY


def _follow(tx: Tx, site: Site, row: OrderRow, appointment: Resource, door: str) -> tuple[OrderRow, tuple[Issue, ...]]:
    words = _FALLS_AWAY.get(appointment["status"])
    if words is None:
        if row.status == ON_HOLD and _held_by_us(tx, row):
            _write_reason(tx, row, None)
            row = orders.advance_order(tx, site, row, "release", door).row or row
        if not _possible(row, "change", door):
            return row, (_left(row, "its time stays"),)
        content = {"resourceType": "ServiceRequest", "occurrenceDateTime": appointment["start"]}
        moved = orders.advance_order(tx, site, row, "change", door, content, cleared=_TIMES)
        return moved.row or row, moved.issues
    if row.status == ON_HOLD:
        return row, ()
    if not _possible(row, "hold", door):
        return row, (_left(row, "it stays as it is"),)
    reason = {"coding": [{"system": _STATUS, "code": appointment["status"]}], "text": words}
    _write_reason(tx, row, reason)
    return orders.advance_order(tx, site, row, "hold", door).row or row, ()


def _follow_step(
    tx: Tx, site: Site, row: OrderRow, before: Resource, appointment: Resource, door: str
) -> tuple[OrderRow, tuple[Issue, ...]]:
    """The step that the appointment is for, by its service; what held it is this very appointment, or somebody else."""
    wanted = _codes(appointment.get("serviceType", ()))
    order = tx.get("ServiceRequest", row.id).resource()
    found = [step for step in steps_of(order) if wanted & _codes(step.protocols)]
    if len(found) != 1:
        text = f"ServiceRequest/{row.id} has several steps and the service does not say which: they stay as they are"
        return row, (Issue("business-rule", text, ("ServiceRequest.extension",), "AIS-3", "warning", "0"),)
    (step,) = found
    content = None
    events = ["change"]
    if appointment["status"] in _FALLS_AWAY:
        events = ["hold"]
    elif step.status == ON_HOLD and before.get("status") in _FALLS_AWAY:
        events = ["release", "change"]
    for event in events:
        if event == "change":
            content = {"resourceType": "ServiceRequest", "occurrenceDateTime": appointment["start"]}
        if TABLE.get((door, State(step.status, step.step), event)) is None:
            return row, (_left(row, f"its step {step.number} is {step.step} and stays as it is"),)
        row = orders.advance_order(tx, site, row, event, door, content, cleared=_TIMES, step=step.number).row or row
    return row, ()


def _possible(row: OrderRow, event: str, door: str) -> bool:
    return TABLE.get((door, State(row.status, row.step), event)) is not None


def _left(row: OrderRow, words: str) -> Issue:
    text = f"ServiceRequest/{row.id} is {State(row.status, row.step)}: {words}"
    return Issue("business-rule", text, ("ServiceRequest.status",), "SCH-26", "warning", "0")


def _held_by_us(tx: Tx, row: OrderRow) -> bool:
    for extension in tx.get("ServiceRequest", row.id).resource().get("extension", ()):
        if extension.get("url") == _REASON:
            codings = extension.get("valueCodeableConcept", {}).get("coding", ())
            return any(coding.get("system") == _STATUS for coding in codings)
    return False


def _write_reason(tx: Tx, row: OrderRow, reason: Resource | None) -> None:
    """Why the order is on hold; None takes the reason away."""
    resource = tx.get("ServiceRequest", row.id).resource()
    extensions = [item for item in resource.get("extension", ()) if item.get("url") != _REASON]
    if reason is not None:
        extensions.append({"url": _REASON, "valueCodeableConcept": reason})
    resource["extension"] = extensions
    tx.update(resource if extensions else {name: value for name, value in resource.items() if name != "extension"})
