"""The transaction that a unit of work is given: everything that may be done inside one commit."""

from __future__ import annotations

from datetime import datetime

from interop.errors import UnsupportedError
from interop.fhir.query import Clause, DateValue, Query
from interop.store import instants
from interop.store import statements as sql
from interop.store.clinical import Clinical
from interop.store.decisions import Decisions
from interop.store.message_lists import MessageLists
from interop.store.orders import Orders
from interop.store.performed import Performed
from interop.store.placements import Placements
from interop.store.queue import Queue
from interop.store.reindexing import Reindexing
from interop.store.rows import Page, Stats, Stored
from interop.store.searching import Search
from interop.store.session_ends import SessionEnds
from interop.store.shares import Shares
from interop.store.traffic import Traffic
from interop.store.trail import AUDIT_EVENT, Trail

_MILLISECOND = 1000


class Tx(
    Reindexing,
    Search,
    Clinical,
    Orders,
    Performed,
    Decisions,
    Placements,
    Shares,
    SessionEnds,
    MessageLists,
    Queue,
    Traffic,
    Trail,
):
    """One unit of work; synchronous, on either engine. It may be run again, so it changes nothing outside itself."""

    def read(self, type: str, id: str, version: int | None = None) -> Stored | None:
        """The current version, or the given one; None where there is none. A deletion is a version too."""
        if type == AUDIT_EVENT:
            return self._read_audit(id, version)
        return super().read(type, id, version)

    def search(self, query: Query) -> Page:
        """One page of the live resources that meet all clauses."""
        if query.type == AUDIT_EVENT:
            return self._search_audit(query)
        return super().search(query)

    def history(
        self,
        type: str | None,
        id: str | None,
        *,
        count: int = 50,
        after: str | None = None,
        since: int | None = None,
        at: tuple[int, int] | None = None,
    ) -> Page:
        """The versions of a resource, of a type or of all, newest first."""
        if type == AUDIT_EVENT:
            raise UnsupportedError("an AuditEvent has no history: it is never changed")
        return super().history(type, id, count=count, after=after, since=since, at=at)

    def as_of(
        self, type: str, moment: datetime, *, since: datetime | None = None, after: str = "", limit: int = 500
    ) -> tuple[list[Stored], str | None]:
        """Some resources of the type as they were at that moment, and where the next ones begin."""
        if type != AUDIT_EVENT:
            return super().as_of(type, moment, since=since, after=after, limit=limit)
        bounds = [("le", instants.micros(moment)), *([("gt", instants.micros(since))] if since else [])]
        clauses = tuple(
            Clause("_lastUpdated", "last-updated", (DateValue(prefix, at, at + _MILLISECOND),)) for prefix, at in bounds
        )
        page = self._search_audit(Query(type, clauses, count=limit, after=after or None))
        return page.rows, page.next

    def get_state(self, name: str) -> str | None:
        """What was kept under this name."""
        found = self.session.row(sql.STATE, (name,))
        return None if found is None else str(found[0])

    def set_state(self, name: str, value: str | None) -> None:
        """Keep a value under this name; None forgets it."""
        if value is None:
            self.session.put(sql.STATE_CLEAR, (name,))
        else:
            self.session.put(sql.STATE_PUT, (name, value))

    def states(self, prefix: str) -> list[tuple[str, str]]:
        """Name and value of everything whose name begins so."""
        return [(row[0], row[1]) for row in self.session.rows(sql.STATES_BETWEEN, (prefix, prefix + "~"))]

    def states_between(self, first: str, last: str) -> list[tuple[str, str]]:
        """Name and value of everything whose name is one of these two or lies between them."""
        return [(row[0], row[1]) for row in self.session.rows(sql.STATES_FROM_TO, (first, last))]

    def stats(self) -> Stats:
        """How much there is."""
        return Stats(
            resources=dict(self.session.rows(sql.RESOURCE_COUNTS)),
            messages={(row[0], row[1]): row[2] for row in self.session.rows(sql.MESSAGE_COUNTS)},
            jobs=self.job_counts(),
        )
