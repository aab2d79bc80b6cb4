"""Subscriptions as FHIR writes them: what a Subscription asks for, and what its subscriber is sent.

R4 subscription.html for those with search criteria; the Subscriptions R5 Backport guide 1.1 for R4 for those with a
topic: criteria is the topic's canonical URL, and extensions say the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import NAMESPACE_URL, uuid5

import orjson

from interop.errors import InvalidContentError, UnsupportedError
from interop.fhir.json import dumps
from interop.fhir.profile import accepted_types
from interop.fhir.topics import BACKPORT, TOPICS, Topic

Resource = dict[str, Any]

_DEFINITION = f"{BACKPORT}StructureDefinition/"
_FILTER = f"{_DEFINITION}backport-filter-criteria"
_CONTENT = f"{_DEFINITION}backport-payload-content"
_TIMEOUT = f"{_DEFINITION}backport-timeout"
_HEARTBEAT = f"{_DEFINITION}backport-heartbeat-period"

CHANNELS = ("rest-hook", "websocket")
CONTENTS = ("empty", "id-only", "full-resource")
PAYLOADS = ("application/fhir+json", "application/json")
# Kept outside the versions; guarded by what another resource says; what would tell of itself.
UNWATCHED = ("AuditEvent", "Binary", "Subscription")
SECONDS = (1, 60)  # that a receiver may take to answer
HEARTBEATS = {"rest-hook": (10, 86_400), "websocket": (1, 86_400)}  # seconds between two; a request costs more
_USUAL_SECONDS = 15
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,80}): ?([\t -~]{0,4000})")
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "user-agent", "x-interop-signature"}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a Subscription asks for."""

    type: str  # of the resources that it is about
    search: tuple[tuple[str, str], ...]  # the criteria, or the filter of a topic
    topic: Topic | None
    channel: str  # rest-hook or websocket
    endpoint: str  # of a rest-hook
    payload: str | None  # the media type; None: an empty notification (R4 criteria)
    content: str  # of a topic's notification: empty, id-only, full-resource
    headers: tuple[tuple[str, str], ...]
    seconds: float  # within which an answer is awaited, or a frame is to be taken
    heartbeat: int | None = None  # seconds between two, where they are asked for


def asked_of(subscription: Resource) -> Asked:
    """What a valid Subscription asks for; InvalidContentError or UnsupportedError (422) for what is not offered."""
    channel: Resource = subscription["channel"]
    kind: str = channel["type"]
    if kind not in CHANNELS:
        raise _refusal(f"channel.type: this server offers {' and '.join(CHANNELS)}", "channel.type")
    topic, type, search = _criteria(subscription)
    content = _extension(channel.get("_payload"), _CONTENT, "valueCode")
    if topic is not None and content not in CONTENTS:
        text = f"channel.payload needs the extension backport-payload-content, one of {', '.join(CONTENTS)}"
        raise InvalidContentError(text, expression="Subscription.channel.payload", issue_code="required")
    payload = channel.get("payload")
    if payload is not None and payload.partition(";")[0].strip() not in PAYLOADS:
        raise _refusal(f"channel.payload is one of {', '.join(PAYLOADS)}, or left out", "channel.payload")
    endpoint = ""
    if kind == "rest-hook":
        endpoint = _hook(channel, below=topic is None and payload is not None)
    else:
        _check_socket(channel, topic)
    beat = _heartbeat(channel, topic)
    return Asked(
        type, search, topic, kind, endpoint, payload, content or "", _headers(channel), _seconds(channel), beat
    )


def _hook(channel: Resource, *, below: bool) -> str:
    """The endpoint of a rest-hook; ``below``: resources are put below it."""
    endpoint: str = channel.get("endpoint", "")
    if not endpoint:
        text = "a rest-hook needs an endpoint"
        raise InvalidContentError(text, expression="Subscription.channel.endpoint", issue_code="required")
    if below and "?" in endpoint:
        text = "the resource is put below the endpoint, which therefore has no query"
        raise InvalidContentError(text, expression="Subscription.channel.endpoint", issue_code="value")
    return endpoint


