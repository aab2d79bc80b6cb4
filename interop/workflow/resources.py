"""What a FHIR client may write, by type: rules of orders, patients, reports, subscriptions; all else as it is."""

from __future__ import annotations

from typing import Any

from interop.errors import ForbiddenError, PreconditionError
from interop.store import Stored, Tx
from interop.workflow import bookings, known_facts, orders, patient_links, patients, reports, studies, subscriptions
from interop.workflow.foreseeing import foresee as foresee  # said before create and update
from interop.workflow.lifecycle import FHIR
from interop.workflow.site import Site

Resource = dict[str, Any]

OURS = frozenset({"ImagingStudy", "Endpoint", "AuditEvent"})  # made by this server


def create(tx: Tx, site: Site, resource: Resource, *, id: str | None = None) -> Stored:
    """Store a new resource; an order that stands already is answered as it stands."""
    type_ = resource["resourceType"]
    _refuse_ours(type_)
    match type_:
        case "ServiceRequest":
            return _place(tx, site, resource, id)
        case "Patient":
            return patient_links.create(tx, site, resource, id=id)
        case "DiagnosticReport":
            return reports.create(tx, site, resource, id=id)
        case "Appointment":
            return bookings.create(tx, site, resource, id=id)
        case "Subscription":
            return subscriptions.create(tx, site, resource, id=id)
        case _:
            before = tx.read(type_, id) if id is not None else None
            stored = tx.create(resource, id=id)
            known_facts.follow(tx, site, before, stored)
            return stored


def update(tx: Tx, site: Site, resource: Resource, if_match: int | None = None) -> Stored:
    """Store the next version of a resource, or its first under the id it brings."""
    type_, id = resource["resourceType"], resource["id"]
    _refuse_ours(type_)
    tx.lock(f"{type_}/{id}")
    present = tx.read(type_, id)
    if if_match is not None and (present is None or present.deleted or present.version != if_match):
        there = "nothing" if present is None or present.deleted else f"version {present.version}"
        raise PreconditionError(f"If-Match is version {if_match}, there is {there}")
    if present is None or present.deleted:
        return create(tx, site, resource, id=id)
    match type_:
        case "ServiceRequest":
            outcome = orders.update(tx, site, present, resource)
            _adopt(tx, site, outcome)
            return outcome.stored
        case "Patient":
            return patient_links.update(tx, site, present, resource)
        case "DiagnosticReport":
            return reports.update(tx, site, present, resource)
        case "Appointment":
            return bookings.update(tx, site, present, resource)
        case "Subscription":
            return subscriptions.update(tx, site, present, resource)
        case _:
            stored = tx.update(resource)
            known_facts.follow(tx, site, present, stored)
            return stored


def delete(tx: Tx, site: Site, type: str, id: str) -> Stored:
    """End a resource; an order that others refer to stays, marked as entered in error."""
    _refuse_ours(type)
    match type:
        case "ServiceRequest":
            return orders.delete(tx, site, id)
        case "Patient":
            return patients.delete(tx, id)
        case "DiagnosticReport":
            return reports.delete(tx, site, id)
        case "Appointment":
            return bookings.delete(tx, site, id)
        case "Subscription":
            return subscriptions.delete(tx, id)
        case _:
            before = tx.read(type, id)
            stored = tx.delete(type, id)
            known_facts.follow(tx, site, before, stored)
            return stored


def _refuse_ours(type: str) -> None:
    if type in OURS:
        raise ForbiddenError(f"{type} is made by this server and not written by clients", expression=type)


def _place(tx: Tx, site: Site, resource: Resource, id: str | None) -> Stored:
    outcome = orders.place(tx, site, resource, FHIR, id=id)
    _adopt(tx, site, outcome)
    return outcome.stored


def _adopt(tx: Tx, site: Site, outcome: orders.Outcome) -> None:
    if outcome.numbered and outcome.row is not None:
        studies.adopt(tx, site, outcome.row)
