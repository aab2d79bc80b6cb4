"""Which order a study was made for.

In this order: the StudyInstanceUID that the worklist gave out; the accession number with its issuer; and, where the
images say neither, the one order of exactly this patient for this modality at about this time. A study whose patient is
not the order's is not that order's study, whatever else agrees; and where two orders could be meant, none is. Both wait
for a person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from interop.dicom.study import StudyFacts
from interop.fhir import names
from interop.fhir.query import Identity
from interop.store import OrderRow, Stored, Tx
from interop.workflow import former_numbers
from interop.workflow.lifecycle import ACTIVE, IN_ERROR
from interop.workflow.match_evidence import (
    Plan,
    compare,
    in_window,
    numbers_of,
    plans_of,
    same_modality,
    same_station,
)
from interop.workflow.patients import identities
from interop.workflow.site import Site


@dataclass(frozen=True, slots=True)
class Match:
    """The order that was found and by what; without an order, ``by`` says why there is none.

    With one: study-uid, accession, time-window, linked. Without: none, ambiguous, contradiction, other-patient,
    no-patient, order-in-error, undone.
    """

    row: OrderRow | None
    by: str
    evidence: dict[str, Any] = field(default_factory=dict)


def patient_key(site: Site, facts: StudyFacts) -> Identity | None:
    """(authority, PatientID); images without an issuer come from this site's own counting."""
    if not facts.patient_id:
        return None
    return Identity(issuer_system(site, facts.issuer or ""), facts.patient_id)


def issuer_system(site: Site, issuer: str) -> str:
    """The identifier system of a DICOM issuer, by its name in ``authorities.toml`` or as HL7 would have it."""
    authorities = site.tables.authorities
    for row in authorities.rows:
        if issuer and issuer in (row.issuer or row.namespace, row.oid):
            return row.system
    return authorities.system_of(issuer, "", "", facility=site.facility, role="patient")


def match(tx: Tx, site: Site, facts: StudyFacts) -> Match:
    """The order of a study."""
    numbered = _with_accession(tx, site, facts.accession, facts.accession_issuer) if facts.accession else []
    made_for = next(iter(tx.find_orders(study_uid=facts.study_uid, limit=1)), None)
    if made_for is not None:
        if numbered and all(row.id != made_for.id for row in numbered):
            return _none(facts, "contradiction", made_for, *numbered)  # its two numbers name two orders
        return _checked(tx, site, made_for, facts, "study-uid")
    if facts.accession is None:
        return _by_time(tx, site, facts)
    if len(numbered) > 1:  # several issuers gave the number, and the images do not say whose it is
        numbered = [row for row in numbered if is_patient(tx, site, row, facts)] or numbered
    if len(numbered) > 1:
        return _none(facts, "ambiguous", *numbered)
    return _checked(tx, site, numbered[0], facts, "accession") if numbered else _none(facts, "none")


def _none(facts: StudyFacts, why: str, *rows: OrderRow) -> Match:
    met = {"candidates": [row.id for row in rows]} if rows else {}
    return Match(None, why, {"study": numbers_of(facts)} | met)


def _checked(tx: Tx, site: Site, row: OrderRow, facts: StudyFacts, by: str) -> Match:
    """The order that a number names, unless something says that the number is wrong."""
    found = compare(site, row, plans_of(tx, row), tx.get("Patient", row.patient_id).resource(), facts)
    if row.status == IN_ERROR:
        return _none(facts, "order-in-error", row)
    same = is_patient(tx, site, row, facts)
    evidence = found.with_patient(same).evidence(facts, row)
    if same is False or (same is None and by != "study-uid") or {"birth-date", "name"} <= found.differed:
        return Match(None, "other-patient" if same is not None else "no-patient", evidence | {"candidates": [row.id]})
    if by == "accession" and "modality" in found.differed:
        return Match(None, "contradiction", evidence | {"candidates": [row.id]})
    return Match(row, by, evidence)


def _with_accession(tx: Tx, site: Site, value: str, issuer: str | None) -> list[OrderRow]:
    """The orders with this accession number; of every issuer where the images name none."""
    if issuer is not None:
        own = issuer == site.facility
        system = names.accession_system(site.facility) if own else issuer_system(site, issuer)
        return tx.find_orders(accession=Identity(system, value), limit=2)
    found = (tx.order(stored.id) for stored in tx.by_identifier("ServiceRequest", None, value))
    return [row for row in found if row is not None and row.accession is not None and row.accession.value == value]