def _check_socket(channel: Resource, topic: Topic | None) -> None:
    """What a websocket cannot carry; an endpoint may be there, but it is the client that connects."""
    if channel.get("header"):
        raise _refusal("nothing can carry headers over a websocket", "channel.header")
    if topic is None and channel.get("payload") is not None:
        raise _refusal("with criteria a websocket says ping and carries no payload; topics do", "channel.payload")


def _heartbeat(channel: Resource, topic: Topic | None) -> int | None:
    period = _extension(channel, _HEARTBEAT, "valueUnsignedInt")
    if period is None:
        return None
    if topic is None:
        raise _refusal("heartbeats are offered for topics, not for criteria", "channel.extension")
    least, most = HEARTBEATS[channel["type"]]
    if not least <= int(period) <= most:
        raise _refusal(f"heartbeats of a {channel['type']} are {least} to {most} seconds apart", "channel.extension")
    return int(period)


def _criteria(subscription: Resource) -> tuple[Topic | None, str, tuple[tuple[str, str], ...]]:
    text: str = subscription["criteria"]
    filters = _extensions(subscription.get("_criteria"), _FILTER, "valueString")
    topic = TOPICS.get(text)
    if topic is None:
        if filters:
            raise _refusal(f"there is no topic {text[:80]!r}; there are {', '.join(TOPICS)}", "criteria")
        type, _, query = text.partition("?")
        if type not in accepted_types() or type in UNWATCHED:
            raise _refusal(
                f"criteria are a search of a served type, Type?parameter=value, or a topic: {', '.join(TOPICS)}",
                "criteria",
            )
        return None, type, tuple(parse_qsl(query, keep_blank_values=True))
    if len(filters) > 1:
        raise _refusal("one filter is offered; its parameters must all hold", "criteria.extension")
    if not filters:
        return topic, topic.type, ()
    type, _, query = filters[0].partition("?")
    if type != topic.type or not query:
        raise _refusal(f"the filter of this topic begins with {topic.type}?", "criteria.extension")
    return topic, topic.type, tuple(parse_qsl(query, keep_blank_values=True))


def _headers(channel: Resource) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for index, line in enumerate(channel.get("header", ())):
        match = _HEADER.fullmatch(line or "")
        if match is None or match[1].lower() in _OURS:  # the value may be a secret: it is not repeated
            name = match[1] if match else "it"
            text = f"a header is written Name: value, in ASCII and without control characters; {name} cannot be sent"
            raise InvalidContentError(text, expression=f"Subscription.channel.header[{index}]", issue_code="value")
        headers.append((match[1], match[2].strip()))
    return tuple(headers)


def _seconds(channel: Resource) -> float:
    asked = _extension(channel, _TIMEOUT, "valueUnsignedInt")
    return float(min(max(int(asked), SECONDS[0]), SECONDS[1])) if asked is not None else _USUAL_SECONDS


def _extensions(element: Any, url: str, value: str) -> list[Any]:
    found = element.get("extension", ()) if isinstance(element, dict) else ()
    return [one[value] for one in found if one.get("url") == url and value in one]


def _extension(element: Any, url: str, value: str) -> Any:
    return next(iter(_extensions(element, url, value)), None)


def _refusal(text: str, element: str) -> UnsupportedError:
    return UnsupportedError(text, expression=f"Subscription.{element}", status=422)


