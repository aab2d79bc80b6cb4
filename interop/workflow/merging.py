"""Two numbers, one person: merges (A40, FHIR links) and corrected numbers (A47), each in one unit with what follows.

IHE PIX ITI-8 and FHIR R4 patient.html#link: the prior patient stays, inactive, and says who replaces it; everything
that was about it is about the survivor from then on, as are messages that still come with its number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from interop.audit.event import Event
from interop.errors import ConflictError, InvalidContentError, Issue
from interop.fhir.query import Identity
from interop.store import Stored, Tx
from interop.workflow import outbox, patients
from interop.workflow.former_numbers import OLD, arranged, key_of
from interop.workflow.moving import move_one
from interop.workflow.site import Site
from interop.workflow.unmerging import Evidence

Resource = dict[str, Any]

_ALL = 1_000_000
# What is of the same person whoever wrote it down; only where the survivor's record says nothing.
_FILLED = ("name", "birthDate", "_birthDate", "gender", "address", "telecom", "communication", "maritalStatus")


@dataclass(frozen=True, slots=True)
class Pair:
    """Who stays and who that was before, as a message says it; ``location`` is where the prior one stands."""

    survivor: Resource
    prior: Resource
    location: str = "MRG"


@dataclass(frozen=True, slots=True)
class Merged:
    """The patient as it stands, and what the sender should know."""

    stored: Stored
    issues: tuple[Issue, ...] = ()


def merge(tx: Tx, site: Site, pair: Pair, told_by: str) -> Merged:
    """The prior patient's orders, studies and reports under the survivor; ``told_by`` is the message type."""
    gone = patients.identities(pair.prior)
    _lock(tx, pair)
    survivor = patients.register(tx, {**pair.survivor, "identifier": _staying(pair.survivor, gone)})
    holders = patients.holders(tx, {"identifier": [{"system": key.system, "value": key.value} for key in gone]})
    priors = [prior for id, prior in holders.items() if id != survivor.id]
    stored = _join(tx, site, survivor, pair, priors, gone, told_by)
    if priors or not holders:
        name = next((prior.resource()["name"] for prior in priors if prior.resource().get("name")), None)
        outbox.tell_merge(tx, site, stored.resource(), pair.prior | ({"name": name} if name else {}))
    if priors:
        return Merged(stored)
    if holders:
        text = f"both numbers are of {stored.reference} already: nothing to merge"
        return Merged(stored, (Issue("informational", text, ("Patient.identifier",), _at(pair), "information", "0"),))
    text = f"nobody has the prior number: it is kept as a former one of {stored.reference}"
    return Merged(stored, (Issue("not-found", text, ("Patient.identifier",), _at(pair), "warning", "204"),))


def merge_linked(tx: Tx, site: Site, survivor: Stored, prior: Stored) -> Stored:
    """The same for two patients who stand here, as a FHIR client links them (patient.html#link); the survivor.

    One who has no number of its own takes the prior's over as they are: nobody's number has changed.
    """
    tx.lock(*sorted({survivor.reference, prior.reference}))
    told = {name: prior.resource()[name] for name in ("name",) if name in prior.resource()}
    told["identifier"] = _in_use(prior.resource())
    pair = Pair({"identifier": _in_use(survivor.resource())}, told, "Patient.link")
    numbered = any(key_of(item) for item in pair.survivor["identifier"])
    gone = patients.identities(prior.resource()) if numbered else []
    stored = _join(tx, site, survivor, pair, [prior], gone, None)
    if numbered:
        outbox.tell_merge(tx, site, stored.resource(), told)
    return stored


def _in_use(patient: Resource) -> list[Resource]:
    return [item for item in patient.get("identifier", ()) if item.get("use") != OLD]


def _join(
    tx: Tx,
    site: Site,
    survivor: Stored,
    pair: Pair,
    priors: list[Stored],
    gone: list[Identity],
    told_by: str | None,  # message type; None: a FHIR client
) -> Stored:
    """The survivor with all that was the priors'; these are at their end, and each is audited."""
    after = _survivor(survivor.resource(), pair, [prior.resource() for prior in priors], gone)
    stored = patients.changed(tx, survivor, after)
    for prior in priors:
        references = _move(tx, site, prior, stored)
        filled = [name for name in _FILLED if name in after and name not in survivor.resource()]
        Evidence(stored.id, prior.version, survivor.version, tuple(references), tuple(filled)).keep(tx, prior.id)
        _end(tx, prior, stored)
        moved = Counter(reference.partition("/")[0] for reference in references)
        words = ", ".join(f"{count} {type_}" for type_, count in sorted(moved.items())) or "nothing"
        detail = f"merged into {stored.reference}; moved: {words}"
        kind, subtype = ("hl7", told_by) if told_by else ("rest", "update")
        tx.audit(Event(kind, subtype, "U", patient=prior.reference, entity=stored.reference, detail=detail))
    return stored


