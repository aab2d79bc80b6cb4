"""worklist: make an order's worklist files equal what the database says of it now.

Level-triggered: the files are rendered when the job runs, so that the newest state wins and a cancel is never held back
by an earlier write that failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from logging import getLogger
from typing import Protocol

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import UnavailableError
from interop.jobs.runner import BatchLane, Outcome, UndeliverableError
from interop.jobs.worklist_items import Made, Wanted
from interop.store import Job, Store, Tx
from interop.workflow import orders
from interop.workflow.site import Site

logger = getLogger(__name__)

_AGENT = system_agent("worklist")
_ALL = 1_000_000
_AGAIN, _COMPARING = 5.0, 600.0  # seconds
GATHER = 0.1  # seconds between two claims while orders keep coming; a modality that asks finds them soon enough


class Writer(Protocol):
    """Who makes the files: ``WorklistItems``, here or in another process."""

    async def write(self, wanted: Sequence[Wanted]) -> Sequence[Made]:
        """Make the files of these orders equal the database; what became of each, in turn."""
        ...


class Holdings(Protocol):
    """The worklist folder, counted."""

    async def holdings(self) -> Mapping[str, int]:
        """How many files each order has."""
        ...


class WorklistJobs:
    """The handler of kind ``worklist``: all jobs of a claim together."""

    def __init__(self, store: Store, site: Site, writer: Writer) -> None:
        self._store = store
        self._site = site
        self._writer = writer

    def lane(self) -> BatchLane:
        """How they are run."""
        return BatchLane(self, _AGENT, gather=GATHER)

    async def __call__(self, jobs: Sequence[Job]) -> list[Outcome | Exception | None]:
        """Write the orders of these jobs; for each what is to be kept of it, or why it failed."""
        wanted = [_wanted(job) for job in jobs]
        made = {one.order: one for one in await self._writer.write(wanted)}
        waiting = [one.order for one in made.values() if one.waits and not one.fault]
        for id in waiting:
            await self._reconsider(id)
        if waiting:
            made |= {one.order: one for one in await self._writer.write([Wanted(id, False) for id in waiting])}
        return [_ended(made[one.order]) for one in wanted]

    async def _reconsider(self, id: str) -> None:
        await self._store.unit(_AGENT, lambda tx: orders.reconsider_one(tx, self._site, id))


def _wanted(job: Job) -> Wanted:
    """A job tried again may find what its first attempt left behind, so nothing is known of its order."""
    since = job.created.isoformat() if job.attempt == 1 else ""
    return Wanted(str(job.payload["order"]), bool(job.payload.get("thorough")), since)


def _ended(made: Made) -> Outcome | Exception | None:
    if made.fault:
        return UndeliverableError(made.fault) if made.lasting else UnavailableError(made.fault)
    return Outcome(_AGENT, lambda tx: _audit(tx, made)) if made.changed else None


def _audit(tx: Tx, made: Made) -> None:
    patient = f"Patient/{made.patient}" if made.patient else None
    subtype, action = ("entry-written", "U") if made.shown else ("entry-removed", "D")
    tx.audit(Event("worklist", subtype, action, patient=patient, entity=f"ServiceRequest/{made.order}"))


async def keep_reconciled(store: Store, site: Site, worklist: Holdings) -> None:
    """The same again and again: for a worklist that may not answer, and that others take items from."""
    while True:
        try:
            await reconcile(store, site, worklist)
        except UnavailableError as error:
            logger.warning("the worklist is not compared yet: %s", error.text)
            await asyncio.sleep(_AGAIN)
        else:
            await asyncio.sleep(_COMPARING)


async def reconcile(store: Store, site: Site, folder: Holdings) -> int:
    """Compare the folder with the database and owe a job for every order that differs; how many there are.

    For the start of a worker: the list of modalities may be another one, files may have been lost or left behind.
    """
    replanned = await store.unit(_AGENT, lambda tx: orders.reconsider(tx, site))
    if replanned:
        logger.info("%d orders planned anew: tables or modalities have changed", replanned)
    shown = await folder.holdings()
    planned = await store.view(
        lambda tx: (
            {row.id: len(row.stations) for row in tx.find_orders(scheduled=True, limit=_ALL)} | tx.items_of_steps()
        )
    )
    differing = sorted(id for id in shown.keys() | planned.keys() if shown.get(id) != planned.get(id))

    def work(tx: Tx) -> None:
        for id in differing:
            tx.enqueue("worklist", id, {"order": id, "thorough": True}, replace=True)

    if differing:
        logger.warning("the worklist differs from the database in %d orders: being mended", len(differing))
        await store.unit(_AGENT, work)
    return len(differing)
