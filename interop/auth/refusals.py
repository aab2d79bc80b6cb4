"""The trace that a refused caller leaves: one AuditEvent per address and minute, however often it knocks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from interop.access import Agent
from interop.audit import Event
from interop.errors import UnavailableError
from interop.store import Store

log = logging.getLogger(__name__)

_MOST = 120  # addresses told apart in one minute; a flood from more of them shares one event


class Refusals:
    """Writes refusals down, bounded."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._minute = 0
        self._seen: set[str] = set()

    async def record(self, agent: Agent, detail: str, outcome: str = "4") -> None:
        """Returns when the refusal is kept, or when this minute's one for the address already is.

        Where the store cannot keep it the caller is refused all the same, and the log says so.
        """
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._seen = minute, set()
        address = agent.address or "unknown"
        if len(self._seen) >= _MOST:
            address = "many"
        if address in self._seen:
            return
        self._seen.add(address)
        event = Event("login", "login", "E", outcome, detail=detail, dedupe_key=f"refused:{address}:{minute}")
        try:
            await self._store.unit(agent, lambda tx: tx.audit(event))
        except UnavailableError:
            self._seen.discard(address)
            log.warning("a refusal could not be kept: request %s", agent.request_id)
