"""Patient/$match — https://hl7.org/fhir/R4/patient-operation-match.html

Candidates are found by identifier, by birth date and by family name, and scored by ``fhir.patient_match``; every
patient that is given out is audited like one that a search found.
"""

from __future__ import annotations

from typing import Any

from interop.access import bound_to_patient, decide
from interop.errors import ForbiddenError, InvalidContentError
from interop.fhir.patient_match import CERTAIN, POSSIBLE, Likeness, likeness
from interop.fhir.search import parse_query
from interop.fhir.validation import validate
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.operations.gathering import entry, searchset
from interop.fhir_api.operations.operation import Operation, arguments, one, only
from interop.store import Stored, Tx

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
_CANDIDATES = 200  # of each way to find them


def _perform(tx: Tx, around: Surroundings, call: Call) -> Answer:
    if bound_to_patient(tx.agent, "s", "Patient"):
        raise ForbiddenError("a token for one patient cannot look for others")
    decide(tx.agent, "s", "Patient")
    given = arguments(call)
    only(given, "resource", "onlyCertainMatches", "count")
    asked, count = one(given, "resource"), one(given, "count")
    if not isinstance(asked, dict):
        raise InvalidContentError("a Patient to look for is needed", status=400, issue_code="required")
    validate(asked, type="Patient")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise InvalidContentError("count is a whole number from 1 on", status=400, issue_code="value")
    least = CERTAIN if one(given, "onlyCertainMatches") is True else POSSIBLE
    found = [(row, how) for row, how in _scored(tx, around, asked) if how.score >= least]
    if least == CERTAIN and len(found) > 1:
        found = []  # two certain ones are none (the definition allows one)
    found = found[: count or 50]
    trail.done_about(tx, call, [row for row, _ in found])
    entries = [
        entry(around.base_url, row, score=how.score, extension=[{"url": GRADE, "valueCode": how.grade}])
        for row, how in found
    ]
    return Answer(200, searchset(entries, [], len(entries)))


def _scored(tx: Tx, around: Surroundings, asked: dict[str, Any]) -> list[tuple[Stored, Likeness]]:
    """The candidates, the likeliest first; those that were merged into another are answered by the survivor."""
    found: dict[str, Stored] = {}
    for params in _ways(asked):
        query = parse_query("Patient", [*params, ("_count", str(_CANDIDATES))], around.site.zone, now=tx.now)
        for row in tx.search(query).rows:
            found[row.id] = row
    scored = [(row, likeness(asked, row.resource())) for row in found.values()]
    return sorted(scored, key=lambda pair: (-pair[1].score, pair[0].id))


def _ways(asked: dict[str, Any]) -> list[list[tuple[str, str]]]:
    ways = [
        [("identifier", f"{_escaped(identifier['system'])}|{_escaped(identifier['value'])}")]
        for identifier in asked.get("identifier", ())
        if "system" in identifier and "value" in identifier
    ]
    if "birthDate" in asked:
        ways.append([("birthdate", asked["birthDate"])])
    families = {name["family"].strip() for name in asked.get("name", ()) if "family" in name}
    return ways + [[("family", _escaped(family))] for family in sorted(families) if family]


def _escaped(text: str) -> str:
    """A value as it stands in a search (R4 search.html#escaping)."""
    for char in ("\\", ",", "|", "$"):
        text = text.replace(char, "\\" + char)
    return text


MATCH = Operation(
    "match",
    "http://hl7.org/fhir/OperationDefinition/Patient-match",
    frozenset(("type",)),
    _perform,
    frozenset(("Patient",)),
)
