"""What a message would become, for people: a Bundle to look at, and what could not be mapped. Nothing is stored."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import tzinfo
from typing import Any

from interop.errors import InteropError, Issue
from interop.fhir.query import Identity
from interop.hl7.message import Message
from interop.mapping.messages import Mapped, MappedReport, map_message
from interop.mapping.origins import Origins
from interop.mapping.tables import SiteRules, Tables

_STATUS = {  # what a new order would be after the event; one on record may refuse it (docs/lifecycle.md)
    "hold": "on-hold",
    "cancel": "revoked",
    "discontinue": "revoked",
    "complete": "completed",
    "entered-in-error": "entered-in-error",
}


def preview(
    message: Message,
    tables: Tables,
    *,
    zone: tzinfo,
    facility: str,
    site: SiteRules | None = None,
    origins: Origins | None = None,
) -> dict[str, Any]:
    """``bundle`` (type collection; None if the message would be refused), ``events`` of its orders, ``issues``.

    ``origins``: what the tables were compiled with, so that it knows the bundle's elements, too.
    """
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
        "bundle": _bundle(mapped, origins or Origins()),
        "events": [{"control": order.control, "event": order.event} for order in mapped.orders],
        "cleared": list(mapped.cleared),
        "issues": _shown((*message.issues, *mapped.issues)),
    }


def _shown(issues: tuple[Issue, ...]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(issue).items() if value} for issue in issues]


def _url(kind: str, number: int = 0) -> str:
    """The same for the same message: two previews can be compared."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'interop:preview:{kind}:{number}')}"


def _bundle(mapped: Mapped, origins: Origins) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    subject = {"subject": {"reference": _url("Patient")}} if mapped.patient else {}

    def entry(url: str, source: dict[str, Any], resource: dict[str, Any]) -> None:
        origins.copied(source, resource)
        entries.append({"fullUrl": url, "resource": resource})

    if mapped.patient and not mapped.merges:
        entries.append({"fullUrl": _url("Patient"), "resource": mapped.patient})
    if mapped.encounter:
        entry(_url("Encounter"), mapped.encounter, {"status": "unknown", **mapped.encounter, **subject})
    if mapped.appointment:
        who = [{"actor": subject.get("subject", {"display": "?"}), "status": "accepted"}]
        booked = {**mapped.appointment.appointment}
        booked["participant"] = [*who, *booked.get("participant", [])]
        entry(_url("Appointment"), mapped.appointment.appointment, booked)
    for number, merge in enumerate(mapped.merges, 1):
        survivor, prior = _url("Patient", number), _url("Patient-prior", number)
        entry(survivor, merge.survivor, {**merge.survivor, "link": _link(prior, "replaces")})
        entry(prior, merge.prior, {**merge.prior, "active": False, "link": _link(survivor, "replaced-by")})
    if mapped.link is not None:
        entry(_url("Patient", 1), mapped.link.one, {**mapped.link.one, "link": _link(_url("Patient", 2), "seealso")})
        entry(
            _url("Patient", 2), mapped.link.other, {**mapped.link.other, "link": _link(_url("Patient", 1), "seealso")}
        )
    for number, order in enumerate(mapped.orders, 1):  # each step of an order for itself
        status = _STATUS.get(order.event, "active")
        resource = {"intent": "order", **order.service_request, "status": status, **subject}
        entry(_url("ServiceRequest", number), order.service_request, resource)
    for report in mapped.reports:
        urls = [_url(f"Observation-{report.index}", number) for number in range(1, len(report.observations) + 1)]
        whole = {**report.report, **subject, **_links(report, urls)}
        entry(_url("DiagnosticReport", report.index), report.report, whole)
        for url, observation in zip(urls, report.observations, strict=True):
            entry(url, observation, {**observation, **subject})
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _link(url: str, kind: str) -> list[dict[str, Any]]:
    return [{"other": {"reference": url}, "type": kind}]


def _links(report: MappedReport, results: list[str]) -> dict[str, Any]:
    known = (("PLAC", report.placer), ("FILL", report.filler), ("ACSN", report.accession))
    based_on = [{"identifier": _identifier(identity)} for _, identity in known if identity]
    links: dict[str, Any] = {"basedOn": based_on[:1]} if based_on else {}
    if report.study_uid:
        study = {"system": "urn:dicom:uid", "value": f"urn:oid:{report.study_uid}"}
        links["imagingStudy"] = [{"identifier": study}]
    if results:
        links["result"] = [{"reference": url} for url in results]
    return links


def _identifier(identity: Identity) -> dict[str, str]:
    return {"system": identity.system, "value": identity.value}
