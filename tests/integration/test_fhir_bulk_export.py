"""Bulk data: an export is of one moment, whoever writes meanwhile, and only for whoever asked for it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from interop.fhir_api import bulk
from interop.store import Store
from tests import fhir_door

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def door(store: Store, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    monkeypatch.setattr(bulk, "SETTLES", timedelta(0))
    return fhir_door.client(store)


async def patients(door: httpx.AsyncClient, *ids: str, family: str = "A") -> None:
    for id in ids:
        body = {"resourceType": "Patient", "id": id, "name": [{"family": family}]}
        assert (await door.put(f"Patient/{id}", json=body, headers=fhir_door.JSON)).status_code in (200, 201)


async def started(door: httpx.AsyncClient, path: str = "$export", **params: str) -> str:
    answer = await door.get(path, params=params, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.headers["content-location"]


async def manifest(door: httpx.AsyncClient, place: str) -> dict[str, Any]:
    answer = await door.get(place)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def lines(door: httpx.AsyncClient, url: str) -> list[dict[str, Any]]:
    answer = await door.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def exported(door: httpx.AsyncClient, path: str = "$export", **params: str) -> dict[str, list[str]]:
    found = await manifest(door, await started(door, path, **params))
    return {row["type"]: [one["id"] for one in await lines(door, row["url"])] for row in found["output"]}


async def test_everything_of_each_type_that_there_is(door: httpx.AsyncClient) -> None:
    await patients(door, "a", "b")
    await door.put("Organization/o", json={"resourceType": "Organization", "id": "o", "name": "x"})
    body = {"resourceType": "Organization", "id": "o", "name": "x"}
    await door.put("Organization/o", json=body, headers=fhir_door.JSON)
    assert await exported(door) == {"Patient": ["a", "b"], "Organization": ["o"]}
    assert await exported(door, _type="Organization") == {"Organization": ["o"]}
    assert await exported(door, "Patient/$export") == {"Patient": ["a", "b"]}


async def test_the_manifest_says_what_was_asked_and_that_a_token_is_needed(door: httpx.AsyncClient) -> None:
    found = await manifest(door, await started(door, _type="Patient"))
    assert found["request"] == f"{fhir_door.BASE}/$export?_type=Patient"
    assert found["requiresAccessToken"] is True
    assert found["transactionTime"].endswith("Z")
    assert (found["output"], found["error"]) == ([], [])


async def test_an_export_stands_still_while_data_change(
    door: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_PAGE", 2)
    ids = [f"p{number}" for number in range(7)]
    await patients(door, *ids)
    place = await started(door)
    await patients(door, "p3", family="B")
    await patients(door, "new")
    await door.delete("Patient/p5")
    (output,) = (await manifest(door, place))["output"]
    found = await lines(door, output["url"])
    assert [one["id"] for one in found] == ids
    assert {one["name"][0]["family"] for one in found} == {"A"}


async def test_since_gives_what_changed(door: httpx.AsyncClient) -> None:
    await patients(door, "a", "b")
    before = (await manifest(door, await started(door)))["transactionTime"]
    await patients(door, "b", family="B")
    assert await exported(door, _since=before) == {"Patient": ["b"]}


async def test_what_was_deleted_before_is_not_in_it(door: httpx.AsyncClient) -> None:
    await patients(door, "a")
    await door.delete("Patient/a")
    assert await exported(door) == {}


async def test_the_trail_is_exported_to_whoever_names_it(
    door: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_PAGE", 2)
    await patients(door, "a", "b", "c")
    found = await exported(door, _type="AuditEvent")
    assert len(found["AuditEvent"]) >= 3
    assert len(set(found["AuditEvent"])) == len(found["AuditEvent"])


async def test_what_is_under_way_is_waited_for(store: Store) -> None:
    door = fhir_door.client(store)
    answer = await door.get(await started(door))
    assert answer.status_code == 202
    assert int(answer.headers["retry-after"]) >= 1
    assert "x-progress" in answer.headers


async def test_an_export_is_its_askers_alone_and_can_be_forgotten(door: httpx.AsyncClient, store: Store) -> None:
    await patients(door, "a")
    place = await started(door)
    stranger = fhir_door.client(store, fhir_door.agent("system/*.cruds", who="somebody-else"))
    for path in (place, f"{place}/Patient.ndjson"):
        assert (await stranger.get(path)).status_code == 404
    assert (await stranger.delete(place)).status_code == 404
    assert (await door.delete(place)).status_code == 202
    assert (await door.get(place)).status_code == 404
    assert (await door.get(f"{place}/Patient.ndjson")).status_code == 404


async def test_an_export_is_forgotten_after_a_day(door: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    place = await started(door)
    monkeypatch.setattr(bulk, "KEPT", timedelta(seconds=-1))
    assert (await door.get(place)).status_code == 404
    await started(door)
    monkeypatch.setattr(bulk, "KEPT", timedelta(hours=24))
    assert (await door.get(place)).status_code == 404


async def test_a_token_exports_what_it_may_read_of_everybody(door: httpx.AsyncClient, store: Store) -> None:
    await patients(door, "a")
    some = fhir_door.client(store, fhir_door.agent("system/Patient.rs", "system/Observation.r"))
    assert await exported(some) == {"Patient": ["a"]}
    assert (await some.get("$export?_type=Observation", headers=ASYNC)).status_code == 403
    own = fhir_door.client(store, fhir_door.agent("patient/*.rs", patient="a"))
    assert (await own.get("$export", headers=ASYNC)).status_code == 403
    async with fhir_door.anonymous(store) as nobody:
        assert (await nobody.get("$export", headers=ASYNC)).status_code == 401


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 400),
        ("?_outputFormat=text/csv", ASYNC, 400),
        ("?_since=yesterday", ASYNC, 400),
        ("?_type=Nonsense", ASYNC, 400),
        ("?_typeFilter=Patient%3Fname%3Dx", ASYNC, 400),
        ("?_outputFormat=application/fhir+ndjson", ASYNC, 202),
    ],
)
async def test_what_cannot_be_exported_is_refused(
    door: httpx.AsyncClient, query: str, headers: dict[str, str], status: int
) -> None:
    answer = await door.get(f"$export{query}", headers=headers)
    assert answer.status_code == status, answer.text
    if status != 202:
        assert answer.json()["resourceType"] == "OperationOutcome"


async def test_parameters_may_be_posted(door: httpx.AsyncClient) -> None:
    await patients(door, "a")
    body = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Patient"}]}
    answer = await door.post("$export", json=body, headers=fhir_door.JSON | ASYNC)
    assert answer.status_code == 202
    (output,) = (await manifest(door, answer.headers["content-location"]))["output"]
    assert output["type"] == "Patient"


async def test_each_file_that_is_fetched_leaves_its_event(door: httpx.AsyncClient) -> None:
    await patients(door, "a")
    await exported(door)
    events = (await door.get("AuditEvent", params={"subtype": "operation"})).json()
    assert len(events["entry"]) == 2