def is_patient(tx: Tx, site: Site, row: OrderRow, facts: StudyFacts) -> bool | None:
    """Whether the images' patient is the order's; None for images that name nobody."""
    if not facts.patient_id:
        return None
    if not _same_patient(tx, site, row, facts):
        return False
    if facts.issuer is not None:
        return True
    here = find_patient(tx, site, facts)  # the number alone is of this site's own counting, if it is known there
    return here is None or same_person(tx, site, here.reference, f"Patient/{row.patient_id}")


def _same_patient(tx: Tx, site: Site, row: OrderRow, facts: StudyFacts) -> bool:
    """Whether the images' PatientID is one of the order's patient; images without one do not contradict."""
    if not facts.patient_id:
        return True
    keys = identities(tx.get("Patient", row.patient_id).resource())
    if not keys:
        return facts.patient_id == row.patient_id  # what the worklist shows for a patient without a number
    issuers = {site.tables.authorities.issuer_of(key.system) for key in keys if key.value == facts.patient_id}
    return bool(issuers) and (facts.issuer is None or facts.issuer in issuers or "" in issuers)


def same_person(tx: Tx, site: Site, one: str, other: str) -> bool:
    """Whether two patients (``Patient/<id>``) share a number of one issuer, under whatever name its system was made."""
    if one == other:
        return True
    issuer_of = site.tables.authorities.issuer_of
    numbers = [
        {(issuer_of(key.system), key.value) for key in identities(tx.get("Patient", id).resource())}
        for id in (one.removeprefix("Patient/"), other.removeprefix("Patient/"))
    ]
    return any(issuer for issuer, _ in numbers[0] & numbers[1])


def _by_time(tx: Tx, site: Site, facts: StudyFacts) -> Match:
    patient = find_patient(tx, site, facts)
    if patient is None or not isinstance(facts.started, datetime) or not _agrees(patient, facts):
        return _none(facts, "none")
    modalities = {series.modality for series in facts.series}
    candidates = [
        row
        for row in tx.find_orders(patient_id=patient.id, limit=100)
        if row.status == ACTIVE and any(_fits(site, plan, modalities, facts) for plan in plans_of(tx, row))
    ]
    if len(candidates) != 1:
        return _none(facts, "ambiguous", *candidates) if candidates else _none(facts, "none")
    row = candidates[0]
    plans = [plan for plan in plans_of(tx, row) if _fits(site, plan, modalities, facts)]
    if all(same_station(site, plan, facts) is False for plan in plans) or _has_images(tx, row):
        return _none(facts, "ambiguous", row)  # made elsewhere, or something else than what was made already
    found = compare(site, row, plans, patient.resource(), facts)
    return Match(row, "time-window", found.with_patient(True).evidence(facts, row))


def _fits(site: Site, plan: Plan, modalities: set[str], facts: StudyFacts) -> bool:
    return bool(same_modality(plan.modality, modalities) and in_window(site, plan, facts))


def _has_images(tx: Tx, row: OrderRow) -> bool:
    return any(type_ == "ImagingStudy" for type_, _ in tx.referrers("ServiceRequest", row.id, limit=100))


def find_patient(tx: Tx, site: Site, facts: StudyFacts) -> Stored | None:
    """The one patient whom the images name by authority and number."""
    key = patient_key(site, facts)
    if key is None:
        return None
    found = [
        stored
        for stored in tx.by_identifier("Patient", key.system, key.value)
        if former_numbers.holds(stored.resource(), key)
    ]
    if not found and facts.issuer is not None:
        found = [
            stored
            for stored in tx.by_identifier("Patient", None, key.value)
            if any(
                one.value == key.value and site.tables.authorities.issuer_of(one.system) == facts.issuer
                for one in identities(stored.resource())
            )
        ]
    return found[0] if len(found) == 1 else None


def _agrees(patient: Stored, facts: StudyFacts) -> bool:
    """Exactly the same: the birth date has to be known on both sides and to agree."""
    return facts.birth_date is not None and patient.resource().get("birthDate") == facts.birth_date
