"""The FHIR door with the real rules behind it: what a client sees of an order's identity and life."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from interop.fhir.orders import order_facts
from interop.store import Store
from interop.workflow import resources
from tests.fhir_door import client, expressions, patient
from tests.sites import a_site

P = "urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-111111111111"
S = "urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-222222222222"
TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


def by_the_rules(store: Store) -> httpx.AsyncClient:
    return client(store, site=a_site(), writer=resources)


def ct(subject: str, placer: str = "P1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "identifier": [{"type": {"coding": [{"system": TYPES, "code": "PLAC"}]}, "system": "urn:emr", "value": placer}],
        "status": "active",
        "intent": "order",
        "code": {"text": "CT"},
        "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}],
        "subject": {"reference": subject},
        "occurrenceDateTime": "2026-01-01T10:00:00Z",
        **more,
    }


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def posted(full_url: str, resource: dict[str, Any], **request: str) -> dict[str, Any]:
    return {
        "fullUrl": full_url,
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"], **request},
    }


async def test_an_order_gets_its_numbers_and_is_scheduled(store: Store) -> None:
    async with by_the_rules(store) as http:
        await http.put("Patient/p", json=patient(id="p", name=[{"family": "Παππάς"}]))
        made = await http.post("ServiceRequest", json=ct("Patient/p"))
        assert made.status_code == 201, made.text
        facts = order_facts(made.json(), a_site().zone)
        assert facts.accession is not None
        assert len(facts.accession.value) <= 16
        assert facts.study_uid
        assert facts.step == "scheduled"
        found = await http.get("ServiceRequest", params={"step": "scheduled", "identifier": facts.accession.value})
        assert [entry["resource"]["id"] for entry in found.json()["entry"]] == [made.json()["id"]]


async def test_an_order_for_a_patient_without_a_name_waits_for_it(store: Store) -> None:
    async with by_the_rules(store) as http:
        await http.put("Patient/p", json=patient(id="p"))
        made = await http.post("ServiceRequest", json=ct("Patient/p"))
        assert made.status_code == 201, made.text
        assert order_facts(made.json(), a_site().zone).step is None
    row = await store.view(lambda tx: tx.order(made.json()["id"]))
    assert row is not None
    assert (row.scheduled, row.missing) == (False, "the patient has no name")


async def test_the_same_order_again_is_answered_with_the_one_that_stands(store: Store) -> None:
    async with by_the_rules(store) as http:
        await http.put("Patient/p", json=patient(id="p"))
        made = await http.post("ServiceRequest", json=ct("Patient/p"))
        again = await http.post("ServiceRequest", json=ct("Patient/p"))
        assert (again.status_code, again.content) == (200, made.content)
        assert again.headers["location"] == made.headers["location"]
        other = await http.post("ServiceRequest", json=ct("Patient/p", priority="stat"))
        assert (other.status_code, other.json()["issue"][0]["code"]) == (409, "duplicate")
        assert made.json()["id"] in other.text


async def test_a_transaction_that_is_sent_again_makes_nothing_new(store: Store) -> None:
    entries = (
        posted(S, ct(P)),
        posted(P, patient("7"), ifNoneExist="identifier=urn:x:mrn|7"),
        posted(f"{S[:-1]}3", ct(P, "P2", basedOn=[{"reference": S}])),
    )
    async with by_the_rules(store) as http:
        first = await http.post("", json=transaction(*entries))
        assert first.status_code == 200, first.text
        again = await http.post("", json=transaction(*entries))
        assert again.status_code == 200, again.text
        assert [entry["response"]["status"] for entry in first.json()["entry"]] == ["201 Created"] * 3
        assert [entry["response"]["status"] for entry in again.json()["entry"]] == ["200 OK"] * 3
        locations = [[entry["response"]["location"] for entry in one.json()["entry"]] for one in (first, again)]
        assert locations[0] == locations[1]


async def test_faults_that_the_rules_find_say_where_they_are(store: Store) -> None:
    long = {"type": {"coding": [{"system": TYPES, "code": "ACSN"}]}, "value": "12345678901234567"}
    async with by_the_rules(store) as http:
        await http.put("Patient/p", json=patient(id="p"))
        order = ct("Patient/p")
        order["identifier"].append(long)
        refused = await http.post("ServiceRequest", json=order)
        assert refused.status_code == 422
        assert expressions(refused)[0].startswith("ServiceRequest.identifier[1]")
        refused = await http.post(
            "", json=transaction(posted(P, patient("8")), posted(S, {**order, "subject": {"reference": P}}))
        )
        assert refused.status_code == 422
        assert expressions(refused)[0].startswith("Bundle.entry[1].resource.identifier[1]")
        assert (await http.get("Patient?_summary=count")).json()["total"] == 1


@pytest.mark.parametrize("status", ["completed", "revoked", "on-hold", "draft", "entered-in-error"])
async def test_any_status_has_an_answer(store: Store, status: str) -> None:
    async with by_the_rules(store) as http:
        await http.put("Patient/p", json=patient(id="p"))
        made = (await http.post("ServiceRequest", json=ct("Patient/p"))).json()
        changed = await http.put(f"ServiceRequest/{made['id']}", json={**made, "status": status})
        assert changed.status_code in (200, 422), changed.text
        if changed.status_code == 422:
            assert expressions(changed) == ["ServiceRequest.status"]


async def test_a_deleted_order_is_out_of_the_way(store: Store) -> None:
    async with by_the_rules(store) as http:
        await http.put("Patient/p", json=patient(id="p"))
        id = (await http.post("ServiceRequest", json=ct("Patient/p"))).json()["id"]
        assert (await http.delete("Patient/p")).status_code == 409
        gone = await http.delete(f"ServiceRequest/{id}")
        assert gone.status_code in (200, 204), gone.text
        assert "entry" not in (await http.get("ServiceRequest?step=scheduled")).json()


@pytest.mark.parametrize("first", ["prior", "survivor"])
async def test_a_bundle_that_links_two_patients_merges_them(store: Store, first: str) -> None:
    """Both records say so (R4 patient.html#link), in either order; the order goes over."""
    async with by_the_rules(store) as http:
        for id in ("prior", "stays"):
            assert (await http.put(f"Patient/{id}", json=patient(id, id=id, name=[{"family": "P"}]))).status_code == 201
        placed = (await http.post("ServiceRequest", json=ct("Patient/prior"))).json()
        ended = patient("prior", id="prior", name=[{"family": "P"}], active=False)
        ended["link"] = [{"other": {"reference": "Patient/stays"}, "type": "replaced-by"}]
        stays = patient("stays", id="stays", name=[{"family": "P"}], birthDate="1970-01-01")
        stays["link"] = [{"other": {"reference": "Patient/prior"}, "type": "replaces"}]
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}}
            for one in ((ended, stays) if first == "prior" else (stays, ended))
        ]
        answer = await http.post("", json=transaction(*entries))
        assert answer.status_code == 200, answer.text
        survivor = (await http.get("Patient/stays")).json()
        assert [(one["value"], one.get("use")) for one in survivor["identifier"]] == [("stays", None), ("prior", "old")]
        assert (survivor["link"], survivor["birthDate"]) == (stays["link"], "1970-01-01")
        prior = (await http.get("Patient/prior")).json()
        assert (prior["active"], prior["link"]) == (False, ended["link"])
        order = (await http.get(f"ServiceRequest/{placed['id']}")).json()
        assert order["subject"]["reference"] == "Patient/stays"
