"""One patient for each (authority, number); orders and reports never overwrite one."""

from __future__ import annotations

import pytest

from interop.errors import ConflictError, DuplicateError
from tests.hl7_messages import adt, orm, oru
from tests.hospital import MR, Hospital, a_patient, an_order

ARC = "PID|1||100234^^^HOSP^MR~A77^^^ARC||Παπαδόπουλος^Νίκος||19670321|M"


async def test_an_admission_makes_a_patient_and_an_update_changes_it(hospital: Hospital) -> None:
    await hospital.send(adt("A04"))
    await hospital.send(adt("A08", patient="PID|1||100234^^^HOSP^MR||Παπαδοπούλου^Νίκη||19670321|F"))
    (patient,) = await hospital.found("Patient", MR, "100234")
    assert (patient["name"][0]["family"], patient["gender"]) == ("Παπαδοπούλου", "female")


async def test_an_update_leaves_what_it_does_not_speak_of(hospital: Hospital) -> None:
    stored = await hospital.post(a_patient(telecom=[{"system": "phone", "value": "1"}]))
    await hospital.send(adt("A08", patient="PID|1||100234^^^HOSP^MR||Παπαδόπουλος^Νίκος"))
    after = await hospital.get("Patient", stored.id)
    assert after["telecom"] == [{"system": "phone", "value": "1"}]
    assert after["birthDate"] == "1967-03-21"


async def test_an_update_empties_what_the_sender_deletes(hospital: Hospital) -> None:
    stored = await hospital.post(a_patient())
    await hospital.send(adt("A08", patient='PID|1||100234^^^HOSP^MR||Παπαδόπουλος^Νίκος||""|M'))
    assert "birthDate" not in await hospital.get("Patient", stored.id)


async def test_an_order_fills_blanks_and_reports_differences(hospital: Hospital) -> None:
    stored = await hospital.post({key: value for key, value in a_patient().items() if key != "gender"})
    reply = await hospital.send(orm(patient="PID|1||100234^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670322|M"))
    after = await hospital.get("Patient", stored.id)
    assert (after["gender"], after["birthDate"]) == ("male", "1967-03-21")
    assert [(issue.severity, issue.location) for issue in reply.issues] == [("warning", "PID-7")]
    assert reply.code == "AA"


async def test_a_report_changes_no_demographics(hospital: Hospital) -> None:
    stored = await hospital.post(a_patient())
    await hospital.send(oru(patient="PID|1||100234^^^HOSP^MR||SOMEBODY^ELSE||19670321|M"))
    assert (await hospital.get("Patient", stored.id))["name"] == a_patient()["name"]


async def test_a_patient_is_found_by_either_of_its_numbers(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=ARC))
    reply = await hospital.send(orm(patient="PID|1||A77^^^ARC||Παπαδόπουλος^Νίκος||19670321|M"))
    (patient,) = await hospital.found("Patient", MR, "100234")
    assert (await hospital.row(reply.orders[0])).patient_id == patient["id"]


async def test_numbers_of_two_patients_in_one_message_are_refused(hospital: Hospital) -> None:
    await hospital.send(adt("A04"))
    await hospital.send(adt("A04", patient="PID|1||A77^^^ARC||OTHER^ONE||19800101|F"))
    reply = await hospital.send(orm(patient=ARC))
    assert (reply.code, reply.issues[0].location) == ("AR", "PID-3")


async def test_a_message_without_a_patient_number_is_refused(hospital: Hospital) -> None:
    reply = await hospital.send(orm(patient="PID|1||||NOBODY"))
    assert (reply.code, reply.issues[0].location, reply.issues[0].hl7_code) == ("AE", "PID-3", "101")


async def test_a_patient_posted_under_a_taken_number_is_refused_and_named(hospital: Hospital) -> None:
    stored = await hospital.post(a_patient())
    with pytest.raises(DuplicateError, match=stored.id) as refused:
        await hospital.post(a_patient(name=[{"family": "Other"}]))
    assert (refused.value.status, refused.value.issues[0].expression) == (409, ("Patient.identifier[0]",))
    other = await hospital.post(a_patient("2"))
    with pytest.raises(DuplicateError):
        await hospital.put({**other.resource(), "identifier": [{"system": MR, "value": "100234"}]})
    assert (await hospital.put({**stored.resource(), "gender": "other"})).version == 2


async def test_patients_without_a_number_are_fhirs_to_allow(hospital: Hospital) -> None:
    one = await hospital.post({"resourceType": "Patient", "name": [{"text": "?"}]})
    two = await hospital.post({"resourceType": "Patient", "name": [{"text": "?"}]})
    assert one.id != two.id


async def test_a_patient_with_orders_is_not_deleted(hospital: Hospital) -> None:
    patient = await hospital.patient()
    order = await hospital.post(an_order(patient))
    with pytest.raises(ConflictError, match=order.id) as refused:
        await hospital.delete("Patient", patient.removeprefix("Patient/"))
    assert refused.value.status == 409
    lonely = await hospital.post(a_patient("2"))
    assert (await hospital.delete("Patient", lonely.id)).deleted


@pytest.mark.parametrize("door", ["fhir", "hl7"])
async def test_new_demographics_reach_the_worklist(hospital: Hospital, door: str) -> None:
    patient = await hospital.patient()
    order = await hospital.post(an_order(patient))
    done = await hospital.post(an_order(patient, "P2"))
    await hospital.put({**done.resource(), "status": "revoked"})
    await hospital.jobs("worklist")
    if door == "hl7":
        await hospital.send(adt("A08", patient="PID|1||100234^^^HOSP^MR||Παπαδόπουλος^Νικόλαος||19670321|M"))
    else:
        stored = await hospital.get("Patient", patient.removeprefix("Patient/"))
        await hospital.put({**stored, "name": [{"family": "Παπαδόπουλος", "given": ["Νικόλαος"]}]})
    assert await hospital.jobs("worklist") == [{"order": order.id}]
