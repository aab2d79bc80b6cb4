"""Our definitions can be looked up, and $validate tells what is wrong before anything is stored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from interop.fhir.profile import CONFORMANCE_TYPES, own_resources
from interop.fhir.validation import issues_of
from interop.store import Store
from tests import fhir_door

ORDER = "urn:interop:StructureDefinition:imaging-order"


@pytest.fixture
def door(store: Store) -> httpx.AsyncClient:
    return fhir_door.client(store)


def order(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "code": {"text": "CT chest"},
        "subject": {"reference": "Patient/1"},
    } | more


async def validated(door: httpx.AsyncClient, path: str, body: Any) -> list[tuple[str, str, list[str]]]:
    answer = await door.post(path, json=body, headers=fhir_door.JSON)
    assert answer.status_code == 200, answer.text
    outcome = answer.json()
    assert issues_of(outcome) == ()
    return [(issue["severity"], issue["code"], issue.get("expression", [])) for issue in outcome["issue"]]


WELL = [("information", "informational", [])]


@pytest.mark.parametrize("type", CONFORMANCE_TYPES)
async def test_definitions_are_read_and_found_by_their_url(door: httpx.AsyncClient, type: str) -> None:
    ours = [resource for resource in own_resources() if resource["resourceType"] == type]
    everything = (await door.get(type)).json()
    assert everything["total"] == len(ours)
    for resource in ours:
        assert (await door.get(f"{type}/{resource['id']}")).json() == resource
        found = (await door.get(type, params={"url": resource["url"]})).json()
        assert [entry["resource"]["id"] for entry in found["entry"]] == [resource["id"]]


async def test_a_definition_is_found_by_its_own_parameters_and_by_no_others(door: httpx.AsyncClient) -> None:
    found = (await door.get("StructureDefinition", params={"type": "ServiceRequest"})).json()
    assert {entry["resource"]["id"] for entry in found["entry"]} == {"imaging-order", "imaging-order-placed"}
    refused = await door.get("StructureDefinition", params={"titel": "x"})
    assert (refused.status_code, refused.json()["issue"][0]["code"]) == (400, "not-supported")
    assert "url" in refused.text
    assert (await door.get("StructureDefinition/none")).status_code == 404
    assert (await door.post("StructureDefinition", json={})).status_code == 403
    assert (await door.delete("StructureDefinition/imaging-order")).status_code == 403


async def test_definitions_come_in_pages_of_the_size_that_is_asked_for(door: httpx.AsyncClient) -> None:
    whole = (await door.get("SearchParameter?base=ServiceRequest")).json()
    there = [entry["resource"]["id"] for entry in whole["entry"]]
    page = (await door.get("SearchParameter?base=ServiceRequest&_count=2")).json()
    met: list[str] = []
    while page:
        assert page["total"] == len(there)
        assert len(page["entry"]) <= 2
        met += [entry["resource"]["id"] for entry in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        page = (await door.get(following[0])).json() if following else None
    assert met == there
    assert len(there) > 2
    for none in ("_summary=count", "_count=0"):
        counted = (await door.get(f"SearchParameter?base=ServiceRequest&{none}")).json()
        assert (counted["total"], "entry" in counted, len(counted["link"])) == (len(there), False, 1)
    for wrong in ("_count=-1", "_count=x", "_summary=text"):
        assert (await door.get(f"SearchParameter?{wrong}")).status_code == 400


async def test_definitions_need_a_token_like_everything_else(store: Store) -> None:
    async with fhir_door.anonymous(store) as nobody:
        assert (await nobody.get("StructureDefinition/imaging-order")).status_code == 401
        assert (await nobody.post("Patient/$validate", json={"resourceType": "Patient"})).status_code == 401


async def test_validate_takes_a_resource_or_parameters(door: httpx.AsyncClient) -> None:
    assert await validated(door, "ServiceRequest/$validate", order()) == WELL
    wrong = order(status="nonsense")
    told = [("error", "code-invalid", ["ServiceRequest.status"])]
    assert await validated(door, "ServiceRequest/$validate", wrong) == told
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": wrong}]}
    assert await validated(door, "ServiceRequest/$validate", wrapped) == told
    assert await validated(door, "Patient/$validate", order()) == [("error", "invalid", ["resourceType"])]


async def test_validate_holds_the_profile_that_is_asked_for(door: httpx.AsyncClient) -> None:
    plan = order(intent="plan")
    assert await validated(door, "ServiceRequest/$validate", plan) == WELL
    told = await validated(door, f"ServiceRequest/$validate?profile={ORDER}", plan)
    assert told == [("error", "code-invalid", ["ServiceRequest.intent"])]
    for base in ("ServiceRequest", "ServiceRequest|4.0.1"):  # R4's own is held in any case
        url = f"http://hl7.org/fhir/StructureDefinition/{base}"
        assert await validated(door, f"ServiceRequest/$validate?profile={url}", plan) == WELL
    refused = await door.post("ServiceRequest/$validate?profile=urn:none", json=plan, headers=fhir_door.JSON)
    assert refused.status_code == 400
    assert ORDER in refused.text


async def test_validate_for_a_mode_asks_what_that_write_would_meet(door: httpx.AsyncClient) -> None:
    told = await validated(door, "ServiceRequest/$validate?mode=create", order())
    assert told == [("error", "not-found", ["ServiceRequest.subject"])]
    patient = {"resourceType": "Patient", "id": "p1"}
    assert (await validated(door, "Patient/$validate?mode=update", patient))[0][:2] == ("error", "not-found")
    await door.put("Patient/p1", json=patient, headers=fhir_door.JSON)
    assert await validated(door, "Patient/$validate?mode=update", patient) == WELL
    assert await validated(door, "Patient/p1/$validate?mode=delete", {"resourceType": "Parameters"}) == WELL
    other = await validated(door, "Patient/p1/$validate?mode=update", patient | {"id": "p2"})
    assert other == [("error", "invalid", ["Patient.id"])]
    unnamed = await validated(door, "Patient/$validate?mode=update", {"resourceType": "Patient"})
    assert unnamed == [("error", "required", ["Patient.id"])]
    nonsense = await door.post("Patient/$validate?mode=now", json=patient, headers=fhir_door.JSON)
    assert nonsense.status_code == 400


async def test_validate_stores_nothing(door: httpx.AsyncClient) -> None:
    await validated(door, "Patient/$validate", {"resourceType": "Patient"})
    assert (await door.get("Patient", params={"_total": "accurate"})).json()["total"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("Patient/$validate", b"{", 400),
        ("Patient/$validate", b"[]", 400),
        ("Patient/$validate", b"", 400),
        ("Patient/none/$validate", b"", 404),
        ("Patient/$validate", b'{"resourceType": "Parameters", "parameter": {}}', 400),
        ("Patient/$validate", b'{"resourceType": "Parameters", "parameter": [{"name": "nonsense"}]}', 400),
        ("Patient/$nonsense", b"{}", 404),
        ("$validate", b"{}", 404),
        ("Nonsense/$validate", b"{}", 404),
        ("StructureDefinition/$validate", b'{"resourceType": "Patient"}', 404),
    ],
)
async def test_what_validate_cannot_read_is_refused(
    door: httpx.AsyncClient, path: str, body: bytes, status: int
) -> None:
    answer = await door.post(path, content=body, headers=fhir_door.JSON)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_operations_say_which_methods_they_take(door: httpx.AsyncClient) -> None:
    answer = await door.get("Patient/$validate")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_validate_of_what_is_stored_needs_the_right_to_read_it(store: Store) -> None:
    everybody = fhir_door.client(store)
    await everybody.put("Patient/p1", json={"resourceType": "Patient", "id": "p1"}, headers=fhir_door.JSON)
    stranger = fhir_door.client(store, fhir_door.agent("patient/Patient.rs", patient="p2"))
    assert (await stranger.post("Patient/p1/$validate", headers=fhir_door.JSON)).status_code == 403


async def test_a_claimed_profile_is_held_on_the_way_in(door: httpx.AsyncClient) -> None:
    await door.put("Patient/1", json={"resourceType": "Patient", "id": "1"}, headers=fhir_door.JSON)
    sent = order(meta={"profile": [ORDER]}, identifier=[{"value": "x"}])
    assert (await door.post("ServiceRequest", json=sent, headers=fhir_door.JSON)).status_code == 201
    answer = await door.post("ServiceRequest", json=sent | {"intent": "plan"}, headers=fhir_door.JSON)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["ServiceRequest.intent"]


async def test_operations_and_profiles_stand_in_the_capability_statement(door: httpx.AsyncClient) -> None:
    resources = {row["type"]: row for row in (await door.get("metadata")).json()["rest"][0]["resource"]}
    assert ORDER in resources["ServiceRequest"]["supportedProfile"]
    validate = {"name": "validate", "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate"}
    assert validate in resources["Patient"]["operation"]
    assert set(CONFORMANCE_TYPES) <= set(resources)
