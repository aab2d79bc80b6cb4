"""What a write is going to lock and ask, said beforehand: a store at a distance is then asked once, not each time anew.

Nothing depends on it: what was not foreseen, or is asked in other words, is asked when it is needed.
"""

from __future__ import annotations

from typing import Any

from interop.store import Tx
from interop.workflow import numbers, patients
from interop.workflow.numbers import Numbers
from interop.workflow.site import Site

Resource = dict[str, Any]


def foresee(tx: Tx, site: Site, resource: Resource, id: str | None = None) -> None:
    """Lock what writing the resource will lock, and have what it will ask asked at once.

    ``id`` is that of the resource that it is put over; None for a new one.
    """
    if not tx.distant:
        return
    type_ = resource["resourceType"]
    if id is not None:
        tx.lock(f"{type_}/{id}")
    if type_ == "Patient":
        _patient(tx, resource, id)
    elif type_ == "ServiceRequest":
        _order(tx, site, resource, id)
    if id is not None:  # behind their locks
        tx.foresee_change(type_, id)


def _patient(tx: Tx, resource: Resource, id: str | None) -> None:
    tx.lock(*patients.lock_keys(resource))
    for key in patients.identities(resource):
        tx.foresee_identifier("Patient", key.system, key.value)
    if id is not None:
        tx.foresee_orders(patient_id=id, limit=patients.ALL_ORDERS)


def _order(tx: Tx, site: Site, resource: Resource, id: str | None) -> None:
    given = Numbers.of(resource, site)
    tx.lock(*given.lock_keys())
    type_, _, patient = str(resource.get("subject", {}).get("reference", "")).partition("/")
    if type_ == "Patient" and patient:
        tx.foresee("Patient", patient)
    if id is not None:
        tx.foresee_order(id)
        return
    if given.placer is not None:
        tx.foresee_orders(placer=given.placer, limit=1)
    if given.filler is not None:
        tx.foresee_orders(filler=given.filler, limit=1)
    if given.accession is None:
        serial = numbers.serial_of(tx, site, tx.foresee_number("order"))
        tx.foresee_accession(numbers.accession_of(site, serial))
