"""How a search is carried out: the clause that few resources meet begins it, the others are asked of each resource."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from interop.errors import UnsupportedError
from interop.fhir.parameters import parameters, source_of
from interop.fhir.query import Clause, DateValue, Query, ReferenceValue, TypedIdentifier
from interop.store.conditions import (
    NOTHING,
    Condition,
    IndexCondition,
    either,
    every,
    index_condition,
    moment_condition,
    negated,
    one_of,
)
from interop.store.search_index import key_text
from interop.store.session import Session

FEW = 500  # a condition that fewer rows meet is where a search begins; above, resources are walked in their order
_CERTAINLY_FEW = frozenset(("identifier", "instance", "series", "accession"))
_NESTED = 12  # parentheses within one another in a beginning: SQLite's parser overflows at 15 (its stack is 100)
_MERGES = 10  # of one patient into the next, followed
_PARENTHESES = re.compile(r"[()]")
_MISSING: dict[str, tuple[tuple[str, str], ...]] = {  # table and ending of what shows that there is something
    "token": (("token_index", ""), ("string_index", ":text"), ("token_index", ":present")),
    "uri": (("token_index", ""), ("token_index", ":present")),
    "reference": (("reference_index", ""), ("token_index", ":identifier"), ("token_index", ":present")),
    "date": (("date_index", ""), ("token_index", ":present")),
    "string": (("string_index", ""), ("token_index", ":present")),
    "quantity": (("tuple_index", ""), ("token_index", ":present")),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A clause: whether a resource of an alias meets it, and all resources that do, where that may be a beginning."""

    holds: Callable[[str], Condition]
    pks: Condition | None = None
    few: bool = False  # for certain
    by_pk: bool = False  # asked of nothing but the resource's key


@dataclass(frozen=True, slots=True)
class Plan:
    """FROM and WHERE of a search; ``few`` are the resources that it begins with, None where it walks all.

    ``others`` are plans of the same search that begin with what one of its clauses finds, which is not little.
    """

    source: Condition
    where: tuple[Condition, ...]
    few: Condition | None = None
    type: str = ""
    others: tuple[Plan, ...] = ()

    def sql(self, columns: str, extra: tuple[Condition, ...] = (), tail: str = "") -> Condition:
        """The whole SELECT."""
        condition = every((*self.where, *extra))
        return Condition(
            f"SELECT {columns} FROM {self.source.sql} WHERE {condition.sql} {tail}",  # noqa: S608
            (*self.source.values, *condition.values),
        )