def renumber(tx: Tx, pair: Pair, told_by: str) -> Merged:
    """A patient whose number was wrong or is another now (A47).

    ConflictError where the new number is another patient's: that would be a merge.
    """
    fresh = patients.identities(pair.survivor)
    gone = [key for key in patients.identities(pair.prior) if key not in fresh]
    _lock(tx, pair)
    known = patients.holders(tx, pair.prior)
    if len(known) > 1:
        text = f"the prior numbers belong to {' and '.join(f'Patient/{id}' for id in sorted(known))}"
        raise ConflictError(text, expression="Patient.identifier", location=_at(pair))
    other = next((id for id in patients.holders(tx, pair.survivor) if id not in known), None)
    if known and other is not None:
        text = f"the new number belongs to Patient/{other}: a merge (A40) would make them one"
        raise ConflictError(text, expression="Patient.identifier", location="PID-3")
    if not known:
        stored = patients.register(tx, pair.survivor)
        text = f"nobody has the prior number; the new one is that of {stored.reference}"
        return Merged(stored, (Issue("not-found", text, ("Patient.identifier",), _at(pair), "warning", "204"),))
    present = next(iter(known.values()))
    before = present.resource()
    identifiers = arranged(pair.survivor["identifier"], before.get("identifier", ()), gone, tx.now.isoformat()[:10])
    stored = patients.changed(tx, present, {**before, "identifier": identifiers})
    stored = patients.register(tx, pair.survivor)
    detail = "another number" if gone else "the same numbers"
    tx.audit(Event("hl7", told_by, "U", patient=stored.reference, entity=stored.reference, detail=detail))
    return Merged(stored)


def _at(pair: Pair) -> str:
    return f"{pair.location}-1"


def _lock(tx: Tx, pair: Pair) -> None:
    if not patients.identities(pair.prior):
        raise InvalidContentError(
            "the prior patient has no identifier", expression="Patient.identifier", location=_at(pair), hl7_code="101"
        )
    tx.lock(*patients.lock_keys(pair.survivor), *patients.lock_keys(pair.prior))


def _staying(survivor: Resource, gone: Iterable[Identity]) -> list[Resource]:
    """The survivor's own numbers: senders repeat the prior's among them."""
    given: list[Resource] = survivor.get("identifier", [])
    keys = set(gone)
    return [item for item in given if key_of(item) not in keys] or given


def _survivor(before: Resource, pair: Pair, priors: list[Resource], gone: list[Identity]) -> Resource:
    """The survivor with the prior's numbers behind its own, and a link to each whom it replaces."""
    current = _staying(pair.survivor, gone)
    own = {key_of(item) for item in current}
    former = [key for key in gone if key not in own]
    others = [*before.get("identifier", ()), *(item for prior in priors for item in prior.get("identifier", ()))]
    others += [item for item in pair.prior.get("identifier", ()) if key_of(item) in former]
    links = list(before.get("link", ()))
    for prior in priors:
        links.append({"other": {"reference": f"Patient/{prior['id']}"}, "type": "replaces"})
    after = {**before, "identifier": arranged(current, others, former)}
    for prior in priors:
        after |= {name: prior[name] for name in _FILLED if name in prior and name not in after}
    return after | ({"link": links} if links else {})


def _end(tx: Tx, prior: Stored, survivor: Stored) -> None:
    resource = prior.resource()
    resource.pop("identifier", None)  # they lead to the survivor now
    link = {"other": {"reference": survivor.reference}, "type": "replaced-by"}
    tx.update({**resource, "active": False, "link": [*resource.get("link", ()), link]})


def _move(tx: Tx, site: Site, prior: Stored, survivor: Stored) -> list[str]:
    """Whatever refers to the prior patient refers to the survivor; what that was."""
    moved: list[str] = []
    for type_, id in tx.referrers("Patient", prior.id, limit=_ALL):
        if type_ == "Patient":  # whom the prior replaced in its turn: the chain stays as it was told
            continue
        move_one(tx, site, tx.get(type_, id), prior, survivor)
        moved.append(f"{type_}/{id}")
    return moved
