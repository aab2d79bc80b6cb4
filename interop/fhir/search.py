"""Search (R4 search.html): a resource's index rows, and a query string as a Query.

Strict: an unknown parameter, modifier or value is refused, never ignored, because an ignored filter answers with
everybody's data. Dates without a zone are in the site's zone; a value stands for its whole range of instants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from interop.errors import UnsupportedError
from interop.fhir.definitions import resource_types
from interop.fhir.parameters import Parameter, fold, parameters, rows_of, split_reference
from interop.fhir.primitives import valid_id
from interop.fhir.query import Clause, DateValue, IndexRow, Query, ReferenceValue, TokenValue, Value
from interop.fhir.times import bounds, micros

MAX_COUNT = 1000
MAX_VALUES = 200  # alternatives in one clause
CONTROLS = ("_count", "_sort", "_total", "_summary", "_cursor", "_format", "_pretty")


def index_rows(resource: dict[str, Any], zone: tzinfo) -> list[IndexRow]:
    """Every searchable fact of the resource."""
    return rows_of(resource, zone)


def known_parameters(type: str) -> tuple[str, ...]:
    """The names of all parameters that a search of the type takes."""
    return ("_id", "_lastUpdated", *parameters(type))


def parse_query(
    type: str, params: Sequence[tuple[str, str]], zone: tzinfo, *, base_url: str = "", now: datetime | None = None
) -> Query:
    """The search that the parameters ask for; UnsupportedError (400) for any that is not understood.

    ``base_url`` makes absolute references to this server local; ``now`` gives ``ap`` its tenth of the distance.
    """
    clauses: list[Clause] = []
    controls: dict[str, str] = {}
    for name, value in params:
        if name in CONTROLS:
            if name in controls and controls[name] != value:
                raise UnsupportedError(f"{name} is given twice")
            controls[name] = value
        else:
            clauses.append(_Reading(type, zone, base_url, now).clause(name, value))
    return _with_controls(Query(type, tuple(clauses)), controls)


def _with_controls(query: Query, controls: dict[str, str]) -> Query:
    summary, total = controls.get("_summary", "false"), controls.get("_total", "none")
    if summary not in ("false", "count"):
        raise UnsupportedError("_summary: this server knows false and count")
    if total not in ("none", "estimate", "accurate"):
        raise UnsupportedError("_total is none, estimate or accurate")
    sort = controls.get("_sort", query.sort)
    if sort not in ("_lastUpdated", "-_lastUpdated"):
        raise UnsupportedError("_sort: this server sorts by _lastUpdated or -_lastUpdated")
    count = query.count
    if "_count" in controls:
        if not re.fullmatch(r"[0-9]{1,9}", controls["_count"], re.ASCII):
            raise UnsupportedError("_count is a whole number")
        count = min(int(controls["_count"]), MAX_COUNT)
    counting = summary == "count" or count == 0
    return replace(
        query,
        count=0 if counting else count,
        sort=sort,
        after=controls.get("_cursor") or None,
        total=counting or total != "none",
    )


class _Reading:
    """One parameter of a query string on its way to a clause."""

    __slots__ = ("base_url", "now", "type", "zone")

    def __init__(self, type: str, zone: tzinfo, base_url: str, now: datetime | None) -> None:
        self.type, self.zone, self.base_url, self.now = type, zone, base_url, now

    def clause(self, name: str, text: str) -> Clause:
        if "\0" in text:
            raise UnsupportedError("a parameter holds U+0000", issue_code="value")
        code, _, modifier = name.partition(":")
        values = [value for value in _split(text, ",") if value]
        if not values or len(values) > MAX_VALUES:
            raise UnsupportedError(f"{name}: between 1 and {MAX_VALUES} values are needed")
        if code == "_id" and not modifier:
            return Clause("_id", "id", tuple(map(_unescaped, values)))
        if code == "_lastUpdated" and not modifier:
            return Clause("_lastUpdated", "last-updated", tuple(self._date(name, value) for value in values))
        parameter = parameters(self.type).get(code)
        if parameter is None and code not in ("_id", "_lastUpdated"):
            known = ", ".join(known_parameters(self.type) + CONTROLS)
            raise UnsupportedError(f"{self.type} has no search parameter {code[:60]!r}; known are: {known}")
        if modifier:
            return self._modified(parameter, code, modifier, values)
        assert parameter is not None
        read = self._readers()[parameter.type]
        return Clause(code, _KINDS[parameter.type], tuple(read(parameter, value) for value in values))

    def _readers(self) -> dict[str, Callable[[Parameter, str], Value]]:
        return {
            "token": _token,
            "uri": lambda _, value: TokenValue(None, _unescaped(value)),
            "string": _folded,
            "reference": self._reference,
            "date": lambda parameter, value: self._date(parameter.code, value),
        }

    def _modified(self, parameter: Parameter | None, code: str, modifier: str, values: list[str]) -> Clause:
        """R4 search.html#modifiers; of them :identifier and :[type] on references."""
        offered: tuple[str, ...] = ()
        if parameter is not None and parameter.type == "reference":
            if modifier == "identifier":
                named = code if self.type == "AuditEvent" else f"{code}:identifier"  # audit rows have no such index
                return Clause(named, "token", tuple(_token(parameter, value) for value in values))
            offered = ("identifier", *(parameter.targets or sorted(resource_types())))
            if modifier in offered:
                typed = tuple(self._typed_reference(parameter, modifier, value) for value in values)
                return Clause(code, "reference", typed)
        listed = f"only :{', :'.join(offered[:12])}" if offered else "none"
        raise UnsupportedError(f"{code} has no modifier {modifier[:60]!r}; it takes {listed}")

    def _typed_reference(self, parameter: Parameter, kind: str, value: str) -> ReferenceValue:
        reference = self._reference(parameter, value)
        if reference.type not in (None, kind):
            raise UnsupportedError(f"{parameter.code}:{kind} cannot be a {reference.type}")
        return ReferenceValue(kind, reference.id)

    def _reference(self, parameter: Parameter, value: str) -> ReferenceValue:
        text = _unescaped(value)
        if self.base_url and text.startswith(self.base_url + "/"):
            text = text[len(self.base_url) + 1 :]
        local = split_reference(text)
        if local:
            return ReferenceValue(*local)
        if valid_id(text):
            return ReferenceValue(parameter.targets[0] if len(parameter.targets) == 1 else None, text)
        if ":" in text:
            return ReferenceValue(None, text)
        raise UnsupportedError(f"{parameter.code}: a reference is an id, Type/id or an absolute URL")

    def _date(self, name: str, value: str) -> DateValue:
        prefix, text = ("eq", value) if value[:1].isdigit() else (value[:2], value[2:])
        if prefix not in _PREFIXES:
            raise UnsupportedError(f"{name}: a date has one of the prefixes {', '.join(_PREFIXES)}, or none")
        try:
            low, high = bounds(text.replace(" ", "+"), self.zone)  # an unescaped + of a zone arrives as a space
        except ValueError as error:
            raise UnsupportedError(f"{name}: {error}", issue_code="value") from error
        if prefix == "ap" and self.now is not None:
            slack = abs(micros(self.now) - low) // 10
            low, high = low - slack, high + slack
        return DateValue(prefix, low, high)


_KINDS = {"token": "token", "uri": "token", "string": "string", "reference": "reference", "date": "date"}
_PREFIXES = ("eq", "ne", "lt", "le", "gt", "ge", "sa", "eb", "ap")


def _token(parameter: Parameter, value: str) -> TokenValue:
    """R4 search.html#token: ``code``, ``system|code``, ``|code`` (no system), ``system|`` (any code)."""
    parts = [_unescaped(part) for part in _split(value, "|")]
    if len(parts) == 1:
        return TokenValue(None, parts[0])
    system, code = parts[0], "|".join(parts[1:])
    if not system and not code:
        raise UnsupportedError(f"{parameter.code}: neither a system nor a code is given")
    if system and system == parameter.implied_system:
        return TokenValue(None, code or None)
    return TokenValue(system, code or None)


def _folded(parameter: Parameter, value: str) -> str:
    folded = fold(_unescaped(value))
    if not folded:
        raise UnsupportedError(f"{parameter.code}: nothing is left to compare")
    return folded


def _split(text: str, separator: str) -> list[str]:
    """At every separator that no backslash escapes (R4 search.html#escaping)."""
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    for piece in re.findall(r"\\.|.", text, re.DOTALL):
        if piece == separator:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text) if "\\" in text else text
