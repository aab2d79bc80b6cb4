"""Steering messages: every act in one unit of work, in the name of whoever asked for it.

replay   a message that came in is carried out again; refused ones, that is: one that was answered AA stays as it is
resend   a message of ours is owed again with the same bytes; one that is owed already is tried now
drop     a message of ours that waits or is dead is given up; it is kept, and marked
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from interop.access import Agent
from interop.audit import Event
from interop.errors import ForbiddenError, InteropError, InvalidContentError, NotFoundError
from interop.hl7.message import Message, parse
from interop.store import MessageLine, MessageLink, MessageQuery, MessageRow, Store, Tx
from interop.workflow import messages, outbox
from interop.workflow.messages import Reply
from interop.workflow.site import Site

VERBS = ("replay", "resend", "drop")
_LARGE = 200_000  # bytes; reading more than this takes longer than the event loop may be kept


@dataclass(frozen=True, slots=True)
class Done:
    """A message after an act."""

    id: int
    state: str
    ack_code: str | None
    text: str  # what happened, in words

    @property
    def good(self) -> bool:
        """Whether it is as whoever asked wanted it."""
        return self.state != "refused"


class Steering:
    """The acts."""

    def __init__(self, store: Store, site: Site) -> None:
        self._store = store
        self._site = site

    async def find(self, agent: Agent, query: MessageQuery, text: str) -> list[MessageLine]:
        """The messages that are asked for; ``text`` is the question as the audit trail keeps it."""

        def work(tx: Tx) -> list[MessageLine]:
            tx.audit(Event("steering", "list", "E", query=text))
            return tx.list_messages(query)

        return await self._store.unit(agent, work)

    async def read(self, agent: Agent, id: int) -> MessageRow:
        """One message with its bytes and its links; NotFoundError if there is none of this number."""

        def work(tx: Tx) -> MessageRow:
            row = _one(tx, id)
            tx.audit(_event(tx, row, "show", "R"))
            return replace(row, links=_links(tx, row))

        return await self._store.unit(agent, work)

    async def act(self, verb: str, agent: Agent, id: int) -> Done:
        """Replay, resend or drop; an InteropError says why it is not to be."""
        if verb == "replay":
            return await self._replay(agent, id)
        act: Callable[[Tx, MessageRow], None] = {"resend": outbox.resend, "drop": outbox.drop}[verb]

        def work(tx: Tx) -> Done:
            row = _one(tx, id)
            act(tx, row)
            tx.audit(_event(tx, row, verb, "U"))
            after = _one(tx, id)
            return Done(id, after.state, after.ack_code, f"was {row.state}, is {after.state}")

        return await self._store.unit(agent, work)

    async def _replay(self, agent: Agent, id: int) -> Done:
        row = await self._store.view(lambda tx: _one(tx, id))
        _check_replayable(row)
        message = await self._read(row)
        sender = f"{row.application}|{row.facility}"
        peer = Agent(who=sender, kind="peer", client="replay", address=row.peer, request_id=row.control_id)

        def work(tx: Tx) -> Reply:
            reply = messages.receive_again(tx, self._site, message, row)
            tx.audit(_event(tx, _one(tx, id), "replay", "U"), by=agent)
            return reply

        def refused(tx: Tx, error: InteropError) -> Reply:
            reply = messages.refuse_again(tx, self._site, message, row, error)
            tx.audit(_event(tx, row, "replay", "U", outcome="4"), by=agent)
            return reply

        reply = await self._store.unit(peer, work, refused=refused)
        if reply.repeated:
            return Done(id, "received", reply.code, "was carried out already, and stays as it is")
        if reply.code == "AA":
            return Done(id, "received", reply.code, "carried out")
        why = "; ".join(f"{issue.location or ''} {issue.text}".strip() for issue in reply.issues[:1])
        return Done(id, "refused", reply.code, f"refused again: {why}")

    async def _read(self, row: MessageRow) -> Message:
        if len(row.raw) > _LARGE:
            return await asyncio.to_thread(messages.read, self._site, row.raw)
        return messages.read(self._site, row.raw)


def _check_replayable(row: MessageRow) -> None:
    if row.direction != "in":
        raise InvalidContentError(f"message {row.id} went out: it can be sent again, not replayed")
    if row.type.startswith("fault "):
        raise InvalidContentError(f"message {row.id} is no whole message ({row.type}): its sender has to send it again")
    if not row.control_id:
        raise InvalidContentError(f"message {row.id} is no message: these bytes had no header to answer to")
    stranger = any(one.get("code") == "forbidden" and one.get("location") == "MSH-3" for one in row.issues)
    if row.state == "refused" and stranger:
        remedy = "name it there, and let it send again"
        raise ForbiddenError(f"message {row.id} came from a sender that is not on the list of peers: {remedy}")


def _one(tx: Tx, id: int) -> MessageRow:
    row = tx.message(id)
    if row is None:
        raise NotFoundError(f"there is no message {id}")
    return row


def _event(tx: Tx, row: MessageRow, subtype: str, action: str, outcome: str = "0") -> Event:
    order = tx.order(row.order_id) if row.order_id else None
    patient = next((each for each in row.touched if each.startswith("Patient/")), None)
    if patient is None and order is not None:
        patient = f"Patient/{order.patient_id}"
    entity = f"ServiceRequest/{order.id}" if order is not None else patient
    return Event("steering", subtype, action, outcome, patient, entity, detail=f"message {row.id}")


def _links(tx: Tx, row: MessageRow) -> tuple[MessageLink, ...]:
    """What the message answers, then what answers it."""
    about = tx.answered_by(row.id)
    found = [] if about is None else [_link("answers", about, row)]
    return (*found, *(_link("answered-by", answer, answer) for answer in tx.answers_to(row.id)))


def _link(relation: str, other: MessageRow, answer: MessageRow) -> MessageLink:
    try:
        code = parse(answer.raw).get("MSA-1").strip()
    except InteropError:
        code = ""
    named = (other.id, other.direction, other.peer, other.type, other.control_id, other.state)
    return MessageLink(relation, *named, code)
