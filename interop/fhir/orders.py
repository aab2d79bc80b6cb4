"""What an imaging order says in a ServiceRequest, read and written in one place.

Identifiers carry the types of v2 table 0203 (PLAC, FILL, ACSN) or ours (RPID, SPSID); the study UID is an identifier of
system ``urn:dicom:uid``. The modality is a DICOM code in orderDetail; step and stations are extensions of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, tzinfo
from typing import Any, NamedTuple

from interop.fhir.names import DCM, EXT_STATION, EXT_STEP, IDENTIFIER_TYPES, SNOMED, STUDY_UID, TRANSPORT, V2_0203
from interop.fhir.query import Identity
from interop.fhir.references import patient_of
from interop.fhir.times import instant

Resource = dict[str, Any]

STEPS = ("scheduled", "arrived", "in-progress", "images-available", "reported", "cancelled")

# ServiceRequest.category that says imaging: SNOMED CT, and the diagnostic service sections of v2 table 0074.
_IMAGING = {
    SNOMED: frozenset(("363679005",)),
    "http://terminology.hl7.org/CodeSystem/v2-0074": frozenset(
        ("RAD", "IMG", "RX", "CT", "NMR", "NMS", "RUS", "CUS", "OUS", "VUS", "XRC", "CTH")
    ),
}
_TYPE_SYSTEMS = {
    "PLAC": V2_0203,
    "FILL": V2_0203,
    "ACSN": V2_0203,
    "RPID": IDENTIFIER_TYPES,
    "SPSID": IDENTIFIER_TYPES,
}
_MODALITY = re.compile(r"[A-Z][A-Z0-9_ ]{0,15}")  # VR CS; codes of concepts in DCM are numbers


class OrderFacts(NamedTuple):
    """What the lifecycle, the worklist and the messages need of a ServiceRequest."""

    placer: Identity | None
    filler: Identity | None
    accession: Identity | None
    procedure_id: Identity | None
    step_id: Identity | None
    study_uid: str | None
    modality: str | None
    start: datetime | None  # aware, UTC: the occurrence
    authored: datetime | None  # aware, UTC: what stands in where no occurrence is given
    stations: tuple[str, ...]
    step: str | None
    status: str
    intent: str
    do_not_perform: bool
    patient: str | None  # "Patient/<id>"
    imaging: bool  # says itself that it is for imaging; a table that finds its modality can say so too


def order_facts(service_request: Resource, zone: tzinfo) -> OrderFacts:
    """The facts as the resource states them; times without a zone are in ``zone``."""
    found = _identities(service_request)
    modality = modality_of(service_request)
    return OrderFacts(
        placer=found.get("PLAC"),
        filler=found.get("FILL"),
        accession=found.get("ACSN"),
        procedure_id=found.get("RPID"),
        step_id=found.get("SPSID"),
        study_uid=study_uid_of(service_request),
        modality=modality,
        start=_start(service_request, zone),
        authored=_instant(service_request.get("authoredOn"), zone),
        stations=tuple(_extensions(service_request, EXT_STATION, "valueString")),
        step=next(_extensions(service_request, EXT_STEP, "valueCode"), None),
        status=service_request.get("status", ""),
        intent=service_request.get("intent", ""),
        do_not_perform=service_request.get("doNotPerform") is True,
        patient=patient_of(service_request),
        imaging=modality is not None or _is_imaging(service_request),
    )


def study_uid_of(resource: Resource) -> str | None:
    """The StudyInstanceUID among the identifiers of an order or an ImagingStudy."""
    for identifier in resource.get("identifier", ()):
        if identifier.get("system") == STUDY_UID and "value" in identifier:
            return str(identifier["value"]).removeprefix("urn:oid:")
    return None


def modality_of(service_request: Resource) -> str | None:
    """The modality that the order asks for: a DICOM code in orderDetail."""
    for detail in service_request.get("orderDetail", ()):
        for coding in detail.get("coding", ()):
            code = coding.get("code", "")
            if coding.get("system") == DCM and _MODALITY.fullmatch(code):
                return str(code)
    return None


def detail_kind(detail: Resource) -> str:
    """What an orderDetail tells: the ``modality``, the ``transport`` of the patient (table 0124), else the ``step``."""
    if modality_of({"orderDetail": [detail]}) is not None:
        return "modality"
    return "transport" if any(one.get("system") == TRANSPORT for one in detail.get("coding", ())) else "step"


def with_identifier(service_request: Resource, kind: str, identity: Identity) -> Resource:
    """A copy in which the identifier of this kind (PLAC FILL ACSN RPID SPSID) is this one and no other."""
    made: Resource = {"type": {"coding": [{"system": _TYPE_SYSTEMS[kind], "code": kind}]}}
    if identity.system:
        made["system"] = identity.system
    made["value"] = identity.value
    return _with(service_request, made, lambda identifier: _kind_of(identifier) == kind)


def with_study_uid(service_request: Resource, uid: str) -> Resource:
    """A copy with this StudyInstanceUID and no other."""
    made = {"system": STUDY_UID, "value": f"urn:oid:{uid}"}
    return _with(service_request, made, lambda identifier: identifier.get("system") == STUDY_UID)


def with_step(service_request: Resource, step: str | None) -> Resource:
    """A copy at this step of the order's life; None takes the step away."""
    return _with_extension(service_request, EXT_STEP, [] if step is None else [{"url": EXT_STEP, "valueCode": step}])


