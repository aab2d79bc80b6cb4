"""subscription: lets one begin, once every process watches its type, and ends one whose time is over.

A subscription to a topic begins with a handshake (Subscriptions R5 Backport guide 1.1): its endpoint has to take it.
One by websocket begins by itself, and each socket has a handshake of its own when it is bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from logging import getLogger

from interop.access.agent import system_agent
from interop.access.endpoints import EndpointRefusedError
from interop.audit.event import Event
from interop.errors import ForbiddenError, InteropError, UnavailableError
from interop.fhir.subscriptions import Asked, asked_of, host_of, notification
from interop.jobs import heartbeats
from interop.jobs.notice import IndexRows, NoticeJobs
from interop.jobs.notify import LEASE, Notifier, NotifyJobs, Posts, refusal_of
from interop.jobs.runner import Backoff, Lane, Outcome, UndeliverableError
from interop.store import Job, Store, Stored, Tx
from interop.workflow import subscriptions
from interop.workflow.site import Site

logger = getLogger(__name__)

PATIENCE = timedelta(minutes=10)  # with an endpoint that does not take its handshake
LOOK_SECONDS = 1.0
_AGENT = system_agent("notifier")


async def keep_watching(store: Store) -> None:
    """Renew, for ever, what this process knows of the watched types."""
    while True:
        try:
            await store.look_for_watchers(subscriptions.watched_types)
        except InteropError as error:  # the answer grows old, and every write owes a notice until there is another
            logger.warning("not known who has subscribed: %s", error.text)
        await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def watching(store: Store) -> AsyncIterator[asyncio.Task[None]]:
    """The same as a task while the context lasts: every role writes, so every process has to know."""
    await store.look_for_watchers(subscriptions.watched_types)  # before anything is written
    task = asyncio.create_task(keep_watching(store), name="subscribers")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def notifying_lanes(store: Store, site: Site, index: IndexRows, notifier: Notifier, secret: bytes) -> dict[str, Lane]:
    """The lanes of subscriptions: what happened, to whom it is told, and who begins or ends to be told."""
    base_url = f"{site.public_url}/fhir"
    posts = Posts(notifier, site.endpoints, secret)
    return {
        "notice": Lane(NoticeJobs(store, site, index)),
        "notify": NotifyJobs(store, posts, base_url).lane(),
        "subscription": SubscriptionJobs(store, posts, base_url).lane(),
        "heartbeat": heartbeats.HeartbeatJobs(store, posts, base_url).lane(),
    }


class SubscriptionJobs:
    """The handler of kind ``subscription``."""

    def __init__(self, store: Store, posts: Posts, base_url: str, *, patience: timedelta = PATIENCE) -> None:
        self._store = store
        self._posts = posts
        self._base_url = base_url
        self._patience = patience

    def lane(self) -> Lane:
        """How it is run."""
        return Lane(self, lease=LEASE, backoff=Backoff(first=1.0, most=60.0))

    async def __call__(self, job: Job) -> Outcome | None:
        """Begin or end the subscription of the job, if it is still what was asked for."""
        id, version = str(job.payload["subscription"]), int(job.payload["version"])
        if job.payload["do"] == "end":
            return Outcome(_AGENT, lambda tx: _end(tx, id, version))
        found = await self._store.view(lambda tx: _waiting(tx, id, version))
        if found is None:
            return None
        stored, events = found
        asked = asked_of(stored.resource())
        if asked.topic is not None and asked.channel == "rest-hook":
            await self._shake_hands(stored, asked, events, job)
        return Outcome(_AGENT, lambda tx: _begin(tx, id, version, asked))

    async def _shake_hands(self, stored: Stored, asked: Asked, events: int, job: Job) -> None:
        """Returns once the endpoint has taken the handshake."""
        at = stored.last_updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = notification(self._base_url, stored.resource(), "handshake", at, events)
        try:
            status = await self._posts.send(stored.id, asked, "POST", asked.endpoint, body)
        except (EndpointRefusedError, ForbiddenError) as error:
            raise _failed(stored.id, asked, error.text) from error
        except UnavailableError as error:
            raise self._later(stored.id, asked, error.text, job) from error
        if 200 <= status < 300:
            return
        why = refusal_of(status)
        if why is not None:
            raise _failed(stored.id, asked, why)
        raise self._later(stored.id, asked, f"the endpoint answered {status}", job)

    def _later(self, id: str, asked: Asked, why: str, job: Job) -> InteropError:
        if datetime.now(UTC) - job.created >= self._patience:
            return _failed(id, asked, why)
        return UnavailableError(why)


def _waiting(tx: Tx, id: str, version: int) -> tuple[Stored, int] | None:
    record = subscriptions.record(tx, id)
    if record is None or record.version != version or record.status != "requested":
        return None
    return tx.get("Subscription", id), subscriptions.events(tx, id)


def _begin(tx: Tx, id: str, version: int, asked: Asked) -> None:
    if subscriptions.activate(tx, id, version):
        _audit(tx, id, asked, "0", "active")
        if asked.heartbeat is not None and asked.channel == "rest-hook":
            heartbeats.owe(tx, id, version, tx.now, timedelta(seconds=asked.heartbeat))


def _end(tx: Tx, id: str, version: int) -> None:
    record = subscriptions.record(tx, id)
    if record is not None and record.version == version:
        subscriptions.stop(tx, id)


def _failed(id: str, asked: Asked, why: str) -> UndeliverableError:
    text = f"no handshake: {why}"

    def keep(tx: Tx) -> None:
        subscriptions.fail(tx, id, text)
        _audit(tx, id, asked, "8", text)

    return UndeliverableError(text).keeping(Outcome(_AGENT, keep))


def _audit(tx: Tx, id: str, asked: Asked, outcome: str, what: str) -> None:
    shaken = asked.topic is not None and asked.channel == "rest-hook"
    subtype, whom = ("handshake" if shaken else "subscription"), host_of(asked.endpoint) or asked.channel
    detail = f"{whom}: {what}"
    tx.audit(Event("notify", subtype, "E", outcome=outcome, entity=f"Subscription/{id}", detail=detail))
