"""Whose images these are: the order's patient, else whom (authority, PatientID) names, else somebody new to us."""

from __future__ import annotations

from typing import Any

from interop.dicom.person_names import name_parts
from interop.dicom.study import StudyFacts
from interop.mapping.uris import EXT_REPRESENTATION
from interop.store import OrderRow, Tx
from interop.workflow.matching import find_patient, patient_key
from interop.workflow.patients import lock_keys
from interop.workflow.site import Site

Resource = dict[str, Any]

_SEXES = {"M": "male", "F": "female", "O": "other"}
_SCRIPTS = ("ABC", "IDE", "SYL")  # alphabetic, ideographic, phonetic


def subject_of(tx: Tx, site: Site, facts: StudyFacts, before: Resource | None, row: OrderRow | None) -> str:
    """``Patient/<id>``; made if nobody fits."""
    if row is not None:
        return f"Patient/{row.patient_id}"
    if before is not None and not facts.moved:
        return str(before["subject"]["reference"])
    known = find_patient(tx, site, facts)
    if known is not None:
        return known.reference
    patient = _patient(site, facts)
    tx.lock(*lock_keys(patient))
    known = find_patient(tx, site, facts)  # made by another unit while we waited
    return (known or tx.create(patient)).reference


def _patient(site: Site, facts: StudyFacts) -> Resource:
    patient: Resource = {"resourceType": "Patient"}
    key = patient_key(site, facts)
    if key is not None:
        patient["identifier"] = [{"system": key.system, "value": key.value}]
    names = _names(facts.patient_name)
    if names:
        patient["name"] = names
    if facts.sex in _SEXES:
        patient["gender"] = _SEXES[facts.sex]
    if facts.birth_date:
        patient["birthDate"] = facts.birth_date
    return patient


def _names(text: str | None) -> list[Resource]:
    """The name, and how it is written in other scripts, each marked (ISO 21090 EN representation)."""
    found = []
    groups = (text or "").split("=", 2)
    for group, script in zip(groups, _SCRIPTS, strict=False):
        name = _name(group)
        if name and len(groups) > 1:
            name["extension"] = [{"url": EXT_REPRESENTATION, "valueCode": script}]
        found += [name] if name else []
    return found


def _name(group: str) -> Resource | None:
    """One component group (PS3.5 6.2.1.2)."""
    parts = name_parts(group.replace("=", " "))
    given = [part for part in (parts.given, parts.middle) if part]
    name: Resource = {
        "family": parts.family,
        "given": given,
        "prefix": [parts.prefix] if parts.prefix else [],
        "suffix": [parts.suffix] if parts.suffix else [],
    }
    return {element: value for element, value in name.items() if value} or None
