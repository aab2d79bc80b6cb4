"""Which studies are meant: by accession number, or as those of one patient (IHE RAD TF-2 4.106)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

import orjson

from interop.access import Agent, decide, may_view_study
from interop.errors import ConflictError, ForbiddenError, InvalidContentError, NotFoundError
from interop.fhir import times
from interop.fhir.names import DCM, STUDY_UID, V2_0203
from interop.fhir.query import Clause, Query, ReferenceValue
from interop.store import Stored, Tx
from interop.workflow.former_numbers import survivor_of

_ID = re.compile(r"[^\x00-\x1f\x7f^\\]{1,128}")
_UNIVERSAL = re.compile(r"[^&]*&([0-9]+(?:\.[0-9]+)+)&ISO")  # HD: namespace & OID & ISO (v2.5.1 2.A.36)
_MANY = 1000  # studies of one patient that are looked through
_MOST_MERGES = 8


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a patient's studies: the newest so many, from one instant up to another, of these modalities."""

    newest: int | None = None
    low: int | None = None  # microseconds, as an ImagingStudy's start
    high: int | None = None
    modalities: frozenset[str] = frozenset()


def read_selection(newest: str, lower: str, upper: str, modalities: str, zone: tzinfo) -> Selection:
    """From the words of an IID address, each empty where it was not said; InvalidContentError says which is wrong."""
    if newest and not re.fullmatch(r"[1-9][0-9]{0,5}", newest):
        raise InvalidContentError("mostRecentResults is how many studies, 1 or more", status=400)
    low = _instants("lowerDateTime", lower, zone)
    high = _instants("upperDateTime", upper, zone)
    if low and high and low[0] >= high[1]:
        raise InvalidContentError("lowerDateTime is after upperDateTime", status=400)
    codes = frozenset(code.strip() for code in modalities.split(",") if code.strip())
    return Selection(int(newest) if newest else None, low and low[0], high and high[1], codes)


def studies_by_accession(tx: Tx, accession: str) -> dict[str, str | None]:
    """StudyInstanceUID → patient, of studies that carry the number and of orders that were given it."""
    found: dict[str, str | None] = {}
    for stored in tx.by_identifier("ServiceRequest", None, accession):
        request = stored.resource()
        order = tx.order(stored.id)
        if order is not None and order.study_uid and _has_accession(request, accession):
            found[order.study_uid] = request.get("subject", {}).get("reference")
    for stored in tx.by_identifier("ImagingStudy", None, accession):
        study = orjson.loads(stored.body)
        if _has_accession(study, accession):
            for uid in _study_uids(study):
                found[uid] = study.get("subject", {}).get("reference")
    return found


def studies_by_patient(tx: Tx, agent: Agent, patient_id: str, wanted: Selection) -> list[str]:
    """The StudyInstanceUIDs of the one patient that the agent may see, newest first.

    ``patient_id`` is a number, or a number with its issuer (``4711^^^urn:oid:1.2.3``, ``4711^^^&1.2.3&ISO``).
    NotFoundError where nobody has it or nothing fits; ForbiddenError where the agent may see nothing of it;
    ConflictError where several patients whom the agent may see have the number.
    """
    patients = _patients(tx, *_number_and_issuer(patient_id))
    if not patients:
        raise NotFoundError("no patient here has this number")
    open_to = {patient: rows for patient in patients if (rows := _visible(tx, agent, patient)) is not None}
    if not open_to:
        raise ForbiddenError("this token or session covers no study of the patient")
    if len(open_to) > 1:
        raise ConflictError("several patients have this number: name its issuer (value^^^system)")
    [rows] = open_to.values()
    chosen = [row for row in rows if _fits(row, wanted)]
    if not chosen:
        raise NotFoundError("the patient has no such study here")
    chosen.sort(key=lambda row: (row.start, row.uid), reverse=True)
    return [row.uid for row in chosen[: wanted.newest]]


