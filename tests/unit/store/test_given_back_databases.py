"""A database that a test gives back is to the next test what a new one is."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from interop.access import system_agent
from interop.store import Store, Tx, open_store
from tests.databases import Databases
from tests.postgres import Cluster


@pytest.fixture(scope="module")
def databases(postgres_cluster: Cluster, postgres_template: str) -> Databases:
    """Some of this module's own."""
    return Databases(postgres_cluster, postgres_template)


def changed(cluster: Cluster, name: str, statement: str) -> None:
    with psycopg.connect(cluster.conninfo(name), autocommit=True) as connection:
        connection.execute(statement)


def contents(cluster: Cluster, name: str) -> list[Any]:
    """Everything that its tables and its sequences hold."""
    with psycopg.connect(cluster.conninfo(name)) as connection:
        parts = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        names = sorted((name, kind) for name, kind in connection.execute(parts) if kind in "rS")
        asked = {"r": 'SELECT * FROM "{}"', "S": 'SELECT last_value, is_called FROM "{}"'}
        return [(each, connection.execute(asked[kind].format(each)).fetchall()) for each, kind in names]


async def write(store: Store) -> None:
    def work(tx: Tx) -> int:
        for _ in range(20):
            tx.create({"resourceType": "Patient", "name": [{"family": "Παπαδόπουλος"}]})
        return tx.next_number("accession")

    await store.unit(system_agent("test"), work)


async def test_it_comes_again_with_the_contents_of_a_new_one(
    databases: Databases, postgres_cluster: Cluster, postgres_template: str
) -> None:
    new = contents(postgres_cluster, postgres_template)
    name = databases.take()
    store = await open_store(postgres_cluster.url(name))
    await write(store)
    await store.close()
    assert contents(postgres_cluster, name) != new
    databases.give_back(name)
    assert databases.take() == name
    assert contents(postgres_cluster, name) == new
    databases.give_back(name)


async def test_a_large_one_too(databases: Databases, postgres_cluster: Cluster, postgres_template: str) -> None:
    name = databases.take()
    rows = "INSERT INTO state (name, value) SELECT n::text, repeat(md5(n::text), 40) FROM generate_series(1, 2000) AS n"
    changed(postgres_cluster, name, rows)
    databases.give_back(name)
    assert databases.take() == name
    assert contents(postgres_cluster, name) == contents(postgres_cluster, postgres_template)
    databases.give_back(name)


async def test_sessions_that_were_left_open_are_ended(databases: Databases, postgres_cluster: Cluster) -> None:
    name = databases.take()
    with psycopg.connect(postgres_cluster.conninfo(name)) as left:
        left.execute("SELECT count(*) FROM resource")
        databases.give_back(name)
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE job CASCADE",
        "ALTER TABLE state ADD COLUMN more text",
        "CREATE INDEX another ON state (value)",
        "ALTER TABLE state ADD CONSTRAINT another CHECK (value <> '')",
        "CREATE FUNCTION another() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ANALYZE state",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''1MB''', current_database()); END $$",
    ],
)
def test_one_of_another_structure_is_not_used_again(
    databases: Databases, postgres_cluster: Cluster, change: str
) -> None:
    name = databases.take()
    changed(postgres_cluster, name, change)
    databases.give_back(name)
    taken = databases.take()
    assert taken != name
    databases.give_back(taken)
