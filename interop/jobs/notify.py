"""notify: one event to one subscriber, until it has been taken.

2xx is taken. 410 ends the subscription. Any other 4xx, or a redirect, which is not followed, is a refusal that trying
again would not change: the subscription is in error. Silence, 5xx, 408, 425 and 429 are tried again, later each time,
until nothing has got through for so many days. The events of one resource keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from interop.access.agent import system_agent
from interop.access.endpoints import EndpointPrefix, EndpointRefusedError, endpoint_prefix
from interop.access.signatures import SIGNATURE_HEADER, signature, subscription_key
from interop.audit.event import Event
from interop.errors import ForbiddenError, UnavailableError
from interop.fhir.references import patient_of
from interop.fhir.subscriptions import Asked, Happened, asked_of, host_of, notification, put_url
from interop.jobs.runner import Backoff, Lane, LaterError, Outcome, UndeliverableError
from interop.store import Job, Store, Stored, Tx
from interop.workflow import subscriptions
from interop.workflow.subscriptions import Record

WITHOUT_END = Backoff(first=1.0, most=3600.0)
GIVE_UP = timedelta(days=3)
LEASE = 120.0  # outlasts the slowest answer that a subscription may wait for
_AGENT = system_agent("notifier")
_FHIR_JSON = "application/fhir+json"
_LATER = (408, 425, 429)  # request timeout, too early, too many requests


class Notifier(Protocol):
    """The wire to subscribers."""

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        may_connect: Callable[[str], bool],
        seconds: float,
    ) -> int:
        """The status of the answer; UnavailableError where none came, ForbiddenError for an address not allowed."""
        ...


@dataclass(frozen=True, slots=True)
class _Work:
    """What one delivery needs to know, of one moment."""

    record: Record
    subscription: dict[str, Any]
    focus: Stored
    events: int
    tired: bool  # nothing has got through for so long that it is given up


class Posts:
    """Requests to subscribers: allow-listed, signed, never redirected."""

    def __init__(self, notifier: Notifier, allowed: tuple[EndpointPrefix, ...], secret: bytes) -> None:
        self._notifier = notifier
        self._allowed = allowed
        self._secret = secret

    async def send(self, id: str, asked: Asked, method: str, url: str, body: bytes) -> int:
        """The status of the answer; UnavailableError where none came, ForbiddenError or EndpointRefusedError."""
        prefix = endpoint_prefix(url, self._allowed)
        headers = list(asked.headers)
        if body:
            headers.append(("Content-Type", asked.payload or _FHIR_JSON))
        headers.append((SIGNATURE_HEADER, signature(subscription_key(self._secret, id), body)))
        return await self._notifier.send(
            method, url, headers, body, may_connect=prefix.may_connect, seconds=asked.seconds
        )


def refusal_of(status: int) -> str | None:
    """Why trying again would change nothing; None where it might."""
    if 300 <= status < 400:
        return f"the endpoint answered {status}, a redirect, and redirects are not followed"
    if 400 <= status < 500 and status not in _LATER:
        return f"the endpoint answered {status}"
    return None


class NotifyJobs:
    """The handler of kind ``notify``."""

    def __init__(self, store: Store, posts: Posts, base_url: str, *, give_up: timedelta = GIVE_UP) -> None:
        self._store = store
        self._posts = posts
        self._base_url = base_url
        self._give_up = give_up

    def lane(self, backoff: Backoff = WITHOUT_END) -> Lane:
        """How it is run."""
        return Lane(self, lease=LEASE, backoff=backoff)

    async def __call__(self, job: Job) -> Outcome | None:
        """Deliver the event of the job."""
        work = await self._store.view(lambda tx: self._work(tx, job))
        if work is None:
            return None
        if work.record.status != "active":
            raise LaterError(f"Subscription/{work.record.id} begins anew").keeping(Outcome(_AGENT, _nothing), 2.0)
        if not subscriptions.may_read(work.record.owner, work.focus.resource()):
            return _told(work, job, "4", "its subscriber may not read this")
        asked = asked_of(work.subscription)
        method, url, body = self._rendered(work, asked, job)
        try:
            status = await self._posts.send(work.record.id, asked, method, url, body)
        except (EndpointRefusedError, ForbiddenError) as error:
            raise _failed(work, job, error.text) from error
        except UnavailableError as error:
            raise self._later(work, job, error.text) from error
        if 200 <= status < 300:
            return _told(work, job, "0", "delivered", subscriptions.note_success)
        if status == 410:
            return _told(work, job, "4", "the endpoint is gone (410)", subscriptions.stop)
        why = refusal_of(status)
        if why is not None:
            raise _failed(work, job, why)
        raise self._later(work, job, f"the endpoint answered {status}")

    def _work(self, tx: Tx, job: Job) -> _Work | None:
        """None where nobody is to be told any more; UndeliverableError where it waits for its subscription."""
        told = job.payload
        id = str(told["subscription"])
        stored = tx.read("Subscription", id)
        if stored is None or stored.deleted:
            return None
        subscription = stored.resource()
        record = subscriptions.record(tx, id)
        if record is None:
            if subscription["status"] == "error":
                raise UndeliverableError(f"Subscription/{id} is in error; it is owed again once that is requested anew")
            return None
        focus = tx.read(told["type"], told["id"], int(told["version"]))
        if focus is None or focus.deleted:
            return None
        since = subscriptions.failing_since(tx, id)
        tired = since is not None and tx.now - since >= self._give_up
        return _Work(record, subscription, focus, int(told["event"]), tired)

    def _rendered(self, work: _Work, asked: Asked, job: Job) -> tuple[str, str, bytes]:
        """Method, URL and body: the same for every attempt."""
        told = job.payload
        if asked.topic is None:
            if asked.payload is None:
                return "POST", asked.endpoint, b""
            return "PUT", put_url(asked.endpoint, work.focus.reference), work.focus.body
        context = tuple(told["context"])
        happened = Happened(
            work.events, told["at"], work.focus.reference, work.focus.version == 1, context, work.focus.body
        )
        body = notification(
            self._base_url, work.subscription, "event-notification", told["at"], work.events, [happened]
        )
        return "POST", asked.endpoint, body

    def _later(self, work: _Work, job: Job, why: str) -> LaterError | UndeliverableError:
        if work.tired:
            return _failed(work, job, f"{why}; nothing has got through for {self._give_up}")
        id = work.record.id
        return LaterError(why).keeping(Outcome(_AGENT, lambda tx: subscriptions.note_failure(tx, id)))


def _told(work: _Work, job: Job, outcome: str, what: str, also: Callable[[Tx, str], None] | None = None) -> Outcome:
    """An event of what became of it, in the commit that ends the job."""
    id = work.record.id

    def keep(tx: Tx) -> None:
        if also is not None:
            also(tx, id)
        tx.audit(
            Event(
                "notify",
                "notification",
                "R",
                outcome=outcome,
                patient=patient_of(work.focus.resource()),
                entity=f"{work.focus.reference}/_history/{work.focus.version}",
                detail=f"Subscription/{id} event {job.payload['event']} to {host_of(_endpoint(work))}: {what}",
            )
        )

    return Outcome(_AGENT, keep)


def _failed(work: _Work, job: Job, why: str) -> UndeliverableError:
    """The subscription is in error and the event a dead letter."""
    return UndeliverableError(why).keeping(_told(work, job, "8", why, lambda tx, id: subscriptions.fail(tx, id, why)))


def _endpoint(work: _Work) -> str:
    return str(work.subscription["channel"].get("endpoint", ""))


def _nothing(tx: Tx) -> None:
    return None
