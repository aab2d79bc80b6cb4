"""What was stored before the index held what it holds now is indexed anew, in bites, and searches say so meanwhile."""

from __future__ import annotations

import asyncio
from datetime import tzinfo
from typing import Any

from interop.access.agent import system_agent
from interop.fhir.indexing import index_rows
from interop.fhir.query import IndexRow
from interop.jobs import keep_indexed, reindex
from interop.store import Progress, Store, Tx, open_store
from interop.store.reindexing import STATE
from tests.fhir_door import client

AGENT = system_agent("test")
_KNOWN_OF_OLD = ("identifier", "status", "subject")


def of_old(resource: dict[str, Any], zone: tzinfo) -> list[IndexRow]:
    """What an earlier version indexed: a few parameters, and one that is no more."""
    rows = [row for row in index_rows(resource, zone) if row.param in _KNOWN_OF_OLD]
    return [*rows, IndexRow("gone", "token", "", "x")]


def fill(tx: Tx) -> None:
    for number in range(7):
        tx.create({"resourceType": "Patient", "gender": "male", "birthDate": f"198{number}"}, id=f"p{number}")
    tx.delete("Patient", "p6")
    tx.create(
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": "Patient/p0"},
            "valueQuantity": {"value": 5},
        },
        id="o",
    )
    series = [{"uid": "1.2", "modality": {"code": "CT"}, "instance": [{"uid": "1.2.3", "sopClass": {"code": "s"}}]}]
    study = {"resourceType": "ImagingStudy", "status": "available", "series": series}
    tx.create({**study, "subject": {"reference": "Patient/p0"}}, id="s")


async def found(store: Store, query: str) -> tuple[int, bool]:
    """How many, and whether the answer warns that the index is not complete."""
    async with client(store) as http:
        entries = (await http.get(query)).json().get("entry", [])
    modes = [entry["search"]["mode"] for entry in entries]
    return modes.count("match"), "outcome" in modes


async def test_what_an_older_version_stored_is_found_again(database_url: str) -> None:
    before = await open_store(database_url, index=of_old)
    await before.unit(AGENT, fill)
    await before.unit(AGENT, lambda tx: tx.set_state(STATE, None))
    await before.close()
    store = await open_store(database_url)
    assert await found(store, "Patient?gender=male") == (0, False)
    begun = await store.unit(AGENT, lambda tx: tx.begin_index())
    assert (begun.done, begun.complete) == (0, False)
    first = await store.unit(AGENT, lambda tx: tx.index_bite(3))
    assert (first.done > 0, first.complete) == (True, False)
    assert await found(store, "Patient?gender=male") == (3, True)
    told: list[Progress] = []
    await reindex(store, told=told.append)  # goes on where it was left
    assert told[-1].complete
    for query, count in (
        ("Patient?gender=male", 6),
        ("Patient?birthdate=1983", 1),
        ("Observation?value-quantity=5", 1),
        ("ImagingStudy?modality=CT", 1),
        ("ImagingStudy?instance=1.2.3", 1),
    ):
        assert await found(store, query) == (count, False), query
    gone = "SELECT count(*) FROM token_index WHERE param = 'gone'"
    assert await store.view(lambda tx: tx.session.row(gone)) == (0,)
    assert await reindex(store) == 0
    assert await reindex(store, anew=True) > 0
    await store.close()


async def test_other_parameters_begin_it_again(store: Store) -> None:
    await store.unit(AGENT, fill)
    await reindex(store)
    state = '{"fingerprint": "of another version", "done": 99, "last": 99, "complete": true}'
    await store.unit(AGENT, lambda tx: tx.set_state(STATE, state))
    assert (await found(store, "Patient?gender=male"))[1] is True
    task = asyncio.create_task(keep_indexed(store))
    async with asyncio.timeout(20):
        while (await found(store, "Patient?gender=male"))[1]:
            await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_empty_database_has_nothing_to_index(store: Store) -> None:
    assert await reindex(store) == 0
    progress = await store.view(lambda tx: tx.index_progress())
    assert progress == Progress(0, 0, True)
