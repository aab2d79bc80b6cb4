"""What a websocket is sent: read, audited and committed before the first byte of it leaves.

Nothing waits in memory: the events are in the database, and a socket knows the number up to which it was told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from interop.access import Agent
from interop.audit.event import Event
from interop.errors import ForbiddenError, InteropError, NotFoundError, RefusedError
from interop.fhir.primitives import valid_id
from interop.fhir.subscriptions import Asked, Happened, asked_of, notification
from interop.store import Store, Stored, Tx
from interop.workflow import subscription_events, subscriptions

T = TypeVar("T")
Stand = tuple[str, str | None]  # of a subscription: workflow.subscriptions.stands

UNSEEN: Stand = ("", None)  # as none stands
AT_ONCE = 16  # events that are read together
MOST_BYTES = 1024 * 1024  # of their resources; one that is larger comes alone


class Granted(Protocol):
    """What a binding token allows."""

    @property
    def agent(self) -> Agent: ...
    @property
    def subscriptions(self) -> tuple[str, ...]: ...


class Bindings(Protocol):
    """Who gave out the binding tokens: ``interop.auth.bindings``."""

    def redeem(self, tx: Tx, token: str) -> Granted:
        """What the token allows, which it never does again; UnauthenticatedError if it is none, used or too old."""
        ...


class EndedError(NotFoundError):
    """The subscription runs no more."""


class BehindError(RefusedError):
    """Events were forgotten before the socket took them."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A subscription of a socket."""

    id: str
    agent: Agent  # who is told, and when that ends
    told: int  # the number of the last event that the socket was told of, or that is not for it
    stand: Stand | None  # of the subscription, when that was so
    seconds: float  # that a frame may take
    heartbeat: int | None


@dataclass(frozen=True, slots=True)
class Letter:
    """Frames that are due, and the binding once they are sent."""

    bound: Bound
    frames: tuple[str, ...]
    more: bool = False  # whether more is due


class Letters:
    """Reads and renders."""

    def __init__(self, store: Store, bindings: Bindings, base_url: str) -> None:
        self._store = store
        self._bindings = bindings
        self._base_url = base_url

    async def bind(self, agent: Agent, id: str) -> list[Letter]:
        """The first answer of a subscription; an InteropError where it cannot be bound, which is audited."""

        def work(tx: Tx) -> list[Letter] | InteropError:
            return [self._first(tx, id)]

        return _or_raise(await self._store.unit(agent, work, refused=lambda tx, error: _refused(tx, id, error)))

    async def bind_with_token(self, agent: Agent, token: str) -> list[Letter]:
        """The first answers of a token's subscriptions; an InteropError, audited, where they cannot be bound."""
        granted = await self._store.unit(agent, lambda tx: self._granted(tx, agent, token), refused=_not_granted)
        found = _or_raise(granted)
        whole = replace(found.agent, address=agent.address, request_id=agent.request_id)

        def work(tx: Tx) -> list[Letter] | InteropError:
            return [self._first(tx, id) for id in found.subscriptions]

        ids = found.subscriptions
        return _or_raise(await self._store.unit(whole, work, refused=lambda tx, error: _refused(tx, ids[0], error)))

    def _granted(self, tx: Tx, agent: Agent, token: str) -> Granted | InteropError:
        found = self._bindings.redeem(tx, token)
        if (found.agent.who, found.agent.client) != (agent.who, agent.client):
            raise ForbiddenError("the token was given to another")
        return found

    def _first(self, tx: Tx, id: str) -> Letter:
        _, stored = subscriptions.bindable(tx, id)
        asked, count = asked_of(stored.resource()), subscriptions.events(tx, id)
        tx.audit(Event("notify", "bind", "E", entity=f"Subscription/{id}", detail=f"after event {count}"))
        bound = Bound(id, tx.agent, count, UNSEEN, asked.seconds, asked.heartbeat)
        return Letter(bound, (self._said(tx, stored, asked, "handshake") or f"bound {id}",))

    def _said(self, tx: Tx, stored: Stored, asked: Asked, kind: str) -> str:
        """A notification without events; none where it is not a topic that is subscribed to."""
        if asked.topic is None:
            return ""
        at = tx.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        count = subscriptions.events(tx, stored.id)
        return notification(self._base_url, stored.resource(), kind, at, count).decode()

    async def heartbeat(self, bound: Bound) -> Letter:
        """That there is nothing; EndedError where the subscription runs no more."""

        def look(tx: Tx) -> Letter:
            stored, asked = _running(tx, bound.id)
            said = self._said(tx, stored, asked, "heartbeat")
            return Letter(replace(bound, heartbeat=asked.heartbeat), (said,) if said else ())

        return await self._store.view(look)

    async def due(self, bound: Bound, stand: Stand | None) -> Letter:
        """What happened since; EndedError where the subscription runs no more, BehindError where some of it is lost."""

        def work(tx: Tx) -> Letter:
            stored, asked = _running(tx, bound.id)
            count = subscriptions.events(tx, bound.id)
            last = min(count, bound.told + AT_ONCE)
            events = subscription_events.noted(tx, bound.id, bound.told + 1, last) if last > bound.told else []
            if last > bound.told and (not events or events[0].number > bound.told + 1):
                raise BehindError(f"more than {subscription_events.KEPT} events behind")
            full = asked.topic is not None and asked.content == "full-resource"
            told, reached = subscription_events.given_out(
                tx, bound.id, events, full=full, most=MOST_BYTES, way="by websocket"
            )
            frames = tuple(self._told(stored, asked, event) for event in told)
            reached = max(reached, bound.told)
            after = replace(bound, told=reached, stand=stand, seconds=asked.seconds, heartbeat=asked.heartbeat)
            return Letter(after, frames, more=reached < count)

        return await self._store.unit(bound.agent, work)

    def _told(self, stored: Stored, asked: Asked, event: Happened) -> str:
        if asked.topic is None:
            return f"ping {stored.id}"
        kind = "event-notification"
        return notification(self._base_url, stored.resource(), kind, event.at, event.number, [event]).decode()


def _running(tx: Tx, id: str) -> tuple[Stored, Asked]:
    stored = tx.read("Subscription", id)
    if subscriptions.record(tx, id) is None or stored is None or stored.deleted:
        raise EndedError(f"Subscription/{id} has ended")
    asked = asked_of(stored.resource())
    if asked.channel != "websocket":
        raise EndedError(f"Subscription/{id} has another channel now")
    return stored, asked


def _refused(tx: Tx, id: str, error: InteropError) -> InteropError:
    entity = f"Subscription/{id}" if valid_id(id) else None
    tx.audit(Event("notify", "bind", "E", outcome="4", entity=entity, detail=f"{error.status} {error.issue_code}"))
    return error


def _not_granted(tx: Tx, error: InteropError) -> InteropError:
    return _refused(tx, "", error)


def _or_raise(result: T | InteropError) -> T:
    if isinstance(result, InteropError):
        raise result
    return result
