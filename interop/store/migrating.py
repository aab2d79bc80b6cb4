"""Bringing a database to the schema of this version. Alembic is loaded only where something is to be done."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from interop.errors import UnavailableError

HEAD = "0018"  # the newest revision in migrations/versions; a test keeps the two alike
_KNOWN = ("0001", "0002", "0004", "0006", "0007", "0008", "0010", "0011", "0014", "0016", "0017", "0018")
_one_at_a_time = threading.Lock()  # Alembic's context is one for the whole process
_REVISION = "SELECT version_num FROM alembic_version"


def prepare_sqlite(path: Path, *, migrate: bool) -> None:
    """Migrate the file where its schema is older; refuse it where it is newer, or older and not to be migrated."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        found = revision_of(connection)
    finally:
        connection.close()
    if needs_migration(found, migrate=migrate):
        upgrade("sqlite", lambda: sqlite3.connect(path, isolation_level=None))


def revision_of(connection: sqlite3.Connection) -> tuple[str] | None:
    """The row that says which schema the file has; None where it has none."""
    present = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    found: tuple[str] | None = connection.execute(_REVISION).fetchone() if present else None
    return found


def prepare_postgresql(connect: Callable[[], psycopg.Connection[Any]], *, migrate: bool) -> None:
    """The same on a server; of several processes that start together one migrates and the others wait."""
    with connect() as connection:
        present = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
        found = connection.execute(_REVISION).fetchone() if present != (None,) else None
    if needs_migration(found, migrate=migrate):
        upgrade("postgresql+psycopg", connect)


def needs_migration(found: tuple[str] | None, *, migrate: bool) -> bool:
    """Whether a database of this revision is to be migrated."""
    revision = None if found is None else found[0]
    if revision == HEAD:
        return False
    if revision is not None and revision not in _KNOWN:
        raise UnavailableError(f"the database has schema {revision}, which is newer than this program's {HEAD}")
    if not migrate:
        raise UnavailableError(f"the database has schema {revision or 'none'}, not {HEAD}: run `interop migrate`")
    return True


def upgrade(dialect: str, connect: Callable[[], Any]) -> None:
    """Run the migrations that the database does not have yet."""
    from alembic import command

    with _one_at_a_time:
        command.upgrade(alembic_config(dialect, connect), HEAD)


def alembic_config(dialect: str, connect: Callable[[], Any]) -> Any:
    """Alembic's configuration, with the migrations of this package and the connections of this store."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "interop.store:migrations")
    config.attributes["dialect"] = dialect
    config.attributes["connect"] = connect
    return config
