"""worklist: make an order's worklist files equal what the database says of it now.

Level-triggered: the files are rendered when the job runs, so that the newest state wins and a cancel is never held back
by an earlier write that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
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

KIND = "worklist"
_AGENT = system_agent("worklist")
_ALL = 1_000_000
GATHER = 0.1  # seconds between two claims while orders keep coming; a modality that asks finds them soon enough


class Writer(Protocol):
    """Who makes the files: ``WorklistItems``, here or in another process."""

    async def write(self, wanted: Sequence[Wanted]) -> Sequence[Made]:
        """Make the files of these orders equal the database; what became of each, in turn."""
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
        given_up = await self._store.view(_given_up)
        made = {one.order: one for one in await self._writer.write(wanted)}
        waiting = [one.order for one in made.values() if one.waits and not one.fault]
        for id in waiting:
            await self._reconsider(id)
        if waiting:
            made |= {one.order: one for one in await self._writer.write([Wanted(id, False) for id in waiting])}
        return [_ended(made[one.order], again=one.order in given_up) for one in wanted]

    async def _reconsider(self, id: str) -> None:
        await self._store.unit(_AGENT, lambda tx: orders.reconsider_one(tx, self._site, id))


def _wanted(job: Job) -> Wanted:
    """A job tried again may find what its first attempt left behind, so nothing is known of its order."""
    since = job.created.isoformat() if job.attempt == 1 else ""
    return Wanted(str(job.payload["order"]), bool(job.payload.get("thorough")), since)


def _ended(made: Made, *, again: bool) -> Outcome | Exception | None:
    """``again``: the order has a dead letter, which says no more than what it comes to now."""

    def keep(tx: Tx) -> None:
        if again:
            tx.drop_dead(KIND, made.order)
        if made.changed and not made.fault:
            _audit(tx, made)

    outcome = Outcome(_AGENT, keep)
    if made.fault:
        return UndeliverableError(made.fault).keeping(outcome) if made.lasting else UnavailableError(made.fault)
    return outcome if made.changed or again else None


def _given_up(tx: Tx) -> frozenset[str]:
    return frozenset(job.key for job in tx.dead_jobs(kinds=[KIND], limit=_ALL))


def _audit(tx: Tx, made: Made) -> None:
    """That an order's items were written, or taken away."""
    patient = f"Patient/{made.patient}" if made.patient else None
    subtype, action = ("entry-written", "U") if made.shown else ("entry-removed", "D")
    tx.audit(Event("worklist", subtype, action, patient=patient, entity=f"ServiceRequest/{made.order}"))
