"""read: GET [base]/[type]/[id] — https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

from interop.access import decide
from interop.errors import GoneError, NotFoundError
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Tx


def read(tx: Tx, _around: Surroundings, call: Call) -> Answer:
    """The current version; 404 if there never was one, 410 if it was deleted."""
    stored = tx.read(call.type, call.id)
    if stored is None:
        decide(tx.agent, "r", call.type)  # whoever may not read any learns nothing about this one
        raise NotFoundError(f"there is no {call.type}/{call.id}")
    if stored.deleted:
        decide(tx.agent, "r", call.type)
        raise GoneError(f"{call.type}/{call.id} was deleted")
    patient = trail.patient_in(stored)
    decide(tx.agent, "r", call.type, patient=patient)
    trail.done(tx, call, patient=patient, entity=f"{stored.type}/{stored.id}")
    return Answer(200, stored.body, stored)
