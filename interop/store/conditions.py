"""The clauses of a search as conditions on the tables of the index, in SQL that both engines read alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import cos, radians
from typing import Any

from interop.errors import UnsupportedError
from interop.fhir.folding import BEFORE_EXACT
from interop.fhir.parameters import source_of
from interop.fhir.query import (
    Clause,
    CompositeValue,
    DateValue,
    NumberValue,
    PositionValue,
    ReferenceValue,
    TokenValue,
)
from interop.store.search_index import key_text, prefix_text

MILLISECOND = 1000  # an instant of ours stands for its millisecond
_LAST_CHARACTER = "\U0010ffff"
_DEGREE = 111.195  # kilometres of one degree on a great circle


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a WHERE with the values for its marks."""

    sql: str
    values: tuple[Any, ...] = ()


EVERYTHING = Condition("1 = 1")
NOTHING = Condition("1 = 0")


@dataclass(frozen=True, slots=True)
class IndexCondition:
    """Rows of an index table; a resource meets it by having one of them."""

    table: str
    type: str
    params: tuple[str, ...]
    choice: Condition

    def pks(self) -> Condition:
        """SELECT of the resources that meet it."""
        rows = every((Condition("x.type = ?", (self.type,)), one_of("x.param", self.params), self.choice))
        return Condition(f"SELECT DISTINCT x.pk FROM {self.table} x WHERE {rows.sql}", rows.values)  # noqa: S608

    def holds(self, alias: str) -> Condition:
        """Whether the resource of this alias meets it."""
        rows = every((own_type(self.table, self.type), one_of("x.param", self.params), self.choice))
        return Condition(
            f"EXISTS (SELECT 1 FROM {self.table} x WHERE x.pk = {alias}.pk AND {rows.sql})",  # noqa: S608
            rows.values,
        )


def own_type(table: str, type: str) -> Condition:
    """The type among the rows of one resource, which must be looked up by its key.

    SQLite keeps that order in tables that are one tree; for the plain one no index may serve the type.
    """
    return Condition("x.type || '' = ?" if table == "tuple_index" else "x.type = ?", (type,))


def either(conditions: Iterable[Condition]) -> Condition:
    """One of these; nothing where there are none."""
    parts = list(conditions)
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NOTHING
    return Condition(" OR ".join(f"({part.sql})" for part in parts), tuple(v for part in parts for v in part.values))


def every(conditions: Iterable[Condition]) -> Condition:
    """All of these."""
    parts = [part for part in conditions if part is not EVERYTHING] or [EVERYTHING]
    return Condition(" AND ".join(f"({part.sql})" for part in parts), tuple(v for part in parts for v in part.values))


def negated(condition: Condition) -> Condition:
    """Not this."""
    return Condition(f"NOT ({condition.sql})", condition.values)


def one_of(column: str, values: Iterable[Any]) -> Condition:
    """The column has one of these values."""
    wanted = tuple(dict.fromkeys(values))
    if len(wanted) == 1:
        return Condition(f"{column} = ?", wanted)
    return Condition(f"{column} IN ({', '.join('?' for _ in wanted)})", wanted)


# dates


def date_condition(value: DateValue, low: str, high: str) -> Condition:
    """How the range [low, high) of a resource stands to the range of the search (R4 search.html#prefix)."""
    # the second bound follows from the third; an index over low is then read between two ends
    contained = Condition(f"{low} >= ? AND {low} <= ? AND {high} <= ?", (value.low, value.high, value.high))
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


# numbers


def number_condition(value: NumberValue, low: str, high: str) -> Condition:
    """How the closed range [low, high] of a resource stands to the number of a search.

    eq, ne, sa, eb and ap go by what rounds to the number, lt, le, gt and ge by the number itself
    (R4 search.html#number).
    """
    match value.prefix:
        case "eq":
            return Condition(f"{low} >= ? AND {high} < ?", (value.low, value.high))
        case "ne":
            return Condition(f"{low} < ? OR {high} >= ?", (value.low, value.high))
        case "lt":
            return Condition(f"{low} < ?", (value.exact,))
        case "le":
            return Condition(f"{low} <= ?", (value.exact,))
        case "gt":
            return Condition(f"{high} > ?", (value.exact,))
        case "ge":
            return Condition(f"{high} >= ?", (value.exact,))
        case "sa":
            return Condition(f"{low} >= ?", (value.high,))
        case "eb":
            return Condition(f"{high} < ?", (value.low,))
        case "ap":
            return Condition(f"{low} <= ? AND {high} >= ?", (value.high, value.low))
    raise UnsupportedError(f"the prefix {value.prefix!r} is not offered for a number", issue_code="not-supported")


