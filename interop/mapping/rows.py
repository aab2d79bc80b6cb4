"""The rows of the mapping tables: a closed vocabulary, read from TOML and checked before anything runs.

A row says where a value comes from, where it goes and which named function or code table turns one into the other. No
expressions, loops or arithmetic: what does not fit is a named, tested Python function that the row calls.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ANY = "*"  # in ``when`` and in code tables: any value that is not empty


class TableError(ValueError):
    """A mapping table cannot be used: the text names file, row and what is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``source`` is an ordered list: the first that has a value gives it."""

    file: str
    number: int
    source: tuple[str, ...]
    target: str
    convert: str = ""
    codes: str = ""
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # position -> its allowed values; "" is empty
    required: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        """How errors and the coverage test call it."""
        return f"{self.file} row {self.number} ({self.target})"

    def error(self, text: str) -> TableError:
        """A TableError of this row."""
        return TableError(f"{self.name}: {text}")


_WORDS = frozenset({"source", "target", "convert", "codes", "when", "required", "note"})
_TARGET = re.compile(r"_?[A-Za-z][\w.\[\]*-]*\Z")


def read_toml(text: str, file: str) -> dict[str, Any]:
    """The document; TableError if it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{file}: {error}") from error


def rows_of(document: Mapping[str, Any], file: str, *, key: str = "row") -> tuple[Row, ...]:
    """The ``[[row]]`` tables of a document."""
    tables = document.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise TableError(f"{file}: {key} has to be [[{key}]] tables")
    return tuple(_row(table, file, number) for number, table in enumerate(tables, 1))


def check_keys(document: Mapping[str, Any], allowed: Iterable[str], file: str) -> None:
    """TableError for a key that the file may not have."""
    unknown = sorted(set(document) - set(allowed))
    if unknown:
        raise TableError(f"{file}: unknown key {unknown[0]!r}; known are {', '.join(sorted(allowed))}")


def _row(table: Mapping[str, Any], file: str, number: int) -> Row:
    where = f"{file} row {number}"
    check_keys(table, _WORDS, where)
    source = table.get("source", [])
    target = table.get("target", "")
    if not isinstance(source, list) or not source or not all(isinstance(one, str) and one for one in source):
        raise TableError(f"{where}: source has to be a list of positions")
    if not isinstance(target, str) or not _TARGET.match(target):
        raise TableError(f"{where}: {target!r} is no target")
    when = table.get("when", {})
    if not isinstance(when, dict) or not all(isinstance(values, list) for values in when.values()):
        raise TableError(f"{where}: when has to name positions with lists of values")
    for word, kind in (("convert", str), ("codes", str), ("note", str), ("required", bool)):
        if not isinstance(table.get(word, kind()), kind):
            raise TableError(f"{where}: {word} has to be a {kind.__name__}")
    return Row(
        file=file,
        number=number,
        source=tuple(source),
        target=target,
        convert=table.get("convert", ""),
        codes=table.get("codes", ""),
        when={position: tuple(map(str, values)) for position, values in when.items()},
        required=table.get("required", False),
        note=table.get("note", ""),
    )


def overridden(rows: tuple[Row, ...], changes: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows with a site's own: all rows of a target that the site names give way to the site's, in its place."""
    kept = [row for row in rows if row.target not in {change.target for change in changes}]
    return (*changes, *kept)
