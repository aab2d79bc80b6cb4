"""What the start page shows, read in one view of the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import orjson

from interop.audit import Event
from interop.fhir.names import DCM, STUDY_UID
from interop.fhir.query import Query
from interop.store import OrderRow, Tx

ORDERS = 25
STUDIES = 8
_COUNTED = 500  # scheduled orders are counted up to here
_STEPS = {
    "scheduled": "Scheduled",
    "arrived": "Arrived",
    "in-progress": "In progress",
    "images-available": "Images available",
    "reported": "Reported",
    "cancelled": "Cancelled",
}
_WITH_IMAGES = frozenset({"in-progress", "images-available", "reported"})


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One order and where it stands."""

    id: str
    patient: str
    accession: str
    modality: str
    start: str
    status: str
    step: str
    step_code: str
    missing: str  # what keeps it out of the worklist
    study: str | None  # a study that can be opened


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study."""

    uid: str
    patient: str
    description: str
    modality: str
    started: str
    instances: int
    ordered: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The page's content."""

    orders: tuple[OrderLine, ...]
    studies: tuple[StudyLine, ...]
    scheduled: str
    patients_shown: tuple[str, ...]


def read_overview(tx: Tx, zone: tzinfo) -> Overview:
    """The last orders and studies, with their patients' names."""
    rows = tx.find_orders(limit=ORDERS)
    studies = [
        orjson.loads(stored.body) for stored in tx.search(Query("ImagingStudy", (), STUDIES, "-_lastUpdated")).rows
    ]
    references = [f"Patient/{row.patient_id}" for row in rows]
    references += [study.get("subject", {}).get("reference", "") for study in studies]
    names = {reference: _name(tx, reference) for reference in dict.fromkeys(references)}
    scheduled = len(tx.find_orders(scheduled=True, limit=_COUNTED + 1))
    return Overview(
        orders=tuple(_order_line(row, names[f"Patient/{row.patient_id}"], zone) for row in rows),
        studies=tuple(_study_line(study, names, zone) for study in studies),
        scheduled=f"{_COUNTED}+" if scheduled > _COUNTED else str(scheduled),
        patients_shown=tuple(reference for reference in names if reference.startswith("Patient/")),
    )


def seen(patients: Iterable[str], who: str, now: datetime) -> list[Event]:
    """The events of showing these patients' names: one per person and patient in five minutes."""
    window = int(now.timestamp() // 300)
    return [
        Event(
            "rest",
            "search-type",
            "E",
            patient=patient,
            query="GET /",
            dedupe_key=f"console:{who}:{patient}:{window}",
        )
        for patient in patients
    ]


def _order_line(row: OrderRow, patient: str, zone: tzinfo) -> OrderLine:
    return OrderLine(
        id=row.id,
        patient=patient,
        accession=row.accession.value if row.accession else "",
        modality=row.modality or "",
        start=_local(row.start, zone),
        status=row.status,
        step=_STEPS.get(row.step, row.step),
        step_code=row.step if row.step in _STEPS else "other",
        missing=row.missing,
        study=row.study_uid if row.step in _WITH_IMAGES else None,
    )


def _study_line(study: dict[str, Any], names: dict[str, str], zone: tzinfo) -> StudyLine:
    uids = [entry["value"] for entry in study.get("identifier", []) if entry.get("system") == STUDY_UID]
    modalities = [entry.get("code", "") for entry in study.get("modality", []) if entry.get("system") == DCM]
    return StudyLine(
        uid=uids[0].removeprefix("urn:oid:") if uids else "",
        patient=names[study.get("subject", {}).get("reference", "")],
        description=study.get("description", ""),
        modality=", ".join(modalities),
        started=_local_text(study.get("started"), zone),
        instances=int(study.get("numberOfInstances", 0)),
        ordered=bool(study.get("basedOn")),
    )


def _name(tx: Tx, reference: str) -> str:
    """The name that a person would read out; the id where there is none."""
    type_, _, id_ = reference.partition("/")
    stored = tx.read(type_, id_) if type_ == "Patient" and id_ else None
    if stored is None or stored.deleted:
        return "unknown"
    for name in orjson.loads(stored.body).get("name", []):
        if name.get("text"):
            return str(name["text"])
        parts = [*name.get("given", []), name.get("family", "")]
        if any(parts):
            return " ".join(part for part in parts if part)
    return id_


def _local(moment: datetime | None, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M") if moment else ""


def _local_text(value: str | None, zone: tzinfo) -> str:
    """A FHIR dateTime; one that is only a date stays one."""
    if not value or "T" not in value:
        return value or ""
    return _local(datetime.fromisoformat(value), zone)
