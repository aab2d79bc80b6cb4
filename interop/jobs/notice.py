"""notice: one new version of a resource, held against every active subscription of its type.

The version itself is looked at, not what has become of it since, so that a status that lasted for a moment is told as
surely as one that lasts. What a subscription is told of gets its number; for a rest-hook it becomes a ``notify`` job of
its own, and sockets are told from the events that are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from logging import getLogger
from typing import Any

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import InteropError
from interop.fhir.matching import apart, meets
from interop.fhir.query import Clause, IndexRow, Query
from interop.fhir.references import patient_of
from interop.fhir.subscriptions import Asked, asked_of
from interop.fhir.topics import survivors
from interop.jobs.runner import Outcome
from interop.store import Job, Store, Stored, Tx
from interop.workflow import subscription_events, subscriptions
from interop.workflow.site import Site
from interop.workflow.subscription_events import Noted
from interop.workflow.subscriptions import Record

logger = getLogger(__name__)

LARGE = 128 * 1024  # bytes from which a body is read aside from the event loop
_AGENT = system_agent("notifier")
_MICROSECONDS = 1_000_000

IndexRows = Callable[[dict[str, Any], tzinfo], list[IndexRow]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    record: Record
    asked: Asked


@dataclass(frozen=True, slots=True)
class _Seen:
    """A version and the one before it."""

    stored: Stored
    before: Stored | None
    candidates: list[_Candidate]
    now: datetime


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A subscription that the version may be an event of."""

    record: Record
    asked: Asked
    allowed: bool  # whether its subscriber may read it
    rest: Query | None  # what is left to ask of the store, of the resource as it is now


class NoticeJobs:
    """The handler of kind ``notice``."""

    def __init__(self, store: Store, site: Site, index: IndexRows) -> None:
        self._store = store
        self._site = site
        self._index = index

    async def __call__(self, job: Job) -> Outcome | None:
        """Find whom the version is to be told."""
        type, id, version = job.payload["type"], job.payload["id"], int(job.payload["version"])
        seen = await self._store.view(lambda tx: _seen(tx, type, id, version))
        if seen is None:
            return None
        if len(seen.stored.body) > LARGE:
            chosen = await asyncio.to_thread(self._chosen, seen)
        else:
            chosen = self._chosen(seen)
        if any(one.rest is not None for one in chosen):
            chosen = await self._store.view(lambda tx: [one for one in chosen if _found(tx, seen.stored.id, one.rest)])
        return _outcome(seen, chosen) if chosen else None

    def _chosen(self, seen: _Seen) -> list[_Chosen]:
        """The subscriptions that it is an event of, and whether their subscribers may be told."""
        resource = seen.stored.resource()
        before = None if seen.before is None or seen.before.deleted else seen.before.resource()
        rows = self._index(resource, self._site.zone)
        changed = int(seen.stored.last_updated.timestamp() * 1000) * 1000
        chosen: list[_Chosen] = []
        for candidate in seen.candidates:
            asked = candidate.asked
            if asked.topic is not None and not asked.topic.happened(before, resource):
                continue
            try:
                query = subscriptions.query_of(asked, self._site, seen.now)
            except InteropError as error:  # a parameter that this version of the server has no more
                logger.warning(
                    "the criteria of Subscription/%s are not understood: %s", candidate.record.id, error.text
                )
                continue
            plain, rest = apart(query)
            if meets(plain, seen.stored.id, changed, rows):
                allowed = subscriptions.may_read(candidate.record.owner, resource)
                chosen.append(_Chosen(candidate.record, asked, allowed, rest))
        return chosen


def _seen(tx: Tx, type: str, id: str, version: int) -> _Seen | None:
    candidates: list[_Candidate] = []
    for record in subscriptions.records(tx):
        if record.type == type and record.status == "active" and not record.ended(tx.now):
            candidates.append(_Candidate(record, asked_of(tx.get("Subscription", record.id).resource())))
    if not candidates:
        return None
    stored = tx.read(type, id, version)
    if stored is None or stored.deleted:
        return None
    return _Seen(stored, tx.read(type, id, version - 1) if version > 1 else None, candidates, tx.now)


def _found(tx: Tx, id: str, rest: Query | None) -> bool:
    if rest is None:
        return True
    named = Clause("_id", "id", (id,))
    return bool(tx.search(Query(rest.type, (named, *rest.clauses), count=1)).rows)


def _outcome(seen: _Seen, chosen: list[_Chosen]) -> Outcome:
    stored = seen.stored
    resource = stored.resource()
    context = [one for one in survivors(resource) if one] if stored.type == "Patient" else []
    reference, patient = stored.reference, patient_of(resource)

    def keep(tx: Tx) -> None:
        for one in chosen:
            record = one.record
            if subscriptions.record(tx, record.id) is None:
                continue  # it ended meanwhile
            if not one.allowed:
                tx.audit(
                    Event(
                        "notify",
                        "notification",
                        "R",
                        outcome="4",
                        patient=patient,
                        entity=f"{reference}/_history/{stored.version}",
                        detail=f"Subscription/{record.id}: its subscriber may not read this",
                    )
                )
                continue
            _tell(tx, one, stored, patient, context)

    return Outcome(_AGENT, keep)


def _tell(tx: Tx, one: _Chosen, stored: Stored, patient: str | None, context: Sequence[str]) -> None:
    """Give the event its number; it is kept for whoever asks, and owed to a rest-hook."""
    id, at = one.record.id, stored.last_updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    number = subscriptions.next_event(tx, id)
    if one.asked.topic is not None or one.asked.channel == "websocket":
        event = Noted(number, stored.type, stored.id, stored.version, at, patient, tuple(context))
        subscription_events.note(tx, id, event)
    if one.asked.channel == "rest-hook":
        told = {
            "subscription": id,
            "event": number,
            "type": stored.type,
            "id": stored.id,
            "version": stored.version,
            "at": at,
            "context": context,
        }
        tx.enqueue("notify", f"{id}:{stored.reference}", told)
