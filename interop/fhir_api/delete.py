"""delete: DELETE [base]/[type]/[id] or [base]/[type]?… — https://hl7.org/fhir/R4/http.html#delete, #3.1.0.7.1"""

from __future__ import annotations

from dataclasses import replace

from interop.access import decide
from interop.errors import PreconditionError
from interop.fhir.json import dumps
from interop.fhir.outcome import all_ok
from interop.fhir_api import trail
from interop.fhir_api.binaries import decided
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.conditions import criteria, criteria_key, require_search
from interop.fhir_api.update import require_version
from interop.store import Stored, Tx

MOST = 100  # resources that one conditional delete ends


def delete(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """204, also for what is deleted already or never was; 200 where the rules keep the resource and mark it instead."""
    if call.criteria is not None:
        return _conditional(tx, around, call, call.criteria)
    tx.lock(f"{call.type}/{call.id}")
    present = tx.read(call.type, call.id)
    if present is None:
        decide(tx.agent, "d", call.type)
        require_version(present, call.if_match)
        trail.done(tx, call, entity=f"{call.type}/{call.id}")
        return Answer(204)
    patient = decided(tx, "d", present)
    require_version(present, call.if_match)
    if present.deleted:
        trail.done(tx, call, entity=trail.versioned(present))
        return Answer(204, stored=present)
    stored = around.writer.delete(tx, around.site, call.type, call.id)
    trail.done(tx, call, patient=patient, entity=trail.versioned(stored))
    if stored.deleted:
        return Answer(204, stored=stored)
    kept = f"{call.type}/{call.id} stays on record, marked entered-in-error"
    return Answer(200, dumps(all_ok(kept)), stored)


def _conditional(tx: Tx, around: Surroundings, call: Call, params: tuple[tuple[str, str], ...]) -> Answer:
    """204 also where nothing meets the criteria; 412 for several, unless this server is set to end them all."""
    require_search(tx, call)
    own = f"Patient/{tx.agent.patient}" if tx.agent.patient else None
    decide(tx.agent, "d", call.type, patient=own)
    found = met(tx, around, call, params)
    answers = [delete(tx, around, replace(call, id=each.id, criteria=None)) for each in found]
    if not answers:
        require_version(None, call.if_match)
        trail.done(tx, call)
        return Answer(204)
    return answers[0] if len(answers) == 1 else Answer(204)


def met(tx: Tx, around: Surroundings, call: Call, params: tuple[tuple[str, str], ...]) -> list[Stored]:
    """What a conditional delete is about; PreconditionError (412) where that is more than may go at once."""
    query = criteria(tx, around, call.type, params, count=MOST + 1 if around.delete_multiple else 2)
    tx.lock(criteria_key(query))
    found = tx.search(query).rows
    for each in found:
        patient = trail.patient_in(each)
        decide(tx.agent, "s", call.type, patient=patient)
        decide(tx.agent, "d", call.type, patient=patient)
    if len(found) > (MOST if around.delete_multiple else 1):
        code = "too-costly" if around.delete_multiple else "multiple-matches"
        raise PreconditionError(f"more than {query.count - 1} {call.type} meet the criteria", issue_code=code)
    return found
