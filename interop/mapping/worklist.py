"""An order as the attributes of its worklist item (PS3.4 K.6.1.2.2), by the rows of ``dicom/worklist.toml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, tzinfo
from functools import cache
from typing import Any, NamedTuple

from interop.dicom.keywords import takes_many_texts
from interop.fhir import orders
from interop.mapping.context import Context
from interop.mapping.dicom_values import LT
from interop.mapping.fhir_rows import Found, contained_of
from interop.mapping.patient_facts import NOTHING, Known, facts_of, visit_of
from interop.mapping.tables import Tables

_STEP = "Step"  # the root of what differs from place to place


def worklist_attributes(
    service_request: Mapping[str, Any],
    patient: Mapping[str, Any],
    *,
    station_aet: str,
    modality: str,
    start: datetime | date,
    zone: tzinfo,
    facility: str,
    tables: Tables,
    location: str = "",
    known: Known = NOTHING,
) -> dict[str, Any]:
    """Values by DICOM keyword; sequences are lists of such mappings. One item, for one station."""
    place = Place(station_aet, modality, location)
    (attributes,) = attributes_of_places(
        service_request, patient, [place], start=start, zone=zone, facility=facility, tables=tables, known=known
    )
    return attributes


class Place(NamedTuple):
    """Where a step may be done."""

    station_aet: str
    modality: str
    location: str = ""


def attributes_of_places(
    service_request: Mapping[str, Any],
    patient: Mapping[str, Any],
    places: Iterable[Place],
    *,
    start: datetime | date,
    zone: tzinfo,
    facility: str,
    tables: Tables,
    known: Known = NOTHING,
) -> list[dict[str, Any]]:
    """``worklist_attributes`` for each of the places, in turn: what they share is made once."""
    context = Context(zone=zone, facility=facility, sender=facility, authorities=tables.authorities, codes=tables.codes)
    context.resolved = known.resolved
    context.contained = {"ServiceRequest": contained_of(service_request)}
    roots = item_roots(service_request, patient, tables, start, zone, known)
    present, found = {root for root, resource in roots.items() if resource is not None}, Found()
    shared = [
        row.value(roots, context, found) if _STEP not in row.roots and not row.roots.isdisjoint(present) else None
        for row in tables.worklist
    ]
    items = []
    for aet, modality, location in places:
        step = {"station": aet, "modality": modality, "start": start, "location": location}
        resources = {**roots, _STEP: step}
        attributes: dict[str, Any] = {}
        for row, made in zip(tables.worklist, shared, strict=True):
            value = row.value(resources, context) if _STEP in row.roots else made
            if value is not None:
                _put(attributes, row.target, value)
        _without_main_id(attributes)
        items.append(attributes)
    return items


def item_roots(
    service_request: Mapping[str, Any],
    patient: Mapping[str, Any],
    tables: Tables,
    start: datetime | date,
    zone: tzinfo,
    known: Known = NOTHING,
) -> dict[str, Any]:
    """What the rows read by the first word of their paths, but for the step."""
    found = facts_of(service_request, known.clinical, tables.codes, start, zone)
    visit = {"Encounter": known.encounter, "Visit": visit_of(service_request, known.encounter)}
    return {"ServiceRequest": service_request, "Patient": patient, **visit, **found}


def _put(attributes: dict[str, Any], target: str, value: Any) -> None:
    """The first row with a value sets an attribute; ``Sequence.Keyword`` is in the sequence's one item.

    An attribute that takes many values has those of all its rows, each once.
    """
    sequence, keyword, many = _place(target)
    place = attributes.setdefault(sequence, [{}])[0] if sequence else attributes
    if type(value) is list:
        if many:
            given = [one for each in value for one in (each if isinstance(each, list) else [each])]
            place[keyword] = list(dict.fromkeys([*place.get(keyword, ()), *given]))
            return
        if all(isinstance(line, str) for line in value):
            value = "\r\n".join(value)[:LT].rstrip()  # an item that is refused for its length is an exam not done
        elif value and all(isinstance(items, list) for items in value):
            value = [item for items in value for item in items]  # each gave items of the same sequence
    place.setdefault(keyword, value)


@cache
def _place(target: str) -> tuple[str, str, bool]:
    """The sequence, the keyword, and whether it takes many values, which are text."""
    sequence, _, keyword = target.rpartition(".")
    return sequence, keyword, takes_many_texts(keyword)


def _without_main_id(attributes: dict[str, Any]) -> None:
    others = attributes.pop("OtherPatientIDsSequence", [])
    main = (attributes.get("PatientID"), attributes.get("IssuerOfPatientID"))
    kept = [item for item in others if (item["PatientID"], item.get("IssuerOfPatientID")) != main]
    if kept:
        attributes["OtherPatientIDsSequence"] = kept


def modality_of(service_request: Mapping[str, Any], tables: Tables) -> str | None:
    """The DICOM modality of an order: stated in orderDetail, else by the procedure's code; None if none is known."""
    stated = orders.modality_of(dict(service_request))
    if stated is not None:
        return stated
    table = tables.codes["procedure_modality"]
    concepts = [service_request.get("code", {}), *service_request.get("orderDetail", [])]
    for concept in concepts:
        for coding in concept.get("coding", []):
            found = table.find(str(coding.get("code", "")), coding.get("system", ""))
            if found is not None and found.target:
                return found.target
    text = table.find(str(service_request.get("code", {}).get("text", "")))
    return text.target or None if text else None
