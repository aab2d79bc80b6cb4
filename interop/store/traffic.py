"""What went over the HL7 connections, counted: kept across restarts, in tables whose size is that of the list of peers.

Whoever counts adds what came since the last time, many messages at once: no message pays for it, and several processes
can count the same peer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from interop.store import instants
from interop.store import statements as sql
from interop.store.messages import plain
from interop.store.rows import PeerCounts, PeerNote, PeerQueue
from interop.store.unit import Unit


class Traffic(Unit):
    """The counts of a transaction."""

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Add to the counts of the listener."""
        many = [(plain(name), value) for name, value in sorted(counts.items()) if value]  # in one order: no deadlock
        self.session.put_many(sql.TRAFFIC_ADD, many)

    def counts(self) -> dict[str, int]:
        """The counts of the listener since the database was made, over all processes."""
        return dict(self.session.rows(sql.TRAFFIC))

    def note_peers(self, notes: Iterable[PeerNote]) -> None:
        """Add to what is known of peers; the newest error counts."""
        many = []
        for note in sorted(notes, key=lambda one: (one.direction, one.name, one.address)):
            last, failed = (None if at is None else instants.micros(at) for at in (note.last_at, note.last_error_at))
            error = None if note.last_error is None else plain(note.last_error)
            named = (note.direction, plain(note.name), plain(note.address))
            many.append((*named, note.messages, note.refused, last, error, failed))
        self.session.put_many(sql.PEER_ADD, many)

    def peer_counts(self) -> list[PeerCounts]:
        """What is known of each peer, by direction and name."""
        return [
            PeerCounts(direction, name, address, messages, refused, _instant(last), error, _instant(failed))
            for direction, name, address, messages, refused, last, error, failed in self.session.rows(sql.PEERS)
        ]

    def peer_queues(self) -> dict[str, PeerQueue]:
        """What each receiver is owed, by its name; those that are owed nothing are left out."""
        found: dict[str, dict[str, Any]] = {}
        for peer, state, count, oldest in self.session.rows(sql.PEER_QUEUES):
            queue = found.setdefault(peer, {})
            queue[state] = count
            if state == "queued":
                queue["oldest"] = instants.instant(oldest)
        return {peer: PeerQueue(**queue) for peer, queue in found.items()}


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else instants.instant(micros)
