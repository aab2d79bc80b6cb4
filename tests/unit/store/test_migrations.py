"""The schema: what the migrations make is what the tables say, on both engines."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, pool

from interop.errors import UnavailableError
from interop.store import migrating, open_store
from interop.store.schema import metadata
from tests.postgres import Cluster


def connect(url: str) -> Any:
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"))
    return psycopg.connect(url.replace("+psycopg", ""))


def execute(url: str, statement: str) -> None:
    connection = connect(url)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_head_is_the_newest_migration_and_all_are_known() -> None:
    scripts = ScriptDirectory.from_config(migrating.alembic_config("sqlite", lambda: None))
    assert scripts.get_current_head() == migrating.HEAD
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == migrating._KNOWN


def test_the_migrations_make_the_tables(database_url: str, backend: str) -> None:
    dialect = "sqlite" if backend == "sqlite" else "postgresql+psycopg"
    engine = create_engine(f"{dialect}://", creator=lambda: connect(database_url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        found = inspect(connection)
        for table in metadata.tables.values():
            assert {index["name"] for index in found.get_indexes(table.name)} == {i.name for i in table.indexes}
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
    engine.dispose()


def test_sqlite_keeps_the_search_index_in_one_tree_per_table(sqlite_template: Path) -> None:
    connection = sqlite3.connect(sqlite_template)
    made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    connection.close()
    for table in ("token_index", "reference_index", "date_index", "string_index", "imaging_order"):
        assert made[table].rstrip().endswith("WITHOUT ROWID")
    assert "AUTOINCREMENT" in made["job"]


def test_keys_sort_by_code_points_on_postgresql(postgres_cluster: Cluster, postgres_template: str) -> None:
    with psycopg.connect(postgres_cluster.conninfo(postgres_template)) as connection:
        others = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_name IN ('resource', 'history', 'token_index', 'reference_index', 'string_index') "
            "AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
        ).fetchall()
    assert others == []


async def test_a_newer_schema_is_refused(database_url: str) -> None:
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnavailableError, match="9999"):
        await open_store(database_url)


async def test_an_older_schema_is_refused_where_migration_is_not_wanted(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="interop migrate"):
        await open_store(f"sqlite:///{tmp_path}/new.db", migrate=False)
    await (await open_store(f"sqlite:///{tmp_path}/new.db")).close()
    await (await open_store(f"sqlite:///{tmp_path}/new.db", migrate=False)).close()


async def test_messages_of_the_first_schema_are_kept_as_they_were(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    if backend == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgres_cluster")
        url = cluster.url(cluster.create_database())
    with monkeypatch.context() as old:
        old.setattr(migrating, "HEAD", "0001")
        await (await open_store(url)).close()
    raw = "X'4D5348'" if backend == "sqlite" else "'MSH'"
    execute(
        url,
        "INSERT INTO message"
        " (direction, peer, application, facility, control_id, type, raw, body_hash, state, issues, at)"
        f" VALUES ('out', 'RIS', 'INTEROP', 'IMG', 'C1', 'ORM^O01', {raw}, 'h', 'sent', '[]', 1)",
    )
    store = await open_store(url)
    (row,) = await store.view(lambda tx: tx.find_messages(control_id="C1"))
    await store.close()
    assert (row.raw, row.attempts, row.took, row.touched) == (b"MSH", 0, None, ())


async def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "half.db"
    execute(f"sqlite:///{path}", "CREATE TABLE message (mine)")  # in the way of the migration
    with pytest.raises(Exception, match="message"):
        await open_store(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("message",)]
    connection.close()


OPEN = """
import asyncio, sys
from interop.store import open_store
async def main():
    store = await open_store(sys.argv[1])
    await store.ping()
    await store.close()
asyncio.run(main())
"""


async def test_replicas_that_start_together_migrate_once(postgres_cluster: Cluster) -> None:
    name = postgres_cluster.create_database()
    starting = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", OPEN, postgres_cluster.url(name)) for _ in range(3)
    ]
    assert [await each.wait() for each in starting] == [0, 0, 0]
    postgres_cluster.drop_database(name)


@pytest.mark.parametrize("stored", [0, 1])
async def test_what_was_stored_before_waits_to_be_indexed(tmp_path: Path, stored: int) -> None:
    path = tmp_path / "old.db"
    config = migrating.alembic_config("sqlite", lambda: sqlite3.connect(path, isolation_level=None))
    command.upgrade(config, "0002")
    for number in range(stored):
        body = '{"resourceType": "Patient", "id": "p"}'
        columns = "type, id, version, last_updated, deleted, body"
        insert = f"INSERT INTO resource ({columns}) VALUES ('Patient', 'p{number}', 1, 0, 0, CAST('{body}' AS BLOB))"
        execute(f"sqlite:///{path}", insert)
    store = await open_store(f"sqlite:///{path}")
    progress = await store.view(lambda tx: tx.index_progress())
    assert (progress is None) is (stored == 0)
    assert progress is None or (progress.complete, progress.last) == (False, 1)
    await store.close()
