"""Conditional update, delete and read: https://hl7.org/fhir/R4/http.html#cond-update, #cread"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interop.store import Store
from tests.fhir_door import BASE, agent, audited, client, expressions, order, patient

KEY = {"identifier": "urn:x:mrn|1"}


async def test_an_update_by_criteria_makes_what_it_does_not_find(store: Store) -> None:
    async with client(store) as http:
        made = await http.put("Patient", params=KEY, json=patient())
        assert made.status_code == 201
        id = made.json()["id"]
        assert made.headers["location"] == f"{BASE}/Patient/{id}/_history/1"
        again = await http.put("Patient", params=KEY, json=patient(gender="female"))
        assert (again.status_code, again.json()["id"], again.headers["etag"]) == (200, id, 'W/"2"')
        with_id = await http.put("Patient", params=KEY, json=patient(gender="male", id=id))
        assert (with_id.status_code, with_id.headers["etag"]) == (200, 'W/"3"')
    assert [event[0] for event in (await audited(store))] == ["update"] * 3


async def test_an_update_by_criteria_with_an_id(store: Store) -> None:
    async with client(store) as http:
        own = await http.put("Patient", params=KEY, json=patient(id="own"))
        assert (own.status_code, own.json()["id"]) == (201, "own")
        other = await http.put("Patient", params=KEY, json=patient(id="other"))
        assert (other.status_code, expressions(other)) == (400, ["Patient.id"])
        taken = await http.put("Patient", params={"identifier": "urn:x:mrn|2"}, json=patient("2", id="own"))
        assert (taken.status_code, taken.json()["issue"][0]["code"]) == (409, "conflict")


async def test_criteria_that_more_than_one_meets_are_412(store: Store) -> None:
    async with client(store) as http:
        for value in ("1", "2"):
            await http.post("Patient", json=patient(value, gender="female"))
        params = {"gender": "female"}
        for refused in (
            await http.put("Patient", params=params, json=patient("3")),
            await http.delete("Patient", params=params),
            await http.patch(
                "Patient", params=params, json=[], headers={"Content-Type": "application/json-patch+json"}
            ),
        ):
            assert (refused.status_code, refused.json()["issue"][0]["code"]) == (412, "multiple-matches")
        assert (await http.get("Patient?_summary=count")).json()["total"] == 2


@pytest.mark.parametrize("query", ["", "?_format=json", "?_count=1"])
async def test_without_criteria_nothing_is_meant(store: Store, query: str) -> None:
    async with client(store) as http:
        await http.post("Patient", json=patient())
        assert (await http.delete(f"Patient{query}")).status_code == 400
        assert (await http.put(f"Patient{query}", json=patient())).status_code == 400
        assert (await http.delete("Patient?nonsense=1")).status_code == 400
        assert (await http.get("Patient?_summary=count")).json()["total"] == 1


async def test_a_delete_by_criteria(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        assert (await http.delete("Patient", params={"identifier": "urn:x:mrn|9"})).status_code == 204
        assert (await http.delete("Patient", params=KEY)).status_code == 204
        assert (await http.get(f"Patient/{id}")).status_code == 410
        assert (await http.delete("Patient", params=KEY)).status_code == 204
    deletes = [event for event in await audited(store) if event[0] == "delete"]
    assert deletes == [
        ("delete", "0", None, None),
        ("delete", "0", f"Patient/{id}", f"Patient/{id}/_history/2"),
        ("delete", "0", None, None),
    ]


async def test_several_are_deleted_where_the_server_is_set_so(store: Store) -> None:
    async with client(store, delete_multiple=True) as http:
        for value in ("1", "2", "3"):
            await http.post("Patient", json=patient(value, gender="female"))
        assert (await http.delete("Patient", params={"gender": "female"})).status_code == 204
        assert (await http.get("Patient?_summary=count")).json()["total"] == 0
        said = (await http.get("metadata")).json()["rest"][0]["resource"][0]
        assert said["conditionalDelete"] == "multiple"


async def test_if_match_holds_for_criteria_too(store: Store) -> None:
    async with client(store) as http:
        await http.post("Patient", json=patient())
        stale = {"If-Match": 'W/"7"'}
        assert (await http.put("Patient", params=KEY, json=patient(gender="male"), headers=stale)).status_code == 412
        assert (await http.delete("Patient", params=KEY, headers=stale)).status_code == 412
        fresh = {"If-Match": 'W/"1"'}
        assert (await http.put("Patient", params=KEY, json=patient(gender="male"), headers=fresh)).status_code == 200
        nobody, there = {"identifier": "urn:x:mrn|nobody"}, {"If-Match": "*"}
        other = patient("nobody")
        assert (await http.put("Patient", params=nobody, json=other, headers=there)).status_code == 412
        assert (await http.delete("Patient", params=nobody, headers=there)).status_code == 412
        assert (await http.delete("Patient", params=KEY, headers=there)).status_code == 204


async def test_if_none_match_keeps_an_update_from_what_is_there(store: Store) -> None:
    async with client(store) as http:
        unless = {"If-None-Match": "*"}
        assert (await http.put("Patient/a", json=patient(id="a"), headers=unless)).status_code == 201
        assert (await http.put("Patient/a", json=patient(id="a"), headers=unless)).status_code == 412


async def test_many_at_once_make_one(store: Store) -> None:
    async with client(store) as http:
        made = await asyncio.gather(*(http.put("Patient", params=KEY, json=patient()) for _ in range(16)))
        assert sorted(answer.status_code for answer in made) == [200] * 15 + [201]
        assert len({answer.json()["id"] for answer in made}) == 1


async def test_a_token_for_one_patient_finds_nobody_else(store: Store) -> None:
    async with client(store) as http:
        mine = (await http.post("Patient", json=patient("1"))).json()["id"]
        other = (await http.post("Patient", json=patient("2"))).json()["id"]
        await http.post("ServiceRequest", json=order(f"Patient/{other}", identifier=[{"value": "z"}]))
    async with client(store, agent("patient/*.cruds", patient=mine)) as http:
        params = {"identifier": "z"}
        assert (await http.delete("ServiceRequest", params=params)).status_code == 403
        replaced = await http.put("ServiceRequest", params=params, json=order(f"Patient/{mine}"))
        assert replaced.status_code == 403
        patch: list[dict[str, Any]] = [{"op": "add", "path": "/priority", "value": "stat"}]
        kind = {"Content-Type": "application/json-patch+json"}
        assert (await http.patch("ServiceRequest", params=params, json=patch, headers=kind)).status_code == 403
    async with client(store, agent("system/*.cud")) as http:  # who may not search may not ask by criteria
        assert (await http.delete("ServiceRequest", params=params)).status_code == 403
        assert (await http.put("ServiceRequest", params=params, json=order(f"Patient/{mine}"))).status_code == 403


@pytest.mark.parametrize("path", ["Patient/a", "Patient/a/_history/1"])
async def test_what_the_client_has_is_not_sent_again(store: Store, path: str) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        read = await http.get(path)
        for tags in ('W/"1"', '"1"', "*", 'W/"9", W/"1"'):
            known = await http.get(path, headers={"If-None-Match": tags})
            assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", 'W/"1"')
        assert (await http.get(path, headers={"If-None-Match": 'W/"2"'})).status_code == 200
        since = {"If-Modified-Since": read.headers["last-modified"]}
        assert (await http.get(path, headers=since)).status_code == 304
        long_ago = {"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}
        assert (await http.get(path, headers=long_ago)).status_code == 200
        assert (await http.get(path, headers={**since, "If-None-Match": 'W/"2"'})).status_code == 200
        assert (await http.get(path, headers={"If-Modified-Since": "yesterday"})).status_code == 200
        assert (await http.get(path, headers={"If-None-Match": "1"})).status_code == 400


@pytest.mark.parametrize(
    ("prefer", "content"),
    [("return=minimal", b""), ("return=OperationOutcome", b"OperationOutcome"), ("return=representation", b"Patient")],
)
async def test_prefer_decides_what_comes_back(store: Store, prefer: str, content: bytes) -> None:
    headers = {"Prefer": prefer}
    async with client(store) as http:
        made = await http.put("Patient", params=KEY, json=patient(), headers=headers)
        changed = await http.patch(
            f"Patient/{made.headers['location'].split('/')[-3]}",
            json=[{"op": "add", "path": "/gender", "value": "female"}],
            headers={**headers, "Content-Type": "application/json-patch+json"},
        )
        for answer, status in ((made, 201), (changed, 200)):
            assert answer.status_code == status
            assert (content in answer.content) if content else answer.content == b""
