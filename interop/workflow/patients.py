"""Patients: one for each (assigning authority, id), whichever door spoke of them first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from interop.errors import ConflictError, DuplicateError, InvalidContentError, Issue
from interop.fhir.json import dumps, reloads
from interop.fhir.query import Identity
from interop.store import Stored, Tx
from interop.workflow import former_numbers

Resource = dict[str, Any]

ALL_ORDERS = 10_000  # of one patient

# What identifies a person to a human: a difference here may mean another person.
_TELLING = {"name": "PID-5", "birthDate": "PID-7", "gender": "PID-8"}
_NOT_DEMOGRAPHIC = ("resourceType", "id", "meta", "identifier", "text", "contained")


class Resolved(NamedTuple):
    """The patient that a message speaks of, and what it says differently."""

    stored: Stored
    resource: Resource  # what is on record now; to be read, not changed
    issues: tuple[Issue, ...] = ()


def identities(patient: Resource) -> list[Identity]:
    """The identifiers that have both an authority and a value."""
    return [Identity(*key) for key in dict.fromkeys(_keys(patient.get("identifier", ())))]


def _keys(identifiers: Iterable[Resource]) -> Iterator[tuple[str, str]]:
    for identifier in identifiers:
        system, value = identifier.get("system"), identifier.get("value")
        if system and value:
            yield system, value


def lock_keys(patient: Resource) -> list[str]:
    """What to lock before looking the patient up, so that two units do not make the same one."""
    return [f"patient:{key.system}|{key.value}" for key in identities(patient)]


def find(tx: Tx, patient: Resource) -> Stored | None:
    """The patient with one of these identifiers; ConflictError if they belong to two."""
    found = holders(tx, patient)
    if len(found) > 1:
        names = " and ".join(f"Patient/{id}" for id in sorted(found))
        raise ConflictError(f"the identifiers belong to {names}", expression="Patient.identifier", location="PID-3")
    return next(iter(found.values()), None)


def holders(tx: Tx, patient: Resource) -> dict[str, Stored]:
    """Everybody to whom one of these identifiers leads, by id."""
    found: dict[str, Stored] = {}
    for key in identities(patient):
        for stored in tx.by_identifier("Patient", key.system, key.value):
            if b'"old"' not in stored.body or former_numbers.holds(stored.resource(), key):
                found.setdefault(stored.id, stored)
    return found


def resolve(tx: Tx, patient: Resource) -> Resolved:
    """The patient of an order or a report: made if new; blanks filled, differences reported, nothing overwritten."""
    if not identities(patient):
        raise InvalidContentError(
            "the patient has no identifier", expression="Patient.identifier", location="PID-3", hl7_code="101"
        )
    present = find(tx, patient)
    if present is None:
        return Resolved(tx.create(patient), patient)
    after, differs, issues = _laid_over(present.body, dumps(patient))
    return Resolved(tx.update(after) if differs else present, after, issues)


@lru_cache(maxsize=512)
def _laid_over(body: bytes, told: bytes) -> tuple[Resource, bool, tuple[Issue, ...]]:
    """The patient on record with its blanks filled, to be read only, whether that changes it, and what differs.

    Messages about one patient come close together, and mostly say the same of it.
    """
    before: Resource = reloads(body)
    after, issues = _filled(before, reloads(told))
    return after, after != before, tuple(issues)


def register(tx: Tx, patient: Resource, cleared: Iterable[str] = ()) -> Stored:
    """An ADT message's patient: made if new, else what it says replaces what is known (v2.5.1 3.3.8)."""
    if not identities(patient):
        raise InvalidContentError(
            "the patient has no identifier", expression="Patient.identifier", location="PID-3", hl7_code="101"
        )
    present = find(tx, patient)
    if present is None:
        return tx.create(patient)
    before = present.resource()
    after = {**before, **{name: value for name, value in patient.items() if name not in _NOT_DEMOGRAPHIC}}
    for element in cleared:
        if element not in _NOT_DEMOGRAPHIC:
            after.pop(element, None)
    after["identifier"] = _joined(before, patient)
    return changed(tx, present, after)


def create(tx: Tx, resource: Resource, *, id: str | None = None) -> Stored:
    """A patient posted by FHIR; DuplicateError if one of its identifiers already names a patient."""
    _refuse_taken(tx, resource, own=None)
    return tx.create(resource, id=id)


def update(tx: Tx, resource: Resource) -> Stored:
    """A patient put by FHIR; its scheduled orders are shown with the new demographics."""
    present = tx.read("Patient", resource["id"])
    if present is None or present.deleted:
        _refuse_taken(tx, resource, own=resource["id"])
        return tx.update(resource)
    resource = former_numbers.kept(present.resource(), resource)
    _refuse_taken(tx, resource, own=resource["id"])
    return changed(tx, present, resource)


def delete(tx: Tx, id: str) -> Stored:
    """Delete a patient that nothing refers to."""
    tx.get("Patient", id)
    referrers = tx.referrers("Patient", id, limit=1)
    if referrers:
        type_, other = referrers[0]
        raise ConflictError(f"Patient/{id} is still the subject of {type_}/{other}", expression="Patient")
    return tx.delete("Patient", id)


def _refuse_taken(tx: Tx, resource: Resource, own: str | None) -> None:
    tx.lock(*lock_keys(resource))
    for position, identifier in enumerate(resource.get("identifier", ())):
        for system, value in _keys([identifier]):
            for other in tx.by_identifier("Patient", system, value):
                if other.id != own and former_numbers.holds(other.resource(), Identity(system, value)):
                    raise DuplicateError(
                        f"the identifier already belongs to Patient/{other.id}",
                        expression=f"Patient.identifier[{position}]",
                    )


def changed(tx: Tx, present: Stored, after: Resource) -> Stored:
    """The next version of a patient; its scheduled orders are shown with what is new."""
    orders = tx.find_orders(patient_id=present.id, limit=ALL_ORDERS)
    stored = tx.update(after)
    if stored.version != present.version:
        for row in orders:
            if row.scheduled or row.missing:
                tx.enqueue("worklist", row.id, {"order": row.id}, replace=True)
    return stored


def _joined(before: Resource, patient: Resource) -> list[Resource]:
    known = set(_keys(before.get("identifier", ())))
    fresh = [item for item in patient.get("identifier", ()) if not known.issuperset(_keys([item]))]
    return [*before.get("identifier", ()), *fresh]


def _filled(before: Resource, patient: Resource) -> tuple[Resource, list[Issue]]:
    after = dict(before)
    issues: list[Issue] = []
    for name, value in patient.items():
        if name in _NOT_DEMOGRAPHIC:
            continue
        if name not in before:
            after[name] = value
        elif name in _TELLING and not _agrees(name, before[name], value):
            text = f"the {name} differs from Patient/{before['id']}; what is on record stays"
            issues.append(Issue("conflict", text, (f"Patient.{name}",), _TELLING[name], "warning"))
    identifiers = _joined(before, patient)
    if identifiers:
        after["identifier"] = identifiers
    return after, issues


def _agrees(name: str, before: Any, value: Any) -> bool:
    if name != "name":
        return bool(before == value)
    known = {_spelled(item) for item in before}
    return all(_spelled(item) in known for item in value)


def _spelled(name: Resource) -> tuple[str, str]:
    family, given = name.get("family", ""), " ".join(name.get("given", ()))
    if not family and not given:
        family = name.get("text", "")
    return family.casefold(), given.casefold()
