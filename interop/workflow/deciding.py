"""A person says which order a study is of, takes it back, or says that both patients are one.

What a person has decided no rule decides again, whatever comes in later.
"""

from __future__ import annotations

from typing import Any

from interop.audit.event import Event
from interop.dicom.study import SeriesFacts, StudyFacts
from interop.errors import ConflictError, NotFoundError
from interop.store import Decision, OrderRow, Stored, Tx
from interop.workflow import merging, studies, tag_corrections
from interop.workflow.detaching import detach
from interop.workflow.former_numbers import survivor_of
from interop.workflow.lifecycle import COMPLETED, IN_ERROR, REPORTED
from interop.workflow.match_evidence import summary
from interop.workflow.site import Site
from interop.workflow.unmatched import evidence_of

Resource = dict[str, Any]

PERSON, UNDONE, MERGED = "person", "undone", "merged"


def resolve(tx: Tx, site: Site, uid: str, order_id: str, *, correct: bool = False) -> Decision:
    """The study is of this order from now on, and of its patient; the decision, with what differs.

    ``correct`` has the tags in the archive corrected to the order's too, also of a study that is matched to it already.

    NotFoundError for a study or an order that is not here; ConflictError where the study has another order, is no
    longer in the archive, or the order was entered in error. The same again changes nothing.
    """
    tx.lock(f"study:{uid}")
    present = _study(tx, uid)
    before = present.resource()
    row = tx.order(order_id)
    if row is None:
        raise NotFoundError(f"ServiceRequest/{order_id} is no imaging order here")
    linked = _order_of(before)
    held = tx.decision(uid)
    if linked == row.id and held is not None:
        if correct:
            tag_corrections.ask(tx, site, uid, row)
        return held
    if linked is not None:
        raise ConflictError(f"the study is matched to ServiceRequest/{linked}; undo that first")
    if before.get("status") == "cancelled":
        raise ConflictError("the archive no longer has the study")
    if row.status == IN_ERROR:
        raise ConflictError(f"ServiceRequest/{row.id} was entered in error")
    decision = _carry_out(tx, site, uid, before, row)
    if correct:
        tag_corrections.ask(tx, site, uid, row)
    return decision


def _carry_out(tx: Tx, site: Site, uid: str, before: Resource, row: OrderRow) -> Decision:
    subject, patient = before["subject"]["reference"], f"Patient/{row.patient_id}"
    evidence = evidence_of(tx, site, uid, before, row)
    if subject != patient:
        evidence["warning"] = f"the study was one of {subject}, and is one of {patient} now"
    changed = before | {"basedOn": [{"reference": f"ServiceRequest/{row.id}"}], "subject": {"reference": patient}}
    stored = tx.put_study(changed, ())
    undoing = studies.link(tx, site, stored, row, before)
    headers = tx.study_series(stored.id)
    series = tuple(SeriesFacts(uid, header["modality"]["code"]) for uid, header in headers.items())
    studies.move_on(tx, site, row, StudyFacts(uid, series=series, quiet=True))
    tx.decide(uid, row.id, PERSON, person=True, evidence=evidence, before=undoing)
    return _told(tx, uid, "resolve", patient, f"ServiceRequest/{row.id}")


def undo(tx: Tx, site: Site, uid: str) -> Decision:
    """The study is of no order again, and of whom it was before; the order stands where it stood.

    No rule matches it from then on. ConflictError where it has no order, or the order was reported or completed.
    """
    tx.lock(f"study:{uid}")
    present = _study(tx, uid)
    before = present.resource()
    order_id = _order_of(before)
    held = tx.decision(uid)
    if order_id is None:
        if held is not None and held.rule == UNDONE and tag_corrections.ask_back(tx, uid):
            return held  # the tags could not be put back then
        raise ConflictError("the study is matched to no order")
    undoing = held.before if held is not None and held.order_id == order_id else {}
    row = tx.order(order_id)
    if row is not None:
        _refuse_reported(row)
    subject = _living(tx, undoing.get("subject") or before["subject"]["reference"])
    changed = {name: value for name, value in before.items() if name != "basedOn"}
    tx.put_study(changed | {"subject": {"reference": subject}}, ())
    detach(tx, site, uid, present, row, undoing)
    tag_corrections.ask_back(tx, uid)
    tx.decide(uid, None, UNDONE, person=True, evidence={"candidates": [order_id]})
    return _told(tx, uid, "undo", subject, f"ServiceRequest/{order_id}")


def merge(tx: Tx, site: Site, uid: str) -> Decision:
    """The patient whom the images named is the order's: merged into that one, as by A40. It cannot be undone.

    ConflictError unless a person matched the study to an order of another patient.
    """
    tx.lock(f"study:{uid}")
    _study(tx, uid)
    held = tx.decision(uid)
    former = held.before.get("subject") if held is not None and held.rule == PERSON else None
    row = tx.order(held.order_id) if held is not None and held.order_id else None
    if held is None or row is None or former in (None, f"Patient/{row.patient_id}"):
        raise ConflictError("no person has matched this study to an order of another patient")
    prior = tx.get("Patient", str(former).removeprefix("Patient/"))
    if survivor_of(prior.resource()) is not None:
        raise ConflictError(f"{former} was merged into another patient already")
    merging.merge_linked(tx, site, tx.get("Patient", row.patient_id), prior)
    undoing = {**held.before, "subject": f"Patient/{row.patient_id}"}
    tx.decide(uid, row.id, MERGED, person=True, evidence=held.evidence, before=undoing)
    return _told(tx, uid, "merge", f"Patient/{row.patient_id}", str(former))


def _study(tx: Tx, uid: str) -> Stored:
    present = tx.study(uid)
    if present is None or present.deleted:
        raise NotFoundError("there is no study of this StudyInstanceUID")
    return present


def _order_of(study: Resource) -> str | None:
    for reference in study.get("basedOn", ()):
        return str(reference["reference"]).removeprefix("ServiceRequest/")
    return None


def _refuse_reported(row: OrderRow) -> None:
    if row.status == COMPLETED or row.step == REPORTED:
        raise ConflictError(f"ServiceRequest/{row.id} is {row.status}, {row.step}: a report was made of these images")


def _living(tx: Tx, reference: str) -> str:
    """The patient, or who has replaced it since."""
    for _ in range(10):
        stored = tx.read("Patient", reference.removeprefix("Patient/"))
        other = survivor_of(stored.resource()) if stored is not None and not stored.deleted else None
        if other is None:
            return reference
        reference = other
    return reference


def _told(tx: Tx, uid: str, subtype: str, patient: str, other: str) -> Decision:
    held = tx.decision(uid)
    assert held is not None
    told = f"{other}; {summary(held.evidence)}".rstrip("; ")
    tx.audit(Event("match", subtype, "U", patient=patient, entity=f"urn:oid:{uid}", detail=told))
    return held
