"""The series of a study as parts: what a burst of images brought, at a cost in proportion to what is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from interop.dicom.study import InstanceFacts, SeriesFacts, StudyFacts
from interop.dicom.uids import is_readable_uid
from interop.fhir import names
from interop.store import SeriesPart, Tx
from interop.workflow.site import Site
from interop.workflow.study_codes import body_site
from interop.workflow.study_people import people

Resource = dict[str, Any]

_SIDES = {"L": ("7771000", "Left"), "R": ("24028007", "Right"), "B": ("51440002", "Right and left")}  # CID 244


@dataclass(frozen=True, slots=True)
class Growth:
    """What a study gains and loses, and the series it has then."""

    parts: tuple[SeriesPart, ...]
    removed: tuple[str, ...]
    series: Mapping[str, Resource]  # ImagingStudy.series elements without instances, by UID
    again: bool = False  # whether some of the images were here before

    def counted(self) -> Resource:
        """The elements of the study that follow from its series."""
        series = list(self.series.values())
        modalities = dict.fromkeys(one["modality"]["code"] for one in series)
        counted: Resource = {
            "numberOfSeries": len(series),
            "numberOfInstances": sum(one["numberOfInstances"] for one in series),
        }
        if modalities:
            counted["modality"] = [{"system": names.DCM, "code": code} for code in modalities]
        return counted


def grow(tx: Tx, site: Site, study_id: str | None, facts: StudyFacts) -> Growth:
    """What these facts make of the study's series; ``study_id`` is None for a new study."""
    series = tx.study_series(study_id) if study_id is not None else {}
    known: set[str] = set()
    if study_id is not None and not facts.whole:
        uids = [instance.sop_instance_uid for one in facts.series for instance in one.instances]
        known = tx.known_instances(study_id, uids)
    parts = []
    for one in facts.series:
        instances = {instance.sop_instance_uid: instance for instance in one.instances}
        before = series.get(one.uid, {})
        count = len(instances)
        if not facts.whole:
            count = int(before.get("numberOfInstances", 0)) + len(instances.keys() - known)
        header = _header(site, one, {} if facts.whole else before) | {"numberOfInstances": count}
        series[one.uid] = header
        elements = [_instance(instance) for instance in instances.values()]
        parts.append(SeriesPart(one.uid, header, elements, replace=facts.whole))
    removed = tuple(_gone(series, facts))
    for uid in removed:
        del series[uid]
    return Growth(tuple(parts), removed, series, bool(known))


def _gone(series: Mapping[str, Resource], facts: StudyFacts) -> Iterable[str]:
    if facts.whole:
        return sorted(series.keys() - {one.uid for one in facts.series})
    return [uid for uid in facts.removed_series if uid in series]


def _header(site: Site, one: SeriesFacts, before: Resource) -> Resource:
    header: Resource = {**before, "uid": one.uid, "modality": {"system": names.DCM, "code": one.modality}}
    stated = {
        "number": _unsigned(one.number),
        "description": one.description,
        "started": fhir_time(one.started),
        "bodySite": body_site(one),
        "laterality": _side(one.laterality or _side_of_images(one, before)),
        "specimen": [_specimen(site, id, issuer) for id, issuer in one.specimens] or None,
        "performer": [{"actor": actor} for actor in people(site, one.performers)] or None,
    }
    return header | {name: value for name, value in stated.items() if value is not None}


def _specimen(site: Site, id: str, issuer: str | None) -> Resource:
    identifier = {"value": id}
    if issuer:
        kind = "ISO" if is_readable_uid(issuer) else ""
        system_of = site.tables.authorities.system_of
        namespace, universal = ("", issuer) if kind else (issuer, "")
        identifier["system"] = system_of(namespace, universal, kind, facility=site.facility, role="specimen")
    return {"type": "Specimen", "identifier": identifier}


def _unsigned(number: int | None) -> int | None:
    """An IS may be negative, and devices write long ones; unsignedInt is neither."""
    return number if number is not None and 0 <= number < 2**31 else None


def _side_of_images(one: SeriesFacts, before: Resource) -> str | None:
    """The side that all images are of; both, where they are of both."""
    known = before.get("laterality", {}).get("code")
    sides = {instance.laterality for instance in one.instances} - {None}
    sides |= {letter for letter, (code, _) in _SIDES.items() if code == known}
    return next(iter(sides)) if len(sides) == 1 else "B" if sides else None


def _side(laterality: str | None) -> Resource | None:
    if laterality not in _SIDES:
        return None
    code, display = _SIDES[laterality]
    return {"system": names.SNOMED, "code": code, "display": display}


def _instance(instance: InstanceFacts) -> Resource:
    element: Resource = {
        "uid": instance.sop_instance_uid,
        "sopClass": {"system": names.URI, "code": f"urn:oid:{instance.sop_class_uid}"},
    }
    if (number := _unsigned(instance.number)) is not None:
        element["number"] = number
    if instance.title:
        element["title"] = instance.title
    return element


def fhir_time(value: datetime | date | None) -> str | None:
    """A dateTime: with its offset, or a date alone."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds" if value.microsecond == 0 else "milliseconds")
    return None if value is None else value.isoformat()
