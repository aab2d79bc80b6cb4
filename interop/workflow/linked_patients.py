"""Patients who are said to belong together and stay two (A24), and what undoes that (A37).

A link is Patient.link of type ``seealso`` on both. A37 takes it away; where the two were made one by a merge, it takes
the merge back, as far as what was kept of it says how (see ``unmerging``). Nothing is undone in part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interop.audit.event import Event
from interop.errors import ConflictError, Issue, NotFoundError
from interop.store import Stored, Tx
from interop.workflow import patients, unmerging
from interop.workflow.site import Site

Resource = dict[str, Any]

_SEE_ALSO = "seealso"


@dataclass(frozen=True, slots=True)
class Linked:
    """The first of the two as it stands, and what the sender should know."""

    stored: Stored
    issues: tuple[Issue, ...] = ()


def link(tx: Tx, one: Resource, other: Resource, told_by: str) -> Linked:
    """Both patients, made if new, each with a link to the other."""
    tx.lock(*patients.lock_keys(one), *patients.lock_keys(other))
    first, second = patients.register(tx, one), patients.register(tx, other)
    if first.id == second.id:
        text = f"both numbers are of {first.reference}: there is nobody to link"
        return Linked(first, (Issue("informational", text, ("Patient.link",), "PID[2]-3", "information", "0"),))
    linked = [_with_link(tx, each, to) for each, to in ((first, second), (second, first))]
    for each, to in ((first, second), (second, first)):
        tx.audit(Event("hl7", told_by, "U", patient=each.reference, entity=to.reference, detail="linked"))
    return Linked(linked[0])


def unlink(tx: Tx, site: Site, one: Resource, other: Resource, told_by: str) -> Linked:
    """Take the link of two patients away, or the merge that made them one back.

    NotFoundError for a patient whom nobody knows; ConflictError where the two are not linked, or where it is not on
    record what the merge did.
    """
    tx.lock(*patients.lock_keys(one), *patients.lock_keys(other))
    first, second = _known(tx, one, "PID-3"), _known(tx, other, "PID[2]-3")
    if first.id == second.id:
        return Linked(*unmerging.undo(tx, site, first, one, other, told_by))
    before = first.resource(), second.resource()
    if not any(_links(each, to.reference) for each, to in zip(before, (second, first), strict=True)):
        text = f"{first.reference} and {second.reference} are not linked"
        raise ConflictError(text, expression="Patient.link", location="PID[2]-3")
    done = [_without_link(tx, each, to) for each, to in ((first, second), (second, first))]
    for each, to in ((first, second), (second, first)):
        tx.audit(Event("hl7", told_by, "U", patient=each.reference, entity=to.reference, detail="unlinked"))
    return Linked(done[0])


def _known(tx: Tx, patient: Resource, location: str) -> Stored:
    found = patients.find(tx, patient)
    if found is None:
        raise NotFoundError("no patient has this number", location=location)
    return found


def _links(patient: Resource, reference: str) -> list[Resource]:
    return [
        each
        for each in patient.get("link", ())
        if each.get("type") == _SEE_ALSO and each.get("other", {}).get("reference") == reference
    ]


def _with_link(tx: Tx, patient: Stored, to: Stored) -> Stored:
    resource = patient.resource()
    if _links(resource, to.reference):
        return patient
    fresh = {"other": {"reference": to.reference}, "type": _SEE_ALSO}
    return tx.update({**resource, "link": [*resource.get("link", ()), fresh]})


def _without_link(tx: Tx, patient: Stored, to: Stored) -> Stored:
    resource = patient.resource()
    gone = _links(resource, to.reference)
    links = [each for each in resource.pop("link", ()) if each not in gone]
    return tx.update(resource | ({"link": links} if links else {}))
