"""Whether one version of a resource meets a search, told from its index rows alone.

The same meaning as the store's search gives it (R4 search.html), for a version that may have been superseded since: a
subscription is about each version that met its criteria, not about the one that is there when somebody looks. Clauses
that are not told so are left to the store: modifiers, numbers, and whose patient it is, since who was merged into
another is found under either number. ``apart`` divides the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from interop.fhir.parameters import source_of
from interop.fhir.query import Clause, DateValue, IndexRow, Query, ReferenceValue, TokenValue, Value

MILLISECOND = 1000  # R4 instants of ours are whole ones; an instant is the range of one


def apart(query: Query) -> tuple[Query, Query | None]:
    """The clauses that index rows tell of, and the rest, None where there is none."""
    plain = tuple(clause for clause in query.clauses if _is_plain(clause))
    rest = tuple(clause for clause in query.clauses if not _is_plain(clause))
    return replace(query, clauses=plain), replace(query, clauses=rest) if rest else None


def _is_plain(clause: Clause) -> bool:
    if clause.kind == "reference" and any(_of_patient(value) for value in clause.values):
        return False
    return clause.kind in _PLAIN and not clause.modifier and not clause.within


def _of_patient(value: Value) -> bool:
    return isinstance(value, ReferenceValue) and value.type in (None, "Patient") and ":" not in value.id


def meets(query: Query, id: str, last_updated: int, rows: Iterable[IndexRow]) -> bool:
    """Whether the version with this id, instant (UTC microseconds) and index rows meets all clauses."""
    found = list(rows)
    return all(_holds(query.type, clause, id, last_updated, found) for clause in query.clauses)


def _holds(type: str, clause: Clause, id: str, last_updated: int, rows: list[IndexRow]) -> bool:
    if clause.kind == "id":
        return id in clause.values
    if clause.kind == "last-updated":
        dates = (value for value in clause.values if isinstance(value, DateValue))
        return any(_date_holds(value, last_updated, last_updated + MILLISECOND) for value in dates)
    of_kind = _KINDS[clause.kind]
    source = source_of(type, clause.param)
    mine = [row for row in rows if row.kind == clause.kind and row.param in source.params]
    values = clause.values
    if source.system is not None:
        mine = [row for row in mine if row.system == source.system]
        if clause.kind == "token":  # a contact's value has no system that one could name
            values = tuple(TokenValue(v.system or None, v.code) for v in values if isinstance(v, TokenValue))
    return any(of_kind(value, row) for value in values for row in mine)


def _token(value: Value, row: IndexRow) -> bool:
    assert isinstance(value, TokenValue)
    return value.code in (None, row.value) and value.system in (None, row.system)


def _reference(value: Value, row: IndexRow) -> bool:
    assert isinstance(value, ReferenceValue)
    return value.id == row.value and value.type in (None, row.system)


def _string(value: Value, row: IndexRow) -> bool:
    assert isinstance(value, str)
    return row.value.startswith(value)


def _date(value: Value, row: IndexRow) -> bool:
    assert isinstance(value, DateValue)
    return _date_holds(value, row.low, row.high)


def _date_holds(value: DateValue, low: float, high: float) -> bool:
    """How the range [low, high) stands to the range of the search (R4 search.html#prefix)."""
    contained = low >= value.low and high <= value.high
    below, above = low < value.low, high > value.high
    return {
        "eq": contained,
        "ne": below or above,
        "lt": below,
        "gt": above,
        "le": below or high <= value.high,
        "ge": above or low >= value.low,
        "sa": low >= value.high,
        "eb": high <= value.low,
        "ap": low < value.high and high > value.low,
    }[value.prefix]


_KINDS: dict[str, Callable[[Value, IndexRow], bool]] = {
    "token": _token,
    "reference": _reference,
    "string": _string,
    "date": _date,
}
_PLAIN = frozenset(("id", "last-updated", *_KINDS))
