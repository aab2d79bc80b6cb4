"""A24 links two patients, A37 takes a link away or a merge back; where it cannot, it says why and changes nothing."""

from __future__ import annotations

import pytest

from interop.access.agent import system_agent
from interop.fhir.query import Query
from interop.fhir.search import parse_query
from interop.fhir.validation import validate
from tests.hl7_messages import adt, header, message, orm, oru
from tests.hospital import MR, Hospital, Resource, a_patient, images_of

PRIOR = "PID|1||100^^^HOSP^MR||Papadopoulos^Nick||19670321|M"
STAYS = "PID|1||200^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M"
TYPES = ("ServiceRequest", "ImagingStudy", "DiagnosticReport", "Observation")


def pair(event: str, one: str = STAYS, other: str = PRIOR) -> bytes:
    """An A24 or A37."""
    return message(header(f"ADT^{event}^ADT_{event}"), f"EVN|{event}|20261120101500", one, other)


def merging(survivor: str = "200", prior: str = "100") -> bytes:
    """An A40."""
    pid = f"PID|1||{survivor}^^^HOSP^MR"
    return message(header("ADT^A40^ADT_A39"), "EVN|A40|20261120101500", pid, f"MRG|{prior}^^^HOSP^MR")


async def one(hospital: Hospital, number: str) -> Resource:
    """The one patient with that number."""
    (found,) = await hospital.found("Patient", MR, number)
    return found


async def about(hospital: Hospital, type: str, patient: Resource) -> list[str]:
    """The ids of what is about that patient."""
    found = await hospital.store.view(lambda tx: tx.referrers("Patient", patient["id"], limit=1000))
    return sorted(id for type_, id in found if type_ == type)  # a search would be led on to the survivor


def said(patient: Resource) -> Resource:
    """A patient without its version."""
    return {name: value for name, value in patient.items() if name != "meta"}


async def test_a_link_is_on_both_and_an_unlinking_takes_it_away(hospital: Hospital) -> None:
    reply = await hospital.send(pair("A24"))
    assert (reply.code, reply.issues) == ("AA", ())
    first, second = await one(hospital, "200"), await one(hospital, "100")
    for each, other in ((first, second), (second, first)):
        validate(each)
        assert each["link"] == [{"other": {"reference": f"Patient/{other['id']}"}, "type": "seealso"}]
    query = parse_query("Patient", [("link", f"Patient/{first['id']}")], hospital.site.zone)
    assert [row.id for row in await hospital.store.view(lambda tx: tx.search(query).rows)] == [second["id"]]
    version = first["meta"]["versionId"]
    await hospital.send(pair("A24"))
    assert (await one(hospital, "200"))["meta"]["versionId"] == version
    assert (await hospital.send(pair("A37"))).code == "AA"
    assert "link" not in await one(hospital, "200")
    assert "link" not in await one(hospital, "100")


async def test_a_link_is_audited_for_both(hospital: Hospital) -> None:
    await hospital.send(pair("A24"))
    for number in ("100", "200"):
        patient = f"Patient/{(await one(hospital, number))['id']}"
        query = parse_query("AuditEvent", [("patient", patient), ("subtype", "A24")], hospital.site.zone)
        assert await hospital.store.view(lambda tx, query=query: tx.search(query).rows)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (pair("A37"), ("AR", "PID[2]-3", "are not linked")),
        (pair("A37", other="PID|1||999^^^HOSP^MR"), ("AE", "PID[2]-3", "no patient has this number")),
        (pair("A37", one="PID|1||999^^^HOSP^MR"), ("AE", "PID-3", "no patient has this number")),
        (pair("A37", other=STAYS), ("AR", "PID[2]-3", "no merge on record")),
        (message(header("ADT^A24"), STAYS), ("AE", "PID", "two PIDs")),
        (message(header("ADT^A24"), STAYS, PRIOR, PRIOR), ("AE", "PID[3]", "two PIDs")),
    ],
    ids=["not linked", "nobody", "nobody first", "the same", "one", "three"],
)
async def test_what_cannot_be_linked_is_refused(hospital: Hospital, raw: bytes, answer: tuple[str, str, str]) -> None:
    await hospital.send(adt("A04", patient=STAYS))
    await hospital.send(adt("A04", patient=PRIOR))
    before = [await one(hospital, number) for number in ("100", "200")]
    reply = await hospital.send(raw)
    assert (reply.code, reply.issues[0].location) == answer[:2]
    assert answer[2] in reply.issues[0].text
    assert [await one(hospital, number) for number in ("100", "200")] == before


async def merged(hospital: Hospital) -> tuple[Resource, Resource, dict[str, list[str]]]:
    """Two patients with an order, images and a report of the prior one, merged: both as they were, and what moved."""
    placed = await hospital.send(orm(patient=PRIOR))
    row = await hospital.row(placed.orders[0])
    await hospital.register(images_of(row, 1, 2, patient_id="100"))
    await hospital.send(oru(patient=PRIOR))
    await hospital.send(orm(patient=PRIOR, placer="WAITS", id="W1"))
    await hospital.send(orm(patient=STAYS, placer="OWN", id="W2"))
    prior, stays = await one(hospital, "100"), await one(hospital, "200")
    moved = {type: await about(hospital, type, prior) for type in TYPES}
    assert (await hospital.send(merging())).code == "AA"
    assert await about(hospital, "ServiceRequest", prior) == []
    return prior, stays, moved


