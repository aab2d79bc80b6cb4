"""Many rows into an empty database: sorted and without the indices, which are made at the end."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import psycopg

from bench.recording import PART, RESOURCE, TABLES, Rows
from interop.store.session import Values


class Loader(ABC):
    """A database that is filled."""

    @abstractmethod
    def add(self, rows: Rows) -> None:
        """Take some rows."""

    @abstractmethod
    def finish(self) -> None:
        """Make the indices and let the database go."""


class SqliteLoader(Loader):
    """Rows of the search index wait in a file beside, since they are to come into their trees in order."""

    def __init__(self, path: Path) -> None:
        self._beside = path.with_name(f"{path.name}.sorting")
        self._connection = sqlite3.connect(path, isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000", "temp_store = FILE"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute("ATTACH ? AS beside", (str(self._beside),))
        self._connection.execute("PRAGMA beside.journal_mode = OFF")
        self._connection.execute("PRAGMA beside.synchronous = OFF")
        found = self._connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        tables = self._connection.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'")
        owner = dict(tables.fetchall())
        self._indices = [(name, text) for name, text in found.fetchall() if owner[name] in TABLES]
        for name, _ in self._indices:
            self._connection.execute(f'DROP INDEX "{name}"')
        for table, columns in TABLES.items():
            self._connection.execute(f"CREATE TABLE beside.{table} ({', '.join(columns)})")
        self._connection.execute("BEGIN")

    def add(self, rows: Rows) -> None:
        for table, many in rows.items():
            where = table if table in (RESOURCE, PART) else f"beside.{table}"
            columns = TABLES[table]
            marks = ", ".join("?" for _ in columns)
            self._connection.executemany(f"INSERT INTO {where} ({', '.join(columns)}) VALUES ({marks})", many)  # noqa: S608

    def finish(self) -> None:
        for table, columns in TABLES.items():
            if table in (RESOURCE, PART):
                continue
            keys = [row for row in self._connection.execute(f"PRAGMA main.table_info({table})") if row[5]]
            order = ", ".join(row[1] for row in sorted(keys, key=lambda row: row[5]))
            chosen = ", ".join(columns)
            self._connection.execute(
                f"INSERT INTO main.{table} ({chosen}) SELECT {chosen} FROM beside.{table} "  # noqa: S608
                f"ORDER BY {'pk' if order == 'row' else order}"
            )
        self._connection.execute("COMMIT")
        for _, text in self._indices:
            self._connection.execute(text)
        self._connection.execute("DETACH beside")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.close()
        self._beside.unlink()


class PostgresqlLoader(Loader):
    """COPY into tables without keys and indices."""

    def __init__(self, conninfo: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(conninfo, autocommit=True)
        tables = list(TABLES)
        self._connection.execute("SET maintenance_work_mem = '512MB'")
        self._connection.execute("SET synchronous_commit = off")
        found = self._connection.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'p' AND conrelid::regclass::text = ANY (%s)",
            (tables,),
        ).fetchall()
        self._again = [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {text}' for table, name, text in found]
        for table, name, _ in found:
            self._connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        indices = self._connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY (%s)",
            (tables,),
        ).fetchall()
        self._again += [text for _, text in indices]
        for name, _ in indices:
            self._connection.execute(f'DROP INDEX "{name}"')

    def add(self, rows: Rows) -> None:
        with self._connection.transaction():
            for table, many in rows.items():
                self._copy(table, many)

    def _copy(self, table: str, many: list[Values]) -> None:
        columns = ", ".join(TABLES[table])
        with self._connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in many:
                copy.write_row(row)

    def finish(self) -> None:
        for statement in self._again:
            self._connection.execute(statement)
        self._connection.execute(
            "SELECT setval(pg_get_serial_sequence('resource', 'pk'), (SELECT max(pk) FROM resource))"
        )
        self._connection.execute("VACUUM ANALYZE")
        self._connection.execute("CHECKPOINT")
        self._connection.close()
