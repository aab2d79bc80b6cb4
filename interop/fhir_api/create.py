"""create: POST [base]/[type] — https://hl7.org/fhir/R4/http.html#create

Conditional with If-None-Exist (https://hl7.org/fhir/R4/http.html#ccreate), atomically: whoever asks with the same
criteria waits for the lock, and then finds what the one before has made.
"""

from __future__ import annotations

from typing import Any

from interop.access import decide
from interop.errors import InvalidContentError
from interop.fhir.merges import new_merges
from interop.fhir.references import patient_of
from interop.fhir_api import trail
from interop.fhir_api.binaries import BINARY, decided, decided_by_context, require_all
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.conditions import criteria, criteria_key, criteria_of, the_one
from interop.fhir_api.linked import require_targets
from interop.store import Stored, Tx


def create(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """201 with the new resource; 200 with the one that the criteria found, or that the rules say this one is again."""
    resource = permitted(tx, call, "c")
    if call.if_none_exist is not None:
        decide(tx.agent, "s", call.type, patient=patient_of(resource))
        require_all(tx, call.type)
        query = criteria(tx, around, call.type, criteria_of(call.type, call.if_none_exist))
        tx.lock(criteria_key(query))
        around.writer.foresee(tx, around.site, resource)
        present = the_one(tx, query)
        if present is not None:
            return found(tx, call, present)
    else:
        around.writer.foresee(tx, around.site, resource)
    require_targets(tx, resource, coming=call.coming)
    permitted_merges(tx, resource, {})
    new = {name: value for name, value in resource.items() if name != "id"}
    stored = around.writer.create(tx, around.site, new, id=call.new_id)
    trail.done(tx, call, patient=trail.patient_in(stored), entity=trail.versioned(stored))
    stood = stored.last_updated < tx.now  # the same order again: what stands is the answer, nothing was made
    return Answer(200 if stood else 201, stored.body, stored, location=True, written=True)


def permitted(tx: Tx, call: Call, verb: str) -> dict[str, Any]:
    """The resource that was sent, once the agent may write it and it is known to be right."""
    patient = None
    if call.resource is not None:
        patient = f"Patient/{call.id}" if call.type == "Patient" and call.id else patient_of(call.resource)
        if call.type == BINARY:
            decided_by_context(tx, verb, call.resource)
        else:
            decide(tx.agent, verb, call.type, patient=patient)
    if call.problem is not None:
        raise call.problem
    if call.resource is None:
        raise InvalidContentError("a resource is needed", issue_code="required")
    return call.resource


def permitted_merges(tx: Tx, resource: dict[str, Any], before: dict[str, Any]) -> None:
    """ForbiddenError unless the agent may write the other patient, too, whom a new link makes the same person."""
    if resource["resourceType"] == "Patient" and "link" in resource:
        for _, other in new_merges(resource, before):
            decide(tx.agent, "u", "Patient", patient=f"Patient/{other}")


def found(tx: Tx, call: Call, present: Stored) -> Answer:
    """The answer of a conditional create that found its match."""
    patient = decided(tx, "r", present)
    trail.done(tx, call, patient=patient, entity=trail.versioned(present))
    return Answer(200, present.body, present, location=True, written=True)
