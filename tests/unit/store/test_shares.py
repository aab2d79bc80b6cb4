"""Shared links as they are kept, on either engine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from interop.access import system_agent
from interop.store import ShareRow, Store

AGENT = system_agent("test")


def kept(tx: Any, who: str, minutes: int = 10, *, annotate: bool = False, label: str | None = None) -> ShareRow:
    expires = tx.now + timedelta(minutes=minutes)
    row = ShareRow(tx.new_id(), who, ("1.2", "1.3"), annotate, label, tx.now, expires)
    tx.put_share(row, f"digest of {row.id}")
    return row


async def test_it_comes_back_as_it_was_kept(store: Store) -> None:
    row = await store.unit(AGENT, lambda tx: kept(tx, "dr", annotate=True, label="Γνώμη"))
    assert await store.view(lambda tx: tx.share(row.id)) == row
    assert await store.view(lambda tx: tx.share_by_digest(f"digest of {row.id}")) == row
    assert await store.view(lambda tx: tx.share("x")) is None
    assert await store.view(lambda tx: tx.share_by_digest("x")) is None


async def test_openings_are_counted_and_the_first_revocation_stands(store: Store) -> None:
    row = await store.unit(AGENT, lambda tx: kept(tx, "dr"))
    for _ in range(3):
        await store.unit(AGENT, lambda tx: tx.open_share(row.id))
    opened = await store.view(lambda tx: tx.share(row.id))
    assert opened is not None
    assert (opened.openings, opened.revoked) == (3, None)
    assert opened.opened is not None
    for _ in range(2):
        await store.unit(AGENT, lambda tx: tx.revoke_share(row.id))
    revoked = await store.view(lambda tx: tx.share(row.id))
    assert revoked is not None
    assert revoked.revoked is not None


async def test_pages_of_one_person_and_of_all(store: Store) -> None:
    rows = [await store.unit(AGENT, lambda tx, w=who: kept(tx, w)) for who in ("a", "b", "a")]
    newest = [row.id for row in reversed(rows)]
    assert [row.id for row in await store.view(lambda tx: tx.shares())] == newest
    assert [row.id for row in await store.view(lambda tx: tx.shares("a"))] == [newest[0], newest[2]]
    assert [row.id for row in await store.view(lambda tx: tx.shares(before=newest[0], limit=1))] == [newest[1]]


async def test_what_ended_long_ago_is_forgotten(store: Store) -> None:
    old = await store.unit(AGENT, lambda tx: kept(tx, "a", minutes=-10))
    new = await store.unit(AGENT, lambda tx: kept(tx, "a"))
    await store.unit(AGENT, lambda tx: tx.forget_shares(tx.now))
    assert [row.id for row in await store.view(lambda tx: tx.shares())] == [new.id]
    assert await store.view(lambda tx: tx.share(old.id)) is None
