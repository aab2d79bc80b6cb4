"""A merge taken back (A37): what went over to the survivor is the prior patient's again.

Possible where the merge left its evidence: which versions the two had, and what was moved. What was told of the
survivor since stays there, but for what belongs to something that goes back (a report of an order). Where the two have
changed in a way that the evidence does not explain, nothing is undone: a person has to look.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from interop.audit.event import Event
from interop.errors import ConflictError, Issue
from interop.fhir.query import Identity
from interop.fhir.references import references, rewrite
from interop.store import Stored, Tx
from interop.workflow import patients
from interop.workflow.former_numbers import OLD, key_of, survivor_of
from interop.workflow.moving import move_one
from interop.workflow.site import Site

Resource = dict[str, Any]

_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a merge did, kept beside the prior patient."""

    survivor: str  # id
    prior_version: int  # as it was
    survivor_version: int
    moved: tuple[str, ...]  # references
    filled: tuple[str, ...]  # elements that the survivor had from the prior

    def keep(self, tx: Tx, prior: str) -> None:
        """Keep it for the prior patient of this id."""
        told = [self.survivor, self.prior_version, self.survivor_version, list(self.moved), list(self.filled)]
        tx.set_state(f"merged:{prior}", json.dumps(told))

    @classmethod
    def of(cls, tx: Tx, prior: str) -> Evidence | None:
        """What is kept of the merge that ended this patient."""
        text = tx.get_state(f"merged:{prior}")
        if text is None:
            return None
        survivor, prior_version, survivor_version, moved, filled = json.loads(text)
        return cls(survivor, prior_version, survivor_version, tuple(moved), tuple(filled))


@dataclass(frozen=True, slots=True)
class _Merge:
    prior: Stored  # as it stands
    before: Resource  # as it was
    survivor_before: Resource
    evidence: Evidence


def undo(
    tx: Tx, site: Site, survivor: Stored, one: Resource, other: Resource, told_by: str
) -> tuple[Stored, tuple[Issue, ...]]:
    """Take back the merge of the two who are one now; the first of them as it stands, and what the sender should know.

    ConflictError where that cannot be done.
    """
    merge = _merge_of(tx, survivor, one, other)
    after = _survivor(survivor, merge)
    back = {**merge.before, "id": merge.prior.id}
    tx.set_state(f"merged:{merge.prior.id}", None)
    stands = patients.changed(tx, survivor, after)
    again = patients.changed(tx, merge.prior, back)
    moved = _move_back(tx, site, merge, survivor, again)
    words = ", ".join(f"{count} {type_}" for type_, count in sorted(moved.items())) or "nothing"
    detail = f"no longer merged into {survivor.reference}; moved back: {words}"
    tx.audit(Event("hl7", told_by, "U", patient=again.reference, entity=survivor.reference, detail=detail))
    tx.audit(Event("hl7", told_by, "U", patient=survivor.reference, entity=again.reference, detail=detail))
    own = set(patients.identities(one)) & set(_own(merge.before))
    return (again if own else stands), _stayed(tx, survivor, merge)


def _merge_of(tx: Tx, survivor: Stored, one: Resource, other: Resource) -> _Merge:
    """The one merge that joined these numbers."""
    found: list[_Merge] = []
    lacking = False
    for link in survivor.resource().get("link", ()):
        if link.get("type") != "replaces":
            continue
        merge = _evidence(tx, survivor, str(link.get("other", {}).get("reference", "")).removeprefix("Patient/"))
        if merge is None:
            lacking = True
        elif _between(merge, patients.identities(one), patients.identities(other)):
            found.append(merge)
    if len(found) == 1:
        return found[0]
    reason = f"both numbers are of {survivor.reference}, and no merge on record made them so"
    if lacking and not found:
        reason = f"both numbers are of {survivor.reference}: what the merge did is not on record, a person has to look"
    raise ConflictError(reason, expression="Patient.link", location="PID[2]-3")


