"""Indexing anew what was stored before the index was to hold what it holds now: in bites, each in a unit of its own.

How far it has come is kept under one name of the state, with what the index is to hold (fhir/indexing.py), so that it
goes on after a restart and begins again where another version of the program wants other rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from interop.fhir.indexing import fingerprint
from interop.store import search_index
from interop.store import statements as sql
from interop.store.studies import Studies

STATE = "search-index"
_LAST = "SELECT coalesce(max(pk), 0) FROM resource"
_BITE = "SELECT pk, type, id, version, last_updated, deleted, body FROM resource WHERE pk > ? ORDER BY pk LIMIT ?"
_BITES = {"sqlite": _BITE, "postgresql": _BITE + " FOR UPDATE"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it has come: up to this key of what is stored."""

    done: int
    last: int
    complete: bool


class Reindexing(Studies):
    """What a transaction can do for the index as a whole."""

    def index_progress(self) -> Progress | None:
        """How far the index that is wanted now has come; None where nothing is known of it."""
        kept = self.session.row(sql.STATE, (STATE,))
        if kept is None:
            return None
        state = orjson.loads(kept[0])
        if state["fingerprint"] != fingerprint():
            return Progress(0, self._last(), False)
        return Progress(state["done"], state["last"], state["complete"])

    def begin_index(self, *, anew: bool = False) -> Progress:
        """Where indexing is to go on; complete where there is nothing to do. ``anew``: from the beginning."""
        present = None if anew else self.index_progress()
        last = self._last()
        if present is not None and (present.complete or present.done):
            return present
        return self._keep(Progress(0, last, last == 0))

    def index_bite(self, size: int) -> Progress:
        """Index the next few resources; how far it has come then."""
        self.lock(STATE)
        present = self.index_progress() or self.begin_index()
        if present.complete:
            return present
        rows = self.session.rows(_BITES[self.session.dialect], (present.done, size))
        for pk, *row in rows:
            stored = self._stored(row)
            if not stored.deleted:
                found = self._surroundings.index(stored.resource(), self.zone)
                entries = search_index.entries(found, stored.type, pk)
                search_index.rewrite(self.session, stored.type, stored.id, pk, entries)
        done = rows[-1][0] if rows else present.done
        return self._keep(Progress(done, max(present.last, done), len(rows) < size))

    def _last(self) -> int:
        row = self.session.row(_LAST)
        return 0 if row is None else int(row[0])

    def _keep(self, progress: Progress) -> Progress:
        state = {
            "fingerprint": fingerprint(),
            "done": progress.done,
            "last": progress.last,
            "complete": progress.complete,
        }
        self.session.put(sql.STATE_PUT, (STATE, orjson.dumps(state).decode()))
        return progress
