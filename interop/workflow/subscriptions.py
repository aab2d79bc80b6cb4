"""Subscriptions: what may be asked for, when one begins, and when it ends.

requested -> active -> off (its end, its client, 410 Gone) or error (it cannot be served). What runs is a record beside
the resource, with the agent who asked: what is sent is what that agent may read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from interop.access import Agent, decide
from interop.access.endpoints import EndpointRefusedError, endpoint_prefix
from interop.errors import InvalidContentError, NotFoundError, RefusedError, UnsupportedError
from interop.fhir.query import Query, leads_away
from interop.fhir.references import patient_of
from interop.fhir.search import parse_query
from interop.fhir.subscriptions import Asked, asked_of
from interop.store import Stored, Tx
from interop.workflow import subscription_events
from interop.workflow.site import Site

Resource = dict[str, Any]

SETTLE = timedelta(seconds=3)  # until every process watches the type; longer than FRESH_SECONDS of the store
_RUNNING = ("requested", "active")
_PREFIX = "subscription:"
_EVENTS = "subscription-events:"
_FAILING = "subscription-failing:"


@dataclass(frozen=True, slots=True)
class Record:
    """A subscription that runs, or is about to."""

    id: str
    version: int  # of the Subscription when it was asked for
    type: str
    status: str  # requested | active
    owner: Agent
    end: str | None = None

    def ended(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.end is not None and datetime.fromisoformat(self.end) <= now


def create(tx: Tx, site: Site, resource: Resource, *, id: str | None = None) -> Stored:
    """Store a new subscription and, unless it is ``off``, let it begin."""
    if resource["status"] not in ("requested", "off"):
        raise InvalidContentError(
            "a new subscription is requested; the server makes it active",
            expression="Subscription.status",
            issue_code="value",
        )
    _check(tx, site, resource)
    stored = tx.create(_without_error(resource), id=id)
    if resource["status"] == "requested":
        _begin(tx, stored)
    return stored


def update(tx: Tx, site: Site, present: Stored, resource: Resource) -> Stored:
    """Store the next version: ``requested`` lets it begin anew, ``off`` ends it."""
    before = present.resource()
    status = resource["status"]
    if status in ("active", "error"):
        told = ("criteria", "_criteria", "channel", "end", "status")
        if any(before.get(name) != resource.get(name) for name in told):
            raise InvalidContentError(
                f"a client sets requested or off; {status} is the server's to say",
                expression="Subscription.status",
                issue_code="value",
            )
        return tx.update(resource)
    _check(tx, site, resource)
    stored = tx.update(_without_error(resource))
    if status == "off":
        _forget(tx, stored.id)
    elif stored.version != present.version or before["status"] != "requested":
        _begin(tx, stored)
    return stored


def delete(tx: Tx, id: str) -> Stored:
    """End it for good."""
    stored = tx.delete("Subscription", id)
    _forget(tx, id)
    tx.set_state(_EVENTS + id, None)
    subscription_events.forget(tx, id)
    return stored


def activate(tx: Tx, id: str, version: int) -> bool:
    """From requested to active, if that is what was asked last; whatever it had failed to deliver is owed again."""
    record = _locked(tx, id)
    if record is None or record.version != version or record.status != "requested":
        return False
    tx.update({**tx.get("Subscription", id).resource(), "status": "active"})
    _keep(tx, replace(record, status="active"))
    tx.replay_jobs("notify", f"{id}:")
    tx.hasten_jobs("notify", f"{id}:")
    return True


def fail(tx: Tx, id: str, why: str) -> None:
    """It cannot be served: ``error``, with the reason where its client reads it."""
    if _locked(tx, id) is not None:
        tx.update({**tx.get("Subscription", id).resource(), "status": "error", "error": why})
        _forget(tx, id)


def stop(tx: Tx, id: str) -> None:
    """Its end has come, or its receiver has said that it is gone."""
    if _locked(tx, id) is not None:
        tx.update({**tx.get("Subscription", id).resource(), "status": "off"})
        _forget(tx, id)


def record(tx: Tx, id: str) -> Record | None:
    """What runs under this id."""
    found = tx.get_state(_PREFIX + id)
    return None if found is None else _read(found)


def records(tx: Tx) -> list[Record]:
    """All that run."""
    return [_read(value) for _, value in tx.states(_PREFIX)]


def stands(tx: Tx) -> dict[str, tuple[str, str | None]]:
    """By id of each that runs, what changes whenever there is something to tell: its record and its count of events."""
    counts = {name.removeprefix(_EVENTS): value for name, value in tx.states(_EVENTS)}
    running = ((name.removeprefix(_PREFIX), value) for name, value in tx.states(_PREFIX))
    return {id: (value, counts.get(id)) for id, value in running}


def watched_types(tx: Tx) -> Iterable[str]:
    """The types whose versions somebody is to be told of."""
    return {record.type for record in records(tx)}


def query_of(asked: Asked, site: Site, now: datetime) -> Query:
    """The criteria as a search; UnsupportedError for any that this server does not know."""
    query = parse_query(asked.type, asked.search, site.zone, base_url=f"{site.public_url}/fhir", now=now)
    if query.includes or leads_away(query):
        raise UnsupportedError("criteria are about the resource itself: no chains, no _has, no _include")
    return query


def may_read(owner: Agent, resource: Resource) -> bool:
    """Whether the subscriber may be told of this resource."""
    return subscription_events.may_be_told(owner, resource["resourceType"], patient_of(resource))


def bindable(tx: Tx, id: str) -> tuple[Record, Stored]:
    """A subscription by websocket that runs, for an agent who may be told of what it is about.

    ForbiddenError, or NotFoundError in the same words for one that there is not, has ended or has another channel.
    """
    decide(tx.agent, "r", "Subscription")
    found = record(tx, id)
    stored = tx.read("Subscription", id) if found is not None else None
    if found is None or stored is None or stored.deleted or asked_of(stored.resource()).channel != "websocket":
        raise NotFoundError(f"no subscription by websocket runs as Subscription/{id[:64]}")
    own = f"Patient/{tx.agent.patient}" if tx.agent.patient else None
    decide(tx.agent, "r", found.type, patient=own)
    return found, stored


def next_event(tx: Tx, id: str) -> int:
    """The number of the subscription's next event, without gaps."""
    tx.lock(_EVENTS + id)
    number = events(tx, id) + 1
    tx.set_state(_EVENTS + id, str(number))
    return number


