"""The items of orders, rendered from what the database says now, and made the files of the worklist folder.

Rendering is most of the work of a worklist job, and none of it changes the database: so it can be done in another
process than the one that writes (see ``interop.worklist_process``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any, NamedTuple, Protocol, TypeVar

from interop.dicom.worklist import worklist_bytes
from interop.errors import InvalidContentError, UnavailableError
from interop.fhir.orders import shown_start
from interop.fhir.scheduled_steps import as_order, has_steps, steps_of
from interop.mapping.worklist import worklist_attributes
from interop.store import OrderRow, StepRow, Tx
from interop.workflow.outbox import named_in_stored
from interop.workflow.site import Site

logger = getLogger(__name__)

Resource = dict[str, Any]
T = TypeVar("T")

# An order, its files by station, and the stations that may have had one and shall not (None: every file is sought).
Change = tuple[str, Mapping[str, bytes], Collection[str] | None]


class Wanted(NamedTuple):
    """An order whose files shall equal the database.

    ``thorough``: seek out files of stations not listed any more. ``since``: the moment it is owed since, where nobody
    has tried: if the order is still as it was placed then, it was never shown, and no file of it is to go.
    """

    order: str
    thorough: bool
    since: str = ""


class Made(NamedTuple):
    """What became of it. Only text, numbers and truth values, so that it can cross to another process."""

    order: str
    patient: str | None = None  # the Patient's id, where there is an order
    shown: bool = False  # it has files now
    changed: bool = False
    waits: bool = False  # it is not scheduled because something is missing
    fault: str = ""  # why it could not be done
    lasting: bool = False  # and why trying again would change nothing


class Views(Protocol):
    """A store that can be looked into."""

    async def view(self, work: Callable[[Tx], T]) -> T: ...


class Folder(Protocol):
    """Where the worklist provider reads from."""

    def make_all(self, changes: Sequence[Change]) -> Sequence[bool | UnavailableError]:
        """Make the files of each order exactly these; in turn: whether anything changed, or why it was not done."""
        ...


class WorklistItems:
    """Makes files of orders; ``render`` gives the content of one as its folder wants it."""

    def __init__(
        self, store: Views, site: Site, folder: Folder, render: Callable[[Mapping[str, Any]], bytes] = worklist_bytes
    ) -> None:
        self._store = store
        self._site = site
        self._folder = folder
        self._render = render

    async def write(self, wanted: Sequence[Wanted]) -> list[Made]:
        """Make the files of these orders equal the database; what became of each, in turn."""
        try:
            found = await self._store.view(lambda tx: [_read(tx, one.order) for one in wanted])
            rendered = [self._rendered(one, order) for one, order in zip(wanted, found, strict=True)]
        except UnavailableError:
            raise
        except Exception as error:  # of one of them, and not to the others' harm
            if len(wanted) > 1:
                return [made for one in wanted for made in await self.write([one])]
            logger.exception("the order %s cannot be shown", wanted[0].order)
            return [Made(wanted[0].order, fault=f"{type(error).__name__}: {error}")]
        made = self._folder.make_all([change for _, change in rendered])
        return [_outcome(outcome, done) for (outcome, _), done in zip(rendered, made, strict=True)]

    def _rendered(self, one: Wanted, found: _Found) -> tuple[Made, Change]:
        row = found.row
        patient = None if row is None else row.patient_id
        files: dict[str, bytes] = {}
        fault = ""
        try:
            files = self._files(found)
        except InvalidContentError as error:
            fault = f"the order does not fit into a worklist item: {error.text}"
        absent: Collection[str] | None = None
        fresh = found.version == 1 and row is not None and row.updated.isoformat() == one.since
        if not one.thorough and not fault and (fresh or not found.steps):
            absent = () if fresh else {station.aet for station in self._site.stations} - files.keys()
        waits = row is not None and not row.scheduled and bool(row.missing)
        made = Made(one.order, patient, bool(files), waits=waits, fault=fault, lasting=bool(fault))
        return made, (one.order, files, absent)

    def _files(self, found: _Found) -> dict[str, bytes]:
        row, files = found.row, dict[str, bytes]()
        if row is None or found.order is None or found.patient is None:
            return files
        if not found.steps:
            return self._items(found, found.order, row)
        told = {step.number: step for step in steps_of(found.order)}
        for step in found.steps:
            if step.scheduled and step.step_id in told:
                items = self._items(found, as_order(found.order, told[step.step_id]), step)
                files |= {f"{step.step_id}|{aet}": content for aet, content in items.items()}
        return files

    def _items(self, found: _Found, order: Resource, row: OrderRow | StepRow) -> dict[str, bytes]:
        """An item for each station of an order with one step, or of one step among several."""
        assert found.patient is not None
        files: dict[str, bytes] = {}
        written = found.row.updated if found.row is not None else None
        stations = [station for aet in row.stations if (station := self._site.station(aet)) is not None]
        for station in stations:
            start = shown_start(order, row.start, written, self._site.zone)
            assert start is not None
            attributes = worklist_attributes(
                order,
                found.patient,
                station_aet=station.aet,
                modality=row.modality or station.modality,
                start=start,
                zone=self._site.zone,
                facility=self._site.facility,
                tables=self._site.tables,
                location=station.location,
                resolved=found.resolved,
            )
            files[station.aet] = self._render(attributes)
        return files


@dataclass(frozen=True, slots=True)
class _Found:
    """An order, and what its worklist item needs where it is scheduled."""

    row: OrderRow | None
    order: Resource | None = None
    patient: Resource | None = None
    resolved: Mapping[str, Resource] | None = None
    version: int = 0  # of the order
    steps: tuple[StepRow, ...] = ()  # where the order has several


def _read(tx: Tx, id: str) -> _Found:
    row = tx.order(id)
    if row is None or not row.scheduled:
        return _Found(row, steps=tx.order_steps(id))
    stored = tx.get("ServiceRequest", id)
    order = stored.resource()
    patient = tx.get("Patient", row.patient_id).resource()
    several = tx.order_steps(id) if has_steps(order) else ()
    return _Found(row, order, patient, named_in_stored(tx, stored, order), stored.version, several)


def _outcome(made: Made, done: bool | UnavailableError) -> Made:
    if isinstance(done, UnavailableError):
        return made if made.lasting else made._replace(fault=done.text)
    return made._replace(changed=done)
