"""What stands in worklist items besides order and patient: read for each item, and followed when it changes."""

from __future__ import annotations

from typing import Any

import pytest

from interop.fhir.validation import validate
from interop.store import PlannedRow, Store, WorklistFilter
from interop.workflow.planned_items import planned_items, read_planned
from tests.hl7_messages import header, message, orm
from tests.hospital import Hospital, an_order
from tests.orders import PREGNANT, concept, kilograms, measured

Resource = dict[str, Any]
STEP = "ScheduledProcedureStepSequence"


@pytest.fixture
def hospital(store: Store) -> Hospital:
    return Hospital(store)


async def items(hospital: Hospital, id: str) -> tuple[Resource, ...]:
    """The items as our own provider makes them of what it has not seen yet in this version."""
    found = await hospital.store.view(lambda tx: read_planned(tx, hospital.site, id))
    return planned_items(found, hospital.site) if found else ()


async def versions(hospital: Hospital) -> list[PlannedRow]:
    return await hospital.store.view(lambda tx: tx.planned(WorklistFilter()))


async def placed(hospital: Hospital, subject: str, **more: Any) -> str:
    """An order that has been shown already."""
    stored = await hospital.post(an_order(subject, **more))
    await hospital.jobs("worklist")
    return stored.id


async def followed(hospital: Hospital, before: list[PlannedRow]) -> list[str]:
    """The orders whose items are owed anew; our own provider is told of just these."""
    owed = sorted(payload["order"] for payload in await hospital.jobs("worklist"))
    after = {row.id: row for row in await versions(hospital)}
    assert sorted(row.id for row in before if after[row.id] != row) == owed
    return owed


async def test_a_weight_that_comes_later_is_shown(hospital: Hospital) -> None:
    subject, other = await hospital.patient(), await hospital.patient("200")
    id = await placed(hospital, subject)
    await placed(hospital, other, placer="P2")
    before = await versions(hospital)
    weight = measured("29463-7", kilograms("82.5")) | {"subject": {"reference": subject}}
    stored = await hospital.post(weight)
    assert await followed(hospital, before) == [id]
    assert (await items(hospital, id))[0]["PatientWeight"] == "82.5"
    before = await versions(hospital)
    await hospital.put({**weight, "id": stored.id, **kilograms("85")})
    assert await followed(hospital, before) == [id]
    assert (await items(hospital, id))[0]["PatientWeight"] == "85"
    before = await versions(hospital)
    await hospital.delete("Observation", stored.id)
    assert await followed(hospital, before) == [id]
    assert (await items(hospital, id))[0]["PatientWeight"] is None


async def test_a_measurement_that_no_item_shows_is_followed_by_nothing(hospital: Hospital) -> None:
    subject = await hospital.patient()
    await placed(hospital, subject)
    before = await versions(hospital)
    await hospital.post(measured("2160-0", kilograms("1.2", "mg/dL")) | {"subject": {"reference": subject}})
    assert await followed(hospital, before) == []


async def test_one_that_turns_out_to_be_another_patient_s_leaves_the_first(hospital: Hospital) -> None:
    one, other = await hospital.patient(), await hospital.patient("200")
    first, second = await placed(hospital, one), await placed(hospital, other, placer="P2")
    status = measured("82810-3", PREGNANT) | {"subject": {"reference": one}}
    stored = await hospital.post(status)
    assert (await items(hospital, first))[0]["PregnancyStatus"] == 3
    await hospital.jobs("worklist")
    before = await versions(hospital)
    await hospital.put({**status, "id": stored.id, "subject": {"reference": other}})
    assert await followed(hospital, before) == sorted([first, second])
    assert (await items(hospital, first))[0]["PregnancyStatus"] is None
    assert (await items(hospital, second))[0]["PregnancyStatus"] == 3


async def test_allergies_and_flags_are_shown_while_they_hold(hospital: Hospital) -> None:
    subject = await hospital.patient()
    id = await placed(hospital, subject)
    of = {"patient": {"reference": subject}}
    active = concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active")
    told = {"resourceType": "AllergyIntolerance", "clinicalStatus": active, "code": {"text": "Iodine"}, **of}
    allergy = await hospital.post(told)
    flag = {"resourceType": "Flag", "status": "active", "subject": of["patient"], "code": {"text": "Pacemaker"}}
    flagged = await hospital.post(flag)
    shown = (await items(hospital, id))[0]
    assert (shown["Allergies"], shown["MedicalAlerts"]) == (["Iodine"], ["Pacemaker"])
    await hospital.jobs("worklist")
    before = await versions(hospital)
    await hospital.put({**flag, "id": flagged.id, "status": "inactive"})
    await hospital.delete("AllergyIntolerance", allergy.id)
    assert await followed(hospital, before) == [id]
    shown = (await items(hospital, id))[0]
    assert (shown["Allergies"], shown["MedicalAlerts"]) == (None, None)