def _evidence(tx: Tx, survivor: Stored, id: str) -> _Merge | None:
    evidence, prior = Evidence.of(tx, id), tx.read("Patient", id)
    if evidence is None or prior is None or prior.deleted or survivor_of(prior.resource()) != survivor.reference:
        return None
    before = tx.read("Patient", id, evidence.prior_version)
    there = tx.read("Patient", survivor.id, evidence.survivor_version)
    if before is None or there is None or evidence.survivor != survivor.id:
        return None
    return _Merge(prior, before.resource(), there.resource(), evidence)


def _between(merge: _Merge, one: Iterable[Identity], other: Iterable[Identity]) -> bool:
    prior, stays = set(_own(merge.before)), set(_own(merge.survivor_before))
    first, second = set(one), set(other)
    return bool((first & prior and second & stays) or (second & prior and first & stays))


def _own(patient: Resource) -> list[Identity]:
    """The numbers in use: not those of somebody merged earlier."""
    items = (item for item in patient.get("identifier", ()) if item.get("use") != OLD)
    return [key for item in items if (key := key_of(item)) is not None]


def _survivor(survivor: Stored, merge: _Merge) -> Resource:
    """The survivor without what it has from the prior patient."""
    now = survivor.resource()
    known = {key_of(item) for item in merge.survivor_before.get("identifier", ())}
    gone = {key_of(item) for item in merge.before.get("identifier", ())} - known
    taken = [item for item in now.get("identifier", ()) if key_of(item) in gone and item.get("use") != OLD]
    if taken:
        text = f"{survivor.reference} has the number {taken[0].get('value')} as its own now: a person has to look"
        raise ConflictError(text, expression="Patient.identifier", location="PID[2]-3")
    now["identifier"] = [item for item in now.get("identifier", ()) if key_of(item) not in gone]
    for name in merge.evidence.filled:
        if now.get(name) == merge.before.get(name):
            now.pop(name, None)
    links = [
        link
        for link in now.pop("link", ())
        if (link.get("type"), link.get("other", {}).get("reference")) != ("replaces", merge.prior.reference)
    ]
    return now | ({"link": links} if links else {})


def _move_back(tx: Tx, site: Site, merge: _Merge, survivor: Stored, prior: Stored) -> Counter[str]:
    """What the merge moved, and what belongs to it since; that which is about neither any more stays."""
    names = {survivor.reference: prior.reference}
    moved: Counter[str] = Counter()
    seen: set[str] = set()
    waiting = list(merge.evidence.moved)
    while waiting:
        reference = waiting.pop()
        if reference in seen:
            continue
        seen.add(reference)
        type_, _, id = reference.partition("/")
        stored = tx.read(type_, id)
        if stored is None or stored.deleted:
            continue
        before = stored.resource()
        if rewrite(before, names) == before:
            continue
        move_one(tx, site, stored, survivor, prior)
        moved[type_] += 1
        waiting += [f"{kind}/{each}" for kind, each in tx.referrers(type_, id, limit=_ALL) if kind != "Patient"]
        waiting += [link for _, link in references(before) if link.startswith("Observation/")]
    return moved


def _stayed(tx: Tx, survivor: Stored, merge: _Merge) -> tuple[Issue, ...]:
    """What came since and is about the survivor: nobody said whose it is."""
    moment = tx.read("Patient", survivor.id, merge.evidence.survivor_version + 1) or survivor
    since = [
        f"{type_}/{id}"
        for type_, id in tx.referrers("Patient", survivor.id, limit=_ALL)
        if type_ != "Patient"
        and (first := tx.read(type_, id, 1)) is not None
        and first.last_updated > moment.last_updated
    ]
    if not since:
        return ()
    some = ", ".join(since[:5]) + (" and others" if len(since) > 5 else "")
    text = f"{len(since)} told since the merge stay with {survivor.reference}: {some}"
    return (Issue("informational", text, ("Patient",), "PID-3", "warning", "0"),)
