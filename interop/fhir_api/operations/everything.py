"""Patient/[id]/$everything — https://hl7.org/fhir/R4/patient-operation-everything.html

Type by type, so that a page's end is a type and a place in its search: nothing is kept between pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import orjson

from interop.access import decide
from interop.errors import ForbiddenError, GoneError, InvalidContentError, Issue, NotFoundError
from interop.fhir.outcome import outcome_of
from interop.fhir.parameters import parameters
from interop.fhir.profile import accepted_types
from interop.fhir.query import Clause, Query, ReferenceValue
from interop.fhir.references import references, split_reference
from interop.fhir.search import MAX_COUNT, parse_query
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.operations.gathering import entry, searchset
from interop.fhir_api.operations.operation import Operation, arguments, one, only
from interop.store import Stored, Tx

# The date that the care of a type is of; a type without one is given out whatever start and end say.
_CARE_DATES = {
    "Appointment": "date",
    "DiagnosticReport": "date",
    "DocumentReference": "date",
    "Encounter": "date",
    "ImagingStudy": "started",
    "Observation": "date",
    "ServiceRequest": "authored",
}
_BESIDE = (
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "Endpoint",
)  # brought along where referred to
TAKES = ("start", "end", "_since", "_type", "_count", "_cursor")
_CURSOR = re.compile(r"([A-Z][A-Za-z]+)!([A-Za-z0-9_=.-]*)")


@dataclass(frozen=True, slots=True)
class _Asked:
    count: int
    types: tuple[str, ...]
    withheld: tuple[str, ...]
    params: dict[str, tuple[tuple[str, str], ...]]  # by type: what narrows it
    start: tuple[str, str | None] | None


def _perform(tx: Tx, around: Surroundings, call: Call) -> Answer:
    patient = f"Patient/{call.id}"
    stored = tx.read("Patient", call.id)
    decide(tx.agent, "r", "Patient", patient=patient)
    if stored is None:
        raise NotFoundError(f"there is no {patient}")
    if stored.deleted:
        raise GoneError(f"{patient} was deleted")
    asked = _asked(tx, call, patient)
    rows, following = _page(tx, around, call.id, asked)
    entries = [entry(around.base_url, row) for row in rows]
    entries += [entry(around.base_url, row, "include") for row in _beside(tx, rows)]
    if asked.withheld:
        text = f"the token does not allow to read {', '.join(asked.withheld)}: left out"
        said = outcome_of((Issue("suppressed", text, severity="warning"),))
        entries.append({"resource": said, "search": {"mode": "outcome"}})
    trail.done(tx, call, patient=patient, entity=patient)
    return Answer(200, searchset(entries, _links(around, call, following)))


def _asked(tx: Tx, call: Call, patient: str) -> _Asked:
    given = arguments(call)
    only(given, *TAKES)
    wanted = [type for text in given.get("_type", []) for type in str(text).split(",")]
    unknown = [type for type in wanted if type not in accepted_types()]
    if unknown:
        raise InvalidContentError(f"{unknown[0][:40]} is not served here", status=400, issue_code="not-supported")
    offered = [type for type in accepted_types() if type == "Patient" or "patient" in parameters(type)]
    types = (
        [type for type in offered if type in wanted] if wanted else [type for type in offered if type != "AuditEvent"]
    )
    allowed = [type for type in types if _may_read(tx, type, patient)]
    count = str(one(given, "_count") or MAX_COUNT)
    if not count.isascii() or not count.isdigit() or int(count[:9]) < 1:
        raise InvalidContentError("_count is a number from 1 on", status=400, issue_code="value")
    return _Asked(
        min(int(count[:9]), MAX_COUNT),
        tuple(allowed),
        tuple(type for type in types if type not in allowed),
        {type: tuple(_narrowed(given, type)) for type in allowed},
        _read_cursor(one(given, "_cursor"), allowed),
    )


def _may_read(tx: Tx, type: str, patient: str | None) -> bool:
    try:
        decide(tx.agent, "r", type, patient=patient)
    except ForbiddenError:
        return False
    return True


def _narrowed(given: dict[str, list[Any]], type: str) -> list[tuple[str, str]]:
    params = []
    if (since := one(given, "_since")) is not None:
        params.append(("_lastUpdated", f"ge{since}"))
    date = _CARE_DATES.get(type)
    for name, prefix in (("start", "ge"), ("end", "le")):
        if date is not None and (value := one(given, name)) is not None:
            params.append((date, f"{prefix}{value}"))
    return params


def _page(tx: Tx, around: Surroundings, id: str, asked: _Asked) -> tuple[list[Stored], str | None]:
    """One page, and where the next one begins."""
    rows: list[Stored] = []
    types = asked.types
    after: str | None = None
    if asked.start is not None:
        types, after = types[types.index(asked.start[0]) :], asked.start[1]
    for type in types:
        room = asked.count - len(rows)
        if room == 0:
            return rows, f"{type}!"
        query = parse_query(type, asked.params[type], around.site.zone, base_url=around.base_url, now=tx.now)
        page = tx.search(replace(_of_patient(query, id), count=room, after=after))
        rows += page.rows
        if page.next is not None:
            return rows, f"{type}!{page.next}"
        after = None
    return rows, None


def _of_patient(query: Query, id: str) -> Query:
    own = Clause("_id", "id", (id,)) if query.type == "Patient" else _about(id)
    return replace(query, clauses=(own, *query.clauses))


def _about(id: str) -> Clause:
    return Clause("patient", "reference", (ReferenceValue("Patient", id),))


def _read_cursor(text: Any, types: Sequence[str]) -> tuple[str, str | None] | None:
    if text is None:
        return None
    match = _CURSOR.fullmatch(str(text))
    if match is None or match[1] not in types:
        raise InvalidContentError(
            "the page link is not one that this server wrote; start again", status=400, issue_code="not-supported"
        )
    return match[1], match[2] or None


def _beside(tx: Tx, rows: Sequence[Stored]) -> list[Stored]:
    """Who and what the resources refer to that is of no patient."""
    found: dict[str, Stored] = {}
    for row in rows:
        for _, reference in references(orjson.loads(row.body)):
            target = split_reference(reference)
            if target is None or target[0] not in _BESIDE or target[0] not in accepted_types():
                continue
            name = "/".join(target)
            if name not in found:
                there = tx.read(*target)
                if there is not None and not there.deleted and _may_read(tx, target[0], None):
                    found[name] = there
    return list(found.values())


def _links(around: Surroundings, call: Call, following: str | None) -> list[dict[str, str]]:
    url = f"{around.base_url}/Patient/{call.id}/$everything"
    here = [(name, value) for name, value in call.params if name != "_cursor"]
    links = [{"relation": "self", "url": url + (f"?{call.query}" if call.query else "")}]
    if following is not None:
        links.append({"relation": "next", "url": f"{url}?{urlencode([*here, ('_cursor', following)])}"})
    return links


EVERYTHING = Operation(
    "everything",
    "http://hl7.org/fhir/OperationDefinition/Patient-everything",
    frozenset(("instance",)),
    _perform,
    frozenset(("Patient",)),
    frozenset(("GET", "POST")),
    takes=TAKES,
)