# what is sent


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a subscription."""

    number: int
    at: str  # instant
    focus: str  # Type/id
    first: bool  # whether it is about the first version
    context: tuple[str, ...] = ()
    body: bytes = b""  # the version that it is about


def status_of(
    base_url: str,
    subscription: Resource,
    kind: str,
    events: int,
    happened: Sequence[Happened] = (),
    *,
    content: str | None = None,
) -> Resource:
    """The SubscriptionStatus: Parameters of profile backport-subscription-status-r4.

    ``kind``: handshake, heartbeat, event-notification, query-status or query-event. Numbers are strings, R4 has no
    integer64. ``content``: what is told of each event, where that is not as the subscription has it.
    """
    topic = TOPICS.get(subscription["criteria"])
    content = content or _content_of(subscription)
    rows: list[Resource] = [
        {"name": "subscription", "valueReference": {"reference": f"{base_url}/Subscription/{subscription['id']}"}}
    ]
    if topic is not None:
        rows.append({"name": "topic", "valueCanonical": topic.url})
    rows.append({"name": "status", "valueCode": subscription["status"]})
    rows.append({"name": "type", "valueCode": kind})
    rows.append({"name": "events-since-subscription-start", "valueString": str(events)})
    for event in happened:
        parts: list[Resource] = [
            {"name": "event-number", "valueString": str(event.number)},
            {"name": "timestamp", "valueInstant": event.at},
        ]
        if content != "empty":
            parts.append({"name": "focus", "valueReference": {"reference": f"{base_url}/{event.focus}"}})
            parts += [
                {"name": "additional-context", "valueReference": {"reference": f"{base_url}/{one}"}}
                for one in event.context
            ]
        rows.append({"name": "notification-event", "part": parts})
    if kind == "query-status" and subscription["status"] == "error":
        rows.append({"name": "error", "valueCodeableConcept": {"text": subscription.get("error", "")}})
    return {
        "resourceType": "Parameters",
        "id": str(uuid5(NAMESPACE_URL, f"{base_url}/{subscription['id']}/{kind}/{events}")),
        "meta": {"profile": [f"{_DEFINITION}backport-subscription-status-r4"]},
        "parameter": rows,
    }


def notification(
    base_url: str,
    subscription: Resource,
    kind: str,
    at: str,
    events: int,
    happened: Sequence[Happened] = (),
    *,
    content: str | None = None,
) -> bytes:
    """The Bundle (history) that a topic's subscriber is sent; the same arguments give the same bytes."""
    content = content or _content_of(subscription)
    status = status_of(base_url, subscription, kind, events, happened, content=content)
    path = f"Subscription/{subscription['id']}/$status"
    entries: list[Resource] = [
        {
            "fullUrl": f"urn:uuid:{status['id']}",
            "resource": status,
            "request": {"method": "GET", "url": f"{base_url}/{path}"},
            "response": {"status": "200"},
        }
    ]
    if content != "empty":
        entries += [_entry(base_url, event, full=content == "full-resource") for event in happened]
    return dumps(
        {
            "resourceType": "Bundle",
            "id": str(uuid5(NAMESPACE_URL, f"bundle {status['id']} {at}")),
            "meta": {"profile": [f"{_DEFINITION}backport-subscription-notification-r4"]},
            "type": "history",
            "timestamp": at,
            "entry": entries,
        }
    )


def _entry(base_url: str, event: Happened, *, full: bool) -> Resource:
    entry: Resource = {
        "fullUrl": f"{base_url}/{event.focus}",
        "request": {
            "method": "POST" if event.first else "PUT",
            "url": event.focus.partition("/")[0] if event.first else event.focus,
        },
        "response": {"status": "201" if event.first else "200"},
    }
    if full and event.body:
        entry["resource"] = orjson.Fragment(event.body)
    return entry


def _content_of(subscription: Resource) -> str | None:
    found: str | None = _extension(subscription["channel"].get("_payload"), _CONTENT, "valueCode")
    return found


def put_url(endpoint: str, focus: str) -> str:
    """Where a resource is put: below the endpoint, which is a FHIR base then (R4 subscription.html, rest-hook)."""
    return f"{endpoint.rstrip('/')}/{focus}"


def host_of(endpoint: str) -> str:
    """The endpoint's host, for logs and audit: the rest of it may hold a secret."""
    return urlsplit(endpoint).hostname or ""
