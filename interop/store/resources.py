"""Resources: the current version in one table, the earlier ones in another, the search index beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from interop.errors import DuplicateError, GoneError, NotFoundError
from interop.store import ids, instants, paging, search_index
from interop.store import statements as sql
from interop.store.bodies import make_body, same_content
from interop.store.queue import Queue
from interop.store.rows import Page, Stored

NOTICE = "notice"  # the kind of job that a version of a watched type owes

Row = tuple[Any, ...]  # type, id, version, last_updated, deleted, body


class _Asked(NamedTuple):
    """Which versions a history is about, as a WHERE over table t."""

    type: str
    conditions: str
    values: tuple[Any, ...]


def _versions_of(type: str, id: str | None, since: int | None, at: tuple[int, int] | None) -> _Asked:
    conditions, values = ["t.type = ?"], [type]
    if id is not None:
        conditions.append("t.id = ?")
        values.append(id)
    bounds: list[Any] = []
    if since is not None:
        conditions.append("t.last_updated >= ?")
        bounds.append(since)
    if at is not None:
        low, high = at
        conditions += ["t.last_updated < ?", sql.NOT_SUPERSEDED["resource"], sql.NOT_SUPERSEDED["history"]]
        bounds += [high, low, low]
    return _Asked(type, " AND ".join(conditions), (*values, *bounds))


def _place(row: Row) -> tuple[int, str, int, str]:
    return row[3], row[1], row[2], row[0]


class Resources(Queue):
    """The resources of a transaction. Nothing here validates."""

    def create(self, resource: dict[str, Any], *, id: str | None = None) -> Stored:
        """Store a new resource under a new id, or the given one; DuplicateError where that is taken."""
        if id is None:
            return self._insert(resource, ids.new_id())
        if id in self._made:  # nothing can be there
            self._made.remove(id)
            return self._insert(resource, id)
        current = self._current(resource["resourceType"], id)
        if current is None:
            return self._insert(resource, id)
        if not current[5]:
            raise DuplicateError(f"{resource['resourceType']}/{id} exists already")
        return self._supersede(current, resource)

    def update(self, resource: dict[str, Any]) -> Stored:
        """The next version of the resource with this id, or its first; the present one where nothing differs."""
        current = self._current(resource["resourceType"], resource["id"])
        if current is None:
            return self._insert(resource, resource["id"])
        present = self._stored(current[1:])
        if not present.deleted:
            again = make_body(resource, present.id, present.version, current[4])
            if again == present.body or same_content(resource, present.resource()):
                return present
        return self._supersede(current, resource)

    def delete(self, type: str, id: str) -> Stored:
        """End the resource with a version that says so (R4 http.html#delete)."""
        current = self._current(type, id)
        if current is None:
            raise NotFoundError(f"there is no {type}/{id}")
        if current[5]:
            raise GoneError(f"{type}/{id} was deleted")
        pk = current[0]
        search_index.clear(self.session, pk)
        return self._next_version(current, b"", deleted=True)

    def read(self, type: str, id: str, version: int | None = None) -> Stored | None:
        """The current version, or the given one; None where there is none. A deletion is a version too."""
        current = self._read_current(type, id)
        if current is None:
            return None
        if version is None or version == current[3]:
            return self._stored(current[1:])
        earlier = self.session.row(sql.HISTORY_VERSION, (type, id, version)) if 0 < version < current[3] else None
        return None if earlier is None else self._stored(earlier)

    def get(self, type: str, id: str) -> Stored:
        """The current version; NotFoundError or GoneError where there is none."""
        found = self.read(type, id)
        if found is None:
            raise NotFoundError(f"there is no {type}/{id}")
        if found.deleted:
            raise GoneError(f"{type}/{id} was deleted")
        return found

    def by_identifier(self, type: str, system: str | None, value: str) -> list[Stored]:
        """The live resources with this business identifier, oldest first; system None: any, "": those without one."""
        key = search_index.key_text(value)
        if system is None:
            rows = self.session.rows(sql.BY_IDENTIFIER_ANY_SYSTEM, (type, key))
        else:
            rows = self.session.rows(sql.BY_IDENTIFIER, (type, key, search_index.key_text(system)))
        return [self._stored(row) for row in rows]

    def referrers(self, type: str, id: str, *, limit: int = 1) -> list[tuple[str, str]]:
        """Type and id of live resources that refer to this one."""
        return [(row[0], row[1]) for row in self.session.rows(sql.REFERRERS, (id, type, limit))]

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
        """The versions of a resource, of a type or of all, newest first; with count 0 only how many there are.

        ``since`` leaves out what is older, ``at`` what was not current at any moment of that range (R4
        http.html#history), both in microseconds.
        """
        position = None if after is None else paging.read_token(after, (int, str, int, str))[0]
        types = [type] if type is not None else [row[0] for row in self.session.rows(sql.RESOURCE_TYPES)]
        asked = [_versions_of(each, id, since, at) for each in types]
        if count == 0:
            return Page([], total=sum(self._how_many(each) for each in asked))
        rows = [row for each in asked for row in self._versions(each, id is not None, count + 1, position)]
        rows.sort(key=_place, reverse=True)
        page = rows[:count]
        more = len(rows) > count and page
        return Page([self._stored(row) for row in page], next=paging.write_token(_place(page[-1])) if more else None)

    def as_of(
        self, type: str, moment: datetime, *, since: datetime | None = None, after: str = "", limit: int = 500
    ) -> tuple[list[Stored], str | None]:
        """Some resources of the type as they were at that moment, by id, and the id behind which the next ones begin.

        ``since``: only those whose version then was later than this. Fewer than ``limit`` may come where some were
        deleted or not there yet; None ends the list.
        """
        at, least = instants.micros(moment), None if since is None else instants.micros(since)
        rows = self.session.rows(sql.RESOURCES_BY_ID, (type, after, limit))
        found = []
        for row in rows:
            then = row if row[3] <= at else self.session.row(sql.HISTORY_AS_OF, (type, row[1], at))
            if then is not None and not then[4] and (least is None or then[3] > least):
                found.append(self._stored(then))
        return found, rows[-1][1] if len(rows) == limit else None

    def _versions(self, asked: _Asked, of_one: bool, limit: int, before: paging.Position | None) -> list[Row]:
        conditions, values = asked.conditions, list(asked.values)
        if before is not None:  # of what is equal but for its type, the later types were on the page before
            sign = "<=" if asked.type < str(before[3]) else "<"
            conditions += f" AND (t.last_updated, t.id, t.version) {sign} (?, ?, ?)"
            values += before[:3]
        order = "t.version DESC" if of_one else "t.last_updated DESC, t.id DESC, t.version DESC"
        return [
            row
            for table in ("resource", "history")
            for row in self.session.rows(
                f"SELECT t.type, t.id, t.version, t.last_updated, t.deleted, t.body FROM {table} t "  # noqa: S608
                f"WHERE {conditions} ORDER BY {order} LIMIT ?",
                (*values, limit),
            )
        ]

    def _how_many(self, asked: _Asked) -> int:
        counted = [
            self.session.row(f"SELECT count(*) FROM {table} t WHERE {asked.conditions}", asked.values)  # noqa: S608
            for table in ("resource", "history")
        ]
        return sum(int(row[0]) for row in counted if row is not None)

    # what will be asked

    def foresee(self, type: str, id: str) -> None:
        """The current version will be read."""
        if (type, id) not in self._seen:
            self.session.foresee(sql.RESOURCE, (type, id))

    def foresee_change(self, type: str, id: str) -> None:
        """The resource will be changed: nobody else can from when it is read on."""
        if self.session.alone or (type, id) in self._seen:
            return
        self._expected.add((type, id))
        self.session.foresee(sql.RESOURCE_FOR_CHANGE, (type, id))
        for kind in search_index.kinds_of(type):
            self.session.foresee(sql.INDEX_OF_NAMED[kind], (type, id))

    def foresee_identifier(self, type: str, system: str, value: str) -> None:
        """``by_identifier`` will be asked for this one."""
        self.session.foresee(sql.BY_IDENTIFIER, (type, search_index.key_text(value), search_index.key_text(system)))

    # what is written

    def _read_current(self, type: str, id: str) -> Row | None:
        """The row, read once: again after a lock that was waited for, and after a write of this unit."""
        try:
            return self._seen[type, id]
        except KeyError:
            if (type, id) in self._expected:
                return self._current(type, id)
            current = self._seen[type, id] = self.session.row(sql.RESOURCE, (type, id))
            return current

    def _current(self, type: str, id: str) -> Row | None:
        key = type, id
        if self.session.alone:
            self._expected.discard(key)
            return self._read_current(type, id)
        if key in self._mine:
            return self._seen[key]
        current = self._seen[key] = self.session.row(sql.RESOURCE_FOR_CHANGE, key)
        if current is not None:
            self._mine.add(key)
        return current

    def _unsee(self, type: str, id: str) -> None:
        """This unit has written it."""
        self._seen.pop((type, id), None)
        self._mine.discard((type, id))

    def _insert(self, resource: dict[str, Any], id: str) -> Stored:
        type = resource["resourceType"]
        self._unsee(type, id)
        body = make_body(resource, id, 1, self._now)
        pk = self.session.make(sql.RESOURCE_INSERT, (type, id, 1, self._now, body))
        rows = self._surroundings.index(_with_id(resource, id), self.zone)
        search_index.write(self.session, search_index.entries(rows, type, pk))
        if type in self._surroundings.watched:
            self._owe_notice(type, id, 1)
        return Stored(type, id, 1, self.now, False, body)

    def _supersede(self, current: Row, resource: dict[str, Any]) -> Stored:
        pk, type, id = current[0], current[1], current[2]
        body = make_body(resource, id, current[3] + 1, self._moment_after(current))
        rows = self._surroundings.index(_with_id(resource, id), self.zone)
        search_index.rewrite(self.session, type, id, pk, search_index.entries(rows, type, pk))
        return self._next_version(current, body)

    def _next_version(self, current: Row, body: bytes, *, deleted: bool = False) -> Stored:
        pk, type, id, version = current[:4]
        moment = self._moment_after(current)
        self._unsee(type, id)
        self.session.put(sql.HISTORY_INSERT, (pk,))
        self.session.put(sql.RESOURCE_UPDATE, (version + 1, moment, int(deleted), body, pk))
        if not deleted and type in self._surroundings.watched:  # a deletion is not notified (R4 subscription.html)
            self._owe_notice(type, id, version + 1)
        return Stored(type, id, version + 1, instants.instant(moment), deleted, body)

    def _owe_notice(self, type: str, id: str, version: int) -> None:
        self.enqueue(NOTICE, f"{type}/{id}", {"type": type, "id": id, "version": version})

    def _moment(self, current: Row) -> datetime:
        return instants.instant(current[4])

    def _moment_after(self, current: Row) -> int:
        """Now, but never before the version that is replaced: a clock set back must not turn history round."""
        return max(self._now, int(current[4]))

    def _stored(self, row: Sequence[Any]) -> Stored:
        type, id, version, last_updated, deleted, body = row
        return Stored(
            type, id, version, instants.instant(last_updated), bool(deleted), self._whole(type, id, version, body)
        )

    def _whole(self, type: str, id: str, version: int, body: bytes) -> bytes:
        """The body as it is read; those that are kept in parts are put together here."""
        return body


def _with_id(resource: dict[str, Any], id: str) -> dict[str, Any]:
    return resource if resource.get("id") == id else resource | {"id": id}
