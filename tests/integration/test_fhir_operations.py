"""The operations beyond $validate: $everything, $match, $lastn and our $timeline."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from interop.access.agent import system_agent
from interop.fhir.validation import issues_of
from interop.store import Store, Tx
from tests import fhir_door

Json = dict[str, Any]


@pytest.fixture
def door(store: Store) -> httpx.AsyncClient:
    return fhir_door.client(store)


async def put(door: httpx.AsyncClient, type: str, id: str, **elements: Any) -> None:
    answer = await door.put(f"{type}/{id}", json={"resourceType": type, "id": id, **elements}, headers=fhir_door.JSON)
    assert answer.status_code in (200, 201), answer.text


async def observed(door: httpx.AsyncClient, id: str, code: str, when: str, *more: str, **elements: Any) -> None:
    codings = [{"system": "http://loinc.org", "code": each} for each in (code, *more)]
    subject = {"reference": "Patient/p1"}
    elements = {"status": "final", "subject": subject, "effectiveDateTime": when, **elements}
    await put(door, "Observation", id, code={"coding": codings}, **elements)


@pytest.fixture
async def hospital(door: httpx.AsyncClient) -> httpx.AsyncClient:
    """Two patients, an order that a doctor asked for, and observations of four days."""
    await put(door, "Practitioner", "d1", name=[{"family": "Georgiou"}])
    for id, family in (("p1", "Papadopoulos"), ("p2", "Ioannou")):
        number = [{"system": "urn:a", "value": id}]
        await put(door, "Patient", id, identifier=number, name=[{"family": family}], birthDate="1960-04-12")
    order = {"status": "active", "intent": "order", "subject": {"reference": "Patient/p1"}, "code": {"text": "CT"}}
    await put(door, "ServiceRequest", "o1", requester={"reference": "Practitioner/d1"}, **order)
    for day in range(1, 5):
        await observed(door, f"a{day}", "8867-4", f"2026-11-0{day}T10:00:00Z")
    await observed(door, "b1", "29463-7", "2026-11-02")
    await put(door, "Observation", "other", status="final", code={"text": "x"}, subject={"reference": "Patient/p2"})
    return door


def ids(bundle: Json, mode: str = "match") -> list[str]:
    return [
        f"{entry['resource']['resourceType']}/{entry['resource'].get('id', '')}"
        for entry in bundle.get("entry", [])
        if entry["search"]["mode"] == mode
    ]


async def asked(door: httpx.AsyncClient, path: str, **params: str) -> Json:
    answer = await door.get(path, params=params)
    assert answer.status_code == 200, answer.text
    bundle: Json = answer.json()
    assert issues_of(bundle) == ()
    return bundle


async def test_everything_of_a_patient_and_whom_it_names(hospital: httpx.AsyncClient) -> None:
    bundle = await asked(hospital, "Patient/p1/$everything")
    observations = {f"Observation/{id}" for id in ("a1", "a2", "a3", "a4", "b1")}
    assert set(ids(bundle)) == {"Patient/p1", "ServiceRequest/o1"} | observations
    assert ids(bundle, "include") == ["Practitioner/d1"]


async def test_everything_in_pages_neither_skips_nor_repeats(hospital: httpx.AsyncClient) -> None:
    whole = ids(await asked(hospital, "Patient/p1/$everything"))
    seen: list[str] = []
    url = "Patient/p1/$everything?_count=2"
    for _ in range(10):
        bundle = await asked(hospital, url) if "?" not in url else (await hospital.get(url)).json()
        assert len(ids(bundle)) <= 2
        seen += ids(bundle)
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            break
        url = following[0].removeprefix(fhir_door.BASE + "/")
    assert seen == whole


async def test_everything_narrowed(hospital: httpx.AsyncClient) -> None:
    assert ids(await asked(hospital, "Patient/p1/$everything", _type="ServiceRequest")) == ["ServiceRequest/o1"]
    days = await asked(hospital, "Patient/p1/$everything", _type="Observation", start="2026-11-02", end="2026-11-03")
    assert set(ids(days)) == {"Observation/a2", "Observation/a3", "Observation/b1"}
    assert ids(await asked(hospital, "Patient/p1/$everything", _since="2100-01-01T00:00:00Z")) == []


async def test_everything_says_what_the_token_withholds(hospital: httpx.AsyncClient, store: Store) -> None:
    scopes = ("patient/Patient.rs", "patient/Observation.rs", "patient/Practitioner.rs")
    own = fhir_door.client(store, fhir_door.agent(*scopes, patient="p1"))
    bundle = await asked(own, "Patient/p1/$everything")
    assert {reference.split("/")[0] for reference in ids(bundle)} == {"Patient", "Observation"}
    assert "ServiceRequest" in str([entry for entry in bundle["entry"] if entry["search"]["mode"] == "outcome"])
    assert (await own.get("Patient/p2/$everything")).status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Patient/none/$everything", 404),
        ("Patient/p1/$everything?_type=Nonsense", 400),
        ("Patient/p1/$everything?_count=0", 400),
        ("Patient/p1/$everything?_cursor=x", 400),
        ("Patient/p1/$everything?_cursor=Observation!x", 400),
        ("Patient/p1/$everything?nonsense=1", 400),
        ("Patient/p1/$everything?start=yesterday", 400),
        ("ServiceRequest/o1/$everything", 404),
        ("Observation/$lastn", 400),
        ("Observation/$lastn?patient=p1&max=0", 400),
        ("Observation/$lastn?patient=p1&max=many", 400),
        ("Observation/$lastn?patient=p1,p2", 400),
        ("ServiceRequest/none/$timeline", 404),
        ("ServiceRequest/o1/$timeline?nonsense=1", 400),
    ],
)
async def test_what_cannot_be_answered_is_refused(hospital: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await hospital.get(path)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_last_of_each_code(hospital: httpx.AsyncClient) -> None:
    assert set(ids(await asked(hospital, "Observation/$lastn", patient="p1"))) == {"Observation/a4", "Observation/b1"}
    two = await asked(hospital, "Observation/$lastn", patient="p1", max="2", code="8867-4")
    assert ids(two) == ["Observation/a4", "Observation/a3"]


async def test_codes_that_one_observation_shares_are_one_group(hospital: httpx.AsyncClient) -> None:
    await observed(hospital, "both", "8867-4", "2026-11-09", "29463-7")
    assert ids(await asked(hospital, "Observation/$lastn", patient="p1")) == ["Observation/both"]


async def test_what_was_entered_in_error_is_nobodys_last(hospital: httpx.AsyncClient) -> None:
    await observed(hospital, "wrong", "8867-4", "2026-11-09", status="entered-in-error")
    assert "Observation/wrong" not in ids(await asked(hospital, "Observation/$lastn", patient="p1"))


def looking_for(patient: Json, **more: Any) -> Json:
    rows = [{"name": "resource", "resource": {"resourceType": "Patient", **patient}}]
    rows += [{"name": name, **value} for name, value in more.items()]
    return {"resourceType": "Parameters", "parameter": rows}


async def matched(door: httpx.AsyncClient, body: Json) -> list[tuple[str, str]]:
    answer = await door.post("Patient/$match", json=body, headers=fhir_door.JSON)
    assert answer.status_code == 200, answer.text
    assert issues_of(answer.json()) == ()
    entries = answer.json().get("entry", [])
    scores = [entry["search"]["score"] for entry in entries]
    assert scores == sorted(scores, reverse=True)
    return [(entry["resource"]["id"], entry["search"]["extension"][0]["valueCode"]) for entry in entries]


async def test_patients_are_matched_by_number_and_by_what_they_are_like(hospital: httpx.AsyncClient) -> None:
    by_number = {"identifier": [{"system": "urn:a", "value": "p1"}]}
    assert await matched(hospital, looking_for(by_number)) == [("p1", "certain")]
    alike = {"name": [{"family": "PAPADOPOULOS"}], "birthDate": "1960-04-12"}
    assert (await matched(hospital, looking_for(alike)))[0] == ("p1", "probable")
    certain = {"onlyCertainMatches": {"valueBoolean": True}}
    assert await matched(hospital, looking_for(alike, **certain)) == []
    assert await matched(hospital, looking_for({"name": [{"family": "a|b,c$\\d"}]})) == []


async def test_a_match_needs_a_correct_patient_and_the_right_to_search(
    hospital: httpx.AsyncClient, store: Store
) -> None:
    wrong = await hospital.post("Patient/$match", json=looking_for({"gender": "x"}), headers=fhir_door.JSON)
    assert wrong.status_code == 422
    nobody = {"resourceType": "Parameters"}
    assert (await hospital.post("Patient/$match", json=nobody, headers=fhir_door.JSON)).status_code == 400
    own = fhir_door.client(store, fhir_door.agent("patient/Patient.rs", patient="p1"))
    assert (await own.post("Patient/$match", json=looking_for({}), headers=fhir_door.JSON)).status_code == 403


async def test_the_timeline_of_an_order(hospital: httpx.AsyncClient, store: Store) -> None:
    def came_in(tx: Tx) -> None:
        common = {"application": "RIS", "facility": "A", "raw": b"x", "body_hash": "x"}
        tx.add_message(
            direction="in", peer="127.0.0.1", control_id="7", type="ORM^O01", state="received", ack_code="AA",
            order_id="o1", **common,
        )  # fmt: skip
        tx.add_message(
            direction="out", peer="emr", control_id="8", type="ORM^O01", state="dead", order_id="o1", **common
        )

    await store.unit(system_agent("test"), came_in)
    order = (await hospital.get("ServiceRequest/o1")).json()
    await hospital.put("ServiceRequest/o1", json=order | {"status": "on-hold"}, headers=fhir_door.JSON)
    reader = fhir_door.client(store, fhir_door.agent("user/Patient.rs"))
    assert (await reader.get("ServiceRequest/o1")).status_code == 403
    answer = (await hospital.get("ServiceRequest/o1/$timeline")).json()
    assert issues_of(answer) == ()
    rows = [
        {part["name"]: next(value for key, value in part.items() if key != "name") for part in row["part"]}
        for row in answer["parameter"]
    ]
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    told = [(row["kind"], row["what"], row["outcome"]) for row in rows]
    assert ("order", "version 1, active", "success") in told
    assert ("order", "version 2, on-hold", "success") in told
    assert ("message-in", "ORM^O01, control id 7, answered AA", "success") in told
    assert ("message-out", "ORM^O01, control id 8", "failed") in told
    assert [row for row in rows if row["kind"] == "access" and row["outcome"] == "refused"]


async def test_each_operation_leaves_its_event(hospital: httpx.AsyncClient) -> None:
    await hospital.get("Patient/p1/$everything")
    await hospital.get("ServiceRequest/o1/$timeline")
    events = (await hospital.get("AuditEvent", params={"patient": "p1", "subtype": "operation"})).json()
    assert len(events["entry"]) == 2