def _quantity(value: NumberValue) -> Condition:
    parts = [number_condition(value, "x.low", "x.high")]
    if value.unit is not None:
        if value.system is None:  # R4 search.html#quantity: the code, or the unit as people read it
            unit = (key_text(value.unit),) * 2
            parts.append(Condition("x.other = ? OR x.unit = ?", unit))
        else:
            parts.append(Condition("x.other = ?", (key_text(value.unit),)))
            parts.append(Condition("x.other_system = ?", (key_text(value.system),)))
    return every(parts)


def _numbers(values: Iterable[Any], _modifier: str) -> Condition:
    return every((Condition("x.value = ''"), either(_quantity(value) for value in values)))


def _positions(values: Iterable[Any], _modifier: str) -> Condition:
    return either(_near(value) for value in values if isinstance(value, PositionValue))


def _near(value: PositionValue) -> Condition:
    """Within the distance on the plane that touches the earth there; good to a percent up to hundreds of kilometres."""
    degrees = value.kilometres / _DEGREE
    narrowing = max(cos(radians(value.latitude)), 0.01)
    box = Condition(
        "x.low BETWEEN ? AND ? AND x.high BETWEEN ? AND ?",
        (
            value.latitude - degrees,
            value.latitude + degrees,
            value.longitude - degrees / narrowing,
            value.longitude + degrees / narrowing,
        ),
    )
    square = "(x.low - ?) * (x.low - ?) + (x.high - ?) * (x.high - ?) * ? <= ?"
    latitude, longitude = float(value.latitude), float(value.longitude)
    within = Condition(square, (latitude, latitude, longitude, longitude, narrowing * narrowing, degrees * degrees))
    return every((Condition("x.value = ''"), box, within))


# tokens, references, strings


def token_condition(values: Iterable[TokenValue], system: str = "system", code: str = "value") -> Condition:
    """``code``, ``system|code``, ``|code`` and ``system|`` (R4 search.html#token), over these columns."""
    by_system: dict[str | None, list[str]] = {}
    systems: list[str] = []
    for value in values:
        if value.code is not None:
            by_system.setdefault(value.system, []).append(key_text(value.code))
        elif value.system is not None:
            systems.append(key_text(value.system))
        else:
            raise UnsupportedError("a token needs a code or a system")
    choices = [_under(wanted, codes, system, code) for wanted, codes in by_system.items()]
    if systems:
        choices.append(one_of(system, systems))
    return either(choices)


def reference_condition(
    values: Iterable[ReferenceValue], system: str = "x.system", column: str = "x.value"
) -> Condition:
    """``Type/id``, ``id`` or an absolute URL (R4 search.html#reference)."""
    by_type: dict[str | None, list[str]] = {}
    for value in values:
        by_type.setdefault(value.type, []).append(key_text(value.id))
    return either(_under(type, found, system, column) for type, found in by_type.items())


def _under(wanted: str | None, values: list[str], system: str, column: str) -> Condition:
    chosen = one_of(column, values)
    if wanted is None:
        return chosen
    return Condition(f"{chosen.sql} AND {system} = ?", (*chosen.values, key_text(wanted)))


