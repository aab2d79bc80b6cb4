"""The worklist compared with the database, and made equal to it: at the start of a worker, and again and again.

What changes an order owes a job for its items; this is for what happens to the items alone: files that were lost,
altered or left behind, a folder that was away, a plugin whose database was put back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Protocol

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.jobs.worklist import KIND
from interop.jobs.worklist_items import Made, Wanted
from interop.store import Store, Tx
from interop.workflow import orders
from interop.workflow.site import Site

logger = getLogger(__name__)

FAULT = "worklist:fault"  # the state that says why the worklist cannot be looked at
_AGENT = system_agent("worklist")
_AGAIN, _SETTLING = 5.0, 2.0  # seconds until it is looked at again: after a failure, and while changes are on their way
_FOLDER, _REST = 60.0, 600.0  # seconds between comparisons: names of files cost little, a plugin tells all of its items
_CONTENT = 3600.0  # seconds between comparisons of content, which cost a process of its own 1 ms an order
_PAGE = 250  # orders asked for in one turn of the loop
_TOGETHER, _PAUSE = 64, 0.05  # orders whose content is compared at once, and seconds left to others in between


class Holdings(Protocol):
    """Where the items are, as names."""

    async def names(self) -> Sequence[str]:
        """What stands there now."""
        ...

    def name(self, order_id: str, key: str) -> str:
        """What the item of this order and key is called; its order's id is what stands before ``~``."""
        ...

    async def sweep(self) -> int:
        """Remove what a writer that died has left unfinished; how many."""
        ...


class Looker(Protocol):
    """Who knows what making items would come to."""

    async def look(self, wanted: Sequence[Wanted]) -> Sequence[Made]:
        """Whether the items of these orders are others than the database makes of them, in turn."""
        ...


async def worklist_kept(
    store: Store, site: Site, worklist: Holdings, files: Looker | None
) -> Coroutine[None, None, None]:
    """Compare the worklist once and owe what differs; what is to run beside the jobs, so that it stays as it should be.

    ``files``: who compares the content too, where reading it is cheap. A worklist that cannot be looked at is no reason
    to take no orders.
    """
    try:
        await reconcile(store, site, worklist)  # first: what is planned depends on no folder
        await worklist.sweep()
    except UnavailableError as error:
        logger.warning("the worklist is not compared yet: %s", error.text)
    return keep_compared(store, worklist, _FOLDER if files else _REST, files)


async def worklist_answers(store: Store) -> None:
    """UnavailableError while the worklist cannot be looked at, or items of it cannot be written; the worker knows.

    Why not stays with the worker's log and ``interop doctor``: an error that nobody foresaw may quote an order.
    """

    def look(tx: Tx) -> str:
        count, _ = tx.failing_jobs(KIND)
        return tx.get_state(FAULT) or (
            f"orders not shown as they are: {count}; interop doctor says why" if count else ""
        )

    if fault := await store.view(look):
        raise UnavailableError(fault)


@dataclass(frozen=True, slots=True)
class Differing:
    """Ids of orders that have other items than planned, and those among them that have some too many."""

    orders: frozenset[str]
    too_many: frozenset[str]
    given_up: frozenset[str] = frozenset()  # that lack all items and have a dead letter


async def reconcile(store: Store, site: Site, worklist: Holdings) -> int:
    """Plan anew what other tables or another list of modalities change, and owe a job for every order that differs.

    How many differ; UnavailableError where the worklist cannot be looked at.
    """
    replanned = await store.unit(_AGENT, lambda tx: orders.reconsider(tx, site))
    if replanned:
        logger.info("%d orders planned anew: tables or modalities have changed", replanned)
    found = await differing(store, worklist)
    await _owe(store, found.orders, found.too_many)  # those given up once more: the tables may be others
    return len(found.orders)


async def keep_compared(store: Store, worklist: Holdings, every: float, files: Looker | None = None) -> None:
    """Compare the names again and again, and mend; where that cannot be, say so in the database and try again soon.

    ``files`` compares the content, at the start and every hour.
    """
    told: str | None = ""
    clock, due = asyncio.get_running_loop().time, 0.0
    while True:
        try:
            if files is not None and clock() >= due:
                await verify(store, files)
                due = clock() + _CONTENT
            await mend(store, worklist)
            fault = None
        except UnavailableError as error:
            fault = error.text
            logger.warning("the worklist cannot be compared: %s", fault)
        if fault != told and await _told(store, fault):
            told = fault
        await asyncio.sleep(_AGAIN if fault else every)


async def _told(store: Store, fault: str | None) -> bool:
    try:
        await store.unit(_AGENT, lambda tx: tx.set_state(FAULT, fault))
    except UnavailableError as error:
        logger.warning("it is not written down how the worklist stands: %s", error.text)
        return False
    return True


async def mend(store: Store, worklist: Holdings) -> int:
    """Owe a job for every order whose items differ and go on differing; how many. Those given up wait for a change."""
    found = await differing(store, worklist)
    if not found.orders - found.given_up:
        return 0
    await asyncio.sleep(_SETTLING)
    again = await differing(store, worklist)
    lasting = found.orders & again.orders - again.given_up
    await _owe(store, lasting, again.too_many)
    return len(lasting)


async def differing(store: Store, worklist: Holdings) -> Differing:
    """The orders that have other items than the database plans; UnavailableError where they cannot be looked at."""
    there = frozenset(await worklist.names())
    wanted = frozenset([worklist.name(id, _key(*item)) async for id, items in _planned(store) for item in items])
    dead = frozenset(job.key for job in await store.view(lambda tx: tx.dead_jobs(kinds=[KIND], limit=1_000_000)))
    too_many = frozenset(_order(name) for name in there - wanted)
    shown = frozenset(_order(name) for name in there)
    return Differing(too_many | frozenset(_order(name) for name in wanted - there), too_many, dead - shown)


async def _planned(store: Store) -> AsyncIterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """What each scheduled order is to have, a page in each turn of the loop."""
    after = ""
    while page := await store.view(lambda tx, after=after: tx.shown_items(after=after, limit=_PAGE)):  # type: ignore[misc]
        for id, items in page.items():
            yield id, items
        after = next(reversed(page))
        await asyncio.sleep(0)


async def verify(store: Store, files: Looker) -> int:
    """Compare the content of all items with what the database makes of them, and owe those that differ; how many.

    The worker's own jobs go on in between.
    """
    ids = [id async for id, _ in _planned(store)]
    count = 0
    for start in range(0, len(ids), _TOGETHER):
        seen = await files.look([Wanted(id, thorough=True) for id in ids[start : start + _TOGETHER]])
        wanted = frozenset(one.order for one in seen if (one.changed or one.fault) and not one.lasting)
        await _owe(store, wanted, wanted)
        count += len(wanted)
        await asyncio.sleep(_PAUSE)
    return count


async def _owe(store: Store, wanted: frozenset[str], thorough: frozenset[str]) -> None:
    def work(tx: Tx) -> None:
        for id in sorted(wanted):
            tx.enqueue(KIND, id, {"order": id, "thorough": id in thorough}, replace=True)

    if wanted:
        logger.warning("the worklist differs from the database in %d orders: being mended", len(wanted))
        await store.unit(_AGENT, work)


def _key(step: str, station: str) -> str:
    """As ``WorklistItems`` calls them."""
    return f"{step}|{station}" if step else station


def _order(name: str) -> str:
    return name.partition("~")[0]
