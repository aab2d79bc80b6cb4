"""The one connection to a database file, and how it is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from interop.store import statements as sql
from interop.store.session import Session, Values, unstorable


@dataclass(frozen=True, slots=True)
class Options:
    """How a database file is opened."""

    path: Path
    synchronous: str = "FULL"
    max_page_count: int | None = None


@cache
def _keyless(sql: str) -> str:
    """An INSERT without its RETURNING: the surrogate key is the rowid, known for half the time without a row of it."""
    return sql.rpartition("RETURNING")[0]


def connect(options: Options) -> sqlite3.Connection:
    """An open connection with the settings that durability rests on."""
    if options.synchronous not in ("FULL", "NORMAL", "EXTRA"):
        raise ValueError(f"synchronous cannot be {options.synchronous!r}")
    connection = sqlite3.connect(options.path, isolation_level=None, cached_statements=512, timeout=2.0)
    for setting in (
        "journal_mode = WAL",
        f"synchronous = {options.synchronous}",
        "mmap_size = 0",
        "cache_size = -131072",
        "temp_store = MEMORY",
        "case_sensitive_like = ON",  # as PostgreSQL has it
        "wal_autocheckpoint = 12000",
        "journal_size_limit = 67108864",
    ):
        connection.execute(f"PRAGMA {setting}")
    if options.max_page_count is not None:
        connection.execute(f"PRAGMA max_page_count = {options.max_page_count:d}")
    return connection


def connect_to_read(options: Options) -> sqlite3.Connection:
    """A connection that neither writes nor checkpoints, for whatever would keep the one that does; for any thread."""
    where = f"file:{quote(str(options.path.resolve()))}?mode=ro"
    connection = sqlite3.connect(where, uri=True, isolation_level=None, timeout=5.0, check_same_thread=False)
    for setting in ("cache_size = -32768", "temp_store = MEMORY", "case_sensitive_like = ON"):
        connection.execute(f"PRAGMA {setting}")
    return connection


class SqliteSession(Session):
    """The one connection, spoken to as a session."""

    dialect = "sqlite"
    alone = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.asking: str | None = None  # the statement whose rows are being fetched
        self._numbers: dict[str, int] = {}  # the counters that this transaction has taken from, as they stand now

    def _execute(self, sql: str, values: Values) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, values)
        except UnicodeEncodeError as error:
            raise unstorable() from error

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        self.asking = sql
        found = self._execute(sql, values).fetchall()
        self.asking = None
        return found

    def row(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        self.asking = sql
        cursor = self._execute(sql, values)
        found: tuple[Any, ...] | None = cursor.fetchone()
        self.asking = None
        cursor.close()  # ends the statement, which a RETURNING otherwise leaves open
        return found

    def insert(self, sql: str, values: Values = ()) -> int:
        made = self._execute(_keyless(sql), values).lastrowid
        assert made is not None
        return made

    def run(self, sql: str, values: Values = ()) -> int:
        return self._execute(sql, values).rowcount

    def put(self, sql: str, values: Values = ()) -> None:
        self._execute(sql, values)

    def put_many(self, sql: str, many: Iterable[Values]) -> None:
        try:
            self._connection.executemany(sql, many)
        except UnicodeEncodeError as error:
            raise unstorable() from error

    def lock(self, keys: Iterable[str]) -> None:
        """Nothing to do: units run one after another."""

    def next_number(self, name: str) -> int:
        """The next number of a counter, which ``keep_numbers`` writes: once for all units of a group."""
        last = self._numbers.get(name)
        if last is None:
            found = self.row(sql.COUNTER, (name,))
            last = 0 if found is None else int(found[0])
        self._numbers[name] = last + 1
        return last + 1

    def keep_numbers(self) -> None:
        """Write how far the counters have come; to be done before the commit that gives the numbers out."""
        if self._numbers:
            self.put_many(sql.COUNTER_PUT, self._numbers.items())
