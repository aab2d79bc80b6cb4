"""send: one stored message to one receiver, until the receiver has said that it has it.

Sent means: MSA-2 is our MSH-10 and MSA-1 is AA or CA; or, where the receiver is said never to answer, written. AE, CE,
silence and an answer to something else are tried again with the same bytes; AR and CR are final, and the message is a
dead letter (v2.5.1 2.9.2, tables 0008 and 0155).
"""

from __future__ import annotations

import asyncio
from logging import getLogger
from typing import Protocol

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import InteropError, Issue, UnavailableError
from interop.hl7.message import Message, parse
from interop.jobs.runner import LaterError, Outcome, UndeliverableError
from interop.mapping.peers import Receiver
from interop.store import Job, MessageRow, Store, Tx

logger = getLogger(__name__)

_TAKEN = ("AA", "CA")
_REFUSED = ("AR", "CR")
_AGENT = system_agent("sender")
_NOTHING = Outcome(_AGENT, lambda tx: None)


class Sender(Protocol):
    """The wire to receivers."""

    async def send(self, receiver: Receiver, raw: bytes) -> bytes:
        """The reply to these bytes; UnavailableError when none came."""
        ...

    def drop(self, receiver: Receiver) -> None:
        """Close the connection: what comes over it can no longer be told apart."""
        ...


class SendJobs:
    """The handler of kind ``send``."""

    def __init__(self, store: Store, sender: Sender, receivers: tuple[Receiver, ...], *, silence: float = 2.0) -> None:
        self._store = store
        self._sender = sender
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._silence = silence  # seconds for which a receiver that did not answer is left alone
        self._silent_until: dict[str, float] = {}

    async def __call__(self, job: Job) -> Outcome | None:
        """Deliver the message of the job."""
        row = await self._store.view(lambda tx: tx.message(int(job.payload["message"])))
        if row is None:
            raise UndeliverableError(f"there is no message {job.payload['message']}")
        if row.state != "queued":
            return None  # delivered by an earlier attempt, whose outcome was kept
        receiver = self._receivers.get(row.peer)
        if receiver is None:
            raise _dead(row, f"no receiver is called {row.peer!r} any more")
        return await self._deliver(row, receiver)

    async def _deliver(self, row: MessageRow, receiver: Receiver) -> Outcome:
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until.get(receiver.name, 0.0):
            raise LaterError(f"{receiver.name} does not answer").keeping(_NOTHING, receiver.retry_seconds)
        try:
            reply = await self._sender.send(receiver, row.raw)
        except UnavailableError as error:
            self._silent_until[receiver.name] = loop.time() + self._silence
            raise _later(row, error.text, most=receiver.retry_seconds) from error
        if receiver.line.answers == "none":
            recovered = self._silent_until.pop(receiver.name, None) is not None
            return _kept(row, "sent", None, None, recovered=recovered)
        try:
            code, answer = self._judged(row, receiver, reply)
        except UnavailableError as error:
            raise _later(row, error.text, reply, most=receiver.retry_seconds) from error
        if code in _TAKEN:
            recovered = self._silent_until.pop(receiver.name, None) is not None
            return _kept(row, "sent", code, reply, recovered=recovered)
        if code in _REFUSED:
            raise _dead(row, f"{receiver.name} refused it: {code} {_reason(answer)}", code, reply)
        why = f"{receiver.name} answered {code} {_reason(answer)}".strip()
        raise _later(row, why, reply, most=receiver.retry_seconds)

    def _judged(self, row: MessageRow, receiver: Receiver, reply: bytes) -> tuple[str, Message]:
        """MSA-1 of the reply, if it is one to this message."""
        try:
            answer = parse(reply)
        except InteropError as error:
            self._sender.drop(receiver)
            raise UnavailableError(f"{receiver.name} answered with something unreadable") from error
        code, echoed = answer.get("MSA-1").strip(), answer.get("MSA-2").strip()
        if echoed != row.control_id:
            self._sender.drop(receiver)
            raise UnavailableError(f"{receiver.name} answered another message than {row.control_id}")
        return code, answer


def _dead(row: MessageRow, why: str, code: str | None = None, reply: bytes | None = None) -> UndeliverableError:
    return UndeliverableError(why).keeping(_kept(row, "dead", code, reply, why))


def _later(row: MessageRow, why: str, reply: bytes | None = None, *, most: float) -> LaterError:
    """Tried and not taken: the message says how often, and what came of the last attempt."""

    def keep(tx: Tx) -> None:
        tx.update_message(row.id, ack=reply, attempts=1, issues=[Issue("transient", why).row()])

    return LaterError(why).keeping(Outcome(_AGENT, keep), most)


def _kept(
    row: MessageRow,
    state: str,
    code: str | None,
    reply: bytes | None,
    why: str | None = None,
    *,
    recovered: bool = False,
) -> Outcome:
    """The message in its new state, with the answer that brought it there, and an event of it.

    What else waits for a receiver that answers again goes out now, whatever pause it had grown to.
    """

    def keep(tx: Tx) -> None:
        took = int((tx.now - row.at).total_seconds() * 1e6)
        issues = [] if why is None else [Issue("processing", why).row()]
        tx.update_message(row.id, state=state, ack_code=code, ack=reply, attempts=1, took=took, issues=issues)
        if recovered:
            tx.hasten_jobs("send", f"{row.peer}:")
        order = tx.order(row.order_id) if row.order_id else None
        tx.audit(
            Event(
                "hl7",
                row.type,
                "R",
                outcome="0" if why is None else "8",
                patient=f"Patient/{order.patient_id}" if order else None,
                entity=f"ServiceRequest/{order.id}" if order else None,
                detail=why or f"message {row.id} to {row.peer}",
            )
        )

    return Outcome(_AGENT, keep)


def _reason(answer: Message) -> str:
    """Where and why the receiver refused, as far as codes say it: free text of others is not logged."""
    codes = [segment.value(3).text(1) for segment in answer.all("ERR")]
    return " ".join(code for code in codes if code)
