"""The transaction that a unit of work is given: everything that may be done inside one commit."""

from __future__ import annotations

from interop.errors import UnsupportedError
from interop.fhir.query import Query
from interop.store import statements as sql
from interop.store.message_lists import MessageLists
from interop.store.orders import Orders
from interop.store.queue import Queue
from interop.store.rows import Page, Stats, Stored
from interop.store.searching import Search
from interop.store.studies import Studies
from interop.store.trail import AUDIT_EVENT, Trail


class Tx(Studies, Search, Orders, MessageLists, Queue, Trail):
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

    def history(self, type: str | None, id: str | None, *, count: int = 50, after: str | None = None) -> Page:
        """The versions of a resource, of a type or of all, newest first."""
        if type == AUDIT_EVENT:
            raise UnsupportedError("an AuditEvent has no history: it is never changed")
        return super().history(type, id, count=count, after=after)

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

    def stats(self) -> Stats:
        """How much there is."""
        return Stats(
            resources=dict(self.session.rows(sql.RESOURCE_COUNTS)),
            messages={(row[0], row[1]): row[2] for row in self.session.rows(sql.MESSAGE_COUNTS)},
            jobs=self.job_counts(),
        )
