"""Studies that no rule gave an order, and the orders that each could be of, scored for a person to choose from.

A score rests on what is stored of study and order alone: patient (as Patient/$match scores), accession number by the
edits that lie between, modality, time, and procedure. What one of them does not say counts neither way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from typing import Any

from interop.dicom.study import SeriesFacts, StudyFacts
from interop.fhir.parameters import fold
from interop.fhir.patient_match import POSSIBLE, likeness
from interop.fhir.query import Clause, DateValue, Query
from interop.fhir.times import bounds
from interop.store import Decision, OrderRow, Stored, Tx
from interop.workflow.lifecycle import IN_ERROR
from interop.workflow.match_evidence import compare, plans_of, same_modality
from interop.workflow.site import Site

Resource = dict[str, Any]

WEIGHTS = {"patient": 0.45, "accession": 0.25, "modality": 0.1, "time": 0.1, "procedure": 0.1}
_SHOWN = 5  # candidates of a study
_LOOKED_AT = 200  # orders about the study's time
_AROUND = timedelta(days=2)
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order that a study could be of; ``parts`` says what the score is made of."""

    row: OrderRow
    score: float
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Unmatched:
    """One study of the list."""

    decision: Decision
    stored: Stored
    candidates: tuple[Candidate, ...]


def waiting(tx: Tx, site: Site, *, before: int | None, limit: int) -> tuple[list[Unmatched], int | None]:
    """One page of the list, newest first, and where the next one begins."""
    found: list[Unmatched] = []
    decisions = tx.unmatched(before=before, limit=limit)
    for decision in decisions:
        stored = tx.study(decision.study_uid)
        if stored is not None and not stored.deleted and stored.resource().get("status") == "available":
            found.append(Unmatched(decision, stored, candidates(tx, site, stored, decision)))
    return found, decisions[-1].pk if len(decisions) == limit else None


def candidates(tx: Tx, site: Site, stored: Stored, decision: Decision | None) -> tuple[Candidate, ...]:
    """The orders that a study could be of, the likeliest first; those that the rules met are always among them."""
    study = stored.resource()
    patient = _patient(tx, study["subject"]["reference"])
    rows: dict[str, OrderRow] = {}
    for id in decision.evidence.get("candidates", []) if decision else []:
        row = tx.order(id)
        if row is not None:
            rows[id] = row
    near = (*_about_then(tx, study), *_of_namesakes(tx, patient))
    for row in (*_with_number(tx, study), *_of_patient(tx, study), *near):
        rows.setdefault(row.id, row)
    named = set(decision.evidence.get("candidates", [])) if decision else set()
    scored = [score(tx, study, patient, row) for row in rows.values() if row.status != IN_ERROR]
    good = [one for one in scored if one.score >= 0.3 or one.row.id in named]
    shown = sorted(good, key=lambda one: (one.row.id not in named, -one.score, one.row.id))[:_SHOWN]
    return tuple(sorted(shown, key=lambda one: (-one.score, one.row.id)))


def score(tx: Tx, study: Resource, patient: Resource, row: OrderRow) -> Candidate:
    """How much of an order a study agrees with, from 0 to 1."""
    order = tx.get("ServiceRequest", row.id).resource()
    made = {coding["code"] for coding in study.get("modality", ())}
    plans = plans_of(tx, row)
    kinds = [same for plan in plans if (same := same_modality(plan.modality, made)) is not None]
    times = [near for plan in plans if (near := _times_alike(study.get("started"), plan.start)) is not None]
    known = {
        "patient": 1.0 if _subject(study) == row.patient_id else _alike(tx, patient, row),
        "accession": _numbers_alike(accession_of(study), row.accession.value if row.accession else None),
        "modality": float(any(kinds)) if kinds else None,
        "time": max(times, default=None),
        "procedure": _words_alike(study.get("description"), order.get("code", {})),
    }
    parts = {name: round(value, 3) for name, value in known.items() if value is not None}
    weight = sum(WEIGHTS[name] for name in parts)
    agreed = sum(WEIGHTS[name] * value for name, value in parts.items()) / weight
    return Candidate(row, round(agreed * min(1.0, 0.4 + weight), 3), parts)


def evidence_of(tx: Tx, site: Site, uid: str, study: Resource, row: OrderRow) -> Resource:
    """What a stored study and an order agree and differ in, as a rule notes it of images, and the score."""
    subject, patient = study["subject"]["reference"], f"Patient/{row.patient_id}"
    named = _patient(tx, subject)
    facts = _stored_facts(tx, uid, study, named)
    found = compare(site, row, plans_of(tx, row), _patient(tx, patient), facts).with_patient(subject == patient)
    return found.evidence(facts, row) | {"score": score(tx, study, named, row).score}


