"""What the store would write, written down instead: the rows of resources, made in processes of their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bench.stock import FAMILY, family, large_study
from interop.access.agent import system_agent
from interop.store import statements as sql
from interop.store.opening import surroundings_of
from interop.store.session import Session, Values
from interop.store.tx import Tx

AGENT = system_agent("bench")
RESOURCE = "resource"
PART = "study_part"
TABLES: dict[str, tuple[str, ...]] = {  # of what is written down, with the columns of a row
    RESOURCE: ("pk", "type", "id", "version", "last_updated", "deleted", "body"),
    PART: ("study_id", "series_uid", "header", "position", "from_version", "to_version", "body"),
    **{table: ("pk", *columns.split(", ")) for table, columns in sql.INDEX_TABLES.values()},
}
Rows = dict[str, list[Values]]
_BY_STATEMENT = {sql.INDEX_INSERT[kind]: table for kind, (table, _) in sql.INDEX_TABLES.items()}
_OF_PARTS = (sql.HEADER_CLOSE, sql.CHUNKS_CLOSE)  # of an earlier version, of which there is none
_NOTHING_YET = (sql.HEADERS_NOW, sql.PARTS_NOW, sql.PARTS_OF_VERSION)


class Recorder(Session):
    """An empty database as far as one resource is concerned, whose keys begin where they are told to."""

    dialect = "sqlite"

    def __init__(self, first: int) -> None:
        self.written: Rows = {table: [] for table in TABLES}
        self._next = first
        self._last: tuple[Any, ...] = ()

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        if sql in _NOTHING_YET or "t.param = 'instance'" in sql:
            return []
        raise _unforeseen(sql)

    def row(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        if "FROM resource WHERE type = ? AND id = ?" not in sql:
            raise _unforeseen(sql)
        return self._last if tuple(self._last[1:3]) == tuple(values) else None

    def insert(self, statement: str, values: Values = ()) -> int:
        if statement != sql.RESOURCE_INSERT:
            raise _unforeseen(statement)
        pk, self._next = self._next, self._next + 1
        type, id, version, updated, body = values
        self._last = (pk, type, id, version, updated, 0, body)
        self.written[RESOURCE].append(self._last)
        return pk

    def put(self, statement: str, values: Values = ()) -> None:
        if statement == sql.PART_INSERT:
            self.written[PART].append((*values[:5], sql.OPEN, values[5]))
        elif statement not in _OF_PARTS:
            raise _unforeseen(statement)

    def put_many(self, sql: str, many: Iterable[Values]) -> None:
        self.written[_BY_STATEMENT[sql]] += many

    def run(self, sql: str, values: Values = ()) -> int:
        raise _unforeseen(sql)

    def lock(self, keys: Iterable[str]) -> None:
        raise _unforeseen("a lock")

    def next_number(self, name: str) -> int:
        raise _unforeseen("a number")


def recorded(first: int, last: int, *, with_large_study: bool) -> Rows:
    """The rows of the families of these numbers (the last not included), and of the large study behind them."""
    session = Recorder(first * FAMILY + 1)
    tx = Tx(session, AGENT, datetime.fromtimestamp(1_760_000_000 + first // 100, UTC), surroundings_of(UTC))
    for number in range(first, last):
        for resource in family(number):
            tx.create(resource, id=resource["id"])
    if with_large_study:
        study = large_study()
        tx.create(study, id=study["id"])
    return {
        table: rows if table == "tuple_index" else list(dict.fromkeys(rows))  # as ON CONFLICT DO NOTHING has it
        for table, rows in session.written.items()
    }


def _unforeseen(what: str) -> RuntimeError:
    return RuntimeError(f"seeding does not know what to answer to {what!r}")
