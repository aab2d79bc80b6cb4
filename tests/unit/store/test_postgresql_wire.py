"""Statements in one round trip: what they carry, what happens where one fails, and what is kept prepared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from interop.errors import MalformedError
from interop.store import postgresql_wire
from interop.store.postgresql_session import Options, connect
from interop.store.postgresql_wire import Wire, encoded
from tests.postgres import Cluster


@pytest.fixture
def wire(postgres_cluster: Cluster) -> Iterator[Wire]:
    opened = connect(Options(postgres_cluster.conninfo("postgres")))
    yield opened
    opened.close()


def exchange(wire: Wire, *statements: tuple[str, Any]) -> list[tuple[Any, ...]]:
    return wire.exchange([encoded(text, values) for text, values in statements])[-1].rows()


@pytest.mark.parametrize(
    "value", ["Παπαδόπουλος \\ 'x' {,}", "", 0, -(2**63), 2**63 - 1, b"\x00\xff", b"", None, 1.5, -1e300]
)
def test_a_value_comes_back_as_it_was_sent(wire: Wire, value: Any) -> None:
    kind = {str: "text", int: "bigint", bytes: "bytea", float: "float8"}.get(type(value), "text")
    for _ in range(postgresql_wire.PREPARED_AT + 1):
        assert exchange(wire, (f"SELECT ?::{kind}", (value,))) == [(value,)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["a", "", "{},\"'\\", "Ω"]),
        ("bigint", [1, -(2**63), None]),
        ("bigint", [None]),
        ("bigint", []),
        ("float8", [-1e300, 0.1]),
    ],
)
def test_a_column_of_values_comes_back_in_its_order(wire: Wire, kind: str, values: list[Any]) -> None:
    found = exchange(wire, (f"SELECT v FROM unnest(?::{kind}[]) WITH ORDINALITY AS u (v, n) ORDER BY n", (values,)))
    assert [row[0] for row in found] == values


def test_kinds_of_texts_and_numbers_are_written_as_what_they_are(wire: Wire) -> None:
    uid, number = UID("1.2.3"), DSfloat("1.50")
    assert exchange(wire, ("SELECT ?::text, ?::float8, ?::text[]", (uid, number, [uid, None]))) == [
        ("1.2.3", 1.5, ["1.2.3", None])
    ]
    with pytest.raises(TypeError, match="no value of a statement"):
        encoded("SELECT ?", (object(),))


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_is_no_text_is_refused_before_it_is_sent(text: str) -> None:
    for value in (text, [text]):
        with pytest.raises(MalformedError):
            encoded("SELECT ?::text", (value,))


def test_the_first_failure_is_raised_and_those_behind_it_are_skipped(wire: Wire) -> None:
    exchange(wire, ("CREATE TEMPORARY TABLE t (n bigint PRIMARY KEY)", ()), ("SELECT 1", ()))
    insert = "INSERT INTO t VALUES (?)"
    for _ in range(postgresql_wire.PREPARED_AT + 2):  # also where the statement behind the failure was to be prepared
        with pytest.raises(psycopg.errors.UniqueViolation):
            exchange(wire, ("BEGIN", ()), (insert, (1,)), (insert, (1,)), ("SELECT n + 0 FROM t", ()))
        assert not wire.idle
        wire.ask("ROLLBACK")
        assert wire.idle
    assert exchange(wire, ("SELECT n + 0 FROM t", ())) == []


def test_a_statement_that_cannot_be_prepared_says_why(wire: Wire) -> None:
    for _ in range(postgresql_wire.PREPARED_AT + 2):
        with pytest.raises(psycopg.errors.UndefinedTable):
            exchange(wire, ("SELECT 1", ()), ("SELECT n FROM nowhere", ()), ("SELECT 2", ()))
        assert exchange(wire, ("SELECT 1::bigint", ())) == [(1,)]


def test_several_questions_are_answered_in_their_order(wire: Wire) -> None:
    for _ in range(postgresql_wire.PREPARED_AT + 2):
        answers = wire.exchange([encoded(f"SELECT {n}::bigint + ?", (n,)) for n in range(4)])
        assert [answer.row() for answer in answers] == [(0,), (2,), (4,), (6,)]


def test_more_than_a_socket_takes_at_once_goes_through(wire: Wire) -> None:
    blob = bytes(3_000_000)
    found = exchange(wire, *[("SELECT ?::bytea, ?::bigint", (blob, n)) for n in range(8)])
    assert found == [(blob, 7)]


def test_no_more_statements_stay_prepared_than_are_allowed(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_wire, "PREPARED", 5)
    for number in range(20):
        for _ in range(postgresql_wire.PREPARED_AT + 1):
            assert exchange(wire, (f"SELECT {number}::bigint", ())) == [(number,)]
    (kept,) = wire.ask("SELECT count(*) FROM pg_prepared_statements").rows()
    assert kept[0] <= 5
    assert exchange(wire, ("SELECT 0::bigint", ())) == [(0,)]


def test_a_statement_that_is_used_often_is_planned_anew(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_wire, "PREPARED_ANEW_AT", frozenset((8,)))
    names = "SELECT name FROM pg_prepared_statements WHERE statement LIKE ? ORDER BY name"
    seen = []
    for number in range(12):
        assert exchange(wire, ("SELECT ?::bigint + 5", (number,))) == [(number + 5,)]
        seen.append(tuple(row[0] for row in wire.ask(names, ("%+ 5",)).rows()))
    assert len(set(seen)) == 3  # not prepared, prepared, and prepared under another name
    assert all(len(each) <= 1 for each in seen)


def test_a_connection_that_was_ended_says_so_and_is_closed(wire: Wire, postgres_cluster: Cluster) -> None:
    (own,) = wire.ask("SELECT pg_backend_pid()").rows()
    other = connect(Options(postgres_cluster.conninfo("postgres")))
    wire.check()
    other.ask("SELECT pg_terminate_backend(?::int, 5000)", (own[0],))
    other.close()
    with pytest.raises(psycopg.OperationalError):
        wire.check()
    assert wire.closed
    with pytest.raises(psycopg.OperationalError):
        wire.ask("SELECT 1")
