"""The seam between the rooms' statements and an engine: one open transaction, spoken to in prepared SQL text.

Statements have ``?`` for every parameter and read alike on both engines; text, whole numbers, bytes and None are the
only values that pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from interop.errors import MalformedError

Values = Sequence[Any]


class Session(ABC):
    """One transaction of one engine."""

    dialect: str  # sqlite | postgresql
    alone = False  # whether nobody else writes while it is open

    @abstractmethod
    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """All rows of a question."""

    def rows_of_all(self, questions: Sequence[tuple[str, Values]]) -> list[list[tuple[Any, ...]]]:
        """All rows of several questions: one round trip, where the engine is at a distance."""
        return [self.rows(*question) for question in questions]

    @abstractmethod
    def row(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        """The first row of a question, or of a statement that returns what it wrote."""

    def foresee(self, sql: str, values: Values = ()) -> None:
        """A question that will be put in these words: an engine at a distance asks it along with the next one.

        The answer is forgotten with the next write or lock, behind which it may be another one.
        """
        return  # here there is no distance

    @abstractmethod
    def insert(self, sql: str, values: Values = ()) -> int:
        """Execute an INSERT that ends in RETURNING its surrogate key; the key."""

    def make(self, sql: str, values: Values = ()) -> int | None:
        """The same where the key need not be known now: None where the engine gives it later.

        In rows of the search index that follow, None as key stands for that of the newest resource of the unit.
        """
        return self.insert(sql, values)

    @abstractmethod
    def run(self, sql: str, values: Values = ()) -> int:
        """Execute; how many rows it touched."""

    @abstractmethod
    def put(self, sql: str, values: Values = ()) -> None:
        """Execute, with no answer needed: an engine at a distance sends it along with what comes next."""

    @abstractmethod
    def put_many(self, sql: str, many: Iterable[Values]) -> None:
        """Execute once for each set of values, with no answer needed."""

    @abstractmethod
    def lock(self, keys: Iterable[str]) -> None:
        """Keep every other unit that locks one of these keys waiting until this one ends."""

    @abstractmethod
    def next_number(self, name: str) -> int:
        """The next number of a counter; never given twice."""


class ReadOnlySession(Session):
    """Another session, without what writes."""

    def __init__(self, inner: Session) -> None:
        self.dialect = inner.dialect
        self._inner = inner

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return self._inner.rows(_question(sql), values)

    def row(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        return self._inner.row(_question(sql), values)

    def insert(self, sql: str, values: Values = ()) -> int:
        raise _writing()

    def run(self, sql: str, values: Values = ()) -> int:
        raise _writing()

    def put(self, sql: str, values: Values = ()) -> None:
        raise _writing()

    def put_many(self, sql: str, many: Iterable[Values]) -> None:
        raise _writing()

    def lock(self, keys: Iterable[str]) -> None:
        raise _writing()

    def next_number(self, name: str) -> int:
        raise _writing()


def unstorable() -> MalformedError:
    """The refusal of text with U+0000 or half a surrogate pair."""
    return MalformedError("a text holds a character that cannot be stored", issue_code="value")


def _question(sql: str) -> str:
    if not sql.lstrip().startswith(("SELECT", "WITH", "EXPLAIN")) or sql.endswith("FOR UPDATE"):
        raise _writing()
    return sql


def _writing() -> RuntimeError:
    return RuntimeError("a view does not write")