async def test_who_asked_is_shown_by_the_name_of_today(hospital: Hospital) -> None:
    person = {"resourceType": "Practitioner", "name": [{"family": "Before"}]}
    ward = {"resourceType": "Organization", "name": "Ward 1"}
    who, where = await hospital.post(person), await hospital.post(ward)
    role = {"resourceType": "PractitionerRole"}
    role |= {"practitioner": {"reference": who.reference}, "organization": {"reference": where.reference}}
    requester = {"reference": (await hospital.post(role)).reference}
    id = await placed(hospital, await hospital.patient(), requester=requester)
    shown = (await items(hospital, id))[0]
    assert (shown["RequestingPhysician"], shown["RequestingService"]) == ("Before", "Ward 1")
    before = await versions(hospital)
    await hospital.put({**person, "id": who.id, "name": [{"family": "After"}]})
    await hospital.put({**ward, "id": where.id, "name": "Ward 2"})
    assert await followed(hospital, before) == [id]
    shown = (await items(hospital, id))[0]
    assert (shown["RequestingPhysician"], shown["RequestingService"]) == ("After", "Ward 2")


async def test_a_place_that_is_called_otherwise_chooses_another_station(hospital: Hospital) -> None:
    room = {"resourceType": "Location", "name": "somewhere"}
    stored = await hospital.post(room)
    id = await placed(hospital, await hospital.patient(), locationReference=[{"reference": stored.reference}])
    assert [item[STEP][0]["ScheduledStationAETitle"] for item in await items(hospital, id)] == ["CT1", "CT2"]
    before = await versions(hospital)
    await hospital.put({**room, "id": stored.id, "alias": ["CT2"]})
    assert await followed(hospital, before) == [id]
    (only,) = await items(hospital, id)
    assert only[STEP][0]["ScheduledStationAETitle"] == "CT2"
    assert only[STEP][0]["ScheduledProcedureStepLocation"] == "somewhere"


async def test_the_visit_is_that_of_the_patient_and_moves_with_them(hospital: Hospital) -> None:
    subject, other = await hospital.patient(), await hospital.patient("200")
    visit = {"resourceType": "Encounter", "status": "in-progress", "class": {"code": "IMP"}}
    visit |= {"subject": {"reference": subject}, "identifier": [{"system": "urn:oid:1.2.3", "value": "V1"}]}
    visit |= {"location": [{"location": {"display": "WARD1"}}]}
    stored = await hospital.post(visit)
    id = await placed(hospital, subject, encounter={"reference": stored.reference})
    foreign = await placed(hospital, other, placer="P2", encounter={"reference": stored.reference})
    shown = (await items(hospital, id))[0]
    assert (shown["AdmissionID"], shown["CurrentPatientLocation"]) == ("V1", "WARD1")
    assert (await items(hospital, foreign))[0]["AdmissionID"] is None
    before = await versions(hospital)
    left = {"location": {"display": "WARD1"}, "status": "completed"}
    ward = {"resourceType": "Location", "name": "WARD2"}
    moved = await hospital.post(ward)
    there = {"location": {"reference": moved.reference}, "status": "active"}
    await hospital.put({**visit, "id": stored.id, "location": [left, there]})
    assert await followed(hospital, before) == [id]
    assert (await items(hospital, id))[0]["CurrentPatientLocation"] == "WARD2"
    before = await versions(hospital)
    await hospital.put({**ward, "id": moved.id, "name": "ICU"})
    assert await followed(hospital, before) == [id]
    assert (await items(hospital, id))[0]["CurrentPatientLocation"] == "ICU"


def adt(event: str, place: str) -> bytes:
    pid = "PID|1||100234^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M"
    return message(header(f"ADT^{event}"), pid, f"PV1|1|I|{place}||||||||||||||||V9^^^HOSP")


