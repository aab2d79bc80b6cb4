"""Searches within a patient's compartment: https://hl7.org/fhir/R4/http.html#vsearch"""

from __future__ import annotations

from typing import Any

import httpx

from interop.store import Store
from tests.fhir_door import BASE, agent, audited, client, order, patient


async def a_world(http: httpx.AsyncClient) -> None:
    for id in ("a", "b"):
        await http.put(f"Patient/{id}", json=patient(id, id=id))
        await http.put(f"ServiceRequest/o-{id}", json=order(f"Patient/{id}", id=f"o-{id}"))
        await http.put(f"ServiceRequest/p-{id}", json=order(f"Patient/{id}", id=f"p-{id}", intent="plan"))
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    observation |= {"id": "self", "subject": {"reference": "Patient/b"}, "performer": [{"reference": "Patient/a"}]}
    assert (await http.put("Observation/self", json=observation)).status_code == 201


def told(bundle: dict[str, Any]) -> list[str]:
    return [entry["fullUrl"].removeprefix(f"{BASE}/") for entry in bundle.get("entry", []) if "fullUrl" in entry]


async def test_a_type_within(store: Store) -> None:
    async with client(store) as http:
        await a_world(http)
        found = (await http.get("Patient/a/ServiceRequest")).json()
        assert told(found) == ["ServiceRequest/o-a", "ServiceRequest/p-a"]
        assert found["link"][0]["url"] == f"{BASE}/Patient/a/ServiceRequest"
        narrowed = (await http.get("Patient/a/ServiceRequest?intent=plan")).json()
        assert told(narrowed) == ["ServiceRequest/p-a"]
        posted = (await http.post("Patient/a/ServiceRequest/_search", data={"intent": "plan"})).json()
        assert told(posted) == ["ServiceRequest/p-a"]
        assert told((await http.get("Patient/a/Observation")).json()) == ["Observation/self"]  # as its performer
        page = (await http.get("Patient/a/ServiceRequest?_count=1")).json()
        following = next(link["url"] for link in page["link"] if link["relation"] == "next")
        assert following.startswith(f"{BASE}/Patient/a/ServiceRequest?")
        assert told((await http.get(following)).json()) == ["ServiceRequest/p-a"]
        assert told((await http.get("Patient/nobody/ServiceRequest")).json()) == []
        entry = {"request": {"method": "GET", "url": "Patient/a/ServiceRequest"}}
        batch = await http.post("", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})
        assert told(batch.json()["entry"][0]["resource"]) == ["ServiceRequest/o-a", "ServiceRequest/p-a"]
        for path, status in (
            ("Patient/a/Organization", 404),
            ("Patient/a/Nothing", 404),
            ("Practitioner/a/ServiceRequest", 404),
            ("Patient/a/ServiceRequest?nothing=1", 400),
            ("Patient/a/ServiceRequest/x", 404),
        ):
            assert (await http.get(path)).status_code == status, path
        assert (await http.post("Patient/a/ServiceRequest", json=order("Patient/a"))).status_code == 405
    events = [event for event in await audited(store) if event[0] == "search-type" and event[1] == "0"]
    assert ("search-type", "0", "Patient/a", None) in events


async def test_everything_within(store: Store) -> None:
    async with client(store) as http:
        await a_world(http)
        everything = ["Patient/a", "ServiceRequest/o-a", "ServiceRequest/p-a", "Observation/self"]
        assert told((await http.get("Patient/a/*")).json()) == everything
        assert told((await http.post("Patient/a/*/_search", data={"_count": "10"})).json()) == everything
        assert (await http.get("Patient/a/*?_summary=count")).json()["total"] == 4
        found: list[str] = []
        url: str | None = "Patient/a/*?_count=1"
        while url:
            page = (await http.get(url)).json()
            assert len(told(page)) <= 1
            found += told(page)
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
        assert found == everything
        assert (await http.get("Patient/a/*?status=active")).status_code == 400
        assert (await http.get("Patient/a/*?_cursor=x")).status_code == 400
        assert (await http.get("Patient/a/*?_lastUpdated=gt2999")).json().get("entry") is None
        assert (await http.get("Patient/a/*?_format=xml")).headers["content-type"] == "application/fhir+xml"
    assert ("search-system", "0", "Patient/a", None) in await audited(store)


async def test_rights(store: Store) -> None:
    async with client(store) as http:
        await a_world(http)
    async with client(store, agent("patient/*.rs", patient="a")) as mine:
        assert told((await mine.get("Patient/a/ServiceRequest")).json()) == ["ServiceRequest/o-a", "ServiceRequest/p-a"]
        assert told((await mine.get("Patient/a/Observation")).json()) == []  # another patient's, though by this one
        assert told((await mine.get("Patient/a/*")).json()) == ["Patient/a", "ServiceRequest/o-a", "ServiceRequest/p-a"]
        for path in ("Patient/b/ServiceRequest", "Patient/b/*"):
            assert (await mine.get(path)).status_code == 403
    async with client(store, agent("system/Patient.rs")) as narrow:
        assert (await narrow.get("Patient/a/ServiceRequest")).status_code == 403
        some = (await narrow.get("Patient/a/*")).json()
        assert told(some) == ["Patient/a"]
        assert some["entry"][-1]["resource"]["issue"][0]["code"] == "suppressed"
    async with client(store, agent("system/Organization.rs")) as none:
        assert (await none.get("Patient/a/*")).status_code == 403
    assert ("search-type", "4", "Patient/b", None) in await audited(store)
