"""read: GET [base]/[type]/[id] — https://hl7.org/fhir/R4/http.html#read, conditional as in #cread"""

from __future__ import annotations

from interop.access import decide
from interop.errors import GoneError, NotFoundError
from interop.fhir_api import trail
from interop.fhir_api.binaries import decided
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Stored, Tx


def read(tx: Tx, _around: Surroundings, call: Call) -> Answer:
    """The current version; 404 if there never was one, 410 if it was deleted; 304 if the client has it."""
    stored = tx.read(call.type, call.id)
    if stored is None:
        decide(tx.agent, "r", call.type)  # whoever may not read any learns nothing about this one
        raise NotFoundError(f"there is no {call.type}/{call.id}")
    if stored.deleted:
        decide(tx.agent, "r", call.type)
        raise GoneError(f"{call.type}/{call.id} was deleted")
    patient = decided(tx, "r", stored)
    trail.done(tx, call, patient=patient, entity=f"{stored.type}/{stored.id}")
    return unless_known(call, stored)


def unless_known(call: Call, stored: Stored) -> Answer:
    """The version, or 304 where the client says that it has it; its tag tells more than its date (RFC 9110 13.2.2)."""
    if call.if_none_match is not None:
        known = "*" in call.if_none_match or str(stored.version) in call.if_none_match
    else:
        since = call.if_modified_since
        known = since is not None and stored.last_updated.replace(microsecond=0) <= since
    return Answer(304, stored=stored) if known else Answer(200, stored.body, stored)
