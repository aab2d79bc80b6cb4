"""Search (R4 search.html): a query string as a Query.

Strict: an unknown parameter, modifier or value is refused, never ignored, because an ignored filter answers with
everybody's data. A client that asks to be lenient (Prefer: handling=lenient) is told what was left out. Dates without a
zone are in the site's zone; a value stands for its whole range of instants.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, tzinfo

from interop.errors import UnsupportedError
from interop.fhir.clauses import APART, clause_of, known_parameters
from interop.fhir.filters import filter_clauses
from interop.fhir.includes import include_of
from interop.fhir.indexing import index_rows
from interop.fhir.parameters import parameters
from interop.fhir.query import Clause, Ignored, Include, Query
from interop.fhir.search_values import Around, wrong

__all__ = ["CONTROLS", "MAX_COUNT", "index_rows", "known_parameters", "parse_query"]

MAX_COUNT = 1000
MAX_KEYS = 5  # of a sort
CONTROLS = (
    "_count",
    "_sort",
    "_total",
    "_summary",
    "_elements",
    "_include",
    "_revinclude",
    "_cursor",
    "_format",
    "_pretty",
)
_ONCE = frozenset(CONTROLS) - {"_include", "_revinclude"}
_SUMMARIES = ("true", "text", "data", "count", "false")


def parse_query(
    type: str,
    params: Sequence[tuple[str, str]],
    zone: tzinfo,
    *,
    base_url: str = "",
    now: datetime | None = None,
    lenient: bool = False,
) -> Query:
    """The search that the parameters ask for; UnsupportedError (400) for any that is not understood.

    ``base_url`` makes absolute references to this server local; ``now`` gives ``ap`` its tenth of the distance.
    ``lenient``: what is unknown or not offered is left out and named in ``ignored``; a wrong value is refused even so.
    """
    around = Around(zone, base_url, now)
    clauses: list[Clause] = []
    includes: list[Include] = []
    controls: dict[str, str] = {}
    ignored: list[Ignored] = []
    for name, value in params:
        try:
            plain = name.partition(":")[0]
            if plain in ("_include", "_revinclude"):
                includes.append(include_of(type, name, value))
            elif name == "_filter":
                clauses += filter_clauses(type, value, around)
            elif plain in _ONCE:
                _control(type, name, value, controls)
            else:
                clauses.append(clause_of(type, name, value, around))
        except UnsupportedError as error:
            if not lenient or error.issue_code != "not-supported":
                raise
            ignored.append(Ignored(name, value, error.text))
    query = Query(type, tuple(clauses), includes=tuple(dict.fromkeys(includes)), ignored=tuple(ignored))
    return _with_controls(query, controls)


def _control(type: str, name: str, value: str, controls: dict[str, str]) -> None:
    if name not in _ONCE:
        raise UnsupportedError(f"{name[:60]}: it takes no modifier")
    if name in controls and controls[name] != value:
        raise wrong(f"{name} is given twice")
    if name == "_sort":
        value = _sort(type, value)
    elif name == "_summary" and value not in _SUMMARIES:
        raise wrong(f"_summary is one of {', '.join(_SUMMARIES)}")
    elif name == "_total" and value not in ("none", "estimate", "accurate"):
        raise wrong("_total is none, estimate or accurate")
    elif name == "_count" and not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise wrong("_count is a whole number")
    controls[name] = value


def _sort(type: str, text: str) -> str:
    keys = [key for key in text.split(",") if key]
    names = [key.removeprefix("-") for key in keys]
    if not keys or len(keys) > MAX_KEYS or len(set(names)) < len(names):
        raise wrong(f"_sort has between 1 and {MAX_KEYS} parameters, each once, with - before one that descends")
    for name in names:
        if name not in sortable(type):
            raise UnsupportedError(f"{type} is not sorted by {name[:60]!r}; it is by {', '.join(sortable(type))}")
    if type == APART and len(keys) > 1:
        raise UnsupportedError("AuditEvents are sorted by one parameter")
    return ",".join(keys)


def sortable(type: str) -> tuple[str, ...]:
    """The parameters that a search of the type can be sorted by."""
    if type == APART:
        return ("_id", "_lastUpdated", "date")
    each = (code for code, parameter in parameters(type).items() if parameter.type not in ("composite", "special"))
    return ("_id", "_lastUpdated", *each)


def _with_controls(query: Query, controls: dict[str, str]) -> Query:
    count = min(int(controls["_count"]), MAX_COUNT) if "_count" in controls else query.count
    counting = controls.get("_summary") == "count" or count == 0
    return replace(
        query,
        count=0 if counting else count,
        sort=controls.get("_sort", query.sort),
        after=controls.get("_cursor") or None,
        total=counting or controls.get("_total", "none") != "none",
        includes=() if counting else query.includes,
        summary=controls.get("_summary", ""),
        elements=controls.get("_elements", ""),
    )
