"""Searches as SQL: one condition per clause, all of which must hold, and pages that begin where the last one ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from interop.errors import UnsupportedError
from interop.fhir.query import Clause, DateValue, Query, ReferenceValue, TokenValue
from interop.store import paging
from interop.store.resources import Resources, Row
from interop.store.rows import Page
from interop.store.search_index import key_text, prefix_text

FEW = 500  # a condition that fewer rows meet is where a search begins; above, resources are walked in their order
MILLISECOND = 1000  # an instant of ours stands for its millisecond
_CERTAINLY_FEW = frozenset(("identifier", "instance", "series"))
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a WHERE with the values for its marks."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexCondition:
    """Rows of an index table; a resource meets it by having one of them."""

    table: str
    type: str
    param: str
    choice: Condition

    def pks(self) -> Condition:
        """SELECT of the resources that meet it."""
        return Condition(
            f"SELECT DISTINCT pk FROM {self.table} WHERE type = ? AND param = ? AND ({self.choice.sql})",  # noqa: S608
            (self.type, self.param, *self.choice.values),
        )

    def exists(self) -> Condition:
        """Whether resource r meets it."""
        return Condition(
            f"EXISTS (SELECT 1 FROM {self.table} x WHERE x.type = ? AND x.param = ? AND x.pk = r.pk "  # noqa: S608
            f"AND ({self.choice.sql}))",
            (self.type, self.param, *self.choice.values),
        )


def either(conditions: Iterable[Condition]) -> Condition:
    """One of these."""
    parts = list(conditions)
    if len(parts) == 1:
        return parts[0]
    return Condition(" OR ".join(f"({part.sql})" for part in parts), tuple(v for part in parts for v in part.values))


def one_of(column: str, values: Iterable[str]) -> Condition:
    """The column has one of these values."""
    wanted = tuple(dict.fromkeys(values))
    if len(wanted) == 1:
        return Condition(f"{column} = ?", wanted)
    return Condition(f"{column} IN ({', '.join('?' for _ in wanted)})", wanted)


def date_condition(value: DateValue, low: str, high: str) -> Condition:
    """How the range [low, high) of a resource stands to the range of the search (R4 search.html#prefix)."""
    contained = Condition(f"{low} >= ? AND {high} <= ?", (value.low, value.high))
    below = Condition(f"{low} < ?", (value.low,))
    above = Condition(f"{high} > ?", (value.high,))
    match value.prefix:
        case "eq":
            return contained
        case "ne":
            return either((below, above))
        case "lt":
            return below
        case "gt":
            return above
        case "le":  # below, or contained
            return either((below, Condition(f"{high} <= ?", (value.high,))))
        case "ge":  # above, or contained
            return either((above, Condition(f"{low} >= ?", (value.low,))))
        case "sa":
            return Condition(f"{low} >= ?", (value.high,))
        case "eb":
            return Condition(f"{high} <= ?", (value.low,))
        case "ap":
            return Condition(f"{low} < ? AND {high} > ?", (value.high, value.low))
    raise UnsupportedError(f"the date prefix {value.prefix!r} is not offered", issue_code="not-supported")


def moment_condition(value: DateValue, column: str) -> Condition:
    """The same for an instant of ours, [t, t + 1 ms), as a range of t that an index over t serves."""
    low, high = value.low, value.high - MILLISECOND
    match value.prefix:
        case "eq":
            return Condition(f"{column} >= ? AND {column} <= ?", (low, high))
        case "le":
            return Condition(f"{column} <= ?", (max(low - 1, high),))
        case "ge":
            return Condition(f"{column} >= ?", (min(low, high + 1),))
        case "gt":
            return Condition(f"{column} > ?", (high,))
        case "eb":
            return Condition(f"{column} <= ?", (low - MILLISECOND,))
        case "ap":
            return Condition(f"{column} > ? AND {column} < ?", (low - MILLISECOND, value.high))
        case "ne":
            return Condition(f"{column} < ? OR {column} > ?", (low, high))
    return date_condition(value, column, column)  # lt and sa ask for the beginning only


def token_condition(values: Iterable[TokenValue]) -> Condition:
    """``code``, ``system|code``, ``|code`` and ``system|`` (R4 search.html#token)."""
    by_system: dict[str | None, list[str]] = {}
    systems: list[str] = []
    for value in values:
        if value.code is not None:
            by_system.setdefault(value.system, []).append(key_text(value.code))
        elif value.system is not None:
            systems.append(key_text(value.system))
        else:
            raise UnsupportedError("a token needs a code or a system")
    choices = [_under(system, codes) for system, codes in by_system.items()]
    if systems:
        choices.append(one_of("system", systems))
    return either(choices)


def reference_condition(values: Iterable[ReferenceValue]) -> Condition:
    """``Type/id``, ``id`` or an absolute URL (R4 search.html#reference)."""
    by_type: dict[str | None, list[str]] = {}
    for value in values:
        by_type.setdefault(value.type, []).append(key_text(value.id))
    return either(_under(type, found) for type, found in by_type.items())


def _under(system: str | None, values: list[str]) -> Condition:
    chosen = one_of("value", values)
    if system is None:
        return chosen
    return Condition(f"{chosen.sql} AND system = ?", (*chosen.values, key_text(system)))


def string_condition(values: Iterable[str], column: str = "value") -> Condition:
    """The beginning of a folded text (R4 search.html#string)."""
    prefixes = [prefix_text(value) for value in values]
    return either(Condition(f"{column} >= ? AND {column} < ?", (p, p + _LAST_CHARACTER)) for p in prefixes)


def index_condition(type: str, clause: Clause) -> IndexCondition:
    """The clause as a condition on its index table."""
    table, choice = _TABLES[clause.kind], _CHOICES[clause.kind](clause.values)
    return IndexCondition(table, type, clause.param, choice)


def _date_choice(values: Iterable[DateValue]) -> Condition:
    return either(date_condition(value, "low", "high") for value in values)


_TABLES = {
    "token": "token_index",
    "reference": "reference_index",
    "date": "date_index",
    "string": "string_index",
}
_CHOICES: dict[str, Any] = {
    "token": token_condition,
    "reference": reference_condition,
    "date": _date_choice,
    "string": string_condition,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """FROM and WHERE of a search."""

    source: Condition
    where: tuple[Condition, ...]

    def sql(self, columns: str, extra: tuple[Condition, ...] = (), tail: str = "") -> Condition:
        """The whole SELECT."""
        conditions = (*self.where, *extra)
        text = " AND ".join(f"({condition.sql})" for condition in conditions)
        return Condition(
            f"SELECT {columns} FROM {self.source.sql} WHERE {text} {tail}",  # noqa: S608
            (*self.source.values, *(value for condition in conditions for value in condition.values)),
        )


class Search(Resources):
    """Searches of a transaction."""

    def search(self, query: Query) -> Page:
        """One page of the live resources that meet all clauses."""
        plan = self._plan(query)
        total = self._count(plan) if query.total else None
        rows, following, previous = self._page(plan, query)
        return Page([self._stored(row) for row in rows], following, previous, total)

    def _plan(self, query: Query) -> Plan:
        where = [Condition("r.type = ?", (query.type,)), Condition("r.deleted = 0")]
        indexed: list[IndexCondition] = []
        few: Condition | None = None
        for clause in query.clauses:
            if clause.kind == "id":
                ids = one_of("id", (str(value) for value in clause.values))
                few = Condition(f"SELECT pk FROM resource WHERE type = ? AND {ids.sql}", (query.type, *ids.values))  # noqa: S608
                where.append(Condition(f"r.{ids.sql}", ids.values))
            elif clause.kind == "last-updated":
                where.append(
                    either(
                        moment_condition(value, "r.last_updated")
                        for value in clause.values
                        if isinstance(value, DateValue)
                    )
                )
            else:
                indexed.append(index_condition(query.type, clause))
        start = self._start(indexed) if few is None else None
        where.extend(condition.exists() for condition in indexed if condition is not start)
        if start is not None:
            few = start.pks()
        if few is None:
            return Plan(Condition("resource r"), tuple(where))
        # CROSS JOIN: SQLite then walks the few and looks each resource up, never the other way round
        where.append(Condition("r.pk = d.pk"))
        return Plan(Condition(f"({few.sql}) d CROSS JOIN resource r", few.values), tuple(where))

    def _start(self, indexed: list[IndexCondition]) -> IndexCondition | None:
        """The condition that few resources meet, from which the search is best begun."""
        for condition in indexed:
            if condition.param in _CERTAINLY_FEW:
                return condition
        for condition in indexed:
            some = condition.pks()
            counted = self.session.row(
                f"SELECT count(*) FROM ({some.sql} LIMIT {FEW}) f",  # noqa: S608
                some.values,
            )
            if counted is not None and counted[0] < FEW:
                return condition
        return None

    def _count(self, plan: Plan) -> int:
        counting = plan.sql("count(*)")
        counted = self.session.row(counting.sql, counting.values)
        return 0 if counted is None else int(counted[0])

    def _page(self, plan: Plan, query: Query) -> tuple[list[Row], str | None, str | None]:
        position, backwards = (None, False) if query.after is None else paging.read_token(query.after, (int, str))
        ascending = (query.sort == "_lastUpdated") != backwards
        extra: tuple[Condition, ...] = ()
        if position is not None:
            extra = (Condition(f"(r.last_updated, r.id) {'>' if ascending else '<'} (?, ?)", position),)
        direction = "ASC" if ascending else "DESC"
        asked = plan.sql(
            "r.type, r.id, r.version, r.last_updated, r.deleted, r.body",
            extra,
            f"ORDER BY r.last_updated {direction}, r.id {direction} LIMIT {query.count + 1:d}",
        )
        rows = self.session.rows(asked.sql, asked.values)
        return cut_page(rows, query.count, position is not None, backwards, lambda row: (row[3], row[1]))


def cut_page(
    rows: list[Row], count: int, continued: bool, backwards: bool, position_of: Any
) -> tuple[list[Row], str | None, str | None]:
    """The page out of one row more than it holds, and the tokens of its neighbours."""
    more = len(rows) > count
    page = rows[:count]
    if backwards:
        page.reverse()
    if not page:
        return page, None, None
    following = paging.write_token(position_of(page[-1])) if more or backwards else None
    before = paging.write_token(position_of(page[0]), backwards=True) if (more if backwards else continued) else None
    return page, following, before
