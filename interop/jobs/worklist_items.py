"""The items of orders, rendered from what the database says now, and made the files of the worklist folder.

Rendering is most of the work of a worklist job, and none of it changes the database: so it can be done in another
process than the one that writes (see ``interop.worklist_process``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from logging import getLogger
from typing import Any, NamedTuple, Protocol, TypeVar

from interop.dicom.worklist import worklist_bytes
from interop.errors import InvalidContentError, UnavailableError
from interop.store import OrderRow, Tx
from interop.workflow.planned_items import Planned, items_of, read_scheduled
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
            found = await self._store.view(lambda tx: [_read(tx, self._site, one.order) for one in wanted])
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
            files = self._files(found.planned)
        except InvalidContentError as error:
            fault = f"the order does not fit into a worklist item: {error.text}"
        absent: Collection[str] | None = None
        version = found.planned.version if found.planned is not None else 0
        fresh = version == 1 and row is not None and row.updated.isoformat() == one.since
        if not one.thorough and not fault and (fresh or not found.several):
            absent = () if fresh else {station.aet for station in self._site.stations} - files.keys()
        waits = row is not None and not row.scheduled and bool(row.missing)
        made = Made(one.order, patient, bool(files), waits=waits, fault=fault, lasting=bool(fault))
        return made, (one.order, files, absent)

    def _files(self, planned: Planned | None) -> dict[str, bytes]:
        """An item for each station of an order with one step, for each step and station of one with several."""
        if planned is None:
            return {}
        return {
            station if step is None else f"{step}|{station}": self._render(attributes)
            for step, station, attributes in items_of(planned, self._site)
        }


class _Found(NamedTuple):
    """An order, and what its worklist items need where it is scheduled."""

    row: OrderRow | None
    planned: Planned | None
    several: bool  # it has several steps


def _read(tx: Tx, site: Site, id: str) -> _Found:
    row = tx.order(id)
    planned = read_scheduled(tx, site, row) if row is not None and row.scheduled else None
    return _Found(row, planned, bool(tx.order_steps(id) if planned is None else planned.steps))


def _outcome(made: Made, done: bool | UnavailableError) -> Made:
    if isinstance(done, UnavailableError):
        return made if made.lasting else made._replace(fault=done.text)
    return made._replace(changed=done)
