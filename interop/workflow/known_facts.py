"""What stands in an order's worklist items besides the order and its patient: read, and followed when it changes.

The people, organisations, devices and places that the order names; the visit it is in; the patient's measurements,
allergies and flags. A change of any of them shows the items of the scheduled orders anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interop.fhir.references import patient_of
from interop.mapping.patient_facts import Known, fact_codes, fact_of
from interop.store import Stored, Tx
from interop.workflow import orders
from interop.workflow.outbox import named_in_stored
from interop.workflow.site import Site

Resource = dict[str, Any]

_OF_THE_PATIENT = frozenset({"Observation", "AllergyIntolerance", "Flag", "Encounter"})
_PEOPLE = frozenset({"Practitioner", "PractitionerRole", "Organization"})
_REASONS = frozenset({"Condition", "Observation", "DiagnosticReport", "DocumentReference"})
_PLACES = frozenset({"Device", "Location"})  # they choose the station, too
_ELEMENTS = ("performer", "locationReference", "reasonReference")
_READ = _REASONS | _PLACES
_ALL = 1_000_000


def known_of(tx: Tx, site: Site, stored: Stored, order: Resource, patient_id: str) -> Known:
    """What is stored of it now; ``order`` is the resource of ``stored``."""
    encounter = _encounter(tx, order, f"Patient/{patient_id}")
    resolved = named_in_stored(tx, stored, order) | _read(tx, _referred(order, _ELEMENTS))
    if encounter is not None:
        resolved |= _read(tx, (place["location"].get("reference", "") for place in encounter.get("location", ())))
    clinical = [stored.resource() for stored in tx.clinical(patient_id, fact_codes(site.tables.codes))]
    return Known(resolved, encounter, clinical)


def follow(tx: Tx, site: Site, before: Stored | None, after: Stored) -> None:
    """A resource was written or deleted: the items that it stands in, or stood in, are made anew."""
    if before is not None and before.version == after.version:
        return
    both = [stored.resource() for stored in (before, after) if stored is not None and not stored.deleted]
    fact = after.type != "Observation" or any(fact_of(one, site.tables.codes) for one in both)
    if fact and after.type in _OF_THE_PATIENT:
        _show(tx, _scheduled(tx, both))
    elif before is not None and after.type in _REASONS:  # what is new, nobody refers to yet
        mark = f'"{after.reference}"'.encode()
        _show(tx, {id for id in _scheduled(tx, both) if mark in tx.get("ServiceRequest", id).body})
    elif before is not None and after.type in _PEOPLE:
        _show(tx, set(tx.orders_naming(after.type, after.id)))
    elif before is not None and after.type in _PLACES:
        _show_places(tx, site, after)


def _scheduled(tx: Tx, resources: Iterable[Resource]) -> set[str]:
    """The scheduled orders of the patients whom these are about."""
    patients = {patient.removeprefix("Patient/") for one in resources if (patient := patient_of(one)) is not None}
    return {row.id for id in patients for row in tx.find_orders(patient_id=id, scheduled=True, limit=_ALL)}


def _show_places(tx: Tx, site: Site, place: Stored) -> None:
    """Where an order is to be carried out, or its patient is, is called otherwise."""
    naming = tx.orders_saying(place.reference)
    for id in naming:
        orders.reconsider_one(tx, site, id, planned=True)
    visiting = tx.orders_of_visits_at(place.id) if place.type == "Location" else []
    _show(tx, {*naming, *visiting}, thorough=True)


def _show(tx: Tx, order_ids: set[str], *, thorough: bool = False) -> None:
    told = sorted(order_ids)
    tx.told_of(told)
    for id in told:
        tx.enqueue("worklist", id, {"order": id, **({"thorough": True} if thorough else {})}, replace=True)


def _encounter(tx: Tx, order: Resource, patient: str) -> Resource | None:
    """The visit that the order names by a link or by its number, if it is the patient's."""
    named = order.get("encounter", {})
    type_, _, id = str(named.get("reference", "")).partition("/")
    found = tx.read(type_, id) if type_ == "Encounter" else None
    number = named.get("identifier", {})
    if found is None and number.get("value"):
        found = next(iter(tx.by_identifier("Encounter", number.get("system", ""), number["value"])), None)
    if found is None or found.deleted:
        return None
    encounter = found.resource()
    return encounter if patient_of(encounter) == patient else None


def _referred(order: Resource, elements: Iterable[str]) -> Iterable[str]:
    return (str(one.get("reference", "")) for element in elements for one in order.get(element, ()))


def _read(tx: Tx, found: Iterable[str]) -> dict[str, Resource]:
    known: dict[str, Resource] = {}
    for reference in found:
        type_, _, id = reference.partition("/")
        stored = tx.read(type_, id) if type_ in _READ and id else None
        if stored is not None and not stored.deleted:
            known[reference] = stored.resource()
    return known
