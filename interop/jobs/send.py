"""send: one stored message to one receiver, until the receiver has said that it has it.

Sent means: MSA-2 is our MSH-10 and MSA-1 is AA or CA; or, where the receiver is said never to answer, written (in MLLP
release 2: committed). AE, CE, silence and an answer to something else are tried again with the same bytes; AR and CR
are final, and the message is a dead letter (v2.5.1 2.9.2, tables 0008 and 0155). So is one that the receiver has
answered with anything but acceptance for so many days; of one that does not answer at all nothing is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from logging import getLogger
from typing import Protocol

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import InteropError, Issue, UnavailableError
from interop.hl7.line import NotTriedError
from interop.hl7.message import Message, parse
from interop.jobs.overdue import OVERDUE, OverdueJobs, expect
from interop.jobs.runner import Backoff, Lane, LaterError, Outcome, UndeliverableError
from interop.mapping.peers import Receiver
from interop.store import Job, KeyRange, MessageRow, PeerNote, Store, Tx

logger = getLogger(__name__)

AHEAD = 8  # messages to a receiver that are claimed at once, in one commit, though they go one after the other
WITHOUT_END = Backoff(most=86400.0)
_TAKEN = ("AA", "CA")
_REFUSED = ("AR", "CR")
_AGENT = system_agent("sender")
_NOTHING = Outcome(_AGENT, lambda tx: None)


class Sender(Protocol):
    """The wire to receivers."""

    async def send(self, receiver: Receiver, raw: bytes, answers: Callable[[bytes], bool]) -> bytes:
        """The reply to these bytes, of which ``answers`` says that it is one; UnavailableError when none came."""
        ...


def sending_lanes(
    store: Store, sender: Sender, receivers: tuple[Receiver, ...], *, backoff: Backoff = WITHOUT_END
) -> dict[str, Lane]:
    """A lane for each receiver, so that one that hangs has no other wait, one for messages to nobody, one for overdue
    application acknowledgements.

    Attempts without an end, as far apart as each receiver says; a lease that outlasts the slowest answer.
    """
    jobs = SendJobs(store, sender, receivers)
    lanes: dict[str, Lane] = {}
    for receiver in receivers:
        line = receiver.line
        at_once = max(AHEAD, 2 * line.connections)
        slowest = line.connect_seconds + line.answer_seconds + line.pause_seconds
        lease = max(60.0, 2.5 * slowest + 30)  # a turn and an answer, within what the runner leaves of it
        lanes[f"send {receiver.name}"] = Lane(jobs, at_once, lease, backoff, "send", KeyRange(f"{receiver.name}:"))
    nobody = KeyRange(but=tuple(f"{receiver.name}:" for receiver in receivers))
    return {**lanes, "send": Lane(jobs, backoff=backoff, keys=nobody), OVERDUE: Lane(OverdueJobs())}


class SendJobs:
    """The handler of kind ``send``."""

    def __init__(self, store: Store, sender: Sender, receivers: tuple[Receiver, ...], *, silence: float = 2.0) -> None:
        self._store = store
        self._sender = sender
        self._receivers = {f"{receiver.application}|{receiver.facility}": receiver for receiver in receivers}
        self._receivers |= {receiver.name: receiver for receiver in receivers}
        self._silence = silence  # seconds for which a receiver that did not answer is left alone
        self._silent_until: dict[str, float] = {}
        self._answered: dict[str, float] = {}
        self._unanswered: dict[int, float] = {}  # when a message met silence, by its number

    async def __call__(self, job: Job) -> Outcome | None:
        """Deliver the message of the job."""
        id = int(job.payload["message"])
        row, since, now = await self._store.view(lambda tx: (tx.message(id), tx.get_state(_unaccepted(id)), tx.now))
        if row is None:
            raise UndeliverableError(f"there is no message {job.payload['message']}")
        if row.state != "queued":
            return None  # delivered by an earlier attempt, whose outcome was kept
        receiver = self._receivers.get(row.peer) or self._receivers.get(f"{row.peer.partition('|')[0]}|")
        if receiver is None:
            raise _dead(row, _nobody(row.peer))
        patience = _Patience(datetime.fromisoformat(since) if since else None, now, receiver)
        return await self._deliver(row, receiver, patience)

    async def _deliver(self, row: MessageRow, receiver: Receiver, patience: _Patience) -> Outcome:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if begun < self._silent_until.get(receiver.name, 0.0):
            raise LaterError(f"{receiver.name} does not answer").keeping(_NOTHING, receiver.retry_seconds)
        answers = _Answers(row.control_id)
        try:
            reply = await self._sender.send(receiver, row.raw, answers)
        except NotTriedError as error:
            raise LaterError(error.text).keeping(_NOTHING, receiver.retry_seconds) from error
        except UnavailableError as error:
            if answers.last is not None:  # it did answer: something that is no answer to this
                raise patience.later(row, f"{receiver.name} {answers.fault}", answers.last) from error
            self._met_silence(row.id, receiver.name, begun, loop.time())
            raise _later(row, error.text, most=receiver.retry_seconds) from error
        self._answered[receiver.name] = loop.time()
        self._unanswered.pop(row.id, None)
        recovered = self._silent_until.pop(receiver.name, None) is not None
        if receiver.line.answers == "none":
            return _kept(row, "sent", None, None, recovered=recovered)
        answer = parse(reply)
        code = answer.get("MSA-1").strip()
        if code in _TAKEN:
            hours = receiver.application_hours if code == "CA" else 0.0
            return _kept(row, "sent", code, reply, recovered=recovered, hours=hours)
        if code in _REFUSED:
            raise _dead(row, f"{receiver.name} refused it: {code} {_reason(answer)}", code, reply)
        raise patience.later(row, f"{receiver.name} answered {code} {_reason(answer)}".strip(), reply)

    def _met_silence(self, id: int, name: str, begun: float, now: float) -> None:
        """Leave the receiver alone, unless it is this message that it is silent about: others were answered meanwhile.

        Else one such message would hold up all others again and again, each time that one of them got through.
        """
        since = self._unanswered.get(id, begun)
        if self._answered.get(name, -1.0) <= since:
            self._silent_until[name] = now + self._silence
        self._unanswered[id] = now


class _Answers:
    """Whether a reply is one to the message with this control id; ``fault`` says why the last one was none."""

    def __init__(self, control_id: str) -> None:
        self._control_id = control_id
        self.last: bytes | None = None
        self.fault = ""

    def __call__(self, reply: bytes) -> bool:
        try:
            mine = parse(reply).get("MSA-2").strip() == self._control_id
            self.fault = f"answered another message than {self._control_id}"
        except InteropError:
            mine, self.fault = False, "answered with something unreadable"
        self.last = reply
        return mine


class _Patience:
    """How long a receiver that answers, and does not accept, is asked for one message."""

    def __init__(self, since: datetime | None, now: datetime, receiver: Receiver) -> None:
        self._since = since
        self._now = now
        self._receiver = receiver

    def later(self, row: MessageRow, why: str, reply: bytes) -> LaterError | UndeliverableError:
        """To be tried again, unless the days are over."""
        days = self._receiver.give_up_days
        if days and self._since is not None and self._now - self._since >= timedelta(days=days):
            return _dead(row, f"{why}; given up after {days:g} days", reply=reply)
        return _later(row, why, reply, most=self._receiver.retry_seconds, begin=self._since is None)


def _unaccepted(id: int) -> str:
    return f"unaccepted:{id}"


def _nobody(peer: str) -> str:
    application, bar, facility = peer.partition("|")
    if not bar:
        return f"no receiver is called {peer!r} any more"
    wanted = f"application {application!r} and facility {facility!r}"
    return f"nobody takes this acknowledgement: no receiver in peers.toml has {wanted}"


def _dead(row: MessageRow, why: str, code: str | None = None, reply: bytes | None = None) -> UndeliverableError:
    return UndeliverableError(why).keeping(_kept(row, "dead", code, reply, why))


def _later(row: MessageRow, why: str, reply: bytes | None = None, *, most: float, begin: bool = False) -> LaterError:
    """Tried and not taken: the message says how often, and what came of the last attempt."""

    def keep(tx: Tx) -> None:
        if begin:
            tx.set_state(_unaccepted(row.id), tx.now.isoformat())
        tx.update_message(row.id, ack=reply, attempts=1, issues=[Issue("transient", why).row()])
        tx.note_peers([PeerNote("out", row.peer, last_error=why, last_error_at=tx.now)])

    return LaterError(why).keeping(Outcome(_AGENT, keep), most)


def _kept(
    row: MessageRow,
    state: str,
    code: str | None,
    reply: bytes | None,
    why: str | None = None,
    *,
    recovered: bool = False,
    hours: float = 0.0,
) -> Outcome:
    """The message in its new state, with the answer that brought it there, and an event of it.

    What else waits for a receiver that answers again goes out now, whatever pause it had grown to. ``hours``: for which
    its application's acknowledgement is waited for, if that was asked for.
    """

    def keep(tx: Tx) -> None:
        if code == "CA":
            tx.lock(f"answer:{row.id}")  # its application acknowledgement may be coming in at this moment
        present = tx.message(row.id)
        if present is not None and present.state != "queued":  # its application acknowledgement was here first
            return
        took = int((tx.now - row.at).total_seconds() * 1e6)
        issues = [] if why is None else [Issue("processing", why).row()]
        tx.update_message(row.id, state=state, ack_code=code, ack=reply, attempts=1, took=took, issues=issues)
        expect(tx, row, hours)
        if row.attempts:
            tx.set_state(_unaccepted(row.id), None)
        note = PeerNote("out", row.peer, messages=1, refused=int(why is not None), last_at=tx.now)
        tx.note_peers([note if why is None else replace(note, last_error=why, last_error_at=tx.now)])
        if recovered:
            tx.hasten_jobs("send", f"{row.peer}:")
        order = tx.order(row.order_id) if row.order_id else None
        about = next((one for one in row.touched if one.startswith("Patient/")), None)
        tx.audit(
            Event(
                "hl7",
                row.type,
                "R",
                outcome="0" if why is None else "8",
                patient=f"Patient/{order.patient_id}" if order else about,
                entity=f"ServiceRequest/{order.id}" if order else None,
                detail=why or f"message {row.id} to {row.peer}",
            )
        )

    return Outcome(_AGENT, keep)


def _reason(answer: Message) -> str:
    """Where and why the receiver refused, as far as codes say it: free text of others is not logged."""
    codes = [segment.value(3).text(1) for segment in answer.all("ERR")]
    return " ".join(code for code in codes if code)
