"""Appointments that a FHIR client writes: events in the life of the orders they are based on, as SIU messages are.

Booked or moved: the order's time and worklist follow. Cancelled, missed, entered in error or deleted: the order is put
on hold until the next booking. Arrived or checked in: the patient is there. Unlike a message, which tells what has
happened already, a write that an order's state does not allow is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from interop.errors import IllegalTransitionError, InvalidContentError
from interop.store import OrderRow, Stored, Tx
from interop.workflow import appointments, orders
from interop.workflow.appointments import Resource, falls_away
from interop.workflow.lifecycle import FHIR
from interop.workflow.site import Site

_EXPECTED = ("booked", "arrived", "checked-in")
_THERE = ("arrived", "checked-in")
_SAID = ("status", "start", "basedOn", "serviceType")  # what the order hears of


def create(tx: Tx, site: Site, resource: Resource, *, id: str | None = None) -> Stored:
    """A new appointment; 422 where an order it is based on is another patient's or cannot follow it."""
    for row in _orders(tx, resource):
        _follow(tx, site, row, {}, resource)
    return tx.create(resource, id=id)


def update(tx: Tx, site: Site, present: Stored, resource: Resource) -> Stored:
    """The next version of an appointment; its orders hear of a new time or status only."""
    before = present.resource()
    kept = {row.id for row in _orders(tx, resource)}
    for row in _orders(tx, before):
        if row.id not in kept:
            _give_up(tx, site, row, before)
    if any(before.get(name) != resource.get(name) for name in _SAID):
        had = {row.id for row in _orders(tx, before)}
        for row in _orders(tx, resource):
            _follow(tx, site, row, before if row.id in had else {}, resource)
    return tx.update(resource)


def delete(tx: Tx, site: Site, id: str) -> Stored:
    """End an appointment: nobody is expected by it."""
    stored = tx.delete("Appointment", id)
    earlier = tx.read("Appointment", id, stored.version - 1)
    if earlier is not None and earlier.body:
        before = earlier.resource()
        for row in _orders(tx, before):
            _give_up(tx, site, row, before)
    return stored


def _orders(tx: Tx, appointment: Resource) -> Iterator[OrderRow]:
    """The imaging orders that it is based on."""
    for reference in appointment.get("basedOn", ()):
        type_, _, id = str(reference.get("reference", "")).partition("/")
        row = tx.order(id) if type_ == "ServiceRequest" else None
        if row is not None:
            yield row


def _follow(tx: Tx, site: Site, row: OrderRow, before: Resource, appointment: Resource) -> None:
    _refuse_other_patient(row, appointment)
    if not falls_away(appointment) and appointment["status"] not in _EXPECTED:
        return  # proposed, pending, on a waiting list: nobody is expected yet; fulfilled: the images tell
    if falls_away(appointment) and (falls_away(before) or before.get("status") not in _EXPECTED):
        return  # it was never expected
    if appointment["status"] in _EXPECTED and "start" not in appointment:
        raise InvalidContentError("a booked appointment needs its time", expression="Appointment.start")
    if (
        falls_away(appointment)
        or any(before.get(name) != appointment.get(name) for name in ("start", "basedOn"))
        or (before.get("status") not in _EXPECTED)
    ):
        row, issues = appointments.follow(tx, site, row, before, appointment, FHIR)
        if issues:
            raise IllegalTransitionError(issues[0].text, expression="Appointment.status")
    if appointment["status"] in _THERE and before.get("status") not in _THERE:
        orders.advance_order(tx, site, row, "arrived", FHIR)


def _give_up(tx: Tx, site: Site, row: OrderRow, before: Resource) -> None:
    """An order whose appointment was taken away waits for another; one that has begun does not."""
    if before.get("status") in _EXPECTED:
        appointments.follow(tx, site, row, before, {**before, "status": "entered-in-error"}, FHIR)


def _refuse_other_patient(row: OrderRow, appointment: Resource) -> None:
    named = [
        reference
        for one in appointment.get("participant", ())
        if (reference := str(one.get("actor", {}).get("reference", ""))).startswith("Patient/")
    ]
    if named and f"Patient/{row.patient_id}" not in named:
        raise InvalidContentError(
            f"ServiceRequest/{row.id} is an order of another patient", expression="Appointment.basedOn"
        )