def _stored_facts(tx: Tx, uid: str, study: Resource, patient: Resource) -> StudyFacts:
    """The numbers as the rules noted them when the images came; PatientID else as the one number of their patient."""
    noted: Resource = next((one.evidence["study"] for one in tx.decisions(uid) if "study" in one.evidence), {})
    held = [one["value"] for one in patient.get("identifier", ()) if one.get("value")]
    names = [f"{one.get('family', '')}^{' '.join(one.get('given', ()))}" for one in patient.get("name", ())]
    started = study.get("started", "")
    return StudyFacts(
        uid,
        patient_id=noted.get("patient_id") or (held[0] if len(held) == 1 else None),
        patient_name="=".join(names[:3]) or None,
        birth_date=patient.get("birthDate"),
        accession=accession_of(study) or noted.get("accession"),
        started=datetime.fromisoformat(started) if "T" in started else None,
        series=tuple(SeriesFacts("", coding["code"]) for coding in study.get("modality", ())),
        station=noted.get("station"),
    )


def accession_of(study: Resource) -> str | None:
    """The accession number that the images brought."""
    for identifier in study.get("identifier", ()):
        if any(coding.get("code") == "ACSN" for coding in identifier.get("type", {}).get("coding", ())):
            return str(identifier.get("value", "")) or None
    return None


def edits(one: str, other: str) -> int:
    """Levenshtein's distance: characters put in, left out or exchanged."""
    row = list(range(len(other) + 1))
    for position, char in enumerate(one, 1):
        last, row[0] = row[0], position
        for column, there in enumerate(other, 1):
            last, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, last + (char != there))
    return row[-1]


def _numbers_alike(mine: str | None, theirs: str | None) -> float | None:
    if not mine or not theirs:
        return None
    one, other = mine.casefold()[:64], theirs.casefold()[:64]
    alike = 1 - edits(one, other) / max(len(one), len(other))
    return alike if alike >= 0.7 else 0.0  # numbers of one counter are alike by themselves


def _times_alike(started: str | None, start: datetime | None) -> float | None:
    if start is None or started is None or "T" not in started:
        return None
    apart = abs((datetime.fromisoformat(started) - start).total_seconds())
    return max(0.0, 1 - apart / _DAY)


def _words_alike(description: str | None, code: Resource) -> float | None:
    said = [code.get("text", ""), *(coding.get("display", "") for coding in code.get("coding", ()))]
    words = [fold(text) for text in said if text]
    if not description or not words:
        return None
    return max(SequenceMatcher(None, fold(description), text).ratio() for text in words)


def _alike(tx: Tx, patient: Resource, row: OrderRow) -> float:
    return likeness(patient, _patient(tx, f"Patient/{row.patient_id}")).score


def _patient(tx: Tx, reference: str) -> Resource:
    stored = tx.read("Patient", reference.removeprefix("Patient/"))
    return {} if stored is None or stored.deleted else stored.resource()


def _subject(study: Resource) -> str:
    return str(study["subject"]["reference"]).removeprefix("Patient/")


def _of_patient(tx: Tx, study: Resource) -> list[OrderRow]:
    return tx.find_orders(patient_id=_subject(study), limit=50)


def _with_number(tx: Tx, study: Resource) -> list[OrderRow]:
    number = accession_of(study)
    found = tx.by_identifier("ServiceRequest", None, number) if number else []
    return [row for stored in found if (row := tx.order(stored.id)) is not None]


def _about_then(tx: Tx, study: Resource) -> list[OrderRow]:
    started = study.get("started", "")
    if "T" not in started:
        return []
    moment = datetime.fromisoformat(started)
    low, high = (int((moment + around).timestamp() * 1_000_000) for around in (-_AROUND, _AROUND))
    clauses = (
        Clause("occurrence", "date", (DateValue("ge", low, low + 1),)),
        Clause("occurrence", "date", (DateValue("le", high, high + 1),)),
    )
    page = tx.search(Query("ServiceRequest", clauses, count=_LOOKED_AT))
    return [row for stored in page.rows if (row := tx.order(stored.id)) is not None]


def _of_namesakes(tx: Tx, patient: Resource) -> list[OrderRow]:
    """The orders of other patients who were born that day and are called alike: one of them with a slip, perhaps."""
    born = str(patient.get("birthDate", ""))
    if len(born) != len("YYYY-MM-DD"):
        return []
    clause = Clause("birthdate", "date", (DateValue("eq", *bounds(born, tx.zone)),))
    others = [stored.resource() for stored in tx.search(Query("Patient", (clause,), count=_LOOKED_AT)).rows]
    alike = {one["id"]: likeness(patient, one).score for one in others if one["id"] != patient.get("id")}
    likely = sorted((id for id, score in alike.items() if score >= POSSIBLE), key=lambda id: (-alike[id], id))
    return [row for id in likely[:_SHOWN] for row in tx.find_orders(patient_id=id, limit=50)]