class Planner:
    """Plans of the searches of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._by_update = False

    def plan(self, query: Query) -> Plan:
        """The plan of a search."""
        self._by_update = query.sort.removeprefix("-").startswith("_lastUpdated")
        return self._plan(query.type, [self._part(query.type, clause, 0) for clause in query.clauses])

    def _plan(self, type: str, parts: list[Part]) -> Plan:
        start = self._start(parts)
        if start is not None and start.pks is not None:
            return _begun(type, parts, start, start.pks)
        others = tuple(_begun(type, parts, part, part.pks) for part in parts if part.pks is not None)
        where = [*_living(type), *(part.holds("r") for part in parts)]
        return Plan(Condition("resource r"), tuple(where), None, type, others)

    def _start(self, parts: list[Part]) -> Part | None:
        """The part that few resources meet, from which the search is best begun."""
        for part in parts:
            if part.few:
                return part
        for part in parts:
            if part.pks is not None and self._counted(part.pks, FEW) < FEW:
                return part
        return None

    def _counted(self, pks: Condition, limit: int) -> int:
        counted = self._session.row(f"SELECT count(*) FROM ({pks.sql} LIMIT {limit:d}) f", pks.values)  # noqa: S608
        return 0 if counted is None else int(counted[0])

    def _part(self, type: str, clause: Clause, depth: int) -> Part:
        match clause.kind:
            case "id":
                ids = tuple(str(value) for value in clause.values)
                found = one_of("id", ids)
                pks = Condition(f"SELECT pk FROM resource WHERE type = ? AND {found.sql}", (type, *found.values))  # noqa: S608
                return Part(lambda alias: one_of(f"{alias}.id", ids), pks, few=True)
            case "last-updated":
                return self._updated(type, clause)
            case "missing":
                return self._missing(type, clause)
            case "either" | "neither":
                return self._either(type, clause, depth)
            case "chain":
                return self._chained(type, clause, depth)
            case "has":
                return self._referred(type, clause, depth)
        if clause.modifier == "of-type":
            return self._of_type(type, clause)
        if clause.kind == "reference":
            clause = self._with_survivors(clause)
        indexed = index_condition(type, clause)
        if clause.modifier == "not":
            return Part(lambda alias: negated(indexed.holds(alias)), by_pk=True)
        few = clause.param in _CERTAINLY_FEW and clause.modifier != "unequal"
        return Part(indexed.holds, indexed.pks(), few, by_pk=True)

    def _updated(self, type: str, clause: Clause) -> Part:
        """What was changed then: a beginning where it is little, as for who asks for what is new."""
        dates = [value for value in clause.values if isinstance(value, DateValue)]
        # where it is much, SQLite would go through all of it and sort that: + keeps to the order that is asked for
        kept = "+" if self._session.dialect == "sqlite" and not self._by_update else ""
        plain = either(moment_condition(value, "last_updated") for value in dates)
        pks = Condition(f"SELECT pk FROM resource WHERE type = ? AND ({plain.sql})", (type, *plain.values))  # noqa: S608
        return Part(
            lambda alias: either(moment_condition(value, f"{kept}{alias}.last_updated") for value in dates),
            pks,
        )

    def _missing(self, type: str, clause: Clause) -> Part:
        source = source_of(type, clause.param)
        parameter = parameters(type)[clause.param]
        only = () if source.system is None else (Condition("x.system = ?", (source.system,)),)
        shown: list[IndexCondition] = []
        for table, ending in _MISSING[parameter.type]:
            if source.system is not None and ending == ":present":
                continue
            names = (clause.param,) if ending == ":identifier" else source.params
            choice = every(only if not ending else ())
            shown.append(IndexCondition(table, type, tuple(name + ending for name in names), choice))

        def present(alias: str) -> Condition:
            return either(each.holds(alias) for each in shown)

        return Part(present if clause.values == ("false",) else lambda alias: negated(present(alias)))

    def _of_type(self, type: str, clause: Clause) -> Part:
        """Whoever has the identifier's value is looked at: few do, and the index need not know the type."""
        values = [value for value in clause.values if isinstance(value, TypedIdentifier)]
        params = source_of(type, clause.param).params
        chosen = one_of("x.value", [key_text(value.value) for value in values])
        candidates = IndexCondition("token_index", type, params, chosen).pks()
        if self._counted(candidates, 2 * FEW) >= 2 * FEW:
            raise UnsupportedError(f"{clause.param}:of-type: too many have this value", issue_code="too-costly")
        rows = self._session.rows(
            f"SELECT r.pk, r.body FROM ({candidates.sql}) c CROSS JOIN resource r WHERE r.pk = c.pk",  # noqa: S608
            candidates.values,
        )
        paths = parameters(type)[clause.param].paths
        pks = [pk for pk, body in rows if body and _has_typed(orjson.loads(body), paths, values)]
        few = one_of("pk", pks) if pks else NOTHING
        return Part(
            lambda alias: one_of(f"{alias}.pk", pks) if pks else NOTHING,
            Condition(f"SELECT pk FROM resource WHERE {few.sql}", few.values),  # noqa: S608
            few=True,
        )

    def _either(self, type: str, clause: Clause, depth: int) -> Part:
        parts = [_together([self._part(type, each, depth) for each in query.clauses]) for query in clause.within]
        known = [part.pks for part in parts if part.pks is not None]
        pks = None
        if parts and len(known) == len(parts):
            united = " UNION ".join(f"SELECT * FROM ({each.sql}) u" for each in known)  # noqa: S608
            pks = _flat(Condition(f"SELECT pk FROM ({united}) e", tuple(v for each in known for v in each.values)))  # noqa: S608
        by_pk = all(part.by_pk for part in parts)
        if clause.kind == "neither":
            return Part(lambda alias: negated(either(part.holds(alias) for part in parts)), by_pk=by_pk)
        return Part(lambda alias: either(part.holds(alias) for part in parts), pks, by_pk=by_pk)

    # chains

    def _chained(self, type: str, clause: Clause, depth: int) -> Part:
        """What the parameter refers to meets one of the inner searches (R4 search.html#chaining)."""
        link = _link(type, clause.param)
        inner = [
            (query.type, [self._part(query.type, each, depth + 1) for each in query.clauses]) for query in clause.within
        ]

        def holds(alias: str) -> Condition:
            target = f"r{depth + 1}"
            each = [
                every((Condition(f"{target}.type = ?", (kind,)), *(part.holds(target) for part in parts)))
                for kind, parts in inner
            ]
            where = every((link, Condition(f"{target}.deleted = 0"), either(each)))
            return Condition(
                f"EXISTS (SELECT 1 FROM reference_index x CROSS JOIN resource {target} "  # noqa: S608
                f"WHERE x.pk = {alias}.pk AND {target}.type = x.system AND {target}.id = x.value AND {where.sql})",
                where.values,
            )

        return Part(holds, self._from_inner(inner, _FORWARDS, link))

    def _referred(self, type: str, clause: Clause, depth: int) -> Part:
        """One of what the inner search finds refers here (R4 search.html#has)."""
        source = clause.within[0].type
        link = _link(source, clause.param)
        inner = [(source, [self._part(source, each, depth + 1) for each in clause.within[0].clauses])]

        def holds(alias: str) -> Condition:
            target = f"r{depth + 1}"
            where = every(
                (
                    link,
                    Condition(f"{target}.deleted = 0"),
                    *(part.holds(target) for _, parts in inner for part in parts),
                )
            )
            return Condition(
                f"EXISTS (SELECT 1 FROM reference_index x CROSS JOIN resource {target} "  # noqa: S608
                f"WHERE x.value = {alias}.id AND x.system = {alias}.type AND {target}.pk = x.pk AND {where.sql})",
                where.values,
            )

        return Part(holds, self._from_inner(inner, _BACKWARDS, link, type))

    def _from_inner(
        self, inner: list[tuple[str, list[Part]]], statement: str, link: Condition, type: str | None = None
    ) -> Condition | None:
        """The resources at the other end of the link, where few are at this end."""
        plans = [self._plan(kind, parts) for kind, parts in inner]
        if any(plan.few is None for plan in plans):
            return None
        found = [plan.sql("r.pk") for plan in plans]
        values: list[Any] = []
        texts = []
        for each in found:
            texts.append(statement.format(inner=each.sql, link=link.sql))
            values += [*each.values, *link.values, *(() if type is None else (type,))]
        return Condition(f"SELECT DISTINCT pk FROM ({' UNION ALL '.join(texts)}) l", tuple(values))  # noqa: S608

    # patients who were merged

    def _with_survivors(self, clause: Clause) -> Clause:
        """The clause with, beside each patient who was merged into another, that other one (patient.html#link)."""
        more: list[ReferenceValue] = []
        for value in clause.values:
            if isinstance(value, ReferenceValue) and value.type in (None, "Patient") and ":" not in value.id:
                more += [ReferenceValue("Patient", id) for id in self._survivors(value.id)]
        return Clause(clause.param, clause.kind, (*clause.values, *more), clause.modifier) if more else clause

    def _survivors(self, id: str) -> list[str]:
        found: list[str] = []
        for _ in range(_MERGES):
            row = self._session.row("SELECT body FROM resource WHERE type = 'Patient' AND id = ?", (id,))
            if row is None or b'"replaced-by"' not in row[0]:
                break
            links = orjson.loads(row[0]).get("link", ())
            other = next((link["other"].get("reference", "") for link in links if link["type"] == "replaced-by"), "")
            id = other.removeprefix("Patient/")
            if not id or id in found:
                break
            found.append(id)
        return found


