"""The last events of each subscription, by number: for sockets to be told from, and for clients that were away.

An event is the name of a version, not its content: whoever is told reads that version when it is told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from interop.access import Agent, decide
from interop.audit.event import Event
from interop.errors import ForbiddenError
from interop.fhir.subscriptions import Happened
from interop.store import Tx

KEPT = 1000  # events of one subscription; older ones are forgotten as new ones come
_LOG = "subscription-event:"
_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Noted:
    """One event of a subscription."""

    number: int
    type: str
    id: str
    version: int
    at: str  # instant
    patient: str | None  # whose the resource was then: Patient/x
    context: tuple[str, ...] = ()

    @property
    def focus(self) -> str:
        """``Type/id``."""
        return f"{self.type}/{self.id}"


def note(tx: Tx, subscription: str, event: Noted) -> None:
    """Keep an event, and forget the one that is too many."""
    row = [event.type, event.id, event.version, event.at, event.patient, event.context]
    tx.set_state(_name(subscription, event.number), json.dumps(row))
    if event.number > KEPT:
        tx.set_state(_name(subscription, event.number - KEPT), None)


def noted(tx: Tx, subscription: str, first: int, last: int) -> list[Noted]:
    """The events that are kept of those with the numbers from ``first`` to ``last``."""
    rows = tx.states_between(_name(subscription, max(first, 0)), _name(subscription, last))
    return [_read(int(name.rpartition(":")[2]), value) for name, value in rows]


def forget(tx: Tx, subscription: str) -> None:
    """All of them: the subscription was deleted."""
    for name, _ in tx.states(f"{_LOG}{subscription}:"):
        tx.set_state(name, None)


def given_out(
    tx: Tx, subscription: str, events: list[Noted], *, full: bool, most: int, way: str
) -> tuple[list[Happened], int]:
    """Those of the events that the agent of the unit may read, each audited, refusals too; and the last one's number.

    ``full``: with the versions themselves, until they are ``most`` bytes together; the rest is left for another time.
    """
    told: list[Happened] = []
    size = last = 0
    for event in events:
        allowed = may_be_told(tx.agent, event.type, event.patient)
        body = b""
        if allowed and full:
            stored = tx.read(event.type, event.id, event.version)
            body = b"" if stored is None or stored.deleted else stored.body
            if size and size + len(body) > most:
                break
            size += len(body)
        _audit(tx, subscription, event, way, allowed)
        if allowed:
            told.append(Happened(event.number, event.at, event.focus, event.version == 1, event.context, body))
        last = event.number
    return told, last


def may_be_told(agent: Agent, type: str, patient: str | None) -> bool:
    """Whether the agent may read a resource of this type and this patient."""
    try:
        decide(agent, "r", type, patient=patient)
    except ForbiddenError:
        return False
    return True


def _audit(tx: Tx, subscription: str, event: Noted, way: str, allowed: bool) -> None:
    detail = f"Subscription/{subscription} event {event.number} {way}"
    tx.audit(
        Event(
            "notify",
            "notification",
            "R",
            outcome="0" if allowed else "4",
            patient=event.patient,
            entity=f"{event.focus}/_history/{event.version}",
            detail=detail if allowed else f"{detail}: whoever asks may not read this",
        )
    )


def _name(subscription: str, number: int) -> str:
    return f"{_LOG}{subscription}:{number:0{_DIGITS}d}"


def _read(number: int, text: str) -> Noted:
    type, id, version, at, patient, context = json.loads(text)
    return Noted(number, type, id, version, at, patient, tuple(context))
