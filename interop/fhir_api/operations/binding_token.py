"""$get-ws-binding-token of Subscription — what a client needs to be told by websocket.

http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-get-ws-binding-token, for one
subscription or for those that ``id`` names. With the token comes the address to connect to, good once.
"""

from __future__ import annotations

from interop.errors import InvalidContentError, UnsupportedError
from interop.fhir.json import dumps
from interop.fhir.topics import BACKPORT
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.operations.operation import Operation, arguments, only
from interop.store import Tx
from interop.workflow import subscriptions

_TYPE = "Subscription"
_MOST = 20  # subscriptions of one token


def _perform(tx: Tx, around: Surroundings, call: Call) -> Answer:
    given = arguments(call)
    only(given, "id")
    if around.bindings is None:
        raise UnsupportedError("this server has no websockets", status=404)
    ids = [call.id] if call.id else [str(id) for id in dict.fromkeys(given.get("id", ()))]
    if not 0 < len(ids) <= _MOST:
        text = f"id names the subscriptions, up to {_MOST} of them"
        raise InvalidContentError(text, issue_code="required", status=400)
    for id in ids:
        subscriptions.bindable(tx, id)
    binding = around.bindings.issue(tx, tx.agent, ids)
    trail.done(tx, call, entity=f"{_TYPE}/{call.id}" if call.id else None)
    expiration = binding.expires.isoformat(timespec="seconds").replace("+00:00", "Z")
    rows = [
        {"name": "token", "valueString": binding.token},
        {"name": "expiration", "valueDateTime": expiration},
        *({"name": "subscription", "valueString": id} for id in ids),
        {"name": "websocket-url", "valueUrl": binding.url},
    ]
    return Answer(200, dumps({"resourceType": "Parameters", "parameter": rows}))


BINDING_TOKEN = Operation(
    "get-ws-binding-token",
    f"{BACKPORT}OperationDefinition/backport-subscription-get-ws-binding-token",
    frozenset(("type", "instance")),
    _perform,
    frozenset((_TYPE,)),
    frozenset(("GET", "POST")),
)
