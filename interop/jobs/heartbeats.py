"""heartbeat: tells a topic's rest-hook now and then that there is nothing to tell (Subscriptions R5 Backport 1.1).

One is sent once so many seconds have passed without an event and without another heartbeat. It is not tried again: the
next one says the same. What its endpoint answers counts as with an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from interop.access.agent import system_agent
from interop.access.endpoints import EndpointRefusedError
from interop.audit.event import Event
from interop.errors import ForbiddenError, UnavailableError
from interop.fhir.subscriptions import Asked, asked_of, host_of, notification
from interop.jobs.notify import GIVE_UP, LEASE, Posts, refusal_of
from interop.jobs.runner import Lane, Outcome
from interop.store import Job, Store, Stored, Tx
from interop.workflow import subscription_events, subscriptions

_AGENT = system_agent("notifier")


@dataclass(frozen=True, slots=True)
class _Beat:
    """What a heartbeat needs to know, of one moment."""

    subscription: Stored
    asked: Asked
    period: timedelta
    events: int
    quiet: datetime  # since when nothing was told
    now: datetime
    tired: bool


def owe(tx: Tx, id: str, version: int, since: datetime, period: timedelta) -> None:
    """The next heartbeat of this version of a subscription, to which nothing was told since then."""
    told = {"subscription": id, "version": version, "since": since.isoformat()}
    tx.enqueue("heartbeat", id, told, run_at=since + period)


class HeartbeatJobs:
    """The handler of kind ``heartbeat``."""

    def __init__(self, store: Store, posts: Posts, base_url: str) -> None:
        self._store = store
        self._posts = posts
        self._base_url = base_url

    def lane(self) -> Lane:
        """How it is run."""
        return Lane(self, lease=LEASE)

    async def __call__(self, job: Job) -> Outcome | None:
        """Send the heartbeat of the job, unless there was an event, and owe the next one."""
        id, version = str(job.payload["subscription"]), int(job.payload["version"])
        beat = await self._store.view(lambda tx: _beat(tx, job, id, version))
        if beat is None:
            return None
        if beat.quiet + beat.period > beat.now:
            return Outcome(_AGENT, lambda tx: _next(tx, id, version, beat.quiet, beat.period))
        at = beat.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = notification(self._base_url, beat.subscription.resource(), "heartbeat", at, beat.events)
        try:
            status = await self._posts.send(id, beat.asked, "POST", beat.asked.endpoint, body)
        except (EndpointRefusedError, ForbiddenError) as error:
            return _failed(id, beat, error.text)
        except UnavailableError as error:
            return _missed(id, version, beat, error.text)
        if 200 <= status < 300:
            return Outcome(_AGENT, lambda tx: _taken(tx, id, version, beat))
        if status == 410:
            return _ended(id, beat, "4", "the endpoint is gone (410)", lambda tx: subscriptions.stop(tx, id))
        why = refusal_of(status)
        if why is not None:
            return _failed(id, beat, why)
        return _missed(id, version, beat, f"the endpoint answered {status}")


def _beat(tx: Tx, job: Job, id: str, version: int) -> _Beat | None:
    """None where this version runs no more."""
    record = subscriptions.record(tx, id)
    if record is None or record.version != version or record.status != "active":
        return None
    stored = tx.get("Subscription", id)
    asked = asked_of(stored.resource())
    if asked.heartbeat is None:
        return None
    events = subscriptions.events(tx, id)
    quiet = datetime.fromisoformat(str(job.payload["since"]))
    for last in subscription_events.noted(tx, id, events, events):
        quiet = max(quiet, datetime.fromisoformat(last.at))
    failing = subscriptions.failing_since(tx, id)
    tired = failing is not None and tx.now - failing >= GIVE_UP
    return _Beat(stored, asked, timedelta(seconds=asked.heartbeat), events, quiet, tx.now, tired)


def _next(tx: Tx, id: str, version: int, since: datetime, period: timedelta) -> None:
    record = subscriptions.record(tx, id)
    if record is not None and record.version == version:
        owe(tx, id, version, since, period)


def _taken(tx: Tx, id: str, version: int, beat: _Beat) -> None:
    subscriptions.note_success(tx, id)
    _next(tx, id, version, tx.now, beat.period)


def _missed(id: str, version: int, beat: _Beat, why: str) -> Outcome:
    if beat.tired:
        return _failed(id, beat, f"{why}; nothing has got through for {GIVE_UP}")

    def keep(tx: Tx) -> None:
        subscriptions.note_failure(tx, id)
        _next(tx, id, version, tx.now, beat.period)

    return Outcome(_AGENT, keep)


def _failed(id: str, beat: _Beat, why: str) -> Outcome:
    return _ended(id, beat, "8", why, lambda tx: subscriptions.fail(tx, id, why))


def _ended(id: str, beat: _Beat, outcome: str, why: str, end: Callable[[Tx], None]) -> Outcome:
    def keep(tx: Tx) -> None:
        end(tx)
        detail = f"{host_of(beat.asked.endpoint)}: {why}"
        tx.audit(Event("notify", "heartbeat", "E", outcome=outcome, entity=f"Subscription/{id}", detail=detail))

    return Outcome(_AGENT, keep)
