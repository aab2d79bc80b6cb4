"""$events of Subscription — http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-events

The events of a topic that a client has missed, by number, in one notification. The last thousand of each subscription
are kept. What the caller may not read is left out, and the versions are those that the events were about.
"""

from __future__ import annotations

import re
from typing import Any

from interop.access import decide
from interop.errors import InvalidContentError, UnsupportedError
from interop.fhir.subscriptions import CONTENTS, asked_of, notification
from interop.fhir.topics import BACKPORT
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.operations.operation import Operation, arguments, one, only
from interop.store import Tx
from interop.workflow import subscription_events, subscriptions

_TYPE = "Subscription"
_MOST = 100  # events of one answer
_MOST_BYTES = 8 * 1024 * 1024  # of their resources together; one that is larger comes alone
_NUMBER = re.compile(r"[0-9]{1,15}")


def _perform(tx: Tx, around: Surroundings, call: Call) -> Answer:
    given = arguments(call)
    only(given, "eventsSinceNumber", "eventsUntilNumber", "content")
    decide(tx.agent, "r", _TYPE)
    stored = tx.get(_TYPE, call.id)
    asked = asked_of(stored.resource())
    if asked.topic is None:
        raise UnsupportedError("events have numbers where a topic is subscribed to", status=422)
    content = str(one(given, "content") or asked.content)
    if content not in CONTENTS:
        raise InvalidContentError(f"content is one of {', '.join(CONTENTS)}", issue_code="value", status=400)
    count = subscriptions.events(tx, call.id)
    first = _number(given, "eventsSinceNumber", 1)
    last = min(_number(given, "eventsUntilNumber", count), count, first + _MOST - 1)
    events = subscription_events.noted(tx, call.id, first, last) if first <= last else []
    full = content == "full-resource"
    told, _ = subscription_events.given_out(tx, call.id, events, full=full, most=_MOST_BYTES, way="by $events")
    trail.done(tx, call, entity=f"{_TYPE}/{call.id}")
    at = tx.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = notification(around.base_url, stored.resource(), "query-event", at, count, told, content=content)
    return Answer(200, body)


def _number(given: dict[str, list[Any]], name: str, usual: int) -> int:
    text = one(given, name)
    if text is None:
        return usual
    if not _NUMBER.fullmatch(str(text)):
        raise InvalidContentError(f"{name} is the number of an event", issue_code="value", status=400)
    return int(str(text))


EVENTS = Operation(
    "events",
    f"{BACKPORT}OperationDefinition/backport-subscription-events",
    frozenset(("instance",)),
    _perform,
    frozenset((_TYPE,)),
    frozenset(("GET", "POST")),
)
