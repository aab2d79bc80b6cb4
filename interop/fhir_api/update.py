"""update: PUT [base]/[type]/[id] or [base]/[type]?… — https://hl7.org/fhir/R4/http.html#update, #cond-update"""

from __future__ import annotations

from typing import Any

from interop.errors import PreconditionError
from interop.fhir_api import trail
from interop.fhir_api.binaries import decided
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.conditions import addressed
from interop.fhir_api.create import permitted, permitted_merges
from interop.fhir_api.linked import require_targets
from interop.store import Stored, Tx


def update(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """200 with the new version; 201 where the client names a new id (http.html#upsert), or its criteria find none."""
    permitted(tx, call, "u")
    conditional = call.criteria is not None
    call = addressed(tx, around, call)
    resource = permitted(tx, call, "u") if conditional else call.resource or {}
    tx.lock(f"{call.type}/{call.id}")
    around.writer.foresee(tx, around.site, resource, call.id)
    present = tx.read(call.type, call.id)
    is_new = present is None or present.deleted
    if present is not None and not present.deleted:
        decided(tx, "u", present)  # nor take it from somebody else's patient
        require_none_match(present, call.if_none_match)
    require_version(present, call.if_match)
    stored = replaced(tx, around, call, resource, present)
    return Answer(201 if is_new else 200, stored.body, stored, location=is_new or conditional, written=True)


def replaced(tx: Tx, around: Surroundings, call: Call, resource: dict[str, Any], present: Stored | None) -> Stored:
    """The version that was written, by the rules of its type; audited."""
    require_targets(tx, resource, coming=call.coming)
    permitted_merges(tx, resource, {} if present is None or present.deleted else present.resource())
    seen = present.version if call.if_match is not None and present is not None else None
    stored = around.writer.update(tx, around.site, resource, seen)
    trail.done(tx, call, patient=trail.patient_in(stored), entity=trail.versioned(stored))
    return stored


def require_version(present: Stored | None, versions: frozenset[str] | None) -> None:
    """PreconditionError (412) unless the version is one the client has seen (http.html#concurrency).

    ``*`` holds for whatever is there (RFC 9110 13.1.1).
    """
    if versions is None:
        return
    if present is None or present.deleted:
        raise PreconditionError("If-Match asks for what is there, but the resource does not exist")
    if "*" not in versions and str(present.version) not in versions:
        named = ", ".join(sorted(versions, key=int))
        raise PreconditionError(f"If-Match names version {named}, but the current one is {present.version}")


def require_none_match(present: Stored, tags: frozenset[str] | None) -> None:
    """PreconditionError (412) for what must not be there, or not in this version (RFC 9110 13.1.2)."""
    if tags is not None and ("*" in tags or str(present.version) in tags):
        raise PreconditionError(f"{present.reference} exists, in version {present.version}")
