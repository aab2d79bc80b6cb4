"""Searches and index rows as values: what ``fhir.search`` parses and extracts, and the store executes and keeps.

Instants are UTC microseconds since the epoch; ranges of instants are half-open [low, high).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

LOWEST, HIGHEST = -1e300, 1e300  # the ends of a range of numbers that is open


@dataclass(frozen=True, slots=True)
class Identity:
    """A business identifier: one value under one system (assigning authority)."""

    system: str
    value: str


class IndexRow(NamedTuple):
    """One searchable fact of a resource; a tuple, because each stored resource makes a dozen of them.

    kind token: system ("" none) and value (code); reference: system is the target type ("" unknown), value its id or
    absolute URL; date: [low, high); string: value is folded text, behind ``\\x1f`` the text itself if it differs.
    tuple: two facts that belong together, or a number: ``system`` and ``value`` of the first (of a number: none);
    of the second ``low`` to ``high``, or ``other`` under ``other_system`` (of a quantity: its code, with its ``unit``).
    """

    param: str
    kind: str
    system: str = ""
    value: str = ""
    low: float = 0
    high: float = 0
    other_system: str = ""
    other: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class TokenValue:
    """``system|code``: system None matches any, "" only rows without one; code None matches any."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class TypedIdentifier:
    """``:of-type``: an identifier of this type (R4 search.html#modifiers)."""

    system: str
    code: str
    value: str


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


@dataclass(frozen=True, slots=True)
class NumberValue:
    """A prefix, the number itself, and the range [low, high) of what rounds to it; of a quantity with its unit.

    ``unit`` None: any; with ``system`` None it is a code or the unit as it is written (R4 search.html#quantity).
    """

    prefix: str
    exact: float
    low: float
    high: float
    system: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class PositionValue:
    """``near``: all within this box of degrees and, measured on it, this distance."""

    latitude: float
    longitude: float
    kilometres: float


@dataclass(frozen=True, slots=True)
class CompositeValue:
    """``a$b``: two values for one and the same part of a resource."""

    first: TokenValue | ReferenceValue
    second: TokenValue | DateValue | NumberValue | str


Value = TokenValue | TypedIdentifier | ReferenceValue | DateValue | NumberValue | PositionValue | CompositeValue | str


@dataclass(frozen=True, slots=True)
class Clause:
    """One parameter of a search; its values are alternatives.

    Beside the kinds of the index (token reference date string number composite position) there are ``id``,
    ``last-updated``, ``missing`` (value "true" or "false"), ``chain`` (what ``param`` refers to is found by one of
    ``within``), ``has`` (what one of ``within`` finds refers here by it), ``either`` (one of ``within`` holds) and
    ``neither`` (none does).
    """

    param: str
    kind: str
    values: tuple[Value, ...] = ()
    modifier: str = ""  # not | exact | contains | below | of-type; of filters: equal | unequal | ends
    within: tuple[Query, ...] = ()


@dataclass(frozen=True, slots=True)
class Include:
    """``_include`` and ``_revinclude``: what resources of ``source`` refer to by ``param`` (None: by any)."""

    source: str  # "*": of any type
    param: str | None
    target: str | None = None
    reverse: bool = False
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """A parameter that was left out because the client asked to be lenient."""

    name: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one type: all clauses must hold. ``after`` is the opaque token of a page link."""

    type: str
    clauses: tuple[Clause, ...] = ()
    count: int = 50
    sort: str = "_id"  # keys with commas between, each with - before it where it descends; ties are broken by id
    after: str | None = None
    total: bool = False
    includes: tuple[Include, ...] = ()
    summary: str = ""  # _summary and _elements as they were given: they say what is shown of a body
    elements: str = ""
    ignored: tuple[Ignored, ...] = ()


def leads_away(query: Query) -> bool:
    """Whether it looks into other resources: by a chain or ``_has``, alone or within a filter."""
    return any(
        clause.kind in ("chain", "has") or any(leads_away(inner) for inner in clause.within) for clause in query.clauses
    )
