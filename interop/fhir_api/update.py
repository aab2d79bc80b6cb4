"""update: PUT [base]/[type]/[id] — https://hl7.org/fhir/R4/http.html#update"""

from __future__ import annotations

from interop.access import decide
from interop.errors import PreconditionError
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.create import permitted, permitted_merges
from interop.fhir_api.linked import require_targets
from interop.store import Stored, Tx


def update(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """200 with the new version; 201 where the client names a new id (http.html#upsert)."""
    resource = permitted(tx, call, "u")
    tx.lock(f"{call.type}/{call.id}")
    present = tx.read(call.type, call.id)
    is_new = present is None or present.deleted
    if present is not None and not present.deleted:
        decide(tx.agent, "u", call.type, patient=trail.patient_in(present))  # nor take it from somebody else's patient
    require_version(present, call.if_match)
    require_targets(tx, resource, coming=call.coming)
    permitted_merges(tx, resource, {} if present is None or present.deleted else present.resource())
    stored = around.writer.update(tx, around.site, resource, call.if_match)
    trail.done(tx, call, patient=trail.patient_in(stored), entity=trail.versioned(stored))
    return Answer(201 if is_new else 200, stored.body, stored, location=is_new, written=True)


def require_version(present: Stored | None, if_match: int | None) -> None:
    """PreconditionError (412) unless the version is the one the client has seen (http.html#concurrency)."""
    if if_match is None:
        return
    if present is None or present.deleted:
        raise PreconditionError("If-Match names a version, but the resource does not exist")
    if present.version != if_match:
        raise PreconditionError(f"If-Match names version {if_match}, but the current one is {present.version}")
