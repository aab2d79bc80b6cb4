"""Orders whose planned time is long past leave the worklist, where the site says so (INTEROP_WORKLIST_DAYS).

Nothing tells the server that a patient did not come. The order itself stays active: it waits, with the reason, and is
shown again once another time is told.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from logging import getLogger

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.store import Store, Tx, WorklistFilter
from interop.workflow import orders
from interop.workflow.site import Site

logger = getLogger(__name__)

_AGENT = system_agent("worklist")
_EVERY = 900.0  # seconds
_TOGETHER = 25  # orders planned anew in one unit


async def keep_expired(store: Store, site: Site) -> None:
    """``expire`` again and again."""
    while True:
        try:
            await expire(store, site)
        except UnavailableError as error:
            logger.warning("past orders stay on the worklist for now: %s", error.text)
        await asyncio.sleep(_EVERY)


async def expire(store: Store, site: Site) -> int:
    """Plan anew the scheduled orders whose time is past; how many left the worklist."""
    after, count = "", 0
    while ids := await store.view(lambda tx, after=after: _past(tx, site, after)):  # type: ignore[misc]
        count += await store.unit(_AGENT, lambda tx, ids=ids: _replanned(tx, site, ids))  # type: ignore[misc]
        after = ids[-1]
        await asyncio.sleep(0)
    if count:
        logger.info("%d orders left the worklist: their time is past", count)
    return count


def _past(tx: Tx, site: Site, after: str) -> list[str]:
    """Those that may be: without a time, or with several steps, one has to look."""
    wanted = WorklistFilter(last=tx.now - timedelta(days=site.worklist_days))
    return [row.id for row in tx.planned(wanted, after=after, limit=_TOGETHER)]


def _replanned(tx: Tx, site: Site, ids: list[str]) -> int:
    return sum(orders.reconsider_one(tx, site, id, planned=True) for id in ids)
