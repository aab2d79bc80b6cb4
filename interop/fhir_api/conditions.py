"""The criteria of conditional interactions (R4 http.html#cond-update): a search that has to find one resource.

Whoever asks with the same criteria waits for one lock, so a create or update that found nothing makes the one that the
next finds.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from interop.access import decide
from interop.errors import ConflictError, InvalidContentError, NotFoundError, PreconditionError
from interop.fhir.query import Clause, Query
from interop.fhir.search import parse_query
from interop.fhir_api import trail
from interop.fhir_api.binaries import require_all
from interop.fhir_api.calls import Call, Surroundings
from interop.fhir_api.negotiation import without_presentation
from interop.store import Stored, Tx

Params = tuple[tuple[str, str], ...]
_PAGING = ("_count", "_sort", "_total", "_cursor")  # say nothing about which resource is meant


def criteria_of(type: str, text: str) -> Params:
    """The parameters of ``identifier=a|b`` or ``Patient?identifier=a|b``."""
    return tuple(parse_qsl(text.removeprefix(type).removeprefix("?"), keep_blank_values=True))


def criteria(tx: Tx, around: Surroundings, type: str, params: Params, *, count: int = 2) -> Query:
    """The criteria as a search for at most two, which is enough to know that they are met more than once."""
    asked = [param for param in without_presentation(params) if param[0] not in _PAGING]
    query = parse_query(type, asked, around.site.zone, base_url=around.base_url, now=tx.now)
    if not query.clauses:
        raise PreconditionError(
            f"a conditional interaction needs criteria, as {type}?identifier=system|value",
            status=400,
            issue_code="invalid",
        )
    return Query(type, query.clauses, count=count)


def criteria_key(query: Query) -> str:
    """One name for the same criteria, in whatever order they were written."""
    return f"if-none-exist:{query.type}?{'&'.join(sorted(map(_clause_key, query.clauses)))}"


def _clause_key(clause: Clause) -> str:
    return f"{clause.param}={sorted(map(repr, clause.values))}"


def the_one(tx: Tx, query: Query) -> Stored | None:
    """What the criteria match: nothing, or one; PreconditionError (412) if several."""
    rows = tx.search(query).rows
    if len(rows) > 1:
        raise PreconditionError(f"more than one {query.type} meets the criteria", issue_code="multiple-matches")
    return rows[0] if rows else None


def addressed(tx: Tx, around: Surroundings, call: Call) -> Call:
    """The call about the one resource that its criteria find, or about the new one that it is to make.

    A patch and a delete need something to be there (404); of an update see http.html#cond-update.
    """
    if call.criteria is None:
        return call
    require_search(tx, call)
    query = criteria(tx, around, call.type, call.criteria)
    tx.lock(criteria_key(query))
    match = the_one(tx, query)
    if match is not None:
        _require_same_id(call, match)
        decide(tx.agent, "s", call.type, patient=trail.patient_in(match))
        return _about(call, match.id)
    if call.interaction != "update":
        raise NotFoundError(f"no {call.type} meets the criteria")
    return _about(call, _free_id(tx, call))


def require_search(tx: Tx, call: Call) -> None:
    """Whether the agent may ask by criteria at all; whom it may ask about is decided by what is found."""
    own = f"Patient/{tx.agent.patient}" if tx.agent.patient else None
    decide(tx.agent, "s", call.type, patient=own)
    require_all(tx, call.type)


def _about(call: Call, id: str) -> Call:
    resource = None if call.resource is None else {**call.resource, "id": id}
    return replace(call, id=id, resource=resource, criteria=None)


def _require_same_id(call: Call, match: Stored) -> None:
    given = (call.resource or {}).get("id")
    if given is not None and given != match.id:
        raise InvalidContentError(
            f"the criteria find {match.reference}, but the resource has another id",
            expression=f"{call.type}.id",
            status=400,
        )


def _free_id(tx: Tx, call: Call) -> str:
    """The id of what nothing was found for: the one it brings, if that is free, or a new one."""
    given = (call.resource or {}).get("id")
    if not isinstance(given, str):
        return call.new_id or tx.new_id()
    present = tx.read(call.type, given)
    if present is not None and not present.deleted:
        raise ConflictError(f"{call.type}/{given} exists, but does not meet the criteria", expression=f"{call.type}.id")
    return given