async def test_a_transfer_told_by_adt_is_shown_to_orders_that_name_the_visit(hospital: Hospital) -> None:
    await hospital.send(adt("A01", "W3^12^B"))
    (patient,) = await hospital.found("Patient", None, "100234")
    (visit,) = await hospital.found("Encounter", None, "V9")
    number = {"identifier": visit["identifier"][0], "display": "as the order says"}
    id = await placed(hospital, f"Patient/{patient['id']}", encounter=number)
    assert (await items(hospital, id))[0]["CurrentPatientLocation"] == "W3 12 B"
    before = await versions(hospital)
    await hospital.send(adt("A02", "ICU^1^A"))
    assert await followed(hospital, before) == [id]
    assert (await items(hospital, id))[0]["CurrentPatientLocation"] == "ICU 1 A"


async def test_a_reason_by_reference_is_told_in_words(hospital: Hospital) -> None:
    subject = await hospital.patient()
    reason = {"resourceType": "Condition", "subject": {"reference": subject}, "code": {"text": "Fall"}}
    stored = await hospital.post(reason)
    id = await placed(hospital, subject, reasonReference=[{"reference": stored.reference}])
    assert (await items(hospital, id))[0]["ReasonForTheRequestedProcedure"] == "Fall"
    before = await versions(hospital)
    await hospital.put({**reason, "id": stored.id, "code": {"text": "Fracture"}})
    assert await followed(hospital, before) == [id]
    assert (await items(hospital, id))[0]["ReasonForTheRequestedProcedure"] == "Fracture"


def with_measurements(control: str, *obx: str, history: str = "") -> bytes:
    raw = orm(control).decode().rstrip("\r").split("\r")
    fields = raw[-1].split("|")
    fields[13] = history
    return message(*raw[:-1], "|".join(fields), *obx)


WEIGHT, HEIGHT = "OBX|1|NM|29463-7^Weight^LN||80|kg|||||F", "OBX|2|NM|BODY HEIGHT||172|cm|||||F"


async def test_a_change_replaces_the_measurements_that_it_tells_and_no_other(hospital: Hospital) -> None:
    id = (await hospital.send(with_measurements("NW", WEIGHT, HEIGHT, history="asthma"))).orders[0]
    await hospital.send(with_measurements("XO", WEIGHT.replace("80", "83")))
    shown = (await items(hospital, id))[0]
    assert (shown["PatientWeight"], shown["PatientSize"], shown["MedicalAlerts"]) == ("83", "1.72", ["asthma"])
    await hospital.send(with_measurements("XO", history="asthma, diabetes"))
    shown = (await items(hospital, id))[0]
    assert (shown["PatientWeight"], shown["PatientSize"]) == ("83", "1.72")
    assert shown["MedicalAlerts"] == ["asthma, diabetes"]
    order = await hospital.get("ServiceRequest", id)
    validate(order)
    assert sorted(one["id"] for one in order["contained"]) == ["observation-29463-7", "observation-BODY-HEIGHT"]


async def test_the_same_question_asked_twice_is_two_observations(hospital: Hospital) -> None:
    twice = (WEIGHT, HEIGHT, WEIGHT.replace("OBX|1", "OBX|3").replace("80", "81"))
    id = (await hospital.send(with_measurements("NW", *twice))).orders[0]
    order = await hospital.get("ServiceRequest", id)
    validate(order)
    assert [one["id"] for one in order["contained"]][::2] == ["observation-29463-7", "observation-29463-7-2"]


async def test_a_measurement_of_an_order_needs_no_status(hospital: Hospital) -> None:
    id = (await hospital.send(with_measurements("NW", "OBX|1|NM|BODY WEIGHT||80|kg"))).orders[0]
    assert (await items(hospital, id))[0]["PatientWeight"] == "80"
    wrong = "OBX|1|NM|BODY WEIGHT||800|kg|||||W"
    await hospital.send(with_measurements("XO", wrong))
    assert (await items(hospital, id))[0]["PatientWeight"] is None


async def test_a_document_that_comes_with_an_order_is_said_to_be_left_out(hospital: Hospital) -> None:
    document = "OBX|2|ED|PDF^Referral^L||^application^pdf^Base64^JVBERi0=||||||F"
    reply = await hospital.send(with_measurements("NW", WEIGHT, document))
    assert reply.code == "AA"
    assert [(issue.code, issue.location) for issue in reply.issues] == [("not-supported", "OBX[2]-5")]
    order = await hospital.get("ServiceRequest", reply.orders[0])
    assert [one["id"] for one in order["contained"]] == ["observation-29463-7"]
