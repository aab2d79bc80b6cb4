"""What the entries of a transaction are going to be, before anything is written: so that others can link to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from interop.errors import InteropError
from interop.fhir.bundle import Entry, located, overlap
from interop.fhir_api.calls import Call, Surroundings
from interop.fhir_api.conditions import addressed, criteria, criteria_key, criteria_of, the_one
from interop.fhir_api.delete import met
from interop.fhir_api.preparing import Plan
from interop.store import Tx


@dataclass(frozen=True, slots=True)
class Promise:
    """The reference of an entry that writes, and its call about exactly that resource."""

    entry: Entry
    call: Call
    reference: str
    new_id: str | None = None


def ended(tx: Tx, around: Surroundings, plan: Plan) -> dict[str, int]:
    """The resources that entries delete, by reference, each with its entry."""
    gone: dict[str, int] = {}
    for entry, call in _of(plan, "delete"):
        try:
            found = [f"{call.type}/{call.id}"]
            if call.criteria is not None:
                found = [each.reference for each in met(tx, around, call, call.criteria)]
        except InteropError as error:
            raise located(error, entry.index) from error
        for reference in found:
            if reference in gone:
                raise overlap(gone[reference], entry.index)
            gone[reference] = entry.index
    return gone


def promises(tx: Tx, around: Surroundings, plan: Plan, gone: dict[str, int]) -> dict[int, Promise]:
    """The promise of each entry that writes; InvalidContentError (400) for two about one resource."""
    keys = _keys(tx, around, plan)
    tx.lock(*sorted(set(keys.values())))
    promised: dict[int, Promise] = {}
    by_key: dict[str, str] = {}
    for entry, call in _of(plan, "create"):
        promised[entry.index] = _created(tx, around, entry, call, keys.get(entry.index), by_key)
    makers = {key: index for index, key in keys.items() if index in promised}
    written = dict(gone)
    for entry, call in _of(plan, "update", "patch"):
        key = keys.get(entry.index)
        if key in makers:
            raise overlap(makers[key], entry.index)
        if key:
            makers[key] = entry.index
        try:
            about = addressed(tx, around, call)
        except InteropError as error:
            raise located(error, entry.index) from error
        reference = f"{about.type}/{about.id}"
        if reference in written:
            raise overlap(written[reference], entry.index)
        written[reference] = entry.index
        promised[entry.index] = Promise(entry, about, reference)
    return promised


def _of(plan: Plan, *interactions: str) -> Iterator[tuple[Entry, Call]]:
    return (
        (entry, call) for entry, call in zip(plan.entries, plan.calls, strict=True) if call.interaction in interactions
    )


def _keys(tx: Tx, around: Surroundings, plan: Plan) -> dict[int, str]:
    """The name of the criteria of each entry that has some."""
    keys: dict[int, str] = {}
    for entry, call in _of(plan, "create", "update", "patch"):
        params = call.criteria
        if call.if_none_exist is not None:
            params = criteria_of(call.type, call.if_none_exist)
        if params is not None:
            try:
                keys[entry.index] = criteria_key(criteria(tx, around, call.type, params))
            except InteropError as error:
                raise located(error, entry.index) from error
    return keys


def _created(
    tx: Tx, around: Surroundings, entry: Entry, call: Call, key: str | None, by_key: dict[str, str]
) -> Promise:
    present = None
    if call.if_none_exist is not None:
        query = criteria(tx, around, call.type, criteria_of(call.type, call.if_none_exist))
        try:
            present = the_one(tx, query)
        except InteropError as error:
            raise located(error, entry.index) from error
    if present is not None:
        return Promise(entry, call, present.reference)
    new_id = by_key.get(key or "") or tx.new_id()
    if key:
        by_key[key] = new_id  # the same criteria again will find what this one makes
    return Promise(entry, call, f"{call.type}/{new_id}", new_id)
