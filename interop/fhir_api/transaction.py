"""transaction and batch: POST [base] — https://hl7.org/fhir/R4/http.html#transaction

A transaction is one unit of work: all or nothing, every fault located at its entry. The ids of what it creates are
known before anything is written, so links between entries may go in any direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from interop.access import decide
from interop.errors import BrokenReferenceError, InteropError, InvalidContentError, Issue, PreconditionError
from interop.fhir.bundle import Entry, conditional_reference, links, located, ordered, referrers_first
from interop.fhir.json import dumps
from interop.fhir.outcome import outcome
from interop.fhir.references import references, rewrite
from interop.fhir_api import trail
from interop.fhir_api.answers import preferred_body, status_line
from interop.fhir_api.bundles import instant_text
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.conditions import criteria, criteria_of, the_one
from interop.fhir_api.create import permitted
from interop.fhir_api.interactions import perform
from interop.fhir_api.negotiation import Wanted
from interop.fhir_api.preparing import Plan
from interop.fhir_api.promises import Promise, ended, promises
from interop.store import Tx

_VERBS = {"create": "c", "update": "u"}
_REFERRERS = 1000  # more than a Bundle changes


def transaction(tx: Tx, around: Surroundings, call: Call, plan: Plan) -> list[Answer]:
    """The answers of all entries, in the order of the Bundle; the first error undoes everything."""
    _require_right(tx, plan)
    steps = ordered(plan.entries)
    answers: dict[int, Answer] = {}
    gone = ended(tx, around, plan)
    last: list[int] = []
    for index in _deletions(tx, plan, gone):
        if _is_let_go(tx, plan, [reference for reference, entry in gone.items() if entry == index]):
            last.append(index)
        else:
            answers[index] = _carry_out(tx, around, plan.entries[index], plan.calls[index])
    # Only now: what was deleted no longer meets the criteria of a conditional create.
    promised = promises(tx, around, plan, gone)
    names: dict[str, str] = {}
    for promise in promised.values():
        names |= links(promise.entry, promise.reference, around.base_url)
    coming = frozenset(promise.reference for promise in promised.values())
    linked: set[str] = set()
    for entry in steps:
        if entry.method == "DELETE":
            continue
        mine = promised.get(entry.index)
        one = plan.calls[entry.index]
        if mine is not None:
            one = replace(mine.call, new_id=mine.new_id, coming=coming, links=names)
            if one.resource is not None:
                one = replace(one, resource=rewrite(one.resource, names))
                linked.update(reference for _, reference in references(one.resource or {}))
        answers[entry.index] = _carry_out(tx, around, entry, one)
        if mine is not None:
            names |= _kept(mine, answers[entry.index], linked, around.base_url)
    for index in last:
        answers[index] = _carry_out(tx, around, plan.entries[index], plan.calls[index])
    trail.done(tx, call)
    return [answers[index] for index in range(len(plan.entries))]


def _deletions(tx: Tx, plan: Plan, gone: Mapping[str, int]) -> list[int]:
    """The entries that delete, in an order in which none has to stay because of another one."""
    indexes = [entry.index for entry in plan.entries if entry.method == "DELETE"]
    if len(indexes) < 2:
        return indexes
    refers: dict[int, set[int]] = {}
    for reference, index in gone.items():
        type, _, id = reference.partition("/")
        stored = tx.read(type, id)
        if stored is None or stored.deleted:
            continue
        named = (gone[target] for _, target in references(stored.resource()) if target in gone)
        refers.setdefault(index, set()).update(other for other in named if other != index)
    return referrers_first(indexes, refers)


def _is_let_go(tx: Tx, plan: Plan, references: Sequence[str]) -> bool:
    """Whether something refers to these still, and other entries change all that does.

    Deletions come first (R4 http.html#trules), but what counts for a reference is where the transaction ends.
    """
    referrers: set[str] = set()
    for reference in references:
        type, _, id = reference.partition("/")
        referrers.update(f"{kind}/{each}" for kind, each in tx.referrers(type, id, limit=_REFERRERS))
    changed = {f"{call.type}/{call.id}" for call in plan.calls if call.interaction in ("update", "patch") and call.id}
    return bool(referrers) and referrers <= changed


def _kept(promise: Promise, answer: Answer, linked: set[str], base_url: str) -> dict[str, str]:
    """How the links change where an entry turned out to be something that stood already."""
    if answer.stored is None or answer.stored.reference == promise.reference:
        return {}
    if promise.reference in linked:
        error = PreconditionError(f"it is {answer.stored.reference} already, and an entry before it links to a new one")
        raise located(error, promise.entry.index)
    return links(promise.entry, answer.stored.reference, base_url)


def _carry_out(tx: Tx, around: Surroundings, entry: Entry, call: Call) -> Answer:
    try:
        if call.resource is not None:
            call = replace(call, resource=_resolved(tx, around, call.resource))
        return perform(tx, around, call)
    except InteropError as error:
        raise located(error, entry.index) from error


def _require_right(tx: Tx, plan: Plan) -> None:
    """All faults that are known beforehand, in one refusal; those that the agent may not know of come first."""
    issues: list[Issue] = []
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
        status = 400 if worst.status == 405 else worst.status  # POST itself is a method of this address
        raise InvalidContentError(
            worst.text, issues=tuple(issues), status=status, issue_code=worst.issue_code
        ) from worst


def _resolved(tx: Tx, around: Surroundings, resource: dict[str, Any]) -> dict[str, Any]:
    """Conditional references by what they match, this transaction's own creations included."""
    found: dict[str, str] = {}
    for path, reference in references(resource):
        conditional = conditional_reference(reference)
        if conditional is None or reference in found:
            continue
        type, text = conditional
        try:
            match = the_one(tx, criteria(tx, around, type, criteria_of(type, text)))
        except InteropError as error:
            error.issues = tuple(replace(issue, expression=(path,)) for issue in error.issues)
            raise
        if match is None:
            raise BrokenReferenceError(f"no {type} meets the criteria of the reference", expression=path)
        decide(tx.agent, "s", type, patient=trail.patient_in(match))
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
