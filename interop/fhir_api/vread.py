"""vread: GET [base]/[type]/[id]/_history/[vid] — https://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

from interop.access import decide
from interop.errors import GoneError, NotFoundError
from interop.fhir_api import trail
from interop.fhir_api.binaries import decided
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.read import unless_known
from interop.store import Tx


def vread(tx: Tx, _around: Surroundings, call: Call) -> Answer:
    """That version; 410 if it is the one that says the resource was deleted."""
    version = int(call.version) if call.version.isascii() and call.version.isdigit() and len(call.version) < 10 else 0
    stored = tx.read(call.type, call.id, version) if version else None
    if stored is None:
        decide(tx.agent, "r", call.type)
        raise NotFoundError(f"there is no version {call.version[:20]} of {call.type}/{call.id}")
    if stored.deleted:
        decide(tx.agent, "r", call.type)
        raise GoneError(f"{call.type}/{call.id} was deleted with version {call.version}")
    patient = decided(tx, "r", stored)
    trail.done(tx, call, patient=patient, entity=trail.versioned(stored))
    return unless_known(call, stored)
