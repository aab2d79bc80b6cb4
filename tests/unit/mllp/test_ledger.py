"""A flood of refused connections is counted, and a few of them are written down."""

from __future__ import annotations

import asyncio

from interop.mllp_listener.ledger import Ledger


async def test_the_first_are_written_and_the_rest_are_told_in_one_line() -> None:
    told: list[tuple[str, int, int]] = []

    async def tell(kind: str, number: int, addresses: int) -> None:
        told.append((kind, number, addresses))

    ledger = Ledger(tell, window=0.05, each=3, most=5)
    assert [ledger.writes("peer", "10.0.0.1") for _ in range(6)] == [1, 2, 3, 0, 0, 0]
    assert [ledger.writes("tls", "10.0.0.1") for _ in range(3)] == [1, 2, 0]  # five in all
    assert ledger.writes("peer", "10.0.0.2") == 0
    async with asyncio.timeout(5):
        while len(told) < 2:
            await asyncio.sleep(0.01)
    assert sorted(told) == [("peer", 4, 2), ("tls", 1, 1)]
    assert [ledger.is_new("tls", "10.0.0.1", why) for why in ("expired", "none", "expired")] == [True, True, False]
    await asyncio.sleep(0.06)
    assert ledger.writes("peer", "10.0.0.1") == 1  # a new window
    assert ledger.is_new("tls", "10.0.0.1", "expired")


async def test_what_was_counted_is_told_when_the_listener_stops() -> None:
    told: list[tuple[str, int, int]] = []

    async def tell(kind: str, number: int, addresses: int) -> None:
        told.append((kind, number, addresses))

    ledger = Ledger(tell, each=1)
    for number in range(1000):
        ledger.writes("peer", f"10.0.{number // 250}.{number % 250}")
    await ledger.close()
    assert told == [("peer", 900, 100)]
    await ledger.close()
    assert len(told) == 1
