"""worklist: make an order's worklist files equal what the database says of it now.

Level-triggered: the files are rendered when the job runs, so that the newest state wins and a cancel is never held back
by an earlier write that failed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from logging import getLogger
from typing import Any, Protocol

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.dicom.worklist import worklist_bytes
from interop.errors import InvalidContentError
from interop.fhir.orders import order_facts
from interop.jobs.runner import Outcome, UndeliverableError
from interop.mapping.worklist import worklist_attributes
from interop.store import Job, OrderRow, Store, Tx
from interop.workflow import orders
from interop.workflow.outbox import named_in
from interop.workflow.site import Site

logger = getLogger(__name__)

Resource = dict[str, Any]
_AGENT = system_agent("worklist")
_ALL = 1_000_000


class WorklistFolder(Protocol):
    """Where the worklist provider reads from."""

    async def make(self, order_id: str, files: Mapping[str, bytes], absent: Collection[str] | None = None) -> bool:
        """Make the order's files exactly these, by station; whether anything changed.

        ``absent`` are the stations that may have had one and shall not; without it every file of the order is sought.
        """
        ...

    async def holdings(self) -> Mapping[str, int]:
        """How many files each order has."""
        ...


class WorklistJobs:
    """The handler of kind ``worklist``."""

    def __init__(self, store: Store, site: Site, folder: WorklistFolder) -> None:
        self._store = store
        self._site = site
        self._folder = folder

    async def __call__(self, job: Job) -> Outcome | None:
        """Render the order of the job."""
        id = str(job.payload["order"])
        found = await self._store.view(lambda tx: _read(tx, id))
        if found is None and await self._store.view(lambda tx: _waits(tx, id)):
            await self._store.unit(_AGENT, lambda tx: orders.reconsider_one(tx, self._site, id))
            found = await self._store.view(lambda tx: _read(tx, id))
        try:
            files = {} if found is None else self._files(found)
        except InvalidContentError as error:
            await self._folder.make(id, {})
            raise UndeliverableError(f"the order does not fit into a worklist item: {error.text}") from error
        listed = {station.aet for station in self._site.stations}
        absent = None if job.payload.get("thorough") else listed - files.keys()
        changed = await self._folder.make(id, files, absent)
        return Outcome(_AGENT, lambda tx: _audit(tx, id, bool(files))) if changed else None

    def _files(self, found: _Found) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        stations = [station for aet in found.row.stations if (station := self._site.station(aet)) is not None]
        for station in stations:
            attributes = worklist_attributes(
                found.order,
                found.patient,
                station_aet=station.aet,
                modality=found.row.modality or station.modality,
                start=_start(found, self._site.zone),
                zone=self._site.zone,
                facility=self._site.facility,
                tables=self._site.tables,
                location=station.location,
                resolved=found.resolved,
            )
            files[station.aet] = worklist_bytes(attributes)
        return files


@dataclass(frozen=True, slots=True)
class _Found:
    """A scheduled order and what its worklist item needs."""

    row: OrderRow
    order: Resource
    patient: Resource
    resolved: dict[str, Resource]


def _read(tx: Tx, id: str) -> _Found | None:
    """The order; None if it belongs on no worklist."""
    row = tx.order(id)
    if row is None or not row.scheduled:
        return None
    order = tx.get("ServiceRequest", id).resource()
    return _Found(row, order, tx.get("Patient", row.patient_id).resource(), named_in(tx, order))


def _waits(tx: Tx, id: str) -> bool:
    row = tx.order(id)
    return row is not None and bool(row.missing)


def _start(found: _Found, zone: tzinfo) -> datetime | date:
    """When the step is planned: a day alone stays one; without any time, when the order was written."""
    stated = str(found.order.get("occurrenceDateTime", ""))
    if len(stated) == len("YYYY-MM-DD"):
        return date.fromisoformat(stated)
    authored = order_facts(found.order, zone).authored
    return found.row.start or authored or found.row.updated


def _audit(tx: Tx, id: str, shown: bool) -> None:
    row = tx.order(id)
    patient = f"Patient/{row.patient_id}" if row is not None else None
    subtype = "entry-written" if shown else "entry-removed"
    tx.audit(Event("worklist", subtype, "U" if shown else "D", patient=patient, entity=f"ServiceRequest/{id}"))


async def reconcile(store: Store, site: Site, folder: WorklistFolder) -> int:
    """Compare the folder with the database and owe a job for every order that differs; how many there are.

    For the start of a worker: the list of modalities may be another one, files may have been lost or left behind.
    """
    replanned = await store.unit(_AGENT, lambda tx: orders.reconsider(tx, site))
    if replanned:
        logger.info("%d orders planned anew: tables or modalities have changed", replanned)
    shown = await folder.holdings()
    planned = await store.view(
        lambda tx: {row.id: len(row.stations) for row in tx.find_orders(scheduled=True, limit=_ALL)}
    )
    differing = sorted(id for id in shown.keys() | planned.keys() if shown.get(id) != planned.get(id))

    def work(tx: Tx) -> None:
        for id in differing:
            tx.enqueue("worklist", id, {"order": id, "thorough": True}, replace=True)

    if differing:
        logger.warning("the worklist differs from the database in %d orders: being mended", len(differing))
        await store.unit(_AGENT, work)
    return len(differing)
