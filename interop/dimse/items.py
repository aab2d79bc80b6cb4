"""The worklist's items in memory, each as the database has it: what a query has to read is only what has changed.

Making an item costs more than answering with it. An item is made once for a version of its order and patient; the
database is asked every time which orders are planned, and in which versions.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from interop.dicom.worklist_query import WorklistQuery
from interop.dimse.units import Units
from interop.store import PlannedRow, Tx, WorklistFilter
from interop.workflow.planned_items import planned_items, read_planned
from interop.workflow.site import Site

Item = dict[str, Any]

PAGE = 500  # orders asked for at once
READ = 25  # orders read in one turn of the event loop
KEPT = 20_000  # orders whose items are kept


class Items:
    """Items of planned orders; thread-safe."""

    def __init__(self, units: Units, site: Site) -> None:
        self._units = units
        self._site = site
        self._made: OrderedDict[str, tuple[PlannedRow, tuple[Item, ...]]] = OrderedDict()
        self._guard = threading.Lock()

    def matching(self, query: WorklistQuery) -> Iterator[Item]:
        """The items that the query asks for, in the order in which their orders came."""
        for rows in self._pages(self._filter(query)):
            for items in self._of(rows):
                yield from (item for item in items if query.matches(item))

    def warm(self) -> int:
        """Make all items now, so that the first query does not have to; how many orders are planned."""
        return sum(1 for rows in self._pages(WorklistFilter()) for _ in self._of(rows))

    def _pages(self, wanted: WorklistFilter) -> Iterator[list[PlannedRow]]:
        after = ""
        while True:
            rows = self._units.view(partial(_page, wanted=wanted, after=after))
            if rows:
                yield rows
            if len(rows) < PAGE:
                return
            after = rows[-1].id

    def _of(self, rows: Sequence[PlannedRow]) -> Iterator[tuple[Item, ...]]:
        with self._guard:
            known = {row.id: found[1] for row in rows if (found := self._made.get(row.id)) and found[0] == row}
        missing = [row for row in rows if row.id not in known]
        for begin in range(0, len(missing), READ):
            known |= self._make(missing[begin : begin + READ])
        for row in rows:
            yield known.get(row.id, ())

    def _make(self, rows: Sequence[PlannedRow]) -> dict[str, tuple[Item, ...]]:
        ids = [row.id for row in rows]
        found = self._units.view(lambda tx: [read_planned(tx, self._site, id) for id in ids])
        made = {row.id: planned_items(one, self._site) if one else () for row, one in zip(rows, found, strict=True)}
        with self._guard:
            for row in rows:
                self._made[row.id] = (row, made[row.id])
                self._made.move_to_end(row.id)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return made

    def _filter(self, query: WorklistQuery) -> WorklistFilter:
        """What the database can leave out of itself; every item is held against the query all the same."""
        patient = query.value_of("PatientID")
        first, last = query.days()
        zone = self._site.zone
        return WorklistFilter(
            accession=query.value_of("AccessionNumber"),
            study_uid=query.value_of("StudyInstanceUID"),
            patients=None if patient is None else self._patients(patient),
            modalities=query.list_of("Modality"),
            station=query.value_of("ScheduledStationAETitle"),
            first=None if first is None else _utc(datetime.combine(first, time.min, zone) - timedelta(days=1)),
            last=None if last is None else _utc(datetime.combine(last, time.max, zone) + timedelta(days=1)),
        )

    def _patients(self, number: str) -> tuple[str, ...]:
        return tuple(stored.id for stored in self._units.view(lambda tx: tx.by_identifier("Patient", None, number)))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _page(tx: Tx, wanted: WorklistFilter, after: str) -> list[PlannedRow]:
    return tx.planned(wanted, after=after, limit=PAGE)
