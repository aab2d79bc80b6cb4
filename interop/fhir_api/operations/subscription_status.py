"""$status of Subscription — http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status

For one subscription, or for those that ``id`` and ``status`` choose: a searchset of Parameters, each what its
subscriber would be told now. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator

from interop.access import decide
from interop.errors import GoneError, NotFoundError
from interop.fhir.json import dumps
from interop.fhir.primitives import valid_id
from interop.fhir.query import Clause, Query, TokenValue, Value
from interop.fhir.subscriptions import status_of
from interop.fhir.topics import BACKPORT
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.operations.gathering import gathered
from interop.fhir_api.operations.operation import Operation, arguments, only
from interop.store import Stored, Tx
from interop.workflow import subscriptions

_TYPE = "Subscription"
_MOST = 1000


def _perform(tx: Tx, around: Surroundings, call: Call) -> Answer:
    given = arguments(call)
    only(given, *(() if call.id else ("id", "status")))
    decide(tx.agent, "r", _TYPE)
    found = [_one(tx, call.id)] if call.id else list(_chosen(tx, given.get("id", []), given.get("status", [])))
    entries = [
        {
            "fullUrl": f"urn:uuid:{status['id']}",
            "resource": status,
            "search": {"mode": "match"},
        }
        for status in (
            status_of(around.base_url, each.resource(), "query-status", subscriptions.events(tx, each.id))
            for each in found
        )
    ]
    trail.done(tx, call, entity=f"{_TYPE}/{call.id}" if call.id else None)
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return Answer(200, dumps({**bundle, "entry": entries} if entries else bundle))


def _one(tx: Tx, id: str) -> Stored:
    stored = tx.read(_TYPE, id)
    if stored is None:
        raise NotFoundError(f"there is no {_TYPE}/{id}")
    if stored.deleted:
        raise GoneError(f"{_TYPE}/{id} was deleted")
    return stored


def _chosen(tx: Tx, ids: list[str], statuses: list[str]) -> Iterator[Stored]:
    clauses: list[Clause] = []
    if ids:
        named: tuple[Value, ...] = tuple(str(id) for id in ids if valid_id(str(id)))
        clauses.append(Clause("_id", "id", named or ("",)))
    if statuses:
        clauses.append(Clause("status", "token", tuple(TokenValue(None, str(status)) for status in statuses)))
    yield from gathered(tx, Query(_TYPE, tuple(clauses)), most=_MOST)


STATUS = Operation(
    "status",
    f"{BACKPORT}OperationDefinition/backport-subscription-status",
    frozenset(("type", "instance")),
    _perform,
    frozenset((_TYPE,)),
    frozenset(("GET", "POST")),
    takes=("id", "status"),
)
