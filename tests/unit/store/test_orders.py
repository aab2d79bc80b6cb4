"""The lean index of orders: identities are unique, and all that is asked for is found."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import DuplicateError
from interop.fhir.query import Identity
from interop.store import DuplicateIdentityError, OrderRow, Store, Tx

AGENT = system_agent("test")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def order(id: str, **fields: Any) -> OrderRow:
    values: dict[str, Any] = {"patient_id": "p", "status": "active", "step": "scheduled", "origin": "fhir:x"}
    return OrderRow(id=id, updated=NOW, **(values | fields))


async def put(store: Store, *rows: OrderRow) -> None:
    def work(tx: Tx) -> None:
        for row in rows:
            tx.put_order(row)

    await store.unit(AGENT, work)


async def test_a_full_row_reads_back_and_is_replaced(store: Store) -> None:
    row = order(
        "o1",
        placer=Identity("urn:p", "1"),
        filler=Identity("urn:f", "2"),
        accession=Identity("urn:a", "IMG1"),
        study_uid="1.2.3",
        procedure_id="RP1",
        step_id="SPS1",
        scheduled=True,
        missing="modality",
        modality="CT",
        start=NOW,
        stations=("CT1", "CT2"),
    )
    await put(store, row)
    assert await store.view(lambda tx: tx.order("o1")) == row
    changed = replace(row, step="arrived", scheduled=False, stations=(), placer=None)
    await put(store, changed)
    assert await store.view(lambda tx: tx.order("o1")) == changed
    assert await store.view(lambda tx: tx.order("o2")) is None


@pytest.mark.parametrize("identity", ["placer", "filler", "accession", "study_uid"])
async def test_an_identity_belongs_to_one_order(store: Store, identity: str) -> None:
    value: Any = "1.2.3" if identity == "study_uid" else Identity("urn:x", "7")
    await put(store, order("first", **{identity: value}))
    with pytest.raises(DuplicateIdentityError, match="ServiceRequest/first") as refused:
        await put(store, order("second", **{identity: value}))
    assert isinstance(refused.value, DuplicateError)
    assert (refused.value.identity, refused.value.order_id) == (identity, "first")
    await put(store, order("first", **{identity: value}, status="on-hold"))
    if identity != "study_uid":
        await put(store, order("third", **{identity: Identity("urn:other", "7")}))


async def test_a_duplicate_may_be_met_within_the_unit(store: Store) -> None:
    """The refusal leaves the transaction usable, on both engines."""
    await put(store, order("first", placer=Identity("a", "1")))

    def work(tx: Tx) -> str:
        try:
            tx.put_order(order("second", placer=Identity("a", "1")))
        except DuplicateIdentityError as error:
            tx.put_order(order("second"))
            return error.order_id
        raise AssertionError("was accepted")

    assert await store.unit(AGENT, work) == "first"
    assert await store.view(lambda tx: tx.order("second")) is not None


async def test_of_many_with_one_identity_at_the_same_time_one_is_kept(store: Store) -> None:
    rows = [order(f"o{number}", accession=Identity("a", "1")) for number in range(16)]
    results = await asyncio.gather(*(put(store, row) for row in rows), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, DuplicateIdentityError) for result in results) == 15


async def test_orders_are_found_by_what_they_have(store: Store) -> None:
    await put(
        store,
        order("o1", placer=Identity("a", "1"), scheduled=True),
        order("o2", filler=Identity("a", "1"), patient_id="q", study_uid="1.2"),
        replace(order("o3", scheduled=True), updated=NOW.replace(year=2027)),
    )

    async def found(**asked: Any) -> list[str]:
        return [row.id for row in await store.view(lambda tx: tx.find_orders(**asked))]

    assert await found(placer=Identity("a", "1")) == ["o1"]
    assert await found(filler=Identity("a", "1")) == ["o2"]
    assert await found(accession=Identity("a", "1")) == []
    assert await found(study_uid="1.2") == ["o2"]
    assert await found(patient_id="p") == ["o3", "o1"]
    assert await found(scheduled=True) == ["o3", "o1"]
    assert await found(scheduled=False) == ["o2"]
    assert await found(patient_id="p", placer=Identity("a", "1")) == ["o1"]
    assert await found(limit=1) == ["o3"]
