"""What a message would become, for people: a Bundle to look at, and what could not be mapped. Nothing is stored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import tzinfo
from typing import Any

from interop.errors import InteropError, Issue
from interop.fhir.query import Identity
from interop.hl7.message import Message
from interop.mapping.mapped import MappedMerge
from interop.mapping.messages import Mapped, MappedOrder, MappedReport, map_message
from interop.mapping.tables import SiteRules, Tables

_STATUS = {  # what a new order would be after the event; one on record may refuse it (docs/lifecycle.md)
    "hold": "on-hold",
    "cancel": "revoked",
    "discontinue": "revoked",
    "complete": "completed",
    "entered-in-error": "entered-in-error",
}


def preview(
    message: Message, tables: Tables, *, zone: tzinfo, facility: str, site: SiteRules | None = None
) -> dict[str, Any]:
    """``bundle`` (type collection; None if the message would be refused), ``events`` of its orders, ``issues``."""
    used = site or tables.site(*message.sender)
    about = {"type": message.type, "control_id": message.control_id, "charset": message.charset}
    about |= {"site": used.name} if used else {}
    try:
        mapped = map_message(message, tables, site=site, zone=zone, facility=facility)
    except InteropError as error:
        issues = (*message.issues, *error.issues)
        return {**about, "answer": error.ack_code, "bundle": None, "events": [], "issues": _shown(issues)}
    return {
        **about,
        "answer": "AA",
        "bundle": _bundle(mapped),
        "events": [{"control": order.control, "event": order.event} for order in mapped.orders],
        "cleared": list(mapped.cleared),
        "issues": _shown((*message.issues, *mapped.issues)),
    }


def _shown(issues: tuple[Issue, ...]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(issue).items() if value} for issue in issues]


def _url(kind: str, number: int = 0) -> str:
    """The same for the same message: two previews can be compared."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'interop:preview:{kind}:{number}')}"


def _bundle(mapped: Mapped) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    subject = {"subject": {"reference": _url("Patient")}} if mapped.patient else {}
    if mapped.patient and not mapped.merges:
        entries.append({"fullUrl": _url("Patient"), "resource": mapped.patient})
    if mapped.encounter:
        entries.append({"fullUrl": _url("Encounter"), "resource": {"status": "unknown", **mapped.encounter, **subject}})
    if mapped.appointment:
        who = [{"actor": subject.get("subject", {"display": "?"}), "status": "accepted"}]
        booked = {**mapped.appointment.appointment}
        booked["participant"] = [*who, *booked.get("participant", [])]
        entries.append({"fullUrl": _url("Appointment"), "resource": booked})
    for number, merge in enumerate(mapped.merges, 1):
        entries += _merge(merge, number)
    entries += [_order(order, subject) for order in mapped.orders]
    for report in mapped.reports:
        entries += _report(report, subject)
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _merge(merge: MappedMerge, number: int) -> list[dict[str, Any]]:
    survivor, prior = _url("Patient", number), _url("Patient-prior", number)
    stays = {**merge.survivor, "link": [{"other": {"reference": prior}, "type": "replaces"}]}
    ends = {**merge.prior, "active": False, "link": [{"other": {"reference": survivor}, "type": "replaced-by"}]}
    return [{"fullUrl": survivor, "resource": stays}, {"fullUrl": prior, "resource": ends}]


def _order(order: MappedOrder, subject: Mapping[str, Any]) -> dict[str, Any]:
    resource = {"intent": "order", **order.service_request, "status": _STATUS.get(order.event, "active"), **subject}
    return {"fullUrl": _url("ServiceRequest", order.index), "resource": resource}


def _report(report: MappedReport, subject: Mapping[str, Any]) -> list[dict[str, Any]]:
    results = [
        {"fullUrl": _url(f"Observation-{report.index}", number), "resource": {**observation, **subject}}
        for number, observation in enumerate(report.observations, 1)
    ]
    known = (("PLAC", report.placer), ("FILL", report.filler), ("ACSN", report.accession))
    based_on = [{"identifier": _identifier(identity)} for _, identity in known if identity]
    links: dict[str, Any] = {"basedOn": based_on[:1]} if based_on else {}
    if report.study_uid:
        study = {"system": "urn:dicom:uid", "value": f"urn:oid:{report.study_uid}"}
        links["imagingStudy"] = [{"identifier": study}]
    if results:
        links["result"] = [{"reference": entry["fullUrl"]} for entry in results]
    resource = {**report.report, **subject, **links}
    return [{"fullUrl": _url("DiagnosticReport", report.index), "resource": resource}, *results]


def _identifier(identity: Identity) -> dict[str, str]:
    return {"system": identity.system, "value": identity.value}
