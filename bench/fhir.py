"""FHIR by 16 clients, each interaction audited in its own commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.figures import Figure, rate_figure
from bench.load import Load
from bench.parts import Server, generate

PATIENTS = 200
SYSTEM = "urn:example:bench"
TITLE = "FHIR"
EXPLANATION = """\
16 clients on connections that stay open, one request under way on each; every answer checked. Each interaction leaves
an AuditEvent, committed before the answer."""


def measure(server: Server) -> list[Figure]:
    """Read, identifier search, create of an order."""
    ids = [_create_patient(server, number) for number in range(PATIENTS)]
    reads = [_request(server, "GET", f"/fhir/Patient/{identity}") for identity in ids]
    searches = [
        _request(server, "GET", f"/fhir/Patient?identifier={SYSTEM}%7CP{number:05d}") for number in range(PATIENTS)
    ]
    creates = [_request(server, "POST", "/fhir/ServiceRequest", _order(identity)) for identity in ids]
    figures = []
    for what, templates, good in (
        ("read of a Patient", reads, SYSTEM),
        ("search of a Patient by identifier", searches, '"fullUrl"'),
        ("create of an imaging ServiceRequest", creates, '"ACSN"'),
    ):
        generate(Load(server.http_port, "http", templates, seconds=1, good=good))
        figures.append(
            rate_figure(what, [generate(Load(server.http_port, "http", templates, seconds=6, first=10**6, good=good))])
        )
    return figures


def _request(server: Server, method: str, path: str, body: Mapping[str, Any] | None = None) -> str:
    content = "" if body is None else json.dumps(body, ensure_ascii=False)
    headers = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.http_port}",
        f"Authorization: Bearer {server.token}",
        "Accept: application/fhir+json",
    ]
    if body is not None:
        headers += ["Content-Type: application/fhir+json", f"Content-Length: {len(content.encode())}"]
    return "\r\n".join(headers) + "\r\n\r\n" + content


def _create_patient(server: Server, number: int) -> str:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": f"P{number:05d}"}],
        "name": [{"family": "Παπαδόπουλος", "given": ["Νίκος", str(number)]}],
        "birthDate": "1958-04-02",
        "gender": "male",
    }
    return str(json.loads(server.request("POST", "/fhir/Patient", patient))["id"])


def _order(patient: str) -> dict[str, Any]:
    """An echo order; its placer number comes from the counter of the load generator."""
    return placed(patient, "L@@@@@@@@", "US")


def placed(patient: str, number: str, modality: str) -> dict[str, Any]:
    """An imaging order with a placer number."""
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]}
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "identifier": [{"type": kind, "system": f"{SYSTEM}:orders", "value": number}],
        "code": {"text": "Transthoracic echocardiography"},
        "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality}]}],
        "subject": {"reference": f"Patient/{patient}"},
        "occurrenceDateTime": "2026-12-02T09:30:00Z",
    }
