"""The seam between the rooms' statements and an engine: one open transaction, spoken to in prepared SQL text.

Statements have ``?`` for every parameter and read alike on both engines; text, whole numbers, bytes and None are the
only values that pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

Values = Sequence[Any]


class Session(ABC):
    """One transaction of one engine."""

    dialect: ClassVar[str]  # sqlite | postgresql

    @abstractmethod
    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """All rows of a question."""

    @abstractmethod
    def row(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        """The first row of a question, or of a statement that returns what it wrote."""

    @abstractmethod
    def run(self, sql: str, values: Values = ()) -> int:
        """Execute; how many rows it touched."""

    @abstractmethod
    def run_many(self, sql: str, many: Iterable[Values]) -> None:
        """Execute once for each set of values."""

    @abstractmethod
    def lock(self, keys: Iterable[str]) -> None:
        """Keep every other unit that locks one of these keys waiting until this one ends."""

    @abstractmethod
    def next_number(self, name: str) -> int:
        """The next number of a counter; never given twice."""
