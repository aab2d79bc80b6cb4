"""A connection to PostgreSQL and how it is opened; one transaction on it, spoken to as a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from interop.store.postgresql_wire import Answer, Encoded, Wire, encoded
from interop.store.session import Session, Values
from interop.store.statements import AS_ARRAYS

_Question = tuple[str, tuple[Any, ...]]

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))"


@dataclass(frozen=True, slots=True)
class Options:
    """How a database is reached."""

    conninfo: str  # as libpq reads it
    synchronous: str = "FULL"
    pool_size: int = 8


def connect(options: Options) -> Wire:
    """An open connection with the settings that durability and liveness rest on."""
    connection = psycopg.connect(
        options.conninfo,
        autocommit=True,  # BEGIN and COMMIT are ours
        connect_timeout=5,
        application_name="interop",
        client_encoding="UTF8",
    )
    connection.execute("SET lock_timeout = '10s'")
    connection.execute("SET statement_timeout = '60s'")
    connection.execute("SET idle_in_transaction_session_timeout = '60s'")
    durable = connection.execute("SHOW synchronous_commit").fetchone()
    if options.synchronous == "NORMAL":
        connection.execute("SET synchronous_commit = off")
    elif durable == ("off",):  # a stricter setting of the administrator's stays
        connection.execute("SET synchronous_commit = on")
    return Wire(connection)


class PostgresqlSession(Session):
    """One transaction on one connection.

    Statements that need no answer, BEGIN and locks among them, wait and go out together with the next that does, or
    with COMMIT: a round trip costs more than most statements. Each sees what was committed before it began, so what is
    asked behind a lock sees what its holder before has left.
    """

    dialect = "postgresql"

    def __init__(self, wire: Wire, numbers: Callable[[str], int]) -> None:
        self._wire = wire
        self._numbers = numbers
        self._owed: list[Encoded] = []
        self._awaited: dict[_Question, int] = {}  # foreseen ones among what is owed, and their places there
        self._foreseen: dict[_Question, Answer] = {}  # and those that were answered

    def begin(self, statement: str = "BEGIN") -> None:
        """Start the transaction with the first statement."""
        self._owed = [encoded(statement, ())]
        self._forget()

    def commit(self) -> str:
        """Send what is owed, and COMMIT; the server's answer."""
        return self._execute("COMMIT", ()).status

    def _execute(self, sql: str, values: Values) -> Answer:
        return self._exchange([encoded(sql, values)])[0]

    def _exchange(self, asked: Sequence[Encoded]) -> list[Answer]:
        owed, self._owed = [*self._owed, *asked], []
        answers = self._wire.exchange(owed)
        if self._awaited:
            self._foreseen |= {question: answers[place] for question, place in self._awaited.items()}
            self._awaited = {}
        return answers[len(owed) - len(asked) :]

    def foresee(self, sql: str, values: Values = ()) -> None:
        question = sql, tuple(values)
        if question not in self._awaited and question not in self._foreseen:
            self._awaited[question] = len(self._owed)
            self._owed.append(encoded(sql, values))

    def _known(self, sql: str, values: Values) -> Answer | None:
        """The answer to a question that was foreseen."""
        if not self._awaited and not self._foreseen:
            return None
        question = sql, tuple(values)
        if question in self._awaited:
            self._exchange(())
        return self._foreseen.get(question)

    def _forget(self) -> None:
        """What was answered is perhaps no longer so."""
        if self._awaited or self._foreseen:
            self._awaited, self._foreseen = {}, {}

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return (self._known(sql, values) or self._execute(sql, values)).rows()

    def rows_of_all(self, questions: Sequence[tuple[str, Values]]) -> list[list[tuple[Any, ...]]]:
        answers = [self._known(*question) for question in questions]
        asked = [encoded(*question) for question, known in zip(questions, answers, strict=True) if known is None]
        others = iter(self._exchange(asked) if asked else ())
        return [(known or next(others)).rows() for known in answers]

    def row(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        return (self._known(sql, values) or self._execute(sql, values)).row()

    def insert(self, sql: str, values: Values = ()) -> int:
        self._forget()
        made = self.row(sql, values)
        assert made is not None
        return int(made[0])

    def make(self, sql: str, values: Values = ()) -> None:
        self.put(sql, values)

    def run(self, sql: str, values: Values = ()) -> int:
        self._forget()
        return self._execute(sql, values).touched

    def put(self, sql: str, values: Values = ()) -> None:
        self._forget()
        self._owed.append(encoded(sql, values))

    def put_many(self, sql: str, many: Iterable[Values]) -> None:
        arrays = AS_ARRAYS.get(sql)
        if arrays is None:
            for values in many:
                self.put(sql, values)
            return
        columns = [list(column) for column in zip(*many, strict=True)]
        if columns:
            self.put(arrays, columns)

    def lock(self, keys: Iterable[str]) -> None:
        for key in sorted(set(keys)):  # in one order, so that two units with the same keys cannot block each other
            self.put(_LOCK, (key,))

    def next_number(self, name: str) -> int:
        return self._numbers(name)
