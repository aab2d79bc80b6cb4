"""What is about one patient becomes about another: the resource, and for an order its row and worklist item."""

from __future__ import annotations

from dataclasses import replace

from interop.fhir.references import rewrite
from interop.store import Stored, Tx
from interop.workflow import known_facts, orders
from interop.workflow.site import Site


def move_one(tx: Tx, site: Site, stored: Stored, source: Stored, target: Stored) -> None:
    """One resource about ``source`` is about ``target`` from now on."""
    resource = rewrite(stored.resource(), {source.reference: target.reference})
    if stored.type == "ImagingStudy":
        tx.put_study(resource, ())  # its series do not change
    else:
        known_facts.follow(tx, site, stored, tx.update(resource))
    if stored.type == "ServiceRequest":
        _move_order(tx, site, stored.id, target)


def _move_order(tx: Tx, site: Site, id: str, target: Stored) -> None:
    row = tx.order(id)
    if row is None:
        return
    tx.put_order(replace(row, patient_id=target.id, updated=tx.now))
    orders.reconsider_one(tx, site, id)  # what was missing, e.g. a name, may be known of this one
    if row.scheduled:
        tx.enqueue("worklist", id, {"order": id}, replace=True)
