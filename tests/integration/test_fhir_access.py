"""Scopes at the FHIR door: what may be asked, and for which patient."""

from __future__ import annotations

import pytest

from interop.store import Store
from tests.fhir_door import agent, audited, client, order, patient


async def prepared(store: Store) -> None:
    async with client(store) as http:
        for id in ("mine", "other"):
            await http.put(f"Patient/{id}", json=patient(id, id=id))
            await http.put(f"ServiceRequest/o-{id}", json=order(f"Patient/{id}", id=f"o-{id}"))
        await http.put("Organization/org", json={"resourceType": "Organization", "id": "org", "name": "Clinic"})


async def test_a_verb_that_no_scope_gives_is_403(store: Store) -> None:
    await prepared(store)
    async with client(store, agent("system/Patient.rs")) as http:
        assert (await http.get("Patient/mine")).status_code == 200
        assert (await http.get("Patient")).status_code == 200
        for refused in (
            await http.get("ServiceRequest/o-mine"),
            await http.get("ServiceRequest"),
            await http.post("Patient", json=patient()),
            await http.put("Patient/mine", json=patient(id="mine")),
            await http.delete("Patient/mine"),
            await http.post("Patient", content=b"{}", headers={"Content-Type": "application/json"}),
        ):
            assert refused.status_code in (403, 400), refused.text
        refused = await http.post("Patient", json={**patient(), "unknown": 1})
        assert refused.status_code == 403  # whoever may not write learns nothing about what is wrong


async def test_a_token_for_one_patient_sees_that_patient_only(store: Store) -> None:
    await prepared(store)
    async with client(store, agent("patient/*.rs", patient="mine")) as http:
        assert (await http.get("Patient/mine")).status_code == 200
        assert (await http.get("ServiceRequest/o-mine")).status_code == 200
        assert (await http.get("Organization/org")).status_code == 200
        for path in (
            "Patient/other",
            "ServiceRequest/o-other",
            "ServiceRequest/o-other/_history/1",
            "ServiceRequest/o-other/_history",
            "ServiceRequest/nothing",
            "Patient?_id=other",
            "ServiceRequest?patient=other",
            "ServiceRequest?patient=Patient/mine,Patient/other",
            "Patient/_history",
        ):
            assert (await http.get(path)).status_code == 403, path
        orders = (await http.get("ServiceRequest")).json()
        assert [entry["resource"]["id"] for entry in orders["entry"]] == ["o-mine"]
        assert orders["link"][0]["url"].endswith("ServiceRequest?patient=mine")
        people = (await http.get("Patient?gender=male")).json()
        assert "entry" not in people
        assert "_id=mine" in people["link"][0]["url"]
        subject = (await http.get("ServiceRequest?subject=Patient/other")).json()
        assert "entry" not in subject
        assert (await http.get("Organization")).status_code == 200


async def test_a_token_for_one_patient_cannot_write_into_another(store: Store) -> None:
    await prepared(store)
    async with client(store, agent("patient/*.cruds", patient="mine")) as http:
        assert (await http.post("ServiceRequest", json=order("Patient/mine"))).status_code == 201
        assert (await http.post("ServiceRequest", json=order("Patient/other"))).status_code == 403
        moved = await http.put("ServiceRequest/o-other", json=order("Patient/mine", id="o-other"))
        assert moved.status_code == 403
        assert (await http.delete("ServiceRequest/o-other")).status_code == 403


@pytest.mark.parametrize("kind", ["replaces", "replaced-by"])
async def test_a_token_for_one_patient_cannot_merge_it_with_another(store: Store, kind: str) -> None:
    await prepared(store)
    linked = patient(id="mine", link=[{"other": {"reference": "Patient/other"}, "type": kind}])
    async with client(store, agent("patient/*.cruds", patient="mine")) as http:
        assert (await http.put("Patient/mine", json=linked)).status_code == 403
        assert (await http.get("Patient/mine")).json().get("link") is None
    async with client(store, agent("system/*.cruds")) as http:
        assert (await http.put("Patient/mine", json=linked)).status_code == 200


async def test_a_conditional_create_needs_to_search(store: Store) -> None:
    criteria = {"If-None-Exist": "identifier=1"}
    async with client(store, agent("system/Patient.c")) as http:
        assert (await http.post("Patient", json=patient(), headers=criteria)).status_code == 403
        assert (await http.post("Patient", json=patient())).status_code == 201


async def test_a_refusal_is_audited_with_the_patient_it_was_about(store: Store) -> None:
    await prepared(store)
    before = len(await audited(store))
    async with client(store, agent("system/Organization.rs", who="curious")) as http:
        await http.get("ServiceRequest/o-mine")
        await http.get("ServiceRequest?patient=Patient/mine")
        await http.post("ServiceRequest", json=order("Patient/mine"))
    assert (await audited(store))[before:] == [
        ("read", "4", "Patient/mine", "ServiceRequest/o-mine"),
        ("search-type", "4", "Patient/mine", None),
        ("create", "4", "Patient/mine", None),
    ]


@pytest.mark.parametrize("type", ["ImagingStudy", "Endpoint", "AuditEvent"])
async def test_what_the_server_makes_itself_cannot_be_written(store: Store, type: str) -> None:
    async with client(store) as http:
        for refused in (
            await http.post(type, json={"resourceType": type}),
            await http.put(f"{type}/x", json={"resourceType": type, "id": "x"}),
            await http.delete(f"{type}/x"),
        ):
            assert refused.status_code == 403
            assert refused.json()["issue"][0]["code"] == "forbidden"
        assert (await http.get(type)).status_code == 200
