"""Patients written by FHIR clients: a link ``replaced-by``, or ``replaces``, is a merge (R4 patient.html#link).

Whichever of the two records says so, both get their link, and what was the prior's is the survivor's from then on, as
if an A40 had told of it.
"""

from __future__ import annotations

from typing import Any

from interop.errors import ConflictError, InvalidContentError
from interop.fhir.merges import REPLACED_BY, Link, merge_of, merges_in, new_merges
from interop.store import Stored, Tx
from interop.workflow import merging, patients
from interop.workflow.former_numbers import survivor_of
from interop.workflow.site import Site

Resource = dict[str, Any]

_OF_THE_MERGE = ("link", "identifier", "active", "meta", "text", "id")  # what a merge changes, and what means nothing


def create(tx: Tx, site: Site, resource: Resource, *, id: str | None = None) -> Stored:
    """A new patient; DuplicateError if one of its identifiers already names a patient."""
    joined, plain = _taken_apart(resource, {})
    stored = patients.create(tx, plain, id=id)
    return _merged(tx, site, stored, joined) if joined else stored


def update(tx: Tx, site: Site, present: Stored, resource: Resource) -> Stored:
    """The next version of a patient; ConflictError for one who was merged into another, unless it says just that."""
    before = present.resource()
    if survivor_of(before) is not None and survivor_of(before) == survivor_of(resource) and _same(before, resource):
        return present  # both records of a merge come in one Bundle: the other one has said it already
    joined, plain = _taken_apart(resource, before)
    if any(kind == REPLACED_BY for kind, _ in joined):  # its numbers go over to the survivor, named or not
        stated = plain.get("identifier", [])
        plain["identifier"] = [*stated, *(item for item in before.get("identifier", ()) if item not in stated)]
    stored = patients.update(tx, plain)
    return _merged(tx, site, stored, joined) if joined else stored


def _taken_apart(resource: Resource, before: Resource) -> tuple[list[Link], Resource]:
    """The merges that are new, and the patient without them."""
    joined = new_merges(resource, before)
    if not joined:
        return [], resource
    if sum(kind == REPLACED_BY for kind, _ in merges_in(resource)) > 1:
        raise InvalidContentError("a patient is replaced by one other at most", expression="Patient.link")
    links = [link for link in resource["link"] if merge_of(link) not in joined]
    plain = {name: value for name, value in resource.items() if name != "link"}
    return sorted(joined, key=lambda one: one[0] == REPLACED_BY), plain | ({"link": links} if links else {})


def _merged(tx: Tx, site: Site, stored: Stored, joined: list[Link]) -> Stored:
    """The patient once those of the links are merged into it, and it into another."""
    for kind, id in joined:
        if id == stored.id:
            raise InvalidContentError("a patient replaces somebody else", expression="Patient.link")
        other = tx.get("Patient", id)
        survivor, prior = (other, stored) if kind == REPLACED_BY else (stored, other)
        _refuse_merged(other)
        after = merging.merge_linked(tx, site, survivor, prior)
        stored = tx.get("Patient", stored.id) if kind == REPLACED_BY else after
    return stored


def _refuse_merged(other: Stored) -> None:
    elsewhere = survivor_of(other.resource())
    if elsewhere is not None:
        text = f"{other.reference} was merged into {elsewhere}"
        raise ConflictError(text, expression="Patient.link", status=422)


def _same(before: Resource, after: Resource) -> bool:
    first, second = (
        {name: value for name, value in one.items() if name not in _OF_THE_MERGE} for one in (before, after)
    )
    return first == second
