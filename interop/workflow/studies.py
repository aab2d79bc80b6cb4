"""Studies: what the archive holds becomes ImagingStudy, linked to the order it was made for, growing as images come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from interop.audit.event import Event
from interop.dicom.study import SeriesFacts, StudyFacts
from interop.fhir import names
from interop.fhir.query import Identity
from interop.store import OrderRow, Stored, Tx
from interop.workflow import orders, performed, report_documents
from interop.workflow.detaching import detach
from interop.workflow.endpoints import study_endpoints
from interop.workflow.lifecycle import ARCHIVE, State, advance
from interop.workflow.match_evidence import plans_of, same_modality, summary
from interop.workflow.matching import Match, is_patient, issuer_system, match, same_person
from interop.workflow.series import fhir_time, grow
from interop.workflow.site import Site
from interop.workflow.study_codes import procedure_codes, reason_codes
from interop.workflow.study_patients import subject_of
from interop.workflow.study_people import people, person

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """A study as it stands; ``stored`` is without its series. ``row`` is its order, if it has one."""

    stored: Stored
    row: OrderRow | None
    by: str  # how the order was found, or why none was: see matching.Match
    again: bool = False  # images of these facts were here before


def register(tx: Tx, site: Site, facts: StudyFacts) -> Registered:
    """The study of these facts: made if new, grown by what is new, its order moved on."""
    tx.lock(f"study:{facts.study_uid}")
    present = tx.study(facts.study_uid)
    before = present.resource() if present is not None else None
    found = _order_of(tx, site, facts, present)
    if present is not None and before is not None and facts.moved:
        before = _moved(tx, site, facts, present, found)
    growth = grow(tx, site, present.id if present else None, facts)
    resource = _resource(tx, site, facts, before, found.row) | growth.counted()
    resource["status"] = "available" if growth.series else "cancelled"
    stored = tx.put_study(resource, growth.parts, growth.removed)
    row = found.row
    if row is None:
        _note_unmatched(tx, facts, resource, found)
    elif not (before or {}).get("basedOn"):
        undoing = link(tx, site, stored, row, before)
        tx.decide(facts.study_uid, row.id, found.by, evidence=found.evidence, before=undoing)
        _record(tx, facts, resource, found)
    acquired = replace(facts, series=tuple(one for one in facts.series if not report_documents.is_ours(tx, one)))
    if row is not None and growth.series and (acquired.series or not facts.series):
        row = move_on(tx, site, row, acquired)
    return Registered(stored, row, found.by, growth.again)


def link(tx: Tx, site: Site, stored: Stored, row: OrderRow, before: Resource | None) -> Resource:
    """Reports of the order show the study from now on; what undoing the match restores."""
    subject = (before or {}).get("subject", {}).get("reference")
    reports = _link_reports(tx, site, stored, row)
    version = tx.get("ServiceRequest", row.id).version
    return {"subject": subject, "step": row.step, "version": version, "reports": reports}


def adopt(tx: Tx, site: Site, row: OrderRow) -> Stored | None:
    """Link the study that was here before its order, by the numbers that the order came with."""
    present = tx.study(row.study_uid) if row.study_uid else None
    if present is None and row.accession is not None:
        present = _by_accession(tx, row.accession)
    if present is None:
        return None
    before = present.resource()
    uid = uid_of(before)
    held = tx.decision(uid)
    if held is not None and held.person:
        return None
    patient = f"Patient/{row.patient_id}"
    if before.get("basedOn") or not same_person(tx, site, before["subject"]["reference"], patient):
        return None
    if uid != row.study_uid and _other_kind(tx, row, before):
        if held is not None and (held.rule, held.order_id) == ("contradiction", None):
            return None  # said already
        tx.decide(uid, None, "contradiction", evidence={"differed": ["modality"], "candidates": [row.id]})
        tx.audit(Event("match", "contradiction", "U", "4", patient=patient, entity=f"urn:oid:{uid}"))
        return None
    based_on = [{"reference": f"ServiceRequest/{row.id}"}]
    resource = before | {"basedOn": based_on, "subject": {"reference": patient}}
    stored = tx.put_study(resource, ())
    agreed = ["patient-id", "study-uid" if uid == row.study_uid else "accession"]
    undoing = link(tx, site, stored, row, before)
    tx.decide(uid, row.id, "order-after-images", evidence={"agreed": agreed, "differed": []}, before=undoing)
    told = f"urn:oid:{uid}; agreed {', '.join(agreed)}"
    tx.audit(Event("match", "order-after-images", "U", patient=patient, entity=f"ServiceRequest/{row.id}", detail=told))
    orders.advance_order(tx, site, row, "images-available", ARCHIVE)
    return stored


def _other_kind(tx: Tx, row: OrderRow, study: Resource) -> bool:
    """Whether the images are of another kind than any step of the order."""
    made = {coding["code"] for coding in study.get("modality", ())}
    kinds = {same_modality(plan.modality, made) for plan in plans_of(tx, row)}
    return kinds == {False}


def _by_accession(tx: Tx, accession: Identity) -> Stored | None:
    found = tx.by_identifier("ImagingStudy", accession.system, accession.value)
    return tx.study(uid_of(found[0].resource())) if len(found) == 1 else None


def uid_of(resource: Resource) -> str:
    for identifier in resource["identifier"]:
        if identifier.get("system") == names.STUDY_UID:
            return str(identifier["value"]).removeprefix("urn:oid:")
    raise ValueError(f"ImagingStudy/{resource['id']} has no StudyInstanceUID")


def _order_of(tx: Tx, site: Site, facts: StudyFacts, present: Stored | None) -> Match:
    """The order that the study is linked to, else the one that fits."""
    if present is None:
        return match(tx, site, facts)
    held = tx.decision(facts.study_uid)
    by_person = held is not None and held.person
    for reference in present.resource().get("basedOn", ()):
        row = tx.order(reference["reference"].removeprefix("ServiceRequest/"))
        if row is not None and (by_person or not facts.moved or is_patient(tx, site, row, facts)):
            return Match(row, "linked")
    if held is not None and by_person:
        return Match(None, held.rule)  # what a person has decided, no rule decides again
    return match(tx, site, _with_known(tx, present, facts))


def _with_known(tx: Tx, present: Stored, facts: StudyFacts) -> StudyFacts:
    """What is new beside the series that the study has: the end of a burst brings none, and is the same study still."""
    if facts.whole:
        return facts
    told = {one.uid for one in facts.series}
    known = (
        SeriesFacts(uid, header["modality"]["code"])
        for uid, header in tx.study_series(present.id).items()
        if uid not in told
    )
    return replace(facts, series=(*facts.series, *known))


def _moved(tx: Tx, site: Site, facts: StudyFacts, present: Stored, found: Match) -> Resource:
    """The study that the archive gave to another patient: of no order that is not that patient's, and of nobody yet."""
    before = present.resource()
    linked = next((one["reference"].removeprefix("ServiceRequest/") for one in before.get("basedOn", ())), None)
    if linked is not None and (found.row is None or found.row.id != linked):
        held = tx.decision(facts.study_uid)
        undoing = held.before if held is not None and held.order_id == linked else {}
        detach(tx, site, facts.study_uid, present, tx.order(linked), undoing)
        before.pop("basedOn")
    patient = before["subject"]["reference"]
    tx.audit(Event("match", "moved", "U", patient=patient, entity=f"urn:oid:{facts.study_uid}"))
    return before


