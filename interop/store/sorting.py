"""The keys of a sort: as SQL over the index, and of a version that is no longer the present one from its body.

What has no value for a key comes last, whichever way it is sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from interop.fhir.parameters import parameters, source_of
from interop.fhir.query import HIGHEST, LOWEST, IndexRow
from interop.fhir.times import EARLIEST, LATEST
from interop.store.conditions import Condition, every, one_of, own_type
from interop.store.search_index import key_text, prefix_text

Values = tuple[Any, ...]  # of the keys, and the id last

_LAST_TEXT = "\U0010ffff"
_ORDERED = {"date_index": "high", "string_index": None, "token_index": "system"}  # and what tells equal ones apart
_COLUMNS = {
    "token": ("token_index", "value"),
    "uri": ("token_index", "value"),
    "reference": ("reference_index", "value"),
    "string": ("string_index", "value"),
    "date": ("date_index", "low"),
    "quantity": ("tuple_index", "low"),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    name: str
    descending: bool
    table: str = ""  # none: a column of the resource itself
    column: str = ""
    type: str = ""
    params: tuple[str, ...] = ()
    system: str | None = None
    walked: bool = False  # the search goes through this key's index, row by row

    @property
    def walkable(self) -> bool:
        """Whether an index has the values of this key, and of nothing else, in their order."""
        return self.table in _ORDERED and len(self.params) == 1 and self.system is None

    @property
    def own(self) -> bool:
        """Whether it is a column of the resource."""
        return not self.table

    @property
    def none(self) -> Any:
        """What stands for no value: behind all that there can be."""
        if self.column == "value":
            return "" if self.descending else _LAST_TEXT
        if self.table == "date_index":
            return EARLIEST - 1 if self.descending else LATEST + 1
        return 2 * LOWEST if self.descending else 2 * HIGHEST

    @property
    def rows(self) -> Condition:
        """Which rows of the table the values are in, looked up by resource."""
        system = () if self.system is None else (Condition("x.system = ?", (self.system,)),)
        return every((own_type(self.table, self.type), one_of("x.param", self.params), *system))

    def expression(self) -> Condition:
        """The key of resource r: the least of its values, the greatest where it descends."""
        if self.own:
            return Condition(f"r.{self.column}")
        if self.walked:
            return Condition(f"s.{self.column}")
        pick = "max" if self.descending else "min"
        return Condition(
            f"coalesce((SELECT {pick}(x.{self.column}) FROM {self.table} x "  # noqa: S608
            f"WHERE x.pk = r.pk AND {self.rows.sql}), ?)",
            (*self.rows.values, self.none),
        )

    def of(self, rows: Iterable[IndexRow]) -> Any:
        """The same from the index rows of a resource."""
        found = [
            _column(row, self.table, self.column)
            for row in rows
            if row.param in self.params and (self.system is None or row.system == self.system)
        ]
        if not found:
            return self.none
        return max(found) if self.descending else min(found)


def sort_keys(type: str, sort: str) -> tuple[Key, ...]:
    """The keys of a ``_sort``."""
    return tuple(_key(type, name.removeprefix("-"), name.startswith("-")) for name in sort.split(","))


def _key(type: str, name: str, descending: bool) -> Key:
    if name == "_id":
        return Key(name, descending, column="id")
    if name == "_lastUpdated":
        return Key(name, descending, column="last_updated")
    table, column = _COLUMNS[parameters(type)[name].type]
    source = source_of(type, name)
    return Key(name, descending, table, column, type, source.params, source.system)


def steps(key: Key) -> Condition:
    """The rows s of a walked key's index, one for each resource: its least value, the greatest where it descends."""
    before, apart = "<>"[key.descending], _ORDERED[key.table]
    closer = f"y.{key.column} {before} s.{key.column}"
    if apart is not None:
        closer += f" OR (y.{key.column} = s.{key.column} AND y.{apart} < s.{apart})"
    return Condition(
        "s.type = ? AND s.param = ? AND r.pk = s.pk "  # noqa: S608
        f"AND NOT EXISTS (SELECT 1 FROM {key.table} y WHERE y.pk = s.pk AND y.type = ? AND y.param = ? AND ({closer}))",
        (key.type, key.params[0], key.type, key.params[0]),
    )


def without(key: Key) -> Condition:
    """Whether resource r has no value for the key."""
    return Condition(
        f"NOT EXISTS (SELECT 1 FROM {key.table} x WHERE x.pk = r.pk AND {key.rows.sql})",  # noqa: S608
        key.rows.values,
    )


def _column(row: IndexRow, table: str, column: str) -> Any:
    if column == "low":
        return row.low
    return prefix_text(row.value) if table == "string_index" else key_text(row.value)


def beyond(keys: Sequence[Key], values: Values, backwards: bool, id_descends: bool) -> Condition:
    """What comes behind these values in the order of the keys (before them, where backwards)."""
    terms = [(key.expression(), key.descending != backwards) for key in keys]
    terms.append((Condition("r.id"), id_descends != backwards))
    if len({descends for _, descends in terms}) == 1 and all(key.own for key in keys):
        names = ", ".join(term.sql for term, _ in terms)
        marks = ", ".join("?" for _ in terms)
        return Condition(f"({names}) {'<' if terms[0][1] else '>'} ({marks})", values)
    found: Condition | None = None
    for (term, descends), value in zip(reversed(terms), reversed(values), strict=True):
        ahead = Condition(f"{term.sql} {'<' if descends else '>'} ?", (*term.values, value))
        if found is None:
            found = ahead
        else:
            found = Condition(
                f"{ahead.sql} OR ({term.sql} = ? AND ({found.sql}))",
                (*ahead.values, *term.values, value, *found.values),
            )
    assert found is not None
    return found


def order(keys: Sequence[Key], backwards: bool, id_descends: bool) -> str:
    """ORDER BY the columns k0, k1, … of the keys, and id."""
    terms = [f"{_name(key, n)} {'DESC' if key.descending != backwards else 'ASC'}" for n, key in enumerate(keys)]
    terms.append(f"r.id {'DESC' if id_descends != backwards else 'ASC'}")
    return "ORDER BY " + ", ".join(terms)


def _name(key: Key, n: int) -> str:
    return f"r.{key.column}" if key.own else f"k{n}"


def columns(keys: Sequence[Key]) -> Condition:
    """The keys as columns k0, k1, …, a comma behind each."""
    each = [key.expression() for key in keys]
    text = "".join(f"{expression.sql} AS k{n}, " for n, expression in enumerate(each))
    return Condition(text, tuple(value for expression in each for value in expression.values))


def id_descends(keys: Sequence[Key]) -> bool:
    return keys[-1].descending


def in_order(keys: Sequence[Key], found: list[Any], values_of: Any, backwards: bool) -> list[Any]:
    """Sorted as the keys have it."""
    return sorted(found, key=cmp_to_key(lambda one, other: compare(keys, values_of(one), values_of(other), backwards)))


def compare(keys: Sequence[Key], one: Values, other: Values, backwards: bool) -> int:
    """Below 0 where the one comes before the other."""
    descends = [*(key.descending for key in keys), id_descends(keys)]
    for first, second, down in zip(one, other, descends, strict=True):
        if first != second:
            return (1 if first > second else -1) * (-1 if down != backwards else 1)
    return 0
