"""Letting old messages go, where the site says for how long they are kept; in bites that hold nobody up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from logging import getLogger

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import UnavailableError
from interop.store import Store, Tx

logger = getLogger(__name__)

_AGENT = system_agent("retention")
_BITE = 200  # messages in one commit
_HOUR = 3600.0


async def prune(store: Store, days: int, *, now: datetime | None = None) -> int:
    """Forget the settled messages that are older than this; how many. What is queued or dead stays."""
    before = (now or datetime.now(UTC)) - timedelta(days=days)

    def work(tx: Tx) -> int:
        gone = tx.prune_messages(before, _BITE)
        if gone:
            tx.audit(Event("steering", "prune", "D", detail=f"{gone} messages older than {days} days"))
        return gone

    total = 0
    while gone := await store.unit(_AGENT, work):
        total += gone
        await asyncio.sleep(0.05)
    return total


async def keep_pruned(store: Store, days: int, *, every: float = _HOUR) -> None:
    """Do so at once and every hour, for ever."""
    while True:
        try:
            if gone := await prune(store, days):
                logger.info("%d messages older than %d days were let go", gone, days)
        except UnavailableError as error:
            logger.warning("no messages let go: %s", error.text)
        await asyncio.sleep(every)
