"""Counting what comes in, in memory, and keeping the counts in the store a few seconds later, all of them in one unit.

A message costs an addition. What a process had counted and not kept yet when it was killed is lost: seconds of counts,
never a message. Without the store the counts wait.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from logging import getLogger

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.store import PeerNote, Store, Tx

logger = getLogger(__name__)

KEEP_SECONDS = 5.0
OTHERS = "(others)"  # those beyond what is told apart: a sender that makes up names must not fill tables
_PEERS = 1000
_AGENT = system_agent("mllp")


@dataclass(slots=True)
class _Peer:
    messages: int = 0
    refused: int = 0
    last_at: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None


class Tallies:
    """The counts of this process, and what of them is not kept yet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.counts: Counter[str] = Counter()  # connections, messages, refused, faults and why, unavailable
        self._kept: Counter[str] = Counter()
        self._peers: dict[tuple[str, str], _Peer] = {}
        self._known: set[tuple[str, str]] = set()

    def message(self, name: str, address: str, refusal: str | None = None) -> None:
        """A message came, of this MSH-3|MSH-4; ``refusal``: why it was not carried out."""
        peer = self._peer(name, address)
        peer.messages += 1
        peer.last_at = datetime.now(UTC)
        if refusal is not None:
            peer.refused += 1
            peer.last_error, peer.last_error_at = refusal, peer.last_at

    def fault(self, address: str, text: str) -> None:
        """What came was no message."""
        peer = self._peer("", address)
        peer.refused += 1
        peer.last_error, peer.last_error_at = text, datetime.now(UTC)

    def _peer(self, name: str, address: str) -> _Peer:
        key = (name, address)
        if key not in self._known:
            if len(self._known) >= _PEERS:
                key = (OTHERS, "")
            self._known.add(key)
        found = self._peers.get(key)
        if found is None:
            found = self._peers[key] = _Peer()
        return found

    async def keep(self) -> None:
        """Put what is new into the store; what it does not take is new the next time, too."""
        counts = {name: value - self._kept[name] for name, value in self.counts.items() if value != self._kept[name]}
        peers, self._peers = self._peers, {}
        if not counts and not peers:
            return
        self._kept.update(counts)
        notes = [
            PeerNote("in", name, address, one.messages, one.refused, one.last_at, one.last_error, one.last_error_at)
            for (name, address), one in peers.items()
        ]

        def work(tx: Tx) -> None:
            tx.add_counts(counts)
            tx.note_peers(notes)

        try:
            await self._store.unit(_AGENT, work)
        except UnavailableError as error:
            logger.warning("the counts of the listener are kept later: %s", error.text)
            self._kept.subtract(counts)
            for key, one in peers.items():
                self._peers[key] = _sum(one, self._peers.get(key))


def _sum(before: _Peer, after: _Peer | None) -> _Peer:
    if after is None:
        return before
    return replace(
        after,
        messages=before.messages + after.messages,
        refused=before.refused + after.refused,
        last_at=after.last_at or before.last_at,
        last_error=after.last_error or before.last_error,
        last_error_at=after.last_error_at or before.last_error_at,
    )
