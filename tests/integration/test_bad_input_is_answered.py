"""Bad input through the real doors: a clear answer in the caller's tongue, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from interop.hl7.framing import frame
from interop.hl7.message import Message, parse
from interop.testing.kinds import CT_IMAGE
from interop.testing.modality import association, query_worklist
from tests.hl7_messages import PATIENT, header, message, orm, oru
from tests.hospital import a_patient, an_order, typed
from tests.real_server import RealServer

ACCESSIONS = "urn:interop:IMG:accession"
JSON = {"Content-Type": "application/fhir+json"}
SOMEBODY = "Patient/somebody"  # in these cases it stands for a patient who exists


@pytest.fixture(scope="module")
def patient(shared_server: RealServer) -> str:
    """A patient to order for."""
    answer = shared_server.http.post("/fhir/Patient", json=a_patient("BAD-INPUT"))
    return f"Patient/{answer.json()['id']}"


def without_subject() -> dict[str, Any]:
    order = an_order(SOMEBODY, "BAD")
    del order["subject"]
    return order


FHIR = {
    "malformed JSON": (b'{"resourceType": "ServiceRequest", ', 400, "structure", None),
    "no JSON at all": (b"MSH|^~\\&|", 400, "structure", None),
    "a number where a boolean belongs": (
        an_order(SOMEBODY, "BAD", doNotPerform=1),
        422,
        "value",
        "ServiceRequest.doNotPerform",
    ),
    "an object where a list belongs": (
        an_order(SOMEBODY, "BAD", note={"text": "x"}),
        422,
        "structure",
        "ServiceRequest.note",
    ),
    "an unknown code": (an_order(SOMEBODY, "BAD", status="activ"), 422, "code-invalid", "ServiceRequest.status"),
    "an unknown element": (an_order(SOMEBODY, "BAD", stat="x"), 422, "structure", "ServiceRequest.stat"),
    "no subject": (without_subject(), 422, "required", "ServiceRequest.subject"),
    "an accession number of 17 characters": (
        an_order(SOMEBODY, "BAD", identifier=[typed("ACSN", ACCESSIONS, "A" * 17)]),
        422,
        "value",
        "ServiceRequest.identifier[0].value",
    ),
    "a patient that is not there": (an_order("Patient/nobody", "BAD"), 422, "not-found", "ServiceRequest.subject"),
}


@pytest.mark.parametrize("sent", FHIR)
def test_fhir(shared_server: RealServer, patient: str, sent: str) -> None:
    body, status, code, expression = FHIR[sent]
    before = shared_server.counts()
    if isinstance(body, bytes):
        answer = shared_server.http.post("/fhir/ServiceRequest", content=body, headers=JSON)
    else:
        if body.get("subject") == {"reference": SOMEBODY}:
            body = body | {"subject": {"reference": patient}}
        answer = shared_server.http.post("/fhir/ServiceRequest", json=body)
    assert answer.status_code == status, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    (issue,) = outcome["issue"]
    assert (issue["code"], issue.get("expression")) == (code, [expression] if expression else None)
    assert issue["details"]["text"]
    assert shared_server.counts() == before


HL7: dict[str, tuple[bytes, str, str, str]] = {
    "an accession number of 17 characters": (orm(placer="BAD", accession="A" * 17), "AE", "102", "OBR^1^18^1"),
    "an unknown order control": (orm("ZZ", placer="BAD"), "AE", "103", "ORC^1^1^1"),
    "a change of an order that is not there": (orm("XO", placer="BAD"), "AE", "204", "ORC^1^2^1"),
    "no patient": (orm(placer="BAD", patient="NTE|1||nobody"), "AE", "100", "PID^1"),
    "no patient number": (orm(placer="BAD", patient="PID|1||||Doe^John"), "AE", "101", "PID^1^3^1"),
    "an unknown message type": (message(header("ZZZ^Z99", "BADTYPE"), PATIENT), "AR", "200", "MSH^1^9^1"),
    "bytes that are no HL7": (b"hello, is anybody there?", "AR", "100", "MSH^1"),
    "half a header": (b"MSH|^~", "AE", "101", "MSH^1^9^1"),
    "no control id": (message("MSH|^~\\&|RIS|HOSP|C|D|2026||ORM^O01||P|2.5.1", PATIENT), "AE", "101", "MSH^1^10^1"),
}


@pytest.mark.parametrize("sent", HL7)
def test_hl7(shared_server: RealServer, sent: str) -> None:
    raw, code, reason, place = HL7[sent]
    before = shared_server.counts()
    answer = shared_server.send(raw)
    assert told(answer) == (code, reason, place)
    assert answer.get("ERR-8")
    assert shared_server.counts() == before
    stored = shared_server.read(lambda tx: tx.find_messages(state="refused", limit=1000))
    assert raw in [row.raw for row in stored], "the refused message is kept"


def told(answer: Message) -> tuple[str, str, str]:
    """MSA-1, and the code and the place of the first ERR."""
    return answer.get("MSA-1"), answer.get("ERR-3.1"), answer.get("ERR-2")


def test_the_same_placer_number_with_other_content(shared_server: RealServer, patient: str) -> None:
    order = an_order(patient, "TWICE")
    first = shared_server.http.post("/fhir/ServiceRequest", json=order)
    assert first.status_code == 201
    assert shared_server.send(orm(placer="TWICE-HL7")).get("MSA-1") == "AA"
    before = shared_server.counts()
    other = order | {"code": {"coding": [{"system": "http://loinc.org", "code": "30746-2"}]}}
    refused = shared_server.http.post("/fhir/ServiceRequest", json=other)
    assert refused.status_code == 409
    (issue,) = refused.json()["issue"]
    assert issue["code"] == "duplicate"
    assert first.json()["id"] in issue["details"]["text"]
    answer = shared_server.send(orm(placer="TWICE-HL7", code="MRBR^MR brain^L"))
    assert told(answer) == ("AR", "205", "ORC^1^2^1")
    assert shared_server.counts() == before


def test_unframed_bytes_are_refused_and_the_next_message_is_read(shared_server: RealServer) -> None:
    before = shared_server.counts()
    with shared_server.sender() as sender:
        sender.send_bytes(orm(placer="BAD") + frame(orm("XO", placer="BAD", id="AFTER-UNFRAMED")))
        assert told(parse(sender.receive())) == ("AR", "100", "")
        assert parse(sender.receive()).get("MSA-2") == "AFTER-UNFRAMED"
    assert shared_server.counts() == before


def test_twenty_megabytes_are_taken_and_more_than_the_limit_is_not(shared_server: RealServer) -> None:
    before = shared_server.counts()
    with shared_server.sender(60) as sender:
        large = oru(id="TWENTY", placer="", filler="LARGE", text="x" * 20_000_000)
        assert parse(sender.send(large)).get("MSA-1") == "AA"
        after = shared_server.counts()
        assert after["DiagnosticReport"] == before["DiagnosticReport"] + 1
        too_large = oru(id="THIRTY", placer="", filler="TOO-LARGE", text="x" * 30_000_000)
        sender.send_bytes(frame(too_large) + frame(orm("XO", placer="BAD", id="AFTER-LARGE")))
        answer = parse(sender.receive())
        assert told(answer) == ("AR", "100", "")
        assert "larger than this listener accepts" in answer.get("ERR-8")
        assert parse(sender.receive()).get("MSA-2") == "AFTER-LARGE"
    assert shared_server.counts() == after


def test_a_report_without_an_order_is_filed_unlinked_and_shown_as_such(shared_server: RealServer) -> None:
    orders = shared_server.counts()["ServiceRequest"]
    answer = shared_server.send(oru(id="ORPHAN", placer="NEVER-ORDERED", filler="ORPHAN-REPORT"))
    assert answer.get("MSA-1") == "AA"
    assert (answer.get("ERR-4"), answer.get("ERR-2")) == ("W", "OBR^1^2^1")
    (report,) = shared_server.found("DiagnosticReport?identifier=ORPHAN-REPORT")
    assert "basedOn" not in report
    assert report["status"] == "final"
    assert len(report["result"]) == 2
    assert shared_server.counts()["ServiceRequest"] == orders


def test_a_file_that_is_no_dicom_is_refused_by_c_store(
    shared_server: RealServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(CT_IMAGE), UID("2.25.1")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_file_meta_info(file, meta, enforce_standard=True)
    path = tmp_path / "text.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + file.getvalue() + b"this is no data set, only text\n" * 10)
    monkeypatch.setattr("pynetdicom._config.STORE_SEND_CHUNKED_DATASET", True)  # as it is, unread

    before, stored = shared_server.counts(), shared_server.http.get("/dicom-web/studies").json()
    settings = shared_server.settings
    with association("127.0.0.1", settings.orthanc_dicom_port, settings.orthanc_aet, "CT1", [CT_IMAGE]) as peer:
        peer.dimse_timeout = 3
        answer = peer.send_c_store(path)
        assert answer.get("Status") not in (
            0x0000,
            0xB000,
            0xB006,
            0xB007,
        )  # 1.10.1 gives none: it only stops listening
    log = (settings.data_dir / "orthanc" / "orthanc.log").read_text()
    assert "Store SCP Failed" in log
    asked = {"host": "127.0.0.1", "port": settings.orthanc_dicom_port, "called_aet": settings.orthanc_aet}
    assert query_worklist(**asked, calling_aet="CT1", accession="NONE") == [], "the next association is served"
    assert shared_server.http.get("/dicom-web/studies").json() == stored
    assert shared_server.counts() == before


def test_what_is_no_dicom_is_refused_over_dicomweb(shared_server: RealServer) -> None:
    stored = shared_server.http.get("/dicom-web/studies").json()
    before = shared_server.counts()
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\nno DICOM\r\n--x--\r\n"
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    answer = shared_server.http.post("/dicom-web/studies", content=body, headers=kind)
    assert answer.status_code == 400
    assert "DICOM" in answer.text, answer.text
    assert shared_server.http.get("/dicom-web/studies").json() == stored
    assert shared_server.counts() == before
