"""Observation/$lastn — https://hl7.org/fhir/R4/observation-operation-lastn.html"""

from __future__ import annotations

from typing import Any

import orjson

from interop.access import decide
from interop.errors import InvalidContentError
from interop.fhir.query import ReferenceValue
from interop.fhir.search import parse_query
from interop.fhir.times import EARLIEST, bounds
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.operations.gathering import entry, gathered, searchset
from interop.fhir_api.operations.operation import Operation, arguments, one
from interop.store import Stored, Tx

_VOID = ("entered-in-error", "cancelled")


def _perform(tx: Tx, around: Surroundings, call: Call) -> Answer:
    given = arguments(call)
    most = _most(one(given, "max"))
    params = [(name, str(value)) for name, values in given.items() if name != "max" for value in values]
    query = parse_query("Observation", params, around.site.zone, base_url=around.base_url, now=tx.now)
    patient = _the_patient(query.clauses)
    decide(tx.agent, "s", "Observation", patient=patient)
    groups: list[tuple[set[tuple[Any, Any]], list[tuple[int, Stored]]]] = []
    for row in gathered(tx, query):
        seen = orjson.loads(row.body)
        if seen.get("status") not in _VOID:
            _grouped(groups, _codes(seen["code"]), (_when(seen, around), row))
    rows = [row for _, group in groups for _, row in _latest(group, most)]
    trail.done(tx, call, patient=patient)
    link = [
        {"relation": "self", "url": f"{around.base_url}/Observation/$lastn" + (f"?{call.query}" if call.query else "")}
    ]
    return Answer(200, searchset((entry(around.base_url, row) for row in rows), link, len(rows)))


def _most(text: Any) -> int:
    if text is None:
        return 1
    if not str(text).isascii() or not str(text).isdigit() or not 1 <= int(text) <= 1000:
        raise InvalidContentError("max is a number from 1 to 1000", status=400, issue_code="value")
    return int(text)


def _the_patient(clauses: Any) -> str:
    """Whose observations: the one patient that is named."""
    for clause in clauses:
        if clause.param in ("patient", "subject") and len(clause.values) == 1:
            value = clause.values[0]
            if isinstance(value, ReferenceValue) and value.type in (None, "Patient"):
                return f"Patient/{value.id}"
    raise InvalidContentError("patient or subject names one patient", status=400, issue_code="required")


def _codes(concept: dict[str, Any]) -> set[tuple[Any, Any]]:
    codes = {(coding.get("system"), coding["code"]) for coding in concept.get("coding", ()) if "code" in coding}
    return codes or {("", concept.get("text"))}


def _grouped(groups: list[Any], codes: set[tuple[Any, Any]], item: tuple[int, Stored]) -> None:
    """Put it with those that share a code with it; it may be what shows two groups to be one."""
    mine = [group for group in groups if group[0] & codes]
    if not mine:
        groups.append((codes, [item]))
        return
    first, *others = mine
    first[0].update(codes)
    first[1].append(item)
    for other in others:
        first[0].update(other[0])
        first[1].extend(other[1])
        groups.remove(other)


def _latest(group: list[tuple[int, Stored]], most: int) -> list[tuple[int, Stored]]:
    """The latest, and whatever is of the same moment as the last of them."""
    ordered = sorted(group, key=lambda item: (-item[0], item[1].id))
    end = ordered[most - 1][0] if len(ordered) >= most else EARLIEST
    return [item for item in ordered if item[0] >= end]


def _when(observation: dict[str, Any], around: Surroundings) -> int:
    period = observation.get("effectivePeriod", {})
    text = observation.get("effectiveDateTime") or observation.get("effectiveInstant") or period.get("end")
    text = text or period.get("start") or observation.get("issued")
    return bounds(text, around.site.zone)[0] if isinstance(text, str) else EARLIEST


LASTN = Operation(
    "lastn",
    "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
    frozenset(("type",)),
    _perform,
    frozenset(("Observation",)),
    frozenset(("GET", "POST")),
    takes=("max",),
    searches=True,
)