def _together(parts: list[Part]) -> Part:
    """The part of all of these together; it may begin with one that is for certain few, or the first that may begin."""
    if len(parts) == 1:
        return parts[0]
    starts = sorted((part for part in parts if part.pks is not None), key=lambda part: not part.few)
    pks = None
    if starts:
        start = starts[0]
        assert start.pks is not None
        others = every([part.holds("r") for part in parts if part is not start])
        begun = f"SELECT r.pk FROM ({start.pks.sql}) d CROSS JOIN resource r WHERE r.pk = d.pk AND ({others.sql})"  # noqa: S608
        pks = _flat(Condition(begun, (*start.pks.values, *others.values)))
    few = pks is not None and any(part.few for part in parts)
    return Part(
        lambda alias: every([part.holds(alias) for part in parts]), pks, few, by_pk=all(part.by_pk for part in parts)
    )


def _flat(pks: Condition) -> Condition | None:
    """The beginning, unless it is nested too deeply to be one: then the search goes without it."""
    depth = deepest = 0
    for mark in _PARENTHESES.findall(pks.sql):
        depth += 1 if mark == "(" else -1
        deepest = max(deepest, depth)
    return pks if deepest <= _NESTED else None


def _living(type: str) -> tuple[Condition, ...]:
    return Condition("r.type = ?", (type,)), Condition("r.deleted = 0")


