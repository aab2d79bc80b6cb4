"""Going through what a search finds in the order of its keys, from the beginning or from where a page ended.

Where few resources are found they are sorted. Where it may be all there are, the index of the first key is walked in
its order instead, and what has no value for it comes behind. Where a stretch of that walk does not fill the page, few
resources meet all clauses together, however many meet each: then what the rarest clause finds is sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from interop.store import sorting
from interop.store.conditions import Condition, every
from interop.store.planning import Plan
from interop.store.resources import Row
from interop.store.session import Session
from interop.store.sorting import Key, Values

STRETCH = 2000  # of the walk, before it is seen whether the page will be full soon
MANY = 250_000  # found by the rarest clause: sorted at most
COUNTED = 50_000  # found by the rarest clause: looked up where all are only counted
COLUMNS = "r.type, r.id, r.version, r.last_updated, r.deleted, r.body"


@dataclass(frozen=True, slots=True)
class Found:
    """A resource of a page, and where it stands."""

    pk: int
    values: Values
    row: Row | None = None  # the resource, where it was read along


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of the walk: at most so many, behind these values (before them, where backwards)."""

    limit: int
    behind: Values | None = None
    backwards: bool = False
    extra: tuple[Condition, ...] = ()


def walk(session: Session, plan: Plan, keys: tuple[Key, ...], part: Part) -> list[Found]:
    """What the plan finds, in the order of the keys."""
    first = keys[0]
    if plan.others:
        nearest = _nearest(session, plan, keys, part)
        if nearest is not None:
            return nearest
    if plan.few is not None or not first.walkable:
        return _asked(session, plan, keys, part, sorting.id_descends(keys))
    at_those_without = part.behind is not None and part.behind[0] == first.none
    found: list[Found] = []
    for with_value in (False, True) if part.backwards else (True, False):
        here = replace(part, limit=part.limit - len(found))
        if with_value:
            if at_those_without:
                if not part.backwards:
                    continue
                here = replace(here, behind=None)
            found += _with_value(session, plan, keys, here)
        elif at_those_without or not part.backwards or part.behind is None:
            found += _without_value(session, plan, keys, here if at_those_without else replace(here, behind=None))
        if len(found) >= part.limit:
            break
    return found


def rarest(session: Session, plans: Sequence[Plan], most: int = MANY) -> Plan | None:
    """The plan that begins with the least; None where none begins with fewer than ``most``."""
    chosen, least = None, most
    for plan in plans:
        assert plan.few is not None
        asked = f"SELECT count(*) FROM (SELECT 1 FROM ({plan.few.sql}) n LIMIT {least:d}) f"  # noqa: S608
        counted = session.row(asked, plan.few.values)
        if counted is not None and counted[0] < least:
            chosen, least = plan, int(counted[0])
    return chosen


def _nearest(session: Session, plan: Plan, keys: tuple[Key, ...], part: Part) -> list[Found] | None:
    """What is found without walking far; None where all has to be walked."""
    first = keys[0]
    if first.own or (first.walkable and (part.behind is None or part.behind[0] != first.none)):
        end = _stretch(session, plan.type, first, part)
        if end is None and first.own:
            return None  # it is not far to the end
        near = part if end is None else replace(part, extra=(*part.extra, end))
        if first.own:
            found = _asked(session, plan, keys, near, sorting.id_descends(keys))
        else:
            found = _with_value(session, plan, keys, near)
        if len(found) >= part.limit:
            return found
    begun = rarest(session, plan.others)
    return None if begun is None else _asked(session, begun, keys, part, sorting.id_descends(keys), bodies=False)


def _stretch(session: Session, type: str, key: Key, part: Part) -> Condition | None:
    """Up to where the stretch goes that begins behind the part's beginning; None where less is left."""
    alias, table = ("r", "resource") if key.own else ("s", key.table)
    column, down = f"{alias}.{key.column}", key.descending != part.backwards
    where = [Condition(f"{alias}.type = ?", (type,))]
    if not key.own:
        where.append(Condition("s.param = ?", (key.params[0],)))
    if part.behind is not None:
        where.append(Condition(f"{column} {'<=' if down else '>='} ?", (part.behind[0],)))
    asked = every(where)
    end = session.row(
        f"SELECT {column} FROM {table} {alias} WHERE {asked.sql} "  # noqa: S608
        f"ORDER BY {column} {'DESC' if down else 'ASC'} LIMIT 1 OFFSET {STRETCH:d}",
        asked.values,
    )
    return None if end is None else Condition(f"{column} {'>' if down else '<'} ?", (end[0],))


def _with_value(session: Session, plan: Plan, keys: tuple[Key, ...], part: Part) -> list[Found]:
    first = replace(keys[0], walked=True)
    steps = sorting.steps(first)
    extra = list(part.extra)
    if part.behind is not None:  # said once more, so that the index is entered there
        sign = "<=" if first.descending != part.backwards else ">="
        extra.append(Condition(f"s.{first.column} {sign} ?", (part.behind[0],)))
    source = Condition(f"{first.table} s CROSS JOIN {plan.source.sql}", plan.source.values)
    walked = Plan(source, (steps, *plan.where))
    return _asked(session, walked, (first, *keys[1:]), replace(part, extra=tuple(extra)), sorting.id_descends(keys))


def _without_value(session: Session, plan: Plan, keys: tuple[Key, ...], part: Part) -> list[Found]:
    behind = None if part.behind is None else part.behind[1:]
    extra = (*part.extra, sorting.without(keys[0]))
    found = _asked(session, plan, keys[1:], replace(part, behind=behind, extra=extra), sorting.id_descends(keys))
    return [Found(each.pk, (keys[0].none, *each.values), each.row) for each in found]


def _asked(
    session: Session, plan: Plan, keys: Sequence[Key], part: Part, id_descends: bool, *, bodies: bool = True
) -> list[Found]:
    extra = list(part.extra)
    if part.behind is not None:
        extra.append(sorting.beyond(keys, part.behind, part.backwards, id_descends))
    columns = sorting.columns(keys)
    small = bodies and (plan.few is not None or all(key.own for key in keys))
    whole = f", {COLUMNS}" if small else ""  # many bodies are not sorted
    tail = f"{sorting.order(keys, part.backwards, id_descends)} LIMIT {part.limit:d}"
    asked = plan.sql(f"r.pk, {columns.sql}r.id{whole}", tuple(extra), tail)
    rows: list[tuple[Any, ...]] = session.rows(asked.sql, (*columns.values, *asked.values))
    last = len(keys) + 2
    return [Found(row[0], row[1:last], row[last:] or None) for row in rows]
