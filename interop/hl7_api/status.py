"""How the feeds stand: what went over the listener, and for each peer when, how much, what waits and what went wrong.

Nothing of a message is told, so nothing is audited: it may be asked every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from interop.store import PeerCounts, PeerQueue, Tx

_NOTHING = PeerQueue()


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One sender or receiver."""

    direction: str  # in | out
    name: str  # in: MSH-3|MSH-4, "" of what was no message; out: the receiver's name
    address: str
    messages: int = 0  # in: that came; out: that were taken or refused for good
    refused: int = 0
    last_at: datetime | None = None
    queued: int = 0
    dead: int = 0
    unanswered: int = 0  # accepted (CA), and never acknowledged by the application
    oldest_waiting: float | None = None  # seconds
    last_error: str | None = None
    last_error_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """All of them; ``listener`` counts since the database was made, over all processes and restarts."""

    at: datetime
    listener: dict[str, int]
    peers: list[PeerStatus] = field(default_factory=list)


def status_of(tx: Tx, receivers: Iterable[str]) -> FeedStatus:
    """The feeds as the database has them; receivers that got nothing yet are told of, too."""
    queues = tx.peer_queues()
    counted = tx.peer_counts()
    senders = [_status(one, _NOTHING, tx.now) for one in counted if one.direction == "in"]
    known = {one.name: one for one in counted if one.direction == "out"}
    names = dict.fromkeys((*receivers, *queues, *known))
    owed = [_status(known.get(name, PeerCounts("out", name)), queues.get(name, _NOTHING), tx.now) for name in names]
    return FeedStatus(tx.now, tx.counts(), senders + owed)


def _status(counts: PeerCounts, queue: PeerQueue, now: datetime) -> PeerStatus:
    return PeerStatus(
        direction=counts.direction,
        name=counts.name,
        address=counts.address,
        messages=counts.messages,
        refused=counts.refused,
        last_at=counts.last_at,
        queued=queue.queued,
        dead=queue.dead,
        unanswered=queue.unanswered,
        oldest_waiting=None if queue.oldest is None else max(0.0, (now - queue.oldest).total_seconds()),
        last_error=counts.last_error,
        last_error_at=counts.last_error_at,
    )


def shown_status(found: FeedStatus) -> dict[str, Any]:
    """As JSON."""
    peers = [
        {
            "direction": one.direction,
            "name": one.name,
            "address": one.address,
            "messages": one.messages,
            "refused": one.refused,
            "last_at": _instant(one.last_at),
            "queued": one.queued,
            "dead": one.dead,
            "unanswered": one.unanswered,
            "oldest_waiting_seconds": None if one.oldest_waiting is None else round(one.oldest_waiting, 1),
            "last_error": one.last_error,
            "last_error_at": _instant(one.last_error_at),
        }
        for one in found.peers
    ]
    return {"at": _instant(found.at), "listener": found.listener, "peers": peers}


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