def _resource(tx: Tx, site: Site, facts: StudyFacts, before: Resource | None, row: OrderRow | None) -> Resource:
    """The study's own elements; what is known stays unless these facts are all there is."""
    known = before or {}
    subject = subject_of(tx, site, facts, before, row)
    stated: Resource = {
        "identifier": _identifiers(site, facts),
        "started": fhir_time(facts.started),
        "description": facts.description,
        "location": {"display": facts.department} if facts.department else None,
        "referrer": person(site, facts.referrer),
        "interpreter": people(site, facts.readers),
        "procedureCode": procedure_codes(site, facts),
        "reasonCode": reason_codes(site, facts),
    }
    if facts.whole:
        gone = not facts.series  # what it was is said no more by the archive, and stays
        resource = known if gone and known else known | stated
        resource = {name: value for name, value in resource.items() if value}
    else:
        resource = {name: value for name, value in stated.items() if value} | known
        if len(known.get("identifier", ())) < len(stated["identifier"]):  # a later series says the accession number
            resource["identifier"] = stated["identifier"]
    resource |= {"resourceType": "ImagingStudy", "subject": {"reference": subject}}
    resource.pop("modality", None)
    if row is not None:
        resource["basedOn"] = [{"reference": f"ServiceRequest/{row.id}"}]
    resource["endpoint"] = study_endpoints(tx, site, facts.study_uid, known.get("endpoint", []))
    return resource


