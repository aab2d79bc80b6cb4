"""Orthanc is down: orders are taken, FHIR answers, images are said to be away; then everything catches up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.demo.world import eventually
from interop.orthanc.child import PrivateOrthanc
from interop.testing.modality import acquire, query_worklist
from tests.hl7_messages import orm
from tests.hospital import a_patient, an_order
from tests.integration.conftest import make_orthanc
from tests.real_server import RealServer, accession_of, gone, step_of

MakeServer = Callable[..., RealServer]
CT = {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[PrivateOrthanc]:
    """An Orthanc that a test starts and stops."""
    orthanc = make_orthanc(tmp_path / "archive")
    yield orthanc
    asyncio.run(orthanc.stop(grace=0.0))


def serve(make: MakeServer, archive: PrivateOrthanc) -> RealServer:
    """A server without an Orthanc of its own."""
    return make(
        command="serve",
        orthanc_url=archive.url,
        orthanc_username=archive.credentials.username,
        orthanc_password=archive.credentials.password,
        worklist_dir=archive.worklist,
    )


def place(server: RealServer, number: str) -> list[dict[str, Any]]:
    """An order by FHIR and one by HL7; both as FHIR shows them."""
    patient = server.http.post("/fhir/Patient", json=a_patient(f"E{number}"))
    assert patient.status_code == 201
    order = an_order(f"Patient/{patient.json()['id']}", f"E{number}", orderDetail=[CT])
    assert server.http.post("/fhir/ServiceRequest", json=order).status_code == 201
    assert server.send(orm(placer=f"R{number}")).get("MSA-1") == "AA"
    return [server.order(f"E{number}"), server.order(f"R{number}")]


def images_are_said_to_be_away(server: RealServer, accession: str) -> None:
    """A 503 with a time to come back, from every door that needs the archive."""
    not_ready = server.until("/readyz", 503)
    checks = not_ready.json()["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {
        "http": True,
        "mllp": True,
        "database": True,
        "orthanc": False,
        "worklist": True,
    }
    assert "Orthanc does not answer" in checks["orthanc"]["detail"]
    studies = server.http.get("/dicom-web/studies", params={"AccessionNumber": accession})
    launch = server.http.post("/api/v1/launch", json={"accession": accession})
    for answer in (not_ready, studies, launch):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    assert server.http.get("/healthz").status_code == 200


def on_the_worklist(archive: Any, accession: str) -> bool:
    return len(query_worklist(**archive, calling_aet="CT1", accession=accession)) == 1


def dicom(port: int) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "called_aet": "ORTHANC"}


def test_everything_but_images_works_without_orthanc_and_catches_up(
    real_server: MakeServer, archive: PrivateOrthanc
) -> None:
    server = serve(real_server, archive)
    server.start("/healthz")
    first = [accession_of(each) for each in place(server, "1")]
    images_are_said_to_be_away(server, first[0])

    asyncio.run(archive.start())
    server.until()
    scp = dicom(archive.dicom_port)
    for accession in first:
        eventually("the worklist has caught up", lambda number=accession: on_the_worklist(scp, number))
    made = acquire(**scp, calling_aet="CT1", accession=first[0], images=2)
    study = eventually("the study is shown", lambda: complete(server, first[0], 2), 15)
    assert study["basedOn"][0]["reference"] == f"ServiceRequest/{server.order('E1')['id']}"
    assert server.http.get(f"/dicom-web/studies/{made.study_uid}/metadata").status_code == 200
    eventually("the order has its images", lambda: step_of(server.order("E1")) == "images-available")
    launched = server.http.post("/api/v1/launch", json={"accession": first[0]})
    assert launched.status_code == 200

    asyncio.run(archive.stop(grace=0.0))  # in the middle of the day, as a crash does
    second = [accession_of(each) for each in place(server, "2")]
    images_are_said_to_be_away(server, first[0])
    assert complete(server, first[0], 2), "what is known of a study is still told"
    cancelled = server.send(orm("CA", placer="R1"))
    assert cancelled.get("MSA-1") == "AA"

    asyncio.run(archive.start())
    server.until()
    for accession in second:
        eventually("the worklist has caught up", lambda number=accession: on_the_worklist(scp, number))
    assert not on_the_worklist(scp, first[1]), "cancelled meanwhile"
    acquire(**scp, calling_aet="CT1", accession=second[1], images=3)
    eventually("the study is shown", lambda: complete(server, second[1], 3), 15)
    assert len(server.found("ImagingStudy")) == 2


def complete(server: RealServer, accession: str, instances: int) -> dict[str, Any] | None:
    """The one study of the accession number, once it has so many instances."""
    studies = server.found(f"ImagingStudy?identifier={accession}")
    assert len(studies) <= 1
    return next((study for study in studies if study.get("numberOfInstances") == instances), None)


def test_a_private_orthanc_that_is_killed_comes_back_by_itself(real_server: MakeServer) -> None:
    server = real_server()
    server.start()
    first = server.archive_pid()
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    server.until("/readyz", 503)
    accession = accession_of(place(server, "1")[0])
    server.until()
    assert server.archive_pid() != first
    scp = dicom(server.settings.orthanc_dicom_port)
    eventually("the worklist has caught up", lambda: on_the_worklist(scp, accession))
    acquire(**scp, calling_aet="CT1", accession=accession, images=1)
    eventually("the study is shown", lambda: complete(server, accession, 1), 15)
    second = server.archive_pid()
    assert server.stop() == 0
    assert gone(second)