def string_condition(values: Iterable[str], column: str = "value", modifier: str = "") -> Condition:
    """The beginning of a folded text; all of it and unfolded (:exact); or any of it (R4 search.html#string).

    Of a filter: all of it, folded (equal), or its end (ends).
    """
    wanted = [prefix_text(value) for value in values]
    match modifier:
        case "exact":
            return one_of(column, wanted)
        case "equal":
            return either(_whole(text, column) for text in wanted)
        case "ends":
            return either(_ending(text, column) for text in wanted)
    if modifier == "contains":
        return either(Condition(f"{column} LIKE ? ESCAPE '\\'", (f"%{_literal(text)}%",)) for text in wanted)
    return either(Condition(f"{column} >= ? AND {column} < ?", (p, p + _LAST_CHARACTER)) for p in wanted)


def _whole(text: str, column: str) -> Condition:
    """The folded text is this, whatever stands behind it."""
    behind = text + BEFORE_EXACT
    return Condition(f"{column} = ? OR ({column} >= ? AND {column} < ?)", (text, behind, behind + _LAST_CHARACTER))


def _ending(text: str, column: str) -> Condition:
    """The folded text ends so; what may stand behind it is the text itself, or a hash that ends in anything."""
    plain, mark = _literal(text), BEFORE_EXACT
    sql = f"{column} LIKE ? ESCAPE '\\' OR ({column} LIKE ? ESCAPE '\\' AND {column} NOT LIKE ?)"
    return Condition(sql, (f"%{plain}{mark}%", f"%{plain}", f"%{mark}%"))


def _literal(text: str) -> str:
    plain = text.replace(BEFORE_EXACT, "")
    return plain.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _tokens(values: Iterable[Any], modifier: str) -> Condition:
    if modifier == "below":
        return either(_below(value.code or "") for value in values)
    return token_condition(values, "x.system", "x.value")


def _below(url: str) -> Condition:
    text = key_text(url)
    return Condition("x.value = ? OR (x.value >= ? AND x.value < ?)", (text, f"{text}/", f"{text}0"))  # 0 follows /


def _composites(values: Iterable[Any], _modifier: str) -> Condition:
    return either(_composite(value) for value in values if isinstance(value, CompositeValue))


def _composite(value: CompositeValue) -> Condition:
    first, second = value.first, value.second
    parts = [
        token_condition((first,), "x.system", "x.value")
        if isinstance(first, TokenValue)
        else reference_condition((first,))
    ]
    match second:
        case TokenValue():
            parts.append(token_condition((second,), "x.other_system", "x.other"))
        case NumberValue():
            parts.append(_quantity(second))
        case DateValue():
            span = DateValue(second.prefix, second.low, second.high)
            found = date_condition(span, "x.low", "x.high")
            parts.append(Condition(found.sql, tuple(map(float, found.values))))
        case str():
            parts.append(string_condition((second,), "x.other"))
    return every(parts)


def _dates(values: Iterable[Any], _modifier: str) -> Condition:
    return either(date_condition(value, "x.low", "x.high") for value in values)


def _references(values: Iterable[Any], _modifier: str) -> Condition:
    return reference_condition(values)


def _strings(values: Iterable[Any], modifier: str) -> Condition:
    return string_condition(values, "x.value", modifier)


TABLES = {
    "token": "token_index",
    "reference": "reference_index",
    "date": "date_index",
    "string": "string_index",
    "number": "tuple_index",
    "composite": "tuple_index",
    "position": "tuple_index",
}
_CHOICES: dict[str, Callable[[Iterable[Any], str], Condition]] = {
    "token": _tokens,
    "reference": _references,
    "date": _dates,
    "string": _strings,
    "number": _numbers,
    "composite": _composites,
    "position": _positions,
}


def index_condition(type: str, clause: Clause) -> IndexCondition:
    """The clause as a condition on its index table, under whichever parameters its rows stand."""
    source = source_of(type, clause.param)
    values: Sequence[Any] = clause.values
    if source.system is not None and clause.kind == "token":  # a contact's value has no system that one could name
        values = [TokenValue(value.system or None, value.code) for value in values]
    unequal = clause.modifier == "unequal"
    choice = _CHOICES[clause.kind](values, "equal" if unequal else clause.modifier)
    choice = negated(choice) if unequal else choice
    if source.system is not None:
        choice = every((choice, Condition("x.system = ?", (source.system,))))
    return IndexCondition(TABLES[clause.kind], type, source.params, choice)