def with_stations(service_request: Resource, stations: tuple[str, ...]) -> Resource:
    """A copy that is scheduled for exactly these AE titles."""
    made = [{"url": EXT_STATION, "valueString": aet} for aet in stations]
    return _with_extension(service_request, EXT_STATION, made)


def _with(service_request: Resource, made: Resource, replaced: Any) -> Resource:
    present = service_request.get("identifier", [])
    if any(_same_identifier(identifier, made) for identifier in present if replaced(identifier)):
        return service_request
    kept = [identifier for identifier in present if not replaced(identifier)]
    return {**service_request, "identifier": [*kept, made]}


def _same_identifier(one: Resource, other: Resource) -> bool:
    return one.get("system") == other.get("system") and one.get("value") == other.get("value")


def _with_extension(service_request: Resource, url: str, made: list[Resource]) -> Resource:
    kept = [extension for extension in service_request.get("extension", ()) if extension.get("url") != url]
    changed = {name: value for name, value in service_request.items() if name != "extension"}
    return {**changed, "extension": kept + made} if kept or made else changed


def _identities(service_request: Resource) -> dict[str, Identity]:
    """The first identifier of each kind."""
    found: dict[str, Identity] = {}
    for identifier in service_request.get("identifier", ()):
        kind = _kind_of(identifier)
        if kind and "value" in identifier:
            found.setdefault(kind, Identity(identifier.get("system", ""), identifier["value"]))
    return found


def _kind_of(identifier: Resource) -> str | None:
    for coding in identifier.get("type", {}).get("coding", ()):
        code = coding.get("code", "")
        if _TYPE_SYSTEMS.get(code, "") == coding.get("system"):
            return str(code)
    return None


def _extensions(resource: Resource, url: str, value: str) -> Iterator[str]:
    for extension in resource.get("extension", ()):
        if extension.get("url") == url and value in extension:
            yield extension[value]


def planned_day(service_request: Resource) -> date | None:
    """The day for which it is planned, where that is all that ``occurrence[x]`` says; else None."""
    text = _occurrence(service_request) or ""
    return date.fromisoformat(text) if len(text) == len("YYYY-MM-DD") else None


def planned_until(service_request: Resource, zone: tzinfo) -> datetime | None:
    """The end of the period for which it is planned, its last event; None where it is planned for a single time."""
    timing = service_request.get("occurrenceTiming", {})
    period = service_request.get("occurrencePeriod") or timing.get("repeat", {}).get("boundsPeriod") or {}
    ends = [text for text in (*timing.get("event", ()), period.get("end")) if text]
    return max((instant(text, zone) for text in ends), default=None)


def shown_start(
    service_request: Resource, start: datetime | None, written: datetime | None, zone: tzinfo
) -> datetime | date | None:
    """When a worklist says that a step is planned: ``start``, but a day where a day is all that is planned.

    Without any time it is when the order was authored, else when it was ``written`` here.
    """
    return planned_day(service_request) or start or order_facts(service_request, zone).authored or written


def _start(service_request: Resource, zone: tzinfo) -> datetime | None:
    return _instant(_occurrence(service_request), zone)


def _occurrence(service_request: Resource) -> str | None:
    timing = service_request.get("occurrenceTiming", {})
    events = [event for event in timing.get("event", ()) if event]
    period = service_request.get("occurrencePeriod") or timing.get("repeat", {}).get("boundsPeriod") or {}
    return service_request.get("occurrenceDateTime") or next(iter(events), None) or period.get("start")


def _instant(text: str | None, zone: tzinfo) -> datetime | None:
    return None if text is None else instant(text, zone)


def _is_imaging(service_request: Resource) -> bool:
    return any(
        coding.get("code") in _IMAGING.get(coding.get("system", ""), ())
        for category in service_request.get("category", ())
        for coding in category.get("coding", ())
    )
