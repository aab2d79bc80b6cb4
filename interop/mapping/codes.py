"""Code tables (``mappings/codes/*.csv``): one code system's codes and what each becomes.

Columns: ``code`` (empty: what an empty field means; ``*``: every code without a row of its own; ``system|code``: only
in that system), ``target`` (empty: known, and without a counterpart), ``display`` and ``system`` of the target,
``note``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from io import StringIO

from interop.mapping.rows import ANY, TableError

_COLUMNS = ["code", "target", "display", "system", "note"]


@dataclass(frozen=True, slots=True)
class Code:
    """What a code becomes."""

    code: str
    target: str
    display: str
    system: str
    note: str
    place: str = field(default="", compare=False)  # the file and line, or the site's table, that says so

    def coding(self) -> dict[str, str]:
        """The target as a Coding."""
        found = {"system": self.system} if self.system else {}
        if self.target:
            found["code"] = self.target
        if self.display:
            found["display"] = self.display
        return found


@dataclass(frozen=True, slots=True)
class CodeTable:
    """The rows of one file by their code."""

    name: str
    rows: dict[str, Code]
    _codes: frozenset[str] = field(init=False, repr=False, compare=False)  # without their systems

    def __post_init__(self) -> None:
        object.__setattr__(self, "_codes", frozenset(code.rpartition("|")[2] for code in self.rows))

    def mentions(self, code: str) -> bool:
        """Whether ``find`` may have a row for the code, in some system."""
        return code in self._codes or code.upper() in self.rows or ANY in self.rows

    def find(self, code: str, system: str = "") -> Code | None:
        """The row of a code (exactly, else in upper case, else the row of any code); None if the table has none."""
        rows = self.rows
        found = rows.get(f"{system}|{code}") if system else None
        if found is None:
            found = rows.get(code) or rows.get(code.upper())
        return found or (rows.get(ANY) if code else None)

    def with_rows(self, more: dict[str, str], place: str = "") -> CodeTable:
        """The table with a site's own codes over it, which stand at this place."""
        own = {code: Code(code, target, "", self._system, "site", place) for code, target in more.items()}
        return CodeTable(self.name, {**self.rows, **own})

    @property
    def _system(self) -> str:
        systems = {row.system for row in self.rows.values() if row.system}
        return systems.pop() if len(systems) == 1 else ""


def read_codes(text: str, name: str) -> CodeTable:
    """The table in a CSV file; TableError names the line that is wrong."""
    reader = csv.reader(StringIO(text))
    header = next(reader, [])
    if header != _COLUMNS:
        raise TableError(f"codes/{name}.csv: the columns have to be {','.join(_COLUMNS)}")
    rows: dict[str, Code] = {}
    for cells in reader:
        where = f"codes/{name}.csv line {reader.line_num}"
        if len(cells) != len(_COLUMNS):
            raise TableError(f"{where}: {len(cells)} columns instead of {len(_COLUMNS)}")
        code, target, display, system, note = (cell.strip() for cell in cells)
        row = Code(code, target, display, system, note, where)
        if row.code in rows:
            raise TableError(f"{where}: the code {row.code!r} has a row already")
        rows[row.code] = row
    if not rows:
        raise TableError(f"codes/{name}.csv: no rows")
    return CodeTable(name, rows)
