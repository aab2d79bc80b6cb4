"""$validate — https://hl7.org/fhir/R4/resource-operation-validate.html

The answer is 200 with an OperationOutcome whatever was found; only what cannot be read, or a profile that is not known,
is refused. Nothing is stored and the rules of orders and patients are not asked.
"""

from __future__ import annotations

from typing import Any

from interop.access import decide
from interop.errors import InteropError, InvalidContentError, Issue, NotFoundError, UnsupportedError
from interop.fhir.constraints import constraining
from interop.fhir.json import dumps, loads
from interop.fhir.outcome import all_ok, outcome_of
from interop.fhir.references import patient_of
from interop.fhir.validation import validate
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.linked import require_targets
from interop.fhir_api.operations.operation import Operation, arguments, one, only
from interop.store import Tx

MODES = ("create", "update", "delete", "profile")


def _perform(tx: Tx, _around: Surroundings, call: Call) -> Answer:
    given = arguments(call)
    only(given, "resource", "mode", "profile")
    mode, profile = one(given, "mode"), _profile(one(given, "profile"), call.type)
    if mode not in (None, *MODES):
        raise InvalidContentError(f"mode is one of {', '.join(MODES)}", status=400, issue_code="value")
    resource = _resource(tx, call, given)
    patient = patient_of(resource) if isinstance(resource, dict) else None
    decide(tx.agent, "r", call.type, patient=patient)
    issues = _issues(tx, call, resource, mode, profile)
    trail.done(tx, call, patient=patient if call.id else None, entity=f"{call.type}/{call.id}" if call.id else None)
    return Answer(200, dumps(outcome_of(issues) if issues else all_ok("nothing is wrong with it")))


def _profile(url: Any, type: str) -> str | None:
    """The profile of ours that is asked for; None where it is R4's own of the type, which is held in any case."""
    if url is None or str(url).partition("|")[0] == f"http://hl7.org/fhir/StructureDefinition/{type}":
        return None
    known = constraining().get(str(url).partition("|")[0])
    if known is None or known["type"] != type:
        listed = ", ".join(url for url, definition in constraining().items() if definition["type"] == type)
        raise UnsupportedError(f"no such profile of {type}; there is {listed or 'none'}")
    return str(known["url"])


def _resource(tx: Tx, call: Call, given: dict[str, list[Any]]) -> Any:
    """What is to be validated: in the parameters, the body itself, or what is stored under the id."""
    sent = one(given, "resource")
    if sent is not None:
        return sent
    body = call.resource
    if body is not None and (call.type == "Parameters" or body.get("resourceType") != "Parameters"):
        return body
    stored = tx.read(call.type, call.id) if call.id else None
    if stored is not None and not stored.deleted:
        return loads(stored.body)
    if call.id:
        raise NotFoundError(f"there is no {call.type}/{call.id}")
    raise InvalidContentError("a resource is needed", issue_code="required", status=400)


def _issues(tx: Tx, call: Call, resource: Any, mode: str | None, profile: str | None) -> tuple[Issue, ...]:
    try:
        validate(resource, type=call.type, profile=profile)
        if mode in ("update", "delete"):
            _there(tx, call, resource)
        if mode in ("create", "update"):
            require_targets(tx, resource)
    except InteropError as error:
        return error.issues
    return ()


def _there(tx: Tx, call: Call, resource: dict[str, Any]) -> None:
    id, own = call.id or resource.get("id"), f"{call.type}.id"
    if not id:
        raise InvalidContentError("a resource to change has an id", expression=own, issue_code="required")
    if resource.get("id") != id:  # as an update refuses it
        raise InvalidContentError("the id in the resource is not the id in the address", expression=own)
    stored = tx.read(call.type, id)
    if stored is None or stored.deleted:
        raise NotFoundError(f"there is no {call.type}/{id} to change")


VALIDATE = Operation(
    "validate",
    "http://hl7.org/fhir/OperationDefinition/Resource-validate",
    frozenset(("type", "instance")),
    _perform,
    gives="OperationOutcome",
)
