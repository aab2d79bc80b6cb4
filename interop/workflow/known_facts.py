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
_NAMED = frozenset({"Device", "Location", "Condition", "Observation", "DiagnosticReport", "DocumentReference"})
_PEOPLE = frozenset({"Practitioner", "PractitionerRole", "Organization", "HealthcareService"})
_PLACES = frozenset({"Device", "Location"})  # they choose the station, too
_ELEMENTS = ("performer", "locationReference", "reasonReference")
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
    if after.type in _OF_THE_PATIENT:
        both = [stored.resource() for stored in (before, after) if stored is not None and not stored.deleted]
        if after.type != "Observation" or any(fact_of(one, site.tables.codes) for one in both):
            patients = {patient for one in both if (patient := patient_of(one)) is not None}
            _show(tx, {row.id for patient in patients for row in _scheduled(tx, patient)})
    if before is not None and after.type in _NAMED | _PEOPLE:  # what is new, nobody refers to yet
        _show_naming(tx, site, after)


def _scheduled(tx: Tx, patient: str) -> Iterable[Any]:
    return tx.find_orders(patient_id=patient.removeprefix("Patient/"), scheduled=True, limit=_ALL)


def _show_naming(tx: Tx, site: Site, named: Stored) -> None:
    if named.type not in _PEOPLE:
        found = set(tx.orders_saying(named.reference))
    else:  # whoever is written down in great number is looked up: the others stand where no search looks
        found = set(tx.orders_naming(named.type, named.id))
        for type_, id in tx.referrers(named.type, named.id, limit=_ALL):
            found.update(tx.orders_naming(type_, id) if type_ == "PractitionerRole" else ())
    if named.type == "Location":  # where a patient is
        found.update(tx.orders_of_visits_at(named.id))
    places = named.type in _PLACES
    for id in sorted(found) if places else ():
        orders.reconsider_one(tx, site, id, planned=True)
    _show(tx, found, thorough=places)


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
        stored = tx.read(type_, id) if type_ in _NAMED and id else None
        if stored is not None and not stored.deleted:
            known[reference] = stored.resource()
    return known
