"""What a page brings with it: ``_include`` and ``_revinclude`` (R4 search.html#include), step by step and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interop.fhir.parameters import source_of
from interop.fhir.profile import accepted_types
from interop.fhir.query import Include, Query
from interop.store.conditions import Condition, every, one_of
from interop.store.resources import Resources
from interop.store.rows import Stored

INCLUDED = 1000  # resources that a page may bring with it
STEPS = 10  # of :iterate
_AT_ONCE = 400  # values in one IN (…)
_TARGETS = "SELECT t.pk FROM reference_index x CROSS JOIN resource t WHERE t.type = x.system AND t.id = x.value"
_SOURCES = "SELECT x.pk FROM reference_index x WHERE 1 = 1"
_COLUMNS = "r.pk, r.type, r.id, r.version, r.last_updated, r.deleted, r.body"

Keys = dict[int, tuple[str, str]]  # pk: type and id


class Including(Resources):
    """The includes of a transaction's searches."""

    def included(self, query: Query, pks: Sequence[int], page: Sequence[Stored]) -> tuple[list[Stored], bool]:
        """What the page's resources lead to, each once; and whether some were left out, being too many."""
        seen = set(pks)
        fresh: Keys = {pk: (stored.type, stored.id) for pk, stored in zip(pks, page, strict=True)}
        found: list[Stored] = []
        for step in range(STEPS):
            following = [include for include in query.includes if step == 0 or include.iterate]
            brought: Keys = {}
            for include in following:
                limit = INCLUDED + 1 - len(found)
                for pk, stored in self._brought(include, fresh, seen, limit):
                    if len(found) == INCLUDED:
                        return found, True
                    seen.add(pk)
                    brought[pk] = (stored.type, stored.id)
                    found.append(stored)
            fresh = brought
            if not fresh:
                return found, False
        return found, bool(fresh) and any(include.iterate for include in query.includes)

    def _brought(self, include: Include, fresh: Keys, seen: set[int], limit: int) -> Iterable[tuple[int, Stored]]:
        sources = {pk: of for pk, of in fresh.items() if include.reverse or include.source in ("*", of[0])}
        keys = list(sources.items())
        for start in range(0, len(keys), _AT_ONCE):
            some = dict(keys[start : start + _AT_ONCE])
            for asked in self._backwards(include, some) if include.reverse else self._forwards(include, some):
                rows = self.session.rows(f"{asked.sql} ORDER BY r.pk LIMIT {limit + len(seen):d}", asked.values)
                for row in rows:
                    if row[0] not in seen and row[1] in accepted_types():
                        yield row[0], self._stored(row[1:])

    def _forwards(self, include: Include, keys: Keys) -> Iterable[Condition]:
        parts = [one_of("x.pk", keys), *_parameter(include.source, include.param)]
        if include.target:
            parts.append(Condition("x.system = ?", (include.target,)))
        yield _select(_TARGETS, parts)

    def _backwards(self, include: Include, keys: Keys) -> Iterable[Condition]:
        by_type: dict[str, list[str]] = {}
        for type, id in keys.values():
            if include.target in (None, type):
                by_type.setdefault(type, []).append(id)
        for type, ids in by_type.items():
            parts = [one_of("x.value", ids), Condition("x.system = ?", (type,))]
            yield _select(_SOURCES, [*parts, *_parameter(include.source, include.param)])


def _parameter(type: str, code: str | None) -> Iterable[Condition]:
    if type == "*":
        return
    yield Condition("x.type = ?", (type,))
    if code is None:
        return
    source = source_of(type, code)
    yield one_of("x.param", source.params)
    if source.system is not None:
        yield Condition("x.system = ?", (source.system,))


def _select(pks: str, parts: Iterable[Condition]) -> Condition:
    """The live resources whose keys this SELECT names."""
    where = every(parts)
    return Condition(
        f"SELECT {_COLUMNS} FROM resource r WHERE r.deleted = 0 AND r.pk IN ({pks} AND {where.sql})",  # noqa: S608
        where.values,
    )
