"""Databases of a PostgreSQL server for one test after the other: what a test gives back is made as new and used again.

To copy a database takes the server a tenth of a second and a checkpoint; to take a test's few rows out, milliseconds.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from tests.postgres import Cluster

_EMPTIED_BY_ROW = 1 << 20  # bytes; what is larger is truncated
_OTHER_SESSIONS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_TABLES = """
    SELECT relname, pg_relation_size(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"""
_SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' ORDER BY sequencename"
# What a database is apart from its rows: its parts, what the planner was told of them, and its settings.
_STRUCTURE = (
    """
    SELECT relname, relkind, relpersistence, relnatts, relchecks, relhastriggers, reltuples, reloptions
    FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname""",
    """
    SELECT relname, attnum, attname, atttypid, attnotnull, atthasdef, attstattarget
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace ORDER BY relname, attnum""",
    "SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index WHERE indexrelid >= 16384 ORDER BY 1",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE oid >= 16384 ORDER BY 1, 2",
    "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_' ORDER BY 1",
    "SELECT proname, prosrc FROM pg_proc WHERE oid >= 16384 ORDER BY 1, 2",
    "SELECT extname FROM pg_extension ORDER BY 1",
    "SELECT count(*) FROM pg_statistic WHERE starelid >= 16384",
    """
    SELECT setrole, setconfig FROM pg_db_role_setting
    JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database() ORDER BY 1""",
)


class Databases:
    """Copies of a template, one for each test that has one at a time."""

    def __init__(self, cluster: Cluster, template: str) -> None:
        self._cluster = cluster
        self._template = template
        self._free: list[str] = []
        with psycopg.connect(cluster.conninfo(template), autocommit=True) as connection:
            self._structure = _structure(connection)
            self._rows = {name: rows for name, _ in connection.execute(_TABLES) if (rows := _copied(connection, name))}
            self._numbers = {name: _number(connection, name) for (name,) in connection.execute(_SEQUENCES)}

    def take(self) -> str:
        """The name of a database that equals the template."""
        return self._free.pop() if self._free else self._cluster.create_database(template=self._template)

    def give_back(self, name: str) -> None:
        """End its sessions and make it equal to the template again; one whose structure was changed is dropped."""
        with psycopg.connect(self._cluster.conninfo(name)) as connection:
            connection.execute(_OTHER_SESSIONS)
            same = _structure(connection) == self._structure
            if same:
                self._restore(connection)
        if same:
            self._free.append(name)
        else:
            self._cluster.drop_database(name)

    def _restore(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SET session_replication_role = replica")  # no triggers, in any order
        for name, size in connection.execute(_TABLES).fetchall():
            if size:
                emptying = "DELETE FROM {}" if size <= _EMPTIED_BY_ROW else "TRUNCATE {}"
                connection.execute(sql.SQL(emptying).format(sql.Identifier(name)))
        for name, rows in self._rows.items():
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))) as copy:
                copy.write(rows)
        for name, (last, called) in self._numbers.items():
            connection.execute("SELECT setval(quote_ident(%s)::regclass, %s, %s)", (name, last, called))


def _structure(connection: psycopg.Connection[Any]) -> list[Any]:
    return [connection.execute(question).fetchall() for question in _STRUCTURE]


def _copied(connection: psycopg.Connection[Any], table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(bytes(part) for part in copy)


def _number(connection: psycopg.Connection[Any], sequence: str) -> tuple[int, bool]:
    row = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(sequence)))
    last, called = row.fetchall()[0]
    return last, called
