"""Searches: pages of the resources that meet all clauses, in any order, which neither skip nor repeat.

A page link names the last resource of its page and the instant of the first page. The next page begins behind where
that resource stood then; whatever was changed meanwhile is taken where it stood then, too, so that a change moves
nothing past the reader. Nothing is kept between pages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from interop.errors import UnsupportedError
from interop.fhir.query import Query
from interop.store import paging, sorting
from interop.store.conditions import Condition
from interop.store.including import Including
from interop.store.paging import Cursor
from interop.store.planning import Plan, Planner
from interop.store.resources import Row
from interop.store.rows import Page
from interop.store.sorting import Key, Values
from interop.store.walking import COLUMNS, COUNTED, Found, Part, rarest, walk

CHANGED = 2000  # resources that may have changed since the first page of a search; beyond, it begins anew
_THEN = """
    SELECT type, id, version, last_updated, deleted, body FROM (
        SELECT type, id, version, last_updated, deleted, body FROM resource WHERE type = ? AND id = ?
        UNION ALL SELECT type, id, version, last_updated, deleted, body FROM history WHERE type = ? AND id = ?) v
    WHERE last_updated <= ? ORDER BY version DESC LIMIT 1"""  # the version of an instant


class Search(Including):
    """Searches of a transaction."""

    def search(self, query: Query) -> Page:
        """One page of the live resources that meet all clauses, and what they bring with them."""
        plan = Planner(self.session).plan(query)
        total = self._count(plan) if query.total else None
        if query.count == 0:
            return Page([], total=total)
        rows, following, previous = self._page(plan, query)
        page = [self._stored(row) for _, row in rows]
        included, left_out = self.included(query, [pk for pk, _ in rows], page) if query.includes else ([], False)
        return Page(page, following, previous, total, included, left_out)

    def _count(self, plan: Plan) -> int:
        counting = (rarest(self.session, plan.others, COUNTED) or plan).sql("count(*)")
        counted = self.session.row(counting.sql, counting.values)
        return 0 if counted is None else int(counted[0])

    def _page(self, plan: Plan, query: Query) -> tuple[list[tuple[int, Row]], str | None, str | None]:
        keys = sorting.sort_keys(query.type, query.sort)
        cursor = None if query.after is None else paging.read_cursor(query.after, _name_of(query))
        backwards = cursor is not None and cursor.backwards
        found = self._first(plan, query, keys) if cursor is None else self._next(plan, query, keys, cursor)
        more = len(found) > query.count
        page = found[: query.count]
        if backwards:
            page.reverse()
        if not page:
            return [], None, None
        if cursor is None and not more:
            return self._bodies(page), None, None
        of = _name_of(query)
        as_of = self._instant(query.type, keys) if cursor is None else cursor.as_of
        first, last = str(page[0].values[-1]), str(page[-1].values[-1])
        following = Cursor(last, as_of, of).text() if more or backwards else None
        continued = more if backwards else cursor is not None
        return self._bodies(page), following, Cursor(first, as_of, of, True).text() if continued else None

    def _instant(self, type: str, keys: Sequence[Key]) -> int:
        """The instant whose state the first page shows: now, or just before where nothing happened now."""
        if _stays(keys):
            return 0
        asked = "SELECT 1 FROM resource WHERE type = ? AND last_updated >= ? LIMIT 1"
        return self._now - (self.session.row(asked, (type, self._now)) is None)

    def _first(self, plan: Plan, query: Query, keys: tuple[Key, ...]) -> list[Found]:
        return walk(self.session, plan, keys, Part(query.count + 1))

    def _next(self, plan: Plan, query: Query, keys: tuple[Key, ...], cursor: Cursor) -> list[Found]:
        behind = self._stood(query.type, cursor.id, keys, cursor.as_of)
        if behind is None:
            raise UnsupportedError("the page link names what is not here; start the search again", issue_code="value")
        if _stays(keys):
            return walk(self.session, plan, keys, Part(query.count + 1, behind, cursor.backwards))
        as_then = Condition("r.last_updated <= ?", (cursor.as_of,))
        unchanged = walk(self.session, plan, keys, Part(query.count + 1, behind, cursor.backwards, (as_then,)))
        changed = [
            each
            for each in self._changed(plan, query.type, keys, cursor.as_of)
            if sorting.compare(keys, each.values, behind, cursor.backwards) > 0
        ]
        return sorting.in_order(keys, [*unchanged, *changed], lambda each: each.values, cursor.backwards)

    def _changed(self, plan: Plan, type: str, keys: tuple[Key, ...], as_of: int) -> list[Found]:
        """What was changed since the instant and meets the clauses, where it stood then."""
        since = Condition("r.last_updated > ?", (as_of,))
        before = Condition(
            "EXISTS (SELECT 1 FROM history h WHERE h.type = r.type AND h.id = r.id AND h.last_updated <= ?)", (as_of,)
        )
        asked = plan.sql("r.pk, r.id", (since, before), f"LIMIT {CHANGED + 1:d}")
        rows = self.session.rows(asked.sql, asked.values)
        if len(rows) > CHANGED:
            text = f"more than {CHANGED} resources were changed since the first page; start the search again"
            raise UnsupportedError(text, issue_code="too-costly")
        stood = [(pk, self._stood(type, id, keys, as_of)) for pk, id in rows]
        return [Found(pk, values) for pk, values in stood if values is not None]

    def _stood(self, type: str, id: str, keys: tuple[Key, ...], as_of: int) -> Values | None:
        """The keys of a resource as they were at the instant; None where it was not there."""
        if _stays(keys):
            return (*(id for _ in keys), id)
        row = self.session.row(_THEN, (type, id, type, id, as_of))
        if row is None or row[4]:
            return None
        rows = () if all(key.own for key in keys) else self._surroundings.index(self._stored(row).resource(), self.zone)
        own = {"id": row[1], "last_updated": row[3]}
        return (*(own[key.column] if key.own else key.of(rows) for key in keys), id)

    def _bodies(self, page: list[Found]) -> list[tuple[int, Row]]:
        pks = [each.pk for each in page if each.row is None]
        marks = ", ".join("?" for _ in pks)
        asked = f"SELECT r.pk, {COLUMNS} FROM resource r WHERE r.pk IN ({marks})"  # noqa: S608
        by_pk = {row[0]: row[1:] for row in self.session.rows(asked, pks)} if pks else {}
        return [(each.pk, by_pk[each.pk] if each.row is None else each.row) for each in page]


def _stays(keys: Sequence[Key]) -> bool:
    """Whether no change of a resource moves it."""
    return all(key.name == "_id" for key in keys)


def _name_of(query: Query) -> str:
    asked = repr((query.type, query.sort, [(each.param, each.kind, each.modifier) for each in query.clauses]))
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def cut_page(
    rows: list[Row], count: int, continued: bool, backwards: bool, position_of: Any
) -> tuple[list[Row], str | None, str | None]:
    """The page out of one row more than it holds, and the tokens of its neighbours."""
    more = len(rows) > count
    page = rows[:count]
    if backwards:
        page.reverse()
    if not page:
        return page, None, None
    following = paging.write_token(position_of(page[-1])) if more or backwards else None
    before = paging.write_token(position_of(page[0]), backwards=True) if (more if backwards else continued) else None
    return page, following, before
