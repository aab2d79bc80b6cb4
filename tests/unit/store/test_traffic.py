"""Counts of what went over the connections: added, never replaced, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from interop.access.agent import system_agent
from interop.store import PeerCounts, PeerNote, PeerQueue, Store, Tx

AGENT = system_agent("test")
AT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


async def test_counts_are_added_up(store: Store) -> None:
    for counts in ({"messages": 3, "connections": 1}, {"messages": 2, "fault torn": 1, "AA": 0}):
        await store.unit(AGENT, lambda tx, counts=counts: tx.add_counts(counts))  # type: ignore[misc]
    assert await store.view(lambda tx: tx.counts()) == {"connections": 1, "fault torn": 1, "messages": 5}


async def test_a_peer_is_the_sum_of_its_notes_and_its_newest_error(store: Store) -> None:
    later = AT + timedelta(minutes=5)
    notes = [
        PeerNote("in", "RIS|HOSP", "10.0.0.1", 5, 1, AT, "AE ORC-2: first", AT),
        PeerNote("in", "RIS|HOSP", "10.0.0.1", 2, 0, later),
        PeerNote("in", "RIS|HOSP", "10.0.0.1", 1, 1, AT, "AE: told late", AT - timedelta(hours=1)),
        PeerNote("in", "RIS|HOSP", "10.0.0.2", 1, 0, AT),
        PeerNote("out", "EMR", "", 0, 0, None, "no connection", later),
    ]
    for note in notes:
        await store.unit(AGENT, lambda tx, note=note: tx.note_peers([note]))  # type: ignore[misc]
    assert await store.view(lambda tx: tx.peer_counts()) == [
        PeerCounts("in", "RIS|HOSP", "10.0.0.1", 8, 2, later, "AE ORC-2: first", AT),
        PeerCounts("in", "RIS|HOSP", "10.0.0.2", 1, 0, AT),
        PeerCounts("out", "EMR", "", 0, 0, None, "no connection", later),
    ]


async def test_what_a_receiver_is_owed(store: Store) -> None:
    def owe(tx: Tx) -> None:
        for state, control, at in (
            ("queued", "C1", AT),
            ("queued", "C2", AT + timedelta(minutes=1)),
            ("dead", "C3", AT - timedelta(days=1)),
            ("sent", "C4", AT - timedelta(days=2)),
        ):
            named = {"direction": "out", "peer": "RIS", "application": "I", "facility": "I", "type": "ORM^O01"}
            tx.add_message(**named, control_id=control, raw=b"MSH", body_hash="", state=state, at=at)

    await store.unit(AGENT, owe)
    assert await store.view(lambda tx: tx.peer_queues()) == {"RIS": PeerQueue(2, 1, 0, AT)}
