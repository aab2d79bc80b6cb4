"""Going through what a search finds in the order of its keys, from the beginning or from where a page ended.

Where few resources are found they are sorted. Where it may be all there are, the index of the first key is walked in
its order instead, and what has no value for it comes behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from interop.store import sorting
from interop.store.conditions import Condition
from interop.store.planning import Plan
from interop.store.resources import Row
from interop.store.session import Session
from interop.store.sorting import Key, Values

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


def _asked(session: Session, plan: Plan, keys: Sequence[Key], part: Part, id_descends: bool) -> list[Found]:
    extra = list(part.extra)
    if part.behind is not None:
        extra.append(sorting.beyond(keys, part.behind, part.backwards, id_descends))
    columns = sorting.columns(keys)
    whole = f", {COLUMNS}" if plan.few is not None or all(key.own for key in keys) else ""  # bodies are not sorted
    tail = f"{sorting.order(keys, part.backwards, id_descends)} LIMIT {part.limit:d}"
    asked = plan.sql(f"r.pk, {columns.sql}r.id{whole}", tuple(extra), tail)
    rows: list[tuple[Any, ...]] = session.rows(asked.sql, (*columns.values, *asked.values))
    last = len(keys) + 2
    return [Found(row[0], row[1:last], row[last:] or None) for row in rows]
