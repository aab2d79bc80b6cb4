"""Old messages go where the site says for how long they are kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from interop.fhir.query import Query
from interop.jobs import keep_pruned, prune
from interop.store import Store
from tests.hl7_messages import orm
from tests.hospital import Hospital


async def test_what_is_older_goes_in_bites_and_the_trail_says_how_many(store: Store) -> None:
    hospital = Hospital(store)
    for number in range(3):
        await hospital.send(orm(placer=f"P{number}"))
    assert await prune(store, 1) == 0
    assert await prune(store, 1, now=datetime.now(UTC) + timedelta(days=2)) == 3
    assert await store.view(lambda tx: tx.find_messages()) == []
    assert len(await store.view(lambda tx: tx.find_orders())) == 3
    rows = await store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=50)))
    (event,) = [row for row in rows if row.event.subtype == "prune"]
    assert (event.agent.who, event.event.detail) == ("retention", "3 messages older than 1 days")


async def test_it_goes_on_doing_so(store: Store) -> None:
    hospital = Hospital(store)
    task = asyncio.create_task(keep_pruned(store, 0, every=0.01))
    for placer in ("P1", "P2"):  # the second is for a later round
        await hospital.send(orm(placer=placer))
        async with asyncio.timeout(10):
            while await store.view(lambda tx: tx.find_messages()):
                await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
