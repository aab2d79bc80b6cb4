"""delete: DELETE [base]/[type]/[id] — https://hl7.org/fhir/R4/http.html#delete"""

from __future__ import annotations

from interop.access import decide
from interop.errors import NotFoundError
from interop.fhir.json import dumps
from interop.fhir.outcome import all_ok
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.update import require_version
from interop.store import Tx


def delete(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """204, also for what is deleted already; 200 where the rules keep the resource and mark it instead."""
    tx.lock(f"{call.type}/{call.id}")
    present = tx.read(call.type, call.id)
    patient = None if present is None else trail.patient_in(present)
    decide(tx.agent, "d", call.type, patient=patient)
    if present is None:
        raise NotFoundError(f"there is no {call.type}/{call.id}")
    if present.deleted:
        trail.done(tx, call, entity=trail.versioned(present))
        return Answer(204, stored=present)
    require_version(present, call.if_match)
    stored = around.writer.delete(tx, around.site, call.type, call.id)
    trail.done(tx, call, patient=patient, entity=trail.versioned(stored))
    if stored.deleted:
        return Answer(204, stored=stored)
    kept = f"{call.type}/{call.id} stays on record, marked entered-in-error"
    return Answer(200, dumps(all_ok(kept)), stored)
