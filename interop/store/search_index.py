"""The index rows of a resource: written with it, and changed only where they differ."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import tzinfo
from functools import cache
from typing import Any

from interop.fhir.parameters import parameters
from interop.fhir.query import IndexRow
from interop.store import statements as sql
from interop.store.session import Session, Values

IndexRows = Callable[[dict[str, Any], tzinfo], list[IndexRow]]
Entry = tuple[Any, ...]  # pk and then the columns of the kind's table
Entries = dict[str, dict[Entry, None]]  # by kind; a dict keeps the order and drops what is said twice

LONGEST = 256  # characters of an indexed value; PostgreSQL refuses an index row of more than 2704 bytes
LONGEST_TEXT = 600  # characters of an indexed string: the folded text and what it was before (fhir/folding.py)


def key_text(value: str) -> str:
    """A value as the index has it: a long one ends in its hash; U+0000, which PostgreSQL refuses, is gone."""
    if "\0" in value:
        value = value.replace("\0", "")
    if len(value) <= LONGEST:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{value[: LONGEST - 65]}#{digest}"


def prefix_text(value: str) -> str:
    """A string as the index has it: searches ask for its beginning, so the rest of a long one is left out."""
    return value.replace("\0", "")[:LONGEST_TEXT]


def entries(rows: Iterable[IndexRow], type: str, pk: int | None) -> Entries:
    """The rows as their tables have them; ``pk`` as ``Session.make`` gave it."""
    found: Entries = {}
    for param, kind, system, value, low, high, other_system, other, unit in rows:
        entry: Entry
        if kind == "date":
            entry = (pk, type, param, low, high)
        elif kind == "string":
            entry = (pk, type, param, prefix_text(value))
        elif kind == "tuple":
            texts = key_text(system), key_text(other_system), key_text(other), key_text(unit)
            entry = (pk, type, param, key_text(value), float(low), float(high), *texts)
        else:
            entry = (pk, type, param, key_text(value), key_text(system))
        table = found.get(kind)
        if table is None:
            found[kind] = {entry: None}
        else:
            table[entry] = None
    return found


def write(session: Session, wanted: Entries) -> None:
    """Add rows; those that are there stay."""
    for kind, rows in wanted.items():
        session.put_many(sql.INDEX_INSERT[kind], rows)


@cache
def kinds_of(type: str) -> tuple[str, ...]:
    """The kinds of rows that resources of the type can have: most have none of the rarest."""
    rare = any(each.type in ("quantity", "composite", "special") for each in parameters(type).values())
    return tuple(kind for kind in sql.INDEX_TABLES if kind != "tuple" or rare)


def rows_now(session: Session, type: str, id: str, pk: int, kind: str) -> tuple[str, Values]:
    """The question for the rows that a resource has."""
    return (sql.INDEX_OF[kind], (pk,)) if session.alone else (sql.INDEX_OF_NAMED[kind], (type, id))


def rewrite(session: Session, type: str, id: str, pk: int, wanted: Entries) -> None:
    """Make the rows of this resource exactly these."""
    kinds = list({**dict.fromkeys(kinds_of(type)), **wanted})
    questions = [rows_now(session, type, id, pk, kind) for kind in kinds]
    for kind, rows in zip(kinds, session.rows_of_all(questions), strict=True):
        have = set(rows)
        want = wanted.get(kind, {})
        gone = have.difference(want)
        fresh = [entry for entry in want if entry not in have]
        if gone:
            session.put_many(sql.INDEX_DELETE[kind], gone)
        if fresh:
            session.put_many(sql.INDEX_INSERT[kind], fresh)


def remove(session: Session, unwanted: Entries) -> None:
    """Take these rows away."""
    for kind, rows in unwanted.items():
        session.put_many(sql.INDEX_DELETE[kind], rows)


def clear(session: Session, pk: int) -> None:
    """Take all rows of a resource away."""
    for statement in sql.INDEX_CLEAR.values():
        session.put(statement, (pk,))


def difference(one: Entries, other: Entries) -> Entries:
    """The rows of one that the other has not."""
    left = {kind: {entry: None for entry in rows if entry not in other.get(kind, {})} for kind, rows in one.items()}
    return {kind: rows for kind, rows in left.items() if rows}
