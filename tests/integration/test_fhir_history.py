"""history: https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from interop.store import Store
from tests.fhir_door import BASE, agent, audited, client, order, patient


def told(bundle: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["request"]["method"], entry["fullUrl"].removeprefix(f"{BASE}/")) for entry in bundle["entry"]]


async def test_of_everything_in_pages(store: Store) -> None:
    async with client(store) as http:
        entries = [
            {"resource": {"resourceType": type, "id": id}, "request": {"method": "PUT", "url": f"{type}/{id}"}}
            for type in ("Patient", "Organization", "Practitioner")
            for id in ("a", "b")
        ]
        for entry in entries:
            if entry["resource"]["resourceType"] == "Organization":
                entry["resource"]["name"] = "o"
        done = await http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert done.status_code == 200, done.text
        await http.delete("Patient/a")
        found: list[tuple[str, str]] = []
        url: str | None = "_history?_count=2"
        while url:
            page = (await http.get(url)).json()
            assert page["type"] == "history"
            found += told(page)
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
        assert found[0] == ("DELETE", "Patient/a")
        assert len(found) == len(set(found)) == 7
        assert (await http.get("_history?_summary=count")).json()["total"] == 7
        assert (await http.get("_history?_count=0")).json()["total"] == 7
        assert (await http.get("Patient/_history?_summary=count")).json()["total"] == 3
    async with client(store, agent("system/Patient.rs")) as http:
        assert (await http.get("Patient/_history")).status_code == 200
        assert (await http.get("_history")).status_code == 403


async def test_since_and_at(store: Store) -> None:
    async with client(store) as http:
        moments = []
        for gender in ("male", "female"):
            await http.put("Patient/a", json=patient(id="a", gender=gender))
            moments.append((await http.get("Patient/a")).json()["meta"]["lastUpdated"])
            await asyncio.sleep(0.02)
        await http.delete("Patient/a")
        gone = (await http.get("Patient/a/_history")).json()["entry"][0]["response"]["lastModified"]

        async def versions(query: str, path: str = "Patient/a/_history") -> list[str]:
            bundle = (await http.get(f"{path}?{query}")).json()
            return [entry["response"]["etag"][3:-1] for entry in bundle.get("entry", [])]

        for path in ("Patient/a/_history", "Patient/_history", "_history"):
            assert await versions(f"_since={moments[0]}", path) == ["3", "2", "1"]
            assert await versions(f"_since={moments[1]}", path) == ["3", "2"]
            assert await versions(f"_at={moments[0]}", path) == ["1"]
            assert await versions(f"_at={moments[1]}", path) == ["2"]
            assert await versions(f"_at={gone}", path) == ["3"]
            assert await versions("_at=2001", path) == []
        day = moments[0][:10]
        if gone[:10] == day:
            assert await versions(f"_at={day}") == ["3", "2", "1"]
        later = quote(moments[1].replace("Z", "+00:00"))
        assert await versions(f"_since={later}") == ["3", "2"]
        assert (await http.get("Patient/a/_history?_since=x")).status_code == 400
        assert (await http.get("Patient/a/_history?_list=x")).status_code == 400


async def test_a_version_about_somebody_else_is_not_given_out(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient("1", id="a"))
        await http.put("Patient/b", json=patient("2", id="b"))
        await http.put("ServiceRequest/o", json=order("Patient/a", id="o"))
        await http.put("ServiceRequest/o", json=order("Patient/b", id="o"))
        await http.put("ServiceRequest/p", json=order("Patient/b", id="p"))
        await http.delete("ServiceRequest/p")
    async with client(store, agent("patient/*.cruds", patient="b")) as http:
        assert (await http.get("ServiceRequest/o")).status_code == 200
        assert (await http.get("ServiceRequest/o/_history")).status_code == 403
        assert (await http.get("ServiceRequest/p/_history?_count=1")).status_code == 200
        assert (await http.get("Patient/a/_history")).status_code == 403
        assert (await http.get("ServiceRequest/_history")).status_code == 403
        assert (await http.get("_history")).status_code == 403
    async with client(store, agent("patient/*.cruds", patient="a")) as http:
        assert (await http.get("ServiceRequest/p/_history?_count=1")).status_code == 403
    assert {event[0] for event in await audited(store)} >= {"history-instance", "history-type", "history-system"}
