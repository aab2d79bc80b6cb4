"""Searches and index rows as values: what ``fhir.search`` parses and extracts, and the store executes and keeps.

Instants are UTC microseconds since the epoch; ranges are half-open [low, high).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Identity:
    """A business identifier: one value under one system (assigning authority)."""

    system: str
    value: str


class IndexRow(NamedTuple):
    """One searchable fact of a resource; a tuple, because each stored resource makes a dozen of them.

    kind token: system ("" none) and value (code); reference: system is the target type ("" unknown), value its id or
    absolute URL; date: [low, high); string: value is folded text.
    """

    param: str
    kind: str
    system: str = ""
    value: str = ""
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True)
class TokenValue:
    """``system|code``: system None matches any, "" only rows without one; code None matches any."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A target; type None matches any."""

    type: str | None
    id: str


@dataclass(frozen=True, slots=True)
class DateValue:
    """A prefix (eq ne lt le gt ge sa eb ap) and the range that the text stands for."""

    prefix: str
    low: int
    high: int


Value = TokenValue | ReferenceValue | DateValue | str


@dataclass(frozen=True, slots=True)
class Clause:
    """One parameter of a search; its values are alternatives."""

    param: str
    kind: str  # token | reference | date | string | id | last-updated
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one type: all clauses must hold. ``after`` is the opaque token of a page link."""

    type: str
    clauses: tuple[Clause, ...] = ()
    count: int = 50
    sort: str = "_lastUpdated"  # or "-_lastUpdated"; ties broken by id
    after: str | None = None
    total: bool = False
