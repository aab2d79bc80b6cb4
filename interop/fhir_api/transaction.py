"""transaction and batch: POST [base] — https://hl7.org/fhir/R4/http.html#transaction

A transaction is one unit of work: all or nothing, every fault located at its entry. The ids of what it creates are
known before anything is written, so links between entries may go in any direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from interop.access import decide
from interop.errors import BrokenReferenceError, InteropError, InvalidContentError
from interop.fhir.bundle import Entry, conditional_reference, links, located, ordered
from interop.fhir.json import dumps
from interop.fhir.outcome import outcome
from interop.fhir.references import references, rewrite
from interop.fhir_api import trail
from interop.fhir_api.answers import preferred_body, status_line
from interop.fhir_api.bundles import instant_text
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.create import criteria, criteria_key, permitted, the_one
from interop.fhir_api.incoming import Wanted
from interop.fhir_api.interactions import INTERACTIONS
from interop.fhir_api.preparing import Plan
from interop.fhir_api.read import patient_in
from interop.store import Tx

_VERBS = {"create": "c", "update": "u"}


def transaction(tx: Tx, around: Surroundings, call: Call, plan: Plan) -> list[Answer]:
    """The answers of all entries, in the order of the Bundle; the first error undoes everything."""
    _require_right(tx, plan)
    names: dict[str, str] = {}
    given: dict[int, str] = {}
    coming: set[str] = set()
    for entry, reference, new_id in _references(tx, around, plan):
        names |= links(entry, reference, around.base_url)
        if new_id is not None:
            given[entry.index] = new_id
        coming.add(reference)
    answers: dict[int, Answer] = {}
    for entry in ordered(plan.entries):
        one = plan.calls[entry.index]
        try:
            if one.resource is not None:
                resource = _resolved(tx, around, rewrite(one.resource, names))
                one = replace(one, resource=resource, new_id=given.get(entry.index), coming=frozenset(coming))
            answers[entry.index] = INTERACTIONS[one.interaction](tx, around, one)
        except InteropError as error:
            raise located(error, entry.index) from error
    trail.done(tx, call)
    return [answers[index] for index in range(len(plan.entries))]


def _require_right(tx: Tx, plan: Plan) -> None:
    """All faults that are known beforehand, in one refusal; those that the agent may not know of come first."""
    issues = []
    worst: InteropError | None = None
    for index, call in enumerate(plan.calls):
        if call.problem is None:
            continue
        if call.interaction in _VERBS and call.resource is not None:
            try:
                permitted(tx, replace(call, problem=None), _VERBS[call.interaction])
            except InteropError as error:
                raise located(error, index) from error
        issues += call.problem.issues
        worst = worst or call.problem
    if worst is not None:
        raise InvalidContentError(
            worst.text, issues=tuple(issues), status=worst.status, issue_code=worst.issue_code
        ) from worst


def _references(tx: Tx, around: Surroundings, plan: Plan) -> list[tuple[Entry, str, str | None]]:
    """What each entry that writes is going to be: its reference, and the id if it is a new one."""
    conditional = {
        entry.index: criteria(tx, around, entry.type, call.if_none_exist)
        for entry, call in zip(plan.entries, plan.calls, strict=True)
        if call.if_none_exist is not None
    }
    keys = {index: criteria_key(query) for index, query in conditional.items()}
    tx.lock(*sorted(set(keys.values())))
    found: list[tuple[Entry, str, str | None]] = []
    by_key: dict[str, str] = {}
    for entry, call in zip(plan.entries, plan.calls, strict=True):
        if call.interaction == "update":
            found.append((entry, f"{call.type}/{call.id}", None))
        elif call.interaction == "create":
            key = keys.get(entry.index)
            present = the_one(tx, conditional[entry.index]) if key else None
            new_id = None if present else by_key.get(key or "") or tx.new_id()
            if key and new_id:
                by_key[key] = new_id  # the same criteria again will find what this one makes
            found.append((entry, f"{call.type}/{present.id if present else new_id}", new_id))
    return found


def _resolved(tx: Tx, around: Surroundings, resource: dict[str, Any]) -> dict[str, Any]:
    """Conditional references by what they match, this transaction's own creations included."""
    found: dict[str, str] = {}
    for path, reference in references(resource):
        conditional = conditional_reference(reference)
        if conditional is None or reference in found:
            continue
        type, text = conditional
        try:
            match = the_one(tx, criteria(tx, around, type, text))
        except InteropError as error:
            error.issues = tuple(replace(issue, expression=(path,)) for issue in error.issues)
            raise
        if match is None:
            raise BrokenReferenceError(f"no {type} meets the criteria of the reference", expression=path)
        decide(tx.agent, "s", type, patient=patient_in(match))
        found[reference] = match.reference
    return rewrite(resource, found)


def response_bundle(kind: str, results: Sequence[Answer | InteropError], wanted: Wanted) -> bytes:
    """R4 bundle.html#response: an entry for each entry, in the same order."""
    entries = [_error(each) if isinstance(each, InteropError) else _entry(each, wanted) for each in results]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": f"{kind}-response"}
    if entries:
        bundle["entry"] = entries
    return dumps(bundle)


def _entry(answer: Answer, wanted: Wanted) -> dict[str, Any]:
    response: dict[str, Any] = {"status": status_line(answer.status)}
    entry: dict[str, Any] = {}
    if answer.stored is not None:
        if answer.location or answer.written:
            response["location"] = trail.versioned(answer.stored)
        response["etag"] = answer.stored.etag
        response["lastModified"] = instant_text(answer.stored.last_updated)
    body = preferred_body(answer, wanted) if wanted.asked or not answer.written else b""
    if body and answer.written and wanted.returns == "OperationOutcome":
        response["outcome"] = orjson.Fragment(body)
    elif body:
        entry["resource"] = orjson.Fragment(body)
    return {**entry, "response": response}


def _error(error: InteropError) -> dict[str, Any]:
    return {"response": {"status": status_line(error.status), "outcome": outcome(error)}}
