"""FHIR over HTTP on connections that stay open, each interaction audited in its own commit."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figure, rate_figure
from bench.load import Load, Outcome
from bench.parts import Server, generate, server
from bench.seed import fill
from bench.stock import FAMILY, LARGE_STUDY, LARGE_STUDY_INSTANCES, ORDERS, SYSTEM, family, patient_id

RESOURCES = 10_000
CONNECTIONS = (1, 16, 64)
SECONDS = 2.0
WARM_UP_SECONDS = 0.5
ASKED = 400  # patients that are asked for, anywhere among those who are there
TITLE = "FHIR"
EXPLANATION = f"""\
{RESOURCES:,} resources are there (patients, orders, studies, reports, observations). 1, 16 and 64 clients on
connections that stay open, one request under way on each; every answer is checked. Each interaction leaves an
AuditEvent, committed and fsynced before the answer: a read is a write of the audit trail. The transaction makes a
patient, an imaging order and eight observations that refer to it. The server runs without its worker, which would take
the studies of the stock for lost, as the archive has none of them.
[Beside HAPI](performance-hapi.md) it is measured by `make bench-hapi`."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """What is asked, in as many ways as there are templates, and what a good answer holds."""

    name: str
    templates: list[str]
    good: str


def measure(folder: Path) -> list[Figure]:
    """All interactions at all numbers of clients."""
    with stocked(folder, RESOURCES) as ours:
        found = outcomes(ours, RESOURCES, CONNECTIONS)
    return [rate_figure(f"{name}, {spoken(connections)}", [outcome]) for (name, connections), outcome in found.items()]


@contextmanager
def stocked(folder: Path, resources: int, database_url: str = "") -> Iterator[Server]:
    """A server with so many resources."""
    folder.mkdir(parents=True, exist_ok=True)
    url = database_url or f"sqlite:///{folder / f'stock-{resources}.db'}"
    fill(url, resources)
    # no worker: it would strike out every study, since none of them is in the archive
    with server(folder / f"server-{resources}", url, ("http", "mllp")) as ours:
        yield ours


def outcomes(
    ours: Server, resources: int, connections: Sequence[int], seconds: float = SECONDS
) -> dict[tuple[str, int], Outcome]:
    """What came of each interaction, by its name and the number of clients."""
    found: dict[tuple[str, int], Outcome] = {}
    first = 0
    for each in interactions(ours, resources):
        generate(Load(ours.http_port, "http", each.templates, max(connections), WARM_UP_SECONDS, first, each.good))
        for count in connections:
            first += 200_000
            load = Load(ours.http_port, "http", each.templates, count, seconds, first, each.good)
            found[each.name, count] = generate(load)
        first += 200_000
    return found


def spoken(connections: int) -> str:
    """The number of clients in words."""
    return "1 client" if connections == 1 else f"{connections} clients"


def interactions(ours: Server, resources: int) -> list[Interaction]:
    """Everything that is measured; what has to be new is so in every run."""
    patients = range(resources // FAMILY)  # each is asked for once in a round: nobody's update meets another
    numbers = random.Random(7).sample(patients, k=min(ASKED, len(patients)))  # noqa: S311
    run = os.urandom(4).hex()
    ask = _Asker(ours)

    def gets(path: str) -> list[str]:
        values = [{"id": patient_id(n), "value": f"P{n:08d}"} for n in numbers]
        return [ask("GET", "/fhir/" + path.format(**each)) for each in values]

    return [
        Interaction("read of a Patient", gets("Patient/{id}"), SYSTEM),
        Interaction("search of a Patient by identifier", gets(f"Patient?identifier={SYSTEM}%7C{{value}}"), '"match"'),
        Interaction("search by patient and date", gets("ImagingStudy?patient={id}&started=ge2015-06-01"), '"match"'),
        Interaction(
            "chained search", gets(f"DiagnosticReport?subject:Patient.identifier={SYSTEM}%7C{{value}}"), '"match"'
        ),
        Interaction(
            "search with `_include` of order and results",
            gets("DiagnosticReport?patient={id}&_include=DiagnosticReport:based-on&_include=DiagnosticReport:result"),
            '"include"',
        ),
        Interaction(
            f"read of an ImagingStudy of {LARGE_STUDY_INSTANCES:,} instances",
            [ask("GET", f"/fhir/ImagingStudy/{LARGE_STUDY}")],
            '"number":400}',
        ),
        # Before the orders, which are all of these patients: each is shown anew with what its patient changes.
        Interaction("update of a Patient", [ask.update(n) for n in numbers], "+357 "),
        Interaction(
            "create of an imaging ServiceRequest",
            [ask("POST", "/fhir/ServiceRequest", placed(patient_id(n), f"{run}@@@@@@@@", "US")) for n in numbers],
            '"ACSN"',
        ),
        Interaction("conditional create of a Patient", [ask.conditional(run)], '"versionId":"1"'),
        Interaction("transaction of 10", [ask("POST", "/fhir", _transaction(f"{run}t@@@@@@@@"))], '"201 Created"'),
    ]


@dataclass(frozen=True, slots=True)
class _Asker:
    """Requests as bytes on the wire."""

    ours: Server

    def __call__(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Sequence[str] = ()
    ) -> str:
        content = "" if body is None else json.dumps(body, ensure_ascii=False)
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.ours.http_port}",
            f"Authorization: Bearer {self.ours.token}",
            "Accept: application/fhir+json",
            *headers,
        ]
        if body is not None:
            lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(content.encode())}"]
        return "\r\n".join(lines) + "\r\n\r\n" + content

    def conditional(self, run: str) -> str:
        """A patient who is made unless somebody has the identifier."""
        identifier = {"system": SYSTEM, "value": f"{run}@@@@@@@@"}
        patient = _first(1) | {"identifier": [identifier]}
        del patient["id"]
        criteria = f"If-None-Exist: identifier={SYSTEM}|{identifier['value']}"
        return self("POST", "/fhir/Patient", patient, (criteria,))

    def update(self, number: int) -> str:
        """A patient with another telephone number each time."""
        patient = _first(number) | {"telecom": [{"system": "phone", "value": "+357 @@@@@@@@"}]}
        return self("PUT", f"/fhir/Patient/{patient['id']}", patient)


def _first(number: int) -> dict[str, Any]:
    return dict(next(family(number)))


def placed(patient: str, number: str, modality: str) -> dict[str, Any]:
    """An imaging order with a placer number."""
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]}
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "identifier": [{"type": kind, "system": ORDERS, "value": number}],
        "code": {"text": "Transthoracic echocardiography"},
        "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality}]}],
        "subject": {"reference": patient if ":" in patient else f"Patient/{patient}"},
        "occurrenceDateTime": "2026-12-02T09:30:00Z",
    }


def _transaction(number: str) -> dict[str, Any]:
    """A patient, an order for them, eight observations."""
    patient, *others = family(1)
    who = "urn:uuid:5c1f1f0e-6f3b-4b5e-9d5a-1c9be0f3c001"
    observation = next(each for each in others if each["resourceType"] == "Observation")
    patient = patient | {"identifier": [{"system": SYSTEM, "value": number}]}
    made = [placed(who, number, "US"), *[observation | {"subject": {"reference": who}} for _ in range(8)]]
    named = [{"fullUrl": who, **_entry(patient)}, *map(_entry, made)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": named}


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    fresh = {name: value for name, value in resource.items() if name != "id"}
    return {"resource": fresh, "request": {"method": "POST", "url": resource["resourceType"]}}