@dataclass(frozen=True, slots=True)
class _Row:
    uid: str
    start: int  # 0: nobody said
    modalities: frozenset[str]


def _number_and_issuer(text: str) -> tuple[str, str | None]:
    parts = text.split("^")
    value, issuer = parts[0].strip(), parts[3].strip() if len(parts) > 3 else ""
    if not _ID.fullmatch(value) or any(parts[1:3]):
        raise InvalidContentError("patientID is a number, or value^^^system", status=400)
    universal = _UNIVERSAL.fullmatch(issuer)
    if universal:
        return value, f"urn:oid:{universal.group(1)}"
    if issuer and ":" not in issuer:
        raise InvalidContentError("patientID's issuer is a URI (urn:oid:1.2.3), or &OID&ISO", status=400)
    return value, issuer or None


def _patients(tx: Tx, value: str, system: str | None) -> list[str]:
    """The ids of those who have the number now, or had it before they were merged."""
    found: dict[str, None] = {}
    for stored in tx.by_identifier("Patient", system, value):
        row: Stored | None = stored
        for _ in range(_MOST_MERGES):
            other = survivor_of(row.resource()) if row is not None and not row.deleted else None
            if other is None:
                break
            row = tx.read("Patient", other.removeprefix("Patient/"))
        if row is not None and not row.deleted:
            found[row.id] = None
    return list(found)


def _visible(tx: Tx, agent: Agent, patient: str) -> list[_Row] | None:
    """The patient's studies that the agent may open; None where it may not know of them."""
    reference = f"Patient/{patient}"
    if agent.studies is None:
        try:
            decide(agent, "r", "ImagingStudy", patient=reference)
        except ForbiddenError:
            return None
    clause = Clause("patient", "reference", (ReferenceValue("Patient", patient),))
    page = tx.search(Query("ImagingStudy", (clause,), count=_MANY, sort="-started"))
    rows: list[_Row] = []
    for stored in page.rows:
        study = orjson.loads(stored.body)
        for uid in _study_uids(study):
            if may_view_study(agent, uid, patient=reference):
                rows.append(_Row(uid, _start(study), _modalities(study)))
    return None if agent.studies is not None and not rows else rows


def _fits(row: _Row, wanted: Selection) -> bool:
    """Whether the study is meant. One that nobody dated is in no range of dates."""
    if wanted.modalities and not row.modalities & wanted.modalities:
        return False
    if wanted.low is not None and (not row.start or row.start < wanted.low):
        return False
    return wanted.high is None or (row.start != 0 and row.start < wanted.high)


def _instants(name: str, text: str, zone: tzinfo) -> tuple[int, int] | None:
    if not text:
        return None
    try:
        # The plus of a zone stands for a space in a query that was not escaped.
        return times.bounds(text.replace(" ", "+"), zone)
    except ValueError:
        raise InvalidContentError(f"{name} is a date or a time, e.g. 2026-08-01T10:15:00Z", status=400) from None


def _start(study: dict[str, Any]) -> int:
    started = study.get("started")
    return times.bounds(started, UTC)[0] if isinstance(started, str) and started else 0


def _modalities(study: dict[str, Any]) -> frozenset[str]:
    return frozenset(str(each.get("code")) for each in study.get("modality", []) if each.get("system") == DCM)


def _has_accession(resource: dict[str, Any], accession: str) -> bool:
    for identifier in resource.get("identifier", []):
        codings = identifier.get("type", {}).get("coding", [])
        typed = any(coding.get("system") == V2_0203 and coding.get("code") == "ACSN" for coding in codings)
        if typed and identifier.get("value") == accession:
            return True
    return False


def _study_uids(study: dict[str, Any]) -> Iterable[str]:
    for identifier in study.get("identifier", []):
        if identifier.get("system") == STUDY_UID:
            yield str(identifier.get("value", "")).removeprefix("urn:oid:")
