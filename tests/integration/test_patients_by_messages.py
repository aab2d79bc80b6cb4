"""Patients, their numbers and visits as ADT messages tell of them to the real server, seen by FHIR and the worklist."""

from __future__ import annotations

import pydicom

from interop.demo.world import eventually
from tests.hl7_messages import header, message, orm
from tests.real_server import RealServer, accession_of


def pid(number: str, name: str = "Merged^Maria") -> str:
    """A patient of the hospital."""
    return f"PID|1||{number}^^^HOSP^MR||{name}||19700101|F"


def shown(server: RealServer, accession: str) -> set[tuple[str, str]]:
    """PatientID and PatientName in the worklist files of an order."""
    items = [pydicom.dcmread(path) for path in server.worklist_files()]
    return {(item.PatientID, str(item.PatientName)) for item in items if item.AccessionNumber == accession}


def test_a_merge_is_seen_at_once_by_fhir_and_the_modality(shared_server: RealServer) -> None:
    assert shared_server.send(orm(placer="MERGE1", patient=pid("M100", "Wrong^Maria"))).get("MSA-1") == "AA"
    order = shared_server.order("MERGE1")
    accession = accession_of(order)
    eventually("the order is planned", lambda: shown(shared_server, accession) == {("M100", "Wrong^Maria")})
    assert shared_server.send(message(header("ADT^A04"), pid("M200"), "PV1|1|O")).get("MSA-1") == "AA"
    merge = message(header("ADT^A40^ADT_A39"), "EVN||20261121", pid("M200"), "MRG|M100^^^HOSP^MR")
    assert shared_server.send(merge).get("MSA-1") == "AA"
    (survivor,) = shared_server.found("Patient?identifier=M100")
    assert [survivor] == shared_server.found("Patient?identifier=M200")
    prior = shared_server.http.get(f"/fhir/{order['subject']['reference']}").json()
    assert prior["active"] is False
    assert prior["link"] == [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}]
    (moved,) = shared_server.found(f"ServiceRequest?patient={survivor['id']}")
    assert moved["id"] == order["id"]
    for asked in (f"patient={prior['id']}", f"subject=Patient/{prior['id']}", "patient.identifier=M100"):
        assert [moved] == shared_server.found(f"ServiceRequest?{asked}")
    assert [survivor] == shared_server.found(f"Patient?identifier=M100&_has:ServiceRequest:patient:_id={order['id']}")
    eventually("the worklist shows the survivor", lambda: shown(shared_server, accession) == {("M200", "Merged^Maria")})
    told = shared_server.found(f"AuditEvent?patient={prior['id']}&subtype=A40")
    assert [event["entity"][0]["what"]["reference"] for event in told]


def test_a_visit_is_found_by_fhir_from_its_admission_to_its_end(shared_server: RealServer) -> None:
    patient = pid("M500", "Visit^Vera")
    pv1 = "PV1|1|I|W5^12^A||||A1^Attending^Anna||||||||||||V500^^^HOSP^VN"
    course = []
    for event in ("A05", "A01", "A03", "A13", "A11"):
        sent = message(header(f"ADT^{event}"), f"EVN|{event}|20261121093000", patient, pv1)
        assert shared_server.send(sent).get("MSA-1") == "AA"
        (visit,) = shared_server.found("Encounter?identifier=V500")
        course.append((visit["status"], sorted(visit.get("period", {}))))
    assert course == [
        ("planned", []),
        ("in-progress", ["start"]),
        ("finished", ["end", "start"]),
        ("in-progress", ["start"]),
        ("cancelled", ["start"]),
    ]
    assert visit["class"]["code"] == "IMP"
    assert visit["participant"][0]["individual"]["display"] == "Anna Attending"
    assert [visit] == shared_server.found(f"Encounter?patient={visit['subject']['reference']}&status=cancelled")


def test_a_merge_of_an_unknown_prior_is_accepted_and_told(shared_server: RealServer) -> None:
    merge = message(header("ADT^A40^ADT_A39"), "EVN||20261121", pid("M300"), "MRG|M299^^^HOSP^MR")
    answer = shared_server.send(merge)
    assert (answer.get("MSA-1"), answer.get("ERR-4"), answer.get("ERR-2")) == ("AA", "W", "MRG^1^1^1")
    again = shared_server.send(message(header("ADT^A40^ADT_A39"), "EVN||20261121", pid("M300"), "MRG|M299^^^HOSP^MR"))
    assert (again.get("MSA-1"), again.get("ERR-4")) == ("AA", "")


def test_a_corrected_number_is_seen_by_the_modality(shared_server: RealServer) -> None:
    assert shared_server.send(orm(placer="RENUM1", patient=pid("M400"))).get("MSA-1") == "AA"
    accession = accession_of(shared_server.order("RENUM1"))
    eventually("the order is planned", lambda: shown(shared_server, accession) == {("M400", "Merged^Maria")})
    change = message(header("ADT^A47^ADT_A30"), "EVN||20261121", pid("M401"), "MRG|M400^^^HOSP^MR")
    assert shared_server.send(change).get("MSA-1") == "AA"
    eventually("the worklist shows the number", lambda: shown(shared_server, accession) == {("M401", "Merged^Maria")})
