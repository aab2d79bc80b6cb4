"""The listener's counts: kept in one unit now and then, across restarts, and not lost where the store refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from interop.errors import UnavailableError
from interop.mllp_listener import tallies as tallies_module
from interop.mllp_listener.tallies import OTHERS, Tallies
from interop.store import Store
from tests.hl7_messages import orm
from tests.mllp_door import listening, told


async def test_counts_outlast_the_listener(store: Store) -> None:
    for round in (1, 2):
        async with listening(store) as (_, connect):
            peer = await connect()
            await peer.write(b"GET / HTTP/1.1\r\n\r\n")
            await peer.send(orm(placer=f"P{round}", id=f"C{round}"), orm("XO", "NOBODY", id=f"X{round}"))
            assert [told(await peer.answer())[0] for _ in range(3)] == ["AR", "AA", "AE"]
    counts = await store.view(lambda tx: tx.counts())
    assert {name: counts[name] for name in ("connections", "messages", "AA", "AE", "faults", "fault unframed")} == {
        "connections": 2,
        "messages": 4,
        "AA": 2,
        "AE": 2,
        "faults": 2,
        "fault unframed": 2,
    }
    nameless, ris = await store.view(lambda tx: tx.peer_counts())
    assert (nameless.name, nameless.messages, nameless.refused) == ("", 0, 2)
    assert (ris.name, ris.address, ris.messages, ris.refused) == ("RIS|HOSP", "127.0.0.1", 4, 2)
    assert ris.last_error is not None
    assert ris.last_error.startswith("AE ORC-2: ")
    assert ris.last_at == ris.last_error_at


async def test_all_messages_together_are_one_unit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tallies = Tallies(store)
    units = 0
    unit = store.unit

    async def counted(*given: Any, **more: Any) -> Any:
        nonlocal units
        units += 1
        return await unit(*given, **more)

    monkeypatch.setattr(store, "unit", counted)
    for number in range(1000):
        tallies.counts["messages"] += 1
        tallies.message("RIS|HOSP", "10.0.0.1", "AE" if number % 10 == 0 else None)
    await tallies.keep()
    await tallies.keep()  # nothing new
    assert units == 1
    (peer,) = await store.view(lambda tx: tx.peer_counts())
    assert (peer.messages, peer.refused) == (1000, 100)


async def test_what_the_store_does_not_take_is_kept_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tallies = Tallies(store)

    async def refuses(*given: Any, **more: Any) -> Any:
        tallies.message("RIS|HOSP", "a")  # while it is tried
        raise UnavailableError("the disk is full")

    tallies.counts["messages"] += 1
    tallies.message("RIS|HOSP", "a", "AE: first")
    with monkeypatch.context() as patch:
        patch.setattr(store, "unit", refuses)
        await tallies.keep()
    tallies.counts["messages"] += 1
    await tallies.keep()
    assert await store.view(lambda tx: tx.counts()) == {"messages": 2}
    (peer,) = await store.view(lambda tx: tx.peer_counts())
    assert (peer.messages, peer.refused, peer.last_error) == (2, 1, "AE: first")


async def test_made_up_names_do_not_fill_the_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies_module, "_PEERS", 3)
    tallies = Tallies(store)
    for number in range(10):
        tallies.message(f"APP{number}|F", "a")
        await tallies.keep()
    rows = await store.view(lambda tx: tx.peer_counts())
    assert [(row.name, row.messages) for row in rows] == [(OTHERS, 7), ("APP0|F", 1), ("APP1|F", 1), ("APP2|F", 1)]
