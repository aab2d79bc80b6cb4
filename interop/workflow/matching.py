"""Which order a study was made for.

In this order: the StudyInstanceUID that the worklist gave out; the accession number with its issuer; and, where the
images say neither, the one order of exactly this patient for this modality at about this time. A study whose patient is
not the order's is not that order's study, whatever else agrees: it waits for a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from interop.dicom.study import StudyFacts
from interop.fhir import names
from interop.fhir.query import Identity
from interop.store import OrderRow, Stored, Tx
from interop.workflow import former_numbers
from interop.workflow.lifecycle import ACTIVE
from interop.workflow.patients import identities
from interop.workflow.site import Site

WINDOW = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Match:
    """The order that was found and by what; without an order, ``by`` says why there is none."""

    row: OrderRow | None
    by: str  # study-uid | accession | time-window | none | ambiguous | other-patient


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
    found = _by_numbers(tx, site, facts)
    if found is not None:
        row, by = found
        return Match(row, by) if _same_patient(tx, site, row, facts) else Match(None, "other-patient")
    if facts.accession is not None:
        return Match(None, "none")
    return _by_time(tx, site, facts)


def _by_numbers(tx: Tx, site: Site, facts: StudyFacts) -> tuple[OrderRow, str] | None:
    rows = tx.find_orders(study_uid=facts.study_uid, limit=1)
    if rows:
        return rows[0], "study-uid"
    if facts.accession is None:
        return None
    rows = _with_accession(tx, site, facts.accession, facts.accession_issuer)
    return (rows[0], "accession") if len(rows) == 1 else None


def _with_accession(tx: Tx, site: Site, value: str, issuer: str | None) -> list[OrderRow]:
    """The orders with this accession number; where the images name no issuer, ours comes before all others."""
    own = names.accession_system(site.facility)
    system = own if issuer in (None, site.facility) else issuer_system(site, issuer or "")
    rows = tx.find_orders(accession=Identity(system, value), limit=2)
    if rows or issuer is not None:
        return rows
    found = (tx.order(stored.id) for stored in tx.by_identifier("ServiceRequest", None, value))
    return [row for row in found if row is not None and row.accession is not None and row.accession.value == value]


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
        return Match(None, "none")
    modalities = {series.modality for series in facts.series}
    candidates = [
        row
        for row in tx.find_orders(patient_id=patient.id, limit=100)
        if row.status == ACTIVE
        and any(
            step.modality in modalities and step.start is not None and abs(step.start - facts.started) <= WINDOW
            for step in (tx.order_steps(row.id) or (row,))
        )
        and not tx.by_identifier("ImagingStudy", names.STUDY_UID, f"urn:oid:{row.study_uid}")
    ]
    if len(candidates) == 1:
        return Match(candidates[0], "time-window")
    return Match(None, "ambiguous" if candidates else "none")


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