def _identifiers(site: Site, facts: StudyFacts) -> list[Resource]:
    found: list[Resource] = [{"system": names.STUDY_UID, "value": f"urn:oid:{facts.study_uid}"}]
    if facts.accession:
        system = names.accession_system(site.facility)
        if facts.accession_issuer and facts.accession_issuer != site.facility:
            system = issuer_system(site, facts.accession_issuer)
        kind = {"coding": [{"system": names.V2_0203, "code": "ACSN"}]}
        found.append({"type": kind, "system": system, "value": facts.accession})
    return found


def _note_unmatched(tx: Tx, facts: StudyFacts, resource: Resource, found: Match) -> None:
    held = tx.decision(facts.study_uid)
    if held is not None and (held.person or (held.rule, held.order_id) == (found.by, None)):
        return
    tx.decide(facts.study_uid, None, found.by, evidence=found.evidence)
    _record(tx, facts, resource, found)


def _record(tx: Tx, facts: StudyFacts, resource: Resource, found: Match) -> None:
    refused = found.by != "none" and found.row is None
    order = f"ServiceRequest/{found.row.id}" if found.row else f"no order: {found.by}"
    told = f"; {said}" if (said := summary(found.evidence)) else ""
    tx.audit(
        Event(
            "match",
            found.by,
            "U" if found.row else "C",
            outcome="4" if refused else "0",
            patient=resource["subject"]["reference"],
            entity=f"urn:oid:{facts.study_uid}",
            detail=f"{order}{told}",
        )
    )


def _link_reports(tx: Tx, site: Site, stored: Stored, row: OrderRow) -> list[str]:
    """Reports that were here before the images show them now; the ids of those that did not before."""
    linked: list[str] = []
    shown = {"reference": f"ImagingStudy/{stored.id}"}
    for type_, id in tx.referrers("ServiceRequest", row.id, limit=100):
        if type_ != "DiagnosticReport":
            continue
        report = tx.get(type_, id).resource()
        if shown not in report.get("imagingStudy", ()):
            shows = tx.update(report | {"imagingStudy": [*report.get("imagingStudy", ()), shown]})
            report_documents.owe(tx, site, shows.resource())
            linked.append(id)
    return linked


def move_on(tx: Tx, site: Site, row: OrderRow, facts: StudyFacts) -> OrderRow:
    """The order, or those of its several steps that these images are of, after them."""
    several = tx.order_steps(row.id)
    if several:
        return performed.move_on(tx, site, row, several, facts)
    event = "images-available" if facts.quiet else "images-arrived"
    state = State(row.status, row.step)
    if advance(state, event, ARCHIVE) == state:
        return row  # the usual burst: nothing to read, nothing to say
    return orders.advance_order(tx, site, row, event, ARCHIVE).row or row
