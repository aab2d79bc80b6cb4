"""Reports are filed, linked to order and study, and a final one completes the order."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from interop.errors import InvalidContentError
from interop.hl7.message import parse
from interop.store import Store
from tests.hl7_messages import PATIENT, orm, oru
from tests.hospital import Hospital, Resource, a_report, an_order, images_of
from tests.sites import EMR, RIS, a_site

PDF = base64.b64encode(b"%PDF-1.4 a report").decode()


async def _reports(hospital: Hospital, placer: str = "P1") -> list[Resource]:
    return await hospital.found("DiagnosticReport", "urn:interop:ns:HOSP:RIS", placer)


async def test_a_final_report_completes_its_order(hospital: Hospital) -> None:
    id = (await hospital.send(orm())).orders[0]
    await hospital.send(oru("P"))
    assert (await hospital.row(id)).status == "active"
    await hospital.send(oru("F"))
    row = await hospital.row(id)
    assert (row.status, row.step) == ("completed", "reported")


async def test_a_report_carries_its_text_its_values_and_its_pdf(hospital: Hospital) -> None:
    id = (await hospital.send(orm())).orders[0]
    await hospital.send(oru(extra=(f"OBX|3|ED|PDF^Report^L||^application^pdf^Base64^{PDF}||||||F",)))
    (report,) = await _reports(hospital)
    assert report["basedOn"] == [{"reference": f"ServiceRequest/{id}"}]
    assert report["presentedForm"][0]["data"] == PDF
    results = [await hospital.get("Observation", item["reference"].split("/")[1]) for item in report["result"]]
    assert [one.get("valueString") or str(one["valueQuantity"]["value"]) for one in results] == ["No embolism.", "72"]
    assert {one["subject"]["reference"] for one in results} == {report["subject"]["reference"]}


async def test_a_corrected_report_is_a_new_version_of_the_same(hospital: Hospital) -> None:
    await hospital.send(orm())
    await hospital.send(oru("F"))
    (first,) = await _reports(hospital)
    await hospital.send(oru("C", text="Embolism."))
    (after,) = await _reports(hospital)
    assert (after["id"], after["meta"]["versionId"], after["status"]) == (first["id"], "2", "corrected")
    assert [item["reference"] for item in after["result"]] == [item["reference"] for item in first["result"]]
    finding = await hospital.get("Observation", after["result"][0]["reference"].split("/")[1])
    assert (finding["valueString"], finding["meta"]["versionId"]) == ("Embolism.", "2")


async def test_results_that_a_correction_no_longer_has_are_marked_in_error(hospital: Hospital) -> None:
    await hospital.send(oru("F", extra=("OBX|3|NM|8302-2^Height^LN||180|cm^cm^UCUM|||||F",)))
    (first,) = await _reports(hospital)
    await hospital.send(oru("C"))
    (after,) = await _reports(hospital)
    assert len(after["result"]) == 2
    left = await hospital.get("Observation", first["result"][2]["reference"].split("/")[1])
    assert left["status"] == "entered-in-error"


async def test_a_late_preliminary_report_does_not_undo_a_final_one(hospital: Hospital) -> None:
    await hospital.send(orm())
    await hospital.send(oru("F"))
    reply = await hospital.send(oru("P", text="Perhaps."))
    (report,) = await _reports(hospital)
    assert (reply.code, report["status"]) == ("AA", "final")
    assert reply.issues[0].severity == "warning"


async def test_two_procedures_under_one_number_are_two_reports(hospital: Hospital) -> None:
    await hospital.send(orm())
    await hospital.send(oru())
    await hospital.send(oru(code="CTAB^CT abdomen^L"))
    assert len(await _reports(hospital)) == 2


async def test_a_report_without_an_order_is_filed_unlinked_and_says_so(hospital: Hospital) -> None:
    reply = await hospital.send(oru(placer="NEVER"))
    (report,) = await _reports(hospital, "NEVER")
    assert (reply.code, "basedOn" in report) == ("AA", False)
    assert [(issue.severity, issue.code) for issue in reply.issues] == [("warning", "not-found")]
    assert b"ERR||OBR^1^2" in reply.ack


async def test_a_report_on_another_patients_order_is_filed_unlinked(hospital: Hospital) -> None:
    id = (await hospital.send(orm())).orders[0]
    reply = await hospital.send(oru(patient="PID|1||2^^^HOSP||OTHER^ONE||19800101|F"))
    (report,) = await _reports(hospital)
    assert ("basedOn" in report, reply.issues[0].severity) == (False, "warning")
    assert (await hospital.row(id)).status == "active"


async def test_an_order_is_found_by_the_accession_number_alone(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient(), None))
    row = await hospital.row(stored.id)
    assert row.accession is not None
    raw = oru(placer="", filler="F3").decode()
    obr = next(line for line in raw.split("\r") if line.startswith("OBR"))
    fields = obr.split("|")
    fields[18] = row.accession.value
    await hospital.send(raw.replace(obr, "|".join(fields)).encode())
    assert (await hospital.row(stored.id)).step == "reported"


async def test_report_and_study_are_linked_whichever_came_first(hospital: Hospital) -> None:
    one = await hospital.row((await hospital.send(orm())).orders[0])
    study = await hospital.register(images_of(one, 1, quiet=True))
    await hospital.send(oru())
    (report,) = await _reports(hospital)
    assert report["imagingStudy"] == [{"reference": study.stored.reference}]
    two = await hospital.row((await hospital.send(orm(placer="P2"))).orders[0])
    await hospital.send(oru(placer="P2"))
    study = await hospital.register(images_of(two, 1, quiet=True))
    (report,) = await _reports(hospital, "P2")
    assert report["imagingStudy"] == [{"reference": study.stored.reference}]


async def test_a_posted_report_completes_its_order_and_is_linked_to_its_study(hospital: Hospital) -> None:
    patient = await hospital.patient()
    order = await hospital.post(an_order(patient))
    study = await hospital.register(images_of(await hospital.row(order.id), 1, quiet=True))
    report = await hospital.post(a_report(patient, order.reference))
    assert report.resource()["imagingStudy"] == [{"reference": study.stored.reference}]
    assert (await hospital.row(order.id)).step == "reported"


async def test_a_posted_report_is_told_to_those_who_take_reports(store: Store) -> None:
    told = Hospital(store, a_site(RIS, EMR))
    patient = await told.patient()
    order = await told.post(an_order(patient))
    report = await told.post(a_report(patient, order.reference))
    await told.put({**report.resource(), "status": "corrected", "conclusion": "Embolism."})
    messages = [row for row in await told.outgoing() if row.type == "ORU^R01"]
    assert [(row.peer, row.order_id) for row in messages] == [("EMR", order.id)] * 2
    assert [parse(row.raw).get("OBR-25") for row in messages] == ["F", "C"]
    assert [row.type for row in await told.outgoing() if row.peer == "RIS"] == ["ORM^O01"]  # no SC beside the report


async def test_a_report_is_not_told_to_the_ris_it_came_from(store: Store) -> None:
    ris = replace(RIS, types=frozenset({"ORU^R01"}))
    told = Hospital(store, a_site(ris, EMR))
    await told.send(orm())
    await told.send(oru())
    assert [row.peer for row in await told.outgoing()] == ["EMR"]


async def test_a_report_that_is_sent_again_is_told_once(store: Store) -> None:
    told = Hospital(store, a_site(EMR))
    await told.send(oru())
    await told.send(oru())
    assert len(await told.outgoing()) == 1


async def test_a_posted_report_of_another_patient_is_refused(hospital: Hospital) -> None:
    order = await hospital.post(an_order(await hospital.patient()))
    with pytest.raises(InvalidContentError, match="another patient"):
        await hospital.post(a_report(await hospital.patient("2"), order.reference))


async def test_a_final_report_is_not_put_back_to_preliminary(hospital: Hospital) -> None:
    patient = await hospital.patient()
    report = await hospital.post(a_report(patient, None))
    with pytest.raises(InvalidContentError):
        await hospital.put({**report.resource(), "status": "preliminary"})


async def test_a_report_needs_a_patient(hospital: Hospital) -> None:
    raw = oru().decode().replace(PATIENT, "PID|1||||").encode()
    assert (await hospital.send(raw)).code == "AE"