@pytest.mark.parametrize("turned", [False, True])
async def test_a_merge_is_taken_back(hospital: Hospital, turned: bool) -> None:
    prior, stays, moved = await merged(hospital)
    await hospital.jobs("worklist")
    reply = await hospital.send(pair("A37", *((PRIOR, STAYS) if turned else (STAYS, PRIOR))))
    assert (reply.code, reply.issues) == ("AA", ())
    assert said(await one(hospital, "100")) == said(prior)
    assert said(await one(hospital, "200")) == said(stays)
    for type in TYPES:
        assert await about(hospital, type, prior) == moved[type], type
    (waiting,) = await hospital.found("ServiceRequest", None, "WAITS")
    assert (await hospital.row(waiting["id"])).patient_id == prior["id"]
    assert {"order": waiting["id"]} in await hospital.jobs("worklist")
    (own,) = await hospital.found("ServiceRequest", None, "OWN")
    assert own["subject"]["reference"] == f"Patient/{stays['id']}"
    again = await hospital.send(pair("A37"))
    assert (again.code, "are not linked" in again.issues[0].text) == ("AR", True)


async def test_what_came_since_goes_with_its_order_else_stays_and_is_named(hospital: Hospital) -> None:
    prior, stays, moved = await merged(hospital)
    await hospital.send(oru(patient=PRIOR, placer="WAITS", id="L1"))
    late = await hospital.send(orm(patient=PRIOR, placer="LATE", id="L2"))
    reply = await hospital.send(pair("A37"))
    assert reply.code == "AA"
    assert [issue.severity for issue in reply.issues] == ["warning"]
    assert f"ServiceRequest/{late.orders[0]}" in reply.issues[0].text
    assert len(await about(hospital, "DiagnosticReport", prior)) == len(moved["DiagnosticReport"]) + 1
    assert len(await about(hospital, "Observation", prior)) == 2 * len(moved["Observation"])
    assert late.orders[0] in await about(hospital, "ServiceRequest", stays)


async def test_a_number_that_became_the_survivors_own_is_for_a_person_to_look_at(hospital: Hospital) -> None:
    await merged(hospital)
    survivor = await one(hospital, "200")
    numbers = [{k: v for k, v in item.items() if k != "use"} for item in survivor["identifier"]]
    await hospital.put({**survivor, "identifier": numbers})
    reply = await hospital.send(pair("A37"))
    assert (reply.code, "as its own now" in reply.issues[0].text) == ("AR", True)
    assert (await one(hospital, "100"))["id"] == survivor["id"]


async def test_a_merge_into_somebody_merged_since_is_not_guessed_at(hospital: Hospital) -> None:
    await merged(hospital)
    await hospital.send(merging("300", "200"))
    third = "PID|1||300^^^HOSP^MR"
    reply = await hospital.send(pair("A37", third, PRIOR))
    assert (reply.code, "no merge on record made them so" in reply.issues[0].text) == ("AR", True)
    assert (await hospital.send(pair("A37", third, STAYS))).code == "AA"
    assert (await hospital.send(pair("A37", STAYS, PRIOR))).code == "AA"
    assert len({(await one(hospital, number))["id"] for number in ("100", "200", "300")}) == 3


async def test_a_merge_without_evidence_is_not_guessed_at(hospital: Hospital) -> None:
    prior, _, _ = await merged(hospital)
    await hospital.store.unit(system_agent("t"), lambda tx: tx.set_state(f"merged:{prior['id']}", None))
    reply = await hospital.send(pair("A37"))
    assert (reply.code, "not on record, a person has to look" in reply.issues[0].text) == ("AR", True)


async def test_what_the_survivor_had_from_the_prior_goes_back_unless_it_changed(hospital: Hospital) -> None:
    await hospital.post(a_patient("100", address=[{"city": "Lefkosia"}], telecom=[{"system": "phone", "value": "1"}]))
    await hospital.post({**a_patient("200")})
    await hospital.send(merging())
    survivor = await one(hospital, "200")
    assert survivor["address"] == [{"city": "Lefkosia"}]
    await hospital.put({**survivor, "telecom": [{"system": "phone", "value": "2"}]})
    assert (await hospital.send(pair("A37", "PID|1||200^^^HOSP^MR", "PID|1||100^^^HOSP^MR"))).code == "AA"
    survivor = await one(hospital, "200")
    assert "address" not in survivor
    assert survivor["telecom"] == [{"system": "phone", "value": "2"}]
    assert len(await hospital.store.view(lambda tx: tx.search(Query("Patient")).rows)) == 2


async def test_a_merge_by_a_fhir_client_is_taken_back_too(hospital: Hospital) -> None:
    prior = (await hospital.post(a_patient("100"))).resource()
    stays = (await hospital.post(a_patient("200"))).resource()
    placed = await hospital.send(orm(patient=PRIOR))
    replaced = {"other": {"reference": f"Patient/{stays['id']}"}, "type": "replaced-by"}
    await hospital.put({**prior, "link": [replaced]})
    assert (await hospital.row(placed.orders[0])).patient_id == stays["id"]
    assert (await hospital.send(pair("A37"))).code == "AA"
    assert (await hospital.row(placed.orders[0])).patient_id == prior["id"]
    after = await hospital.get("Patient", prior["id"])
    assert ("link" in after, after.get("active"), after["identifier"]) == (False, None, prior["identifier"])