def _begun(type: str, parts: list[Part], start: Part, pks: Condition) -> Plan:
    """The plan that begins with what this part finds; what can be is asked before the resource is looked up."""
    # CROSS JOIN: SQLite then walks these and looks each resource up, never the other way round
    source = Condition(f"({pks.sql}) d CROSS JOIN resource r", pks.values)
    where = [part.holds("d" if part.by_pk else "r") for part in parts if part is not start]
    return Plan(source, (*_living(type), *where, Condition("r.pk = d.pk")), pks, type)


_FORWARDS = (
    "SELECT x.pk FROM ({inner}) i CROSS JOIN resource t CROSS JOIN reference_index x "
    "WHERE t.pk = i.pk AND x.value = t.id AND x.system = t.type AND {link}"
)
_BACKWARDS = (
    "SELECT t.pk FROM ({inner}) i CROSS JOIN reference_index x CROSS JOIN resource t "
    "WHERE x.pk = i.pk AND {link} AND t.type = x.system AND t.id = x.value AND t.type = ?"
)


def _link(type: str, code: str) -> Condition:
    """The rows of a reference parameter."""
    source = source_of(type, code)
    parts = [Condition("x.type = ?", (type,)), one_of("x.param", source.params)]
    if source.system is not None:
        parts.append(Condition("x.system = ?", (source.system,)))
    return every(parts)


def _has_typed(resource: dict[str, Any], paths: Iterable[str], wanted: list[TypedIdentifier]) -> bool:
    for path in paths:
        nodes: list[Any] = [resource]
        for step in path.split("."):
            found = [node.get(step) for node in nodes if isinstance(node, dict)]
            nodes = [each for one in found if one is not None for each in (one if isinstance(one, list) else [one])]
        for node in nodes:
            kinds = {(kind.get("system"), kind.get("code")) for kind in node.get("type", {}).get("coding", ())}
            if any(node.get("value") == one.value and (one.system, one.code) in kinds for one in wanted):
                return True
    return False
