"""The real server with its own worklist: what a modality is shown, performs and stores, and what a kill leaves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from interop.demo.world import eventually
from interop.fhir.json import dumps
from interop.testing.faulty import Faults
from interop.testing.modality import Peer, acquire, query_worklist
from interop.testing.performing import PerformedStepRefusedError, Performing
from interop.testing.ports import free_ports
from tests.dimse_door import MWL, asked, associated
from tests.hospital import a_patient, an_order
from tests.orders import PREGNANT, kilograms, measured
from tests.real_server import STEP, RealServer, accession_of

FHIR = {"content-type": "application/fhir+json"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    (port,) = free_ports(1)
    running = RealServer(tmp_path / "server", dimse="true", dimse_port=port)
    running.start()
    yield running
    running.discard()


def ordered(server: RealServer, placer: str) -> str:
    """An order's accession number."""
    patient = server.http.post("/fhir/Patient", json=a_patient(placer)).json()
    order = an_order(f"Patient/{patient['id']}", placer)
    stored = server.http.post("/fhir/ServiceRequest", json=order)
    assert stored.status_code == 201, stored.text
    return next(
        one["value"]
        for one in stored.json()["identifier"]
        if one.get("type", {}).get("coding", [{}])[0].get("code") == "ACSN"
    )


def step_of(server: RealServer, placer: str) -> str:
    extensions = server.order(placer)["extension"]
    return str(next(one["valueCode"] for one in extensions if one["url"] == STEP))


def test_a_modality_works_from_our_worklist_and_is_remembered_over_a_kill(server: RealServer) -> None:
    settings = server.settings
    own = Peer("INTEROP", "127.0.0.1", settings.dimse_port)
    where = {"host": own.host, "port": own.port, "called_aet": own.aet, "calling_aet": "CT1"}
    assert {"dimse", "worklist"} < server.http.get("/readyz").json()["checks"].keys()
    first, second = ordered(server, "A1"), ordered(server, "A2")
    told: list[str] = []
    done = acquire(
        host="127.0.0.1",
        port=settings.orthanc_dicom_port,
        called_aet=settings.orthanc_aet,
        calling_aet="CT1",
        accession=first,
        images=2,
        worklist=own,
        report=Performing(**where),  # type: ignore[arg-type]
        progress=told.append,
    )
    assert done.instances == 2
    assert told[-1] == "MPPS: completed"
    _taken_over_carelessly(server, own)
    _what_is_known_of_the_patient(server)
    (item,) = query_worklist(accession=second, **where)  # type: ignore[arg-type]
    begun = Performing(**where)  # type: ignore[arg-type]
    begun.begin(item, datetime.now().astimezone())
    assert step_of(server, "A2") == "in-progress"
    waits = (accession_of(server.order("A3")), "CT1")
    begun_too = (second, "CT1")
    eventually("what nobody began is shown", lambda: waits in (shown := server.worklist()) and begun_too not in shown)
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own.host, own.port), timeout=2)
    whole = {file: file.read_bytes() for file in server.worklist_files()}
    for file in whole:  # by somebody, while nobody watches
        file.write_bytes(file.read_bytes()[:-100])
    server.start()
    mended = lambda: {file: file.read_bytes() for file in server.worklist_files()} == whole  # noqa: E731
    eventually("what was altered is mended", mended, 20)
    assert query_worklist(accession=second, **where) == []  # type: ignore[arg-type]
    kept = server.read(lambda tx: tx.performed_step(begun.uid))
    assert kept is not None
    assert kept.state == "IN PROGRESS"
    begun.end(datetime.now().astimezone(), "1.2.3.4")
    with pytest.raises(PerformedStepRefusedError, match="0x0110"):
        begun.end(datetime.now().astimezone(), "1.2.3.4")
    assert server.stop() == 0


def _taken_over_carelessly(server: RealServer, own: Peer) -> None:
    """Images and performed step alike name neither the order nor its patient: the study waits for a person."""
    settings = server.settings
    performed = Performing(host=own.host, port=own.port, called_aet=own.aet, calling_aet="CT1")
    done = acquire(
        host="127.0.0.1",
        port=settings.orthanc_dicom_port,
        called_aet=settings.orthanc_aet,
        calling_aet="CT1",
        accession=ordered(server, "A3"),
        images=2,
        worklist=own,
        report=performed,
        faults=Faults(["missing-accession", "typo-in-id"]),
    )
    assert done.patient_id != "A3"

    def listed() -> dict[str, Any] | None:
        studies = server.http.get("/api/v1/imaging/unmatched").json()["studies"]
        return next((one for one in studies if one["study_uid"] == done.study_uid), None)

    study = eventually("the study waits on the list", listed)
    assert (study["why"], study["accession"]) == ("none", None)
    assert step_of(server, "A3") == "scheduled"
    kept = server.read(lambda tx: tx.performed_step(performed.uid))
    assert kept is not None
    assert (kept.state, kept.order_id) == ("COMPLETED", None)


def _what_is_known_of_the_patient(server: RealServer) -> None:
    """Both worklists show what is observed of a patient after the order came, and what of it changes."""
    accession = ordered(server, "A4")
    about = {"subject": server.order("A4")["subject"]}
    observed = [measured("29463-7", kilograms("82.5")), measured("82810-3", PREGNANT)]
    weight, _ = [
        server.http.post("/fhir/Observation", content=dumps({**one, **about}), headers=FHIR).json() for one in observed
    ]
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "Pacemaker"}, **about}
    assert server.http.post("/fhir/Flag", json=flag).status_code == 201
    settings = server.settings
    for port in (settings.orthanc_dicom_port, settings.dimse_port):
        eventually("all of it is shown", lambda port=port: shown(port, accession) == (82.5, 3, "Pacemaker"))  # type: ignore[misc]
    corrected = {**weight, **kilograms("62.5")}
    assert server.http.put(f"/fhir/Observation/{weight['id']}", content=dumps(corrected), headers=FHIR).is_success
    for port in (settings.orthanc_dicom_port, settings.dimse_port):
        eventually("the new weight is shown", lambda port=port: shown(port, accession)[0] == 62.5)  # type: ignore[misc]


def shown(port: int, accession: str) -> tuple[float | None, int | None, str]:
    query = asked(AccessionNumber=accession, PatientWeight=None, PregnancyStatus=None, MedicalAlerts=None)
    with associated(port, "CT1") as association:
        items = [item for _, item in association.send_c_find(query, MWL) if item is not None]
    if not items:
        return None, None, ""
    return items[0].get("PatientWeight"), items[0].get("PregnancyStatus"), str(items[0].get("MedicalAlerts") or "")
