"""If-None-Exist: https://hl7.org/fhir/R4/http.html#ccreate"""

from __future__ import annotations

import asyncio

from interop.store import Store
from tests.fhir_door import BASE, client, patient

CRITERIA = {"If-None-Exist": "identifier=urn:x:mrn|77"}


async def test_64_parallel_conditional_creates_make_one(store: Store) -> None:
    async with client(store) as http:
        answers = await asyncio.gather(*(http.post("Patient", json=patient("77"), headers=CRITERIA) for _ in range(64)))
        assert sorted(answer.status_code for answer in answers) == [200] * 63 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len((await http.get("Patient?identifier=urn:x:mrn|77")).json()["entry"]) == 1


async def test_none_one_many(store: Store) -> None:
    async with client(store) as http:
        first = await http.post("Patient", json=patient("77"), headers=CRITERIA)
        assert first.status_code == 201
        again = await http.post("Patient", json=patient("77", gender="male"), headers=CRITERIA)
        assert again.status_code == 200
        assert again.headers["location"] == first.headers["location"]
        assert again.content == first.content
        await http.post("Patient", json=patient("77"))
        several = await http.post("Patient", json=patient("77"), headers=CRITERIA)
        assert several.status_code == 412
        assert several.json()["issue"][0]["code"] == "multiple-matches"


async def test_criteria_that_are_no_search_are_refused(store: Store) -> None:
    async with client(store) as http:
        for criteria in ("", "_count=1", "idntifier=1", "identifier="):
            refused = await http.post("Patient", json=patient(), headers={"If-None-Exist": criteria})
            assert refused.status_code == 400, criteria
        whole = {"If-None-Exist": "Patient?identifier=urn:x:mrn|1"}
        assert (await http.post("Patient", json=patient(), headers=whole)).status_code == 201
        assert (await http.post("Patient", json=patient(), headers=whole)).headers["location"].startswith(BASE)
