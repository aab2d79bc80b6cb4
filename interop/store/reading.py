"""A look into a database that another process may be writing: nothing is migrated, nothing can be changed.

SQLite's file is opened with mode=ro, which neither writes nor checkpoints: that is left to the one writing process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Protocol, TypeVar
from urllib.parse import quote, urlsplit

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.store import migrating
from interop.store.opening import open_store, sqlite_options, surroundings_of
from interop.store.rows import Stats
from interop.store.session import ReadOnlySession
from interop.store.sqlite_session import SqliteSession
from interop.store.tx import Tx
from interop.store.unit import Surroundings

T = TypeVar("T")


class Reader(Protocol):
    """What can be done with a store that is only looked into."""

    async def view(self, work: Callable[[Tx], T]) -> T: ...
    async def stats(self) -> Stats: ...
    async def close(self) -> None: ...


class SqliteReader:
    """A database file, looked into while its server runs or after it ended."""

    def __init__(self, connection: sqlite3.Connection, surroundings: Surroundings) -> None:
        self._connection = connection
        self._surroundings = surroundings

    async def view(self, work: Callable[[Tx], T]) -> T:
        """What the work reads, all of one moment."""
        self._connection.execute("BEGIN")
        try:
            session = ReadOnlySession(SqliteSession(self._connection))
            return work(Tx(session, system_agent("reader"), datetime.now(UTC), self._surroundings))
        finally:
            self._connection.execute("ROLLBACK")

    async def stats(self) -> Stats:
        """Counts of what is there."""
        return await self.view(lambda tx: tx.stats())

    async def close(self) -> None:
        """Let the file go."""
        self._connection.close()


async def open_reader(url: str, *, zone: tzinfo = UTC) -> Reader:
    """The store of this URL to look into; UnavailableError where there is none, or one of another version."""
    if urlsplit(url).scheme != "sqlite":
        return await open_store(url, zone=zone, migrate=False)
    path = sqlite_options(url).path
    if not path.is_file():
        raise UnavailableError(f"there is no database at {path}: was INTEROP_DATA_DIR another when the server ran?")
    connection = sqlite3.connect(
        f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, isolation_level=None, timeout=5
    )
    try:
        migrating.needs_migration(migrating.revision_of(connection), migrate=False)
    except BaseException:
        connection.close()
        raise
    return SqliteReader(connection, surroundings_of(zone))


async def engine_version(reader: Reader) -> str:
    """``SQLite 3.40.1`` or ``PostgreSQL 15.8 (Debian …)``."""

    def asked(tx: Tx) -> str:
        name, question = {
            "sqlite": ("SQLite", "SELECT sqlite_version()"),
            "postgresql": ("PostgreSQL", "SELECT current_setting('server_version')"),
        }[tx.session.dialect]
        row = tx.session.row(question)
        return f"{name} {row[0] if row else '?'}"

    return await reader.view(asked)
