"""patch: PATCH [base]/[type]/[id] or [base]/[type]?… — https://hl7.org/fhir/R4/http.html#patch

The result goes the way of an update: it is validated, its references are checked, and the rules of its type decide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from interop.access import decide
from interop.errors import ForbiddenError, GoneError, InvalidContentError, NotFoundError
from interop.fhir.json import dumps, loads
from interop.fhir.references import localised, rewrite
from interop.fhir.validation import validate
from interop.fhir_api.binaries import decided
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.conditions import addressed, require_search
from interop.fhir_api.create import permitted
from interop.fhir_api.update import replaced, require_version
from interop.store import Stored, Tx


def patch(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """200 with the new version; without it for an agent that may write but not read."""
    call = _permitted(tx, around, call)
    tx.lock(f"{call.type}/{call.id}")
    present = tx.read(call.type, call.id)
    if present is None:
        decide(tx.agent, "u", call.type)
        raise NotFoundError(f"there is no {call.type}/{call.id}")
    if present.deleted:
        decide(tx.agent, "u", call.type)
        raise GoneError(f"{call.type}/{call.id} was deleted")
    decided(tx, "u", present)
    require_version(present, call.if_match)
    resource = _patched(around, call, present)
    permitted(tx, replace(call, resource=resource), "u")  # nor give it to somebody else's patient
    stored = replaced(tx, around, call, resource, present)
    return Answer(200, stored.body if _may_read(tx, stored) else b"", stored, written=True)


def _permitted(tx: Tx, around: Surroundings, call: Call) -> Call:
    """The call about one resource, once it is known to be right; whoever may patch nothing learns nothing."""
    if call.problem is not None:
        present = tx.read(call.type, call.id) if call.id else None
        if call.criteria is not None:
            require_search(tx, call)
        if present is None:
            decide(tx.agent, "u", call.type)
        else:
            decided(tx, "u", present)
        raise call.problem
    return addressed(tx, around, call)


def _patched(around: Surroundings, call: Call, present: Stored) -> dict[str, Any]:
    assert call.patch is not None
    after = call.patch.applied(present.resource())
    if after.get("resourceType") != call.type or after.get("id") != call.id:
        raise InvalidContentError(
            "a patch changes neither the type nor the id", expression=f"{call.type}.id", issue_code="business-rule"
        )
    try:
        after = loads(dumps(after))  # within the limits of whatever is sent
    except TypeError as error:
        raise InvalidContentError("what the patch leaves nests too deeply") from error
    after = rewrite(after, call.links)
    validate(after, type=call.type)
    return localised(after, around.base_url)


def _may_read(tx: Tx, stored: Stored) -> bool:
    try:
        decided(tx, "r", stored)
    except ForbiddenError:
        return False
    return True
