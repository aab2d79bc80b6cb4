"""Studies that grow: bursts cost what is new, every version reads whole."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import GoneError
from interop.fhir.query import Clause, IndexRow, Query, TokenValue
from interop.fhir.search import index_rows
from interop.store import SeriesPart, Store, Stored, Tx, open_store

AGENT = system_agent("test")


def instances(series: str, numbers: range) -> list[dict[str, Any]]:
    return [{"uid": f"{series}.{number}", "sopClass": {"code": "urn:oid:1.2"}, "number": number} for number in numbers]


def study(count: int, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": "study",
        "status": "available",
        "subject": {"reference": "Patient/p"},
        "numberOfInstances": count,
        **elements,
    }


def part(series: str, numbers: range, *, replace: bool = False, modality: str = "CT") -> SeriesPart:
    header = {"uid": series, "modality": {"code": modality}, "numberOfInstances": numbers.stop}
    return SeriesPart(series, header, instances(series, numbers), replace=replace)


async def put(store: Store, count: int, *parts: SeriesPart, removed: tuple[str, ...] = (), **elements: Any) -> Stored:
    return await store.unit(AGENT, lambda tx: tx.put_study(study(count, **elements), parts, removed))


async def shape(store: Store, version: int | None = None) -> dict[str, list[int]]:
    stored = await store.view(lambda tx: tx.read("ImagingStudy", "study", version))
    assert stored is not None
    resource = stored.resource()
    return {
        series["uid"]: [instance["number"] for instance in series.get("instance", ())]
        for series in resource.get("series", ())
    }


async def test_a_study_grows_and_every_version_reads_whole(store: Store) -> None:
    await put(store, 3, part("1.1", range(3)))
    await put(store, 5, part("1.1", range(3, 5)))
    await put(store, 7, part("1.2", range(2)), part("1.1", range(5, 5)))
    assert await shape(store, 1) == {"1.1": [0, 1, 2]}
    assert await shape(store, 2) == {"1.1": [0, 1, 2, 3, 4]}
    assert await shape(store) == {"1.1": [0, 1, 2, 3, 4], "1.2": [0, 1]}
    whole = (await store.view(lambda tx: tx.get("ImagingStudy", "study"))).resource()
    assert whole["numberOfInstances"] == 7
    assert whole["series"][0]["numberOfInstances"] == 5
    history = await store.view(lambda tx: tx.history("ImagingStudy", "study"))
    assert [len(each.resource()["series"]) for each in history.rows] == [2, 1, 1]


async def test_known_instances_are_left_out_and_nothing_new_makes_no_version(store: Store) -> None:
    await put(store, 3, part("1.1", range(3)))
    again = await put(store, 3, part("1.1", range(3)))
    assert again.version == 1
    await put(store, 5, part("1.1", range(1, 5)))
    assert await shape(store) == {"1.1": [0, 1, 2, 3, 4]}
    assert await store.view(lambda tx: tx.known_instances("study", ["1.1.4", "1.1.5", "9"])) == {"1.1.4"}
    assert await store.view(lambda tx: tx.known_instances("other", ["1.1.4"])) == set()


async def test_a_series_without_instances_and_a_study_without_series(store: Store) -> None:
    await put(store, 0)
    assert await shape(store) == {}
    await put(store, 0, SeriesPart("1.1", {"uid": "1.1"}))
    assert await shape(store) == {"1.1": []}
    assert await store.view(lambda tx: tx.study_instances("study")) == {"1.1": set()}


async def test_series_are_replaced_and_removed(store: Store) -> None:
    await put(store, 4, part("1.1", range(2)), part("1.2", range(2)))
    await put(store, 3, part("1.1", range(1), replace=True))
    assert await shape(store) == {"1.1": [0], "1.2": [0, 1]}
    assert await find(store, "instance", "1.1.1") == []
    unchanged = await put(store, 3, part("1.1", range(1), replace=True))
    assert unchanged.version == 2
    await put(store, 1, removed=("1.2", "never-there"))
    assert await shape(store) == {"1.1": [0]}
    assert await find(store, "series", "1.2") == []
    assert await find(store, "series", "1.1") == ["study"]
    assert await shape(store, 1) == {"1.1": [0, 1], "1.2": [0, 1]}
    assert await store.view(lambda tx: tx.study_instances("study")) == {"1.1": {"1.1.0"}}


async def find(store: Store, param: str, code: str) -> list[str]:
    query = Query("ImagingStudy", (Clause(param, "token", (TokenValue(None, code),)),))
    page = await store.view(lambda tx: tx.search(query))
    assert all("series" in each.resource() for each in page.rows)
    return [each.id for each in page.rows]


async def test_the_index_follows_the_series_and_the_study(store: Store) -> None:
    await put(store, 1, part("1.1", range(1), modality="CT"), identifier=[{"system": "acc", "value": "A1"}])
    await put(store, 2, part("1.2", range(1), modality="SR"), identifier=[{"system": "acc", "value": "A2"}])
    for param, code in (("modality", "CT"), ("modality", "SR"), ("series", "1.1"), ("series", "1.2")):
        assert await find(store, param, code) == ["study"], (param, code)
    assert await find(store, "identifier", "A1") == []
    assert await find(store, "identifier", "A2") == ["study"]
    assert await find(store, "instance", "1.1.0") == ["study"]
    assert [each.id for each in await store.view(lambda tx: tx.by_identifier("ImagingStudy", "acc", "A2"))] == ["study"]


async def test_whole_studies_go_through_the_same_parts(store: Store) -> None:
    whole = study(3) | {
        "series": [
            {"uid": "1.1", "modality": {"code": "CT"}, "instance": instances("1.1", range(2))},
            {"uid": "1.2", "modality": {"code": "CT"}, "instance": instances("1.2", range(1))},
        ]
    }
    made = await store.unit(AGENT, lambda tx: tx.create(whole, id="study"))
    assert made == await store.view(lambda tx: tx.get("ImagingStudy", "study"))
    assert (await store.unit(AGENT, lambda tx: tx.update(whole))).version == 1
    fewer = whole | {"series": whole["series"][:1]}
    changed = await store.unit(AGENT, lambda tx: tx.update(fewer))
    assert changed == await store.view(lambda tx: tx.get("ImagingStudy", "study"))
    assert (changed.version, await shape(store)) == (2, {"1.1": [0, 1]})


async def test_a_deleted_study_comes_back_without_its_old_parts(store: Store) -> None:
    await put(store, 2, part("1.1", range(2)))
    await store.unit(AGENT, lambda tx: tx.delete("ImagingStudy", "study"))
    with pytest.raises(GoneError):
        await store.view(lambda tx: tx.get("ImagingStudy", "study"))
    assert await shape(store, 1) == {"1.1": [0, 1]}
    await put(store, 1, part("1.2", range(1)))
    assert await shape(store) == {"1.2": [0]}
    assert await find(store, "instance", "1.1.0") == []


async def test_a_study_without_an_id_is_given_one(store: Store) -> None:
    anonymous = {name: value for name, value in study(1).items() if name != "id"}
    made = await store.unit(AGENT, lambda tx: tx.put_study(anonymous, [part("1.1", range(1))]))
    assert len(made.id) == 36


async def test_a_burst_costs_in_proportion_to_what_is_new(database_url: str) -> None:
    """Of 100 bursts of 50 images each indexes and writes its own 50, and no image that was there before."""
    indexed: list[int] = []

    def counting(resource: dict[str, Any], zone: tzinfo) -> list[IndexRow]:
        indexed.append(sum(len(series.get("instance", ())) for series in resource.get("series", ())))
        return index_rows(resource, zone)

    store = await open_store(database_url, index=counting)
    for number in range(100):
        numbers = range(number * 50, number * 50 + 50)
        await put(store, numbers.stop, part("1.1", numbers))
    assert max(indexed) == 50
    assert sum(indexed) == 5000
    assert (await shape(store))["1.1"] == list(range(5000))

    def parts(tx: Tx) -> tuple[Any, ...] | None:
        return tx.session.row("SELECT count(*), max(length(body)) FROM study_part")

    written, longest = await store.view(parts) or (0, 0)
    assert written == 200  # a header and a chunk each
    assert longest < 50 * 100
    await store.close()