def events(tx: Tx, id: str) -> int:
    """How many events it has had."""
    return int(tx.get_state(_EVENTS + id) or "0")


def failing_since(tx: Tx, id: str) -> datetime | None:
    """Since when nothing could be delivered to it."""
    found = tx.get_state(_FAILING + id)
    return None if found is None else datetime.fromisoformat(found)


def note_failure(tx: Tx, id: str) -> None:
    """Something could not be delivered now."""
    if tx.get_state(_FAILING + id) is None:
        tx.set_state(_FAILING + id, tx.now.isoformat())


def note_success(tx: Tx, id: str) -> None:
    """Something was delivered; what waits for the receiver goes out now, whatever its pause had grown to."""
    if tx.get_state(_FAILING + id) is not None:
        tx.set_state(_FAILING + id, None)
        tx.hasten_jobs("notify", f"{id}:")


def _check(tx: Tx, site: Site, resource: Resource) -> None:
    """Whether it can be served, and the agent may read what it asks for."""
    asked = asked_of(resource)
    try:
        query_of(asked, site, tx.now)
    except UnsupportedError as error:
        raise UnsupportedError(error.text, expression="Subscription.criteria", status=422) from error
    if asked.channel == "rest-hook":
        try:
            endpoint_prefix(asked.endpoint, site.endpoints)
        except EndpointRefusedError as error:
            raise RefusedError(error.text, expression="Subscription.channel.endpoint") from error
    own = f"Patient/{tx.agent.patient}" if tx.agent.patient else None
    decide(tx.agent, "r", asked.type, patient=own)
    end = resource.get("end")
    if end is not None and resource["status"] == "requested" and datetime.fromisoformat(end) <= tx.now:
        raise InvalidContentError("its end has passed", expression="Subscription.end", issue_code="value")


def _begin(tx: Tx, stored: Stored) -> None:
    resource = stored.resource()
    owner = replace(tx.agent, name=None, address=None, token_id=None, request_id=None, expires=None)
    end = resource.get("end")
    _keep(tx, Record(stored.id, stored.version, asked_of(resource).type, "requested", owner, end))
    tx.set_state(_FAILING + stored.id, None)
    told = {"subscription": stored.id, "version": stored.version}
    tx.enqueue("subscription", f"{stored.id}:{stored.version}", {"do": "begin", **told}, run_at=tx.now + SETTLE)
    if end is not None:
        at = datetime.fromisoformat(end)
        tx.enqueue("subscription", f"{stored.id}:{stored.version}:end", {"do": "end", **told}, run_at=at)


def _locked(tx: Tx, id: str) -> Record | None:
    tx.lock(f"Subscription/{id}")
    return record(tx, id)


def _forget(tx: Tx, id: str) -> None:
    tx.set_state(_PREFIX + id, None)
    tx.set_state(_FAILING + id, None)


def _keep(tx: Tx, one: Record) -> None:
    owner = {
        name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(one.owner).items()
    }
    row = {"id": one.id, "version": one.version, "type": one.type, "status": one.status, "end": one.end}
    tx.set_state(_PREFIX + one.id, json.dumps({**row, "owner": owner}))


def _read(text: str) -> Record:
    row = json.loads(text)
    owner = row.pop("owner")
    lists = {name: frozenset(value) for name, value in owner.items() if isinstance(value, list)}
    kept: dict[str, Any] = {**owner, **lists}
    return Record(owner=Agent(**kept), **row)


def _without_error(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name != "error"}
