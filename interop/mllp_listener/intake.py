"""From the bytes of a frame to the bytes of its answer, through one unit of work."""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from datetime import UTC, datetime
from logging import getLogger
from typing import NamedTuple

from interop.access.agent import Agent, system_agent
from interop.audit.event import Event
from interop.errors import ForbiddenError, InteropError, MalformedError, TooLargeError, UnavailableError
from interop.hl7.acknowledgement import is_answer
from interop.hl7.batches import BatchFile, acknowledge_batch, batches_in, holds_several
from interop.hl7.framing import FramingFault
from interop.hl7.message import Message, header_of, sender_of
from interop.mllp_listener.ledger import Ledger
from interop.mllp_listener.peers import AllowList
from interop.mllp_listener.tallies import Tallies
from interop.store import Store, Tx
from interop.tls import Certificate
from interop.workflow import answers, messages, stray_answers
from interop.workflow.messages import Reply
from interop.workflow.site import Site

logger = getLogger(__name__)

LARGE = 200_000  # bytes; reading more than this takes longer than the event loop may be kept


class Answered(NamedTuple):
    """What goes back for a frame; ``kept``: whether its content is in safe storage, None if it had none.

    ``owed`` are the numbers of the application acknowledgements among the replies: see ``Intake.written``.
    """

    replies: list[bytes]
    kept: bool | None
    owed: tuple[int, ...] = ()


class _One(NamedTuple):
    """What goes back for one message."""

    reply: bytes  # empty where its sender wants none
    kept: bool
    further: bytes = b""
    owed: int | None = None


class Intake:
    """Answers messages; every answer comes from a commit, except the one that says that there was none."""

    def __init__(
        self, store: Store, site: Site, allow: AllowList, tallies: Tallies, *, batch_answers: bool = False
    ) -> None:
        self._store = store
        self._site = site
        self.allow = allow
        self.tallies = tallies
        self.counts = tallies.counts
        self._batch_answers = batch_answers
        self.in_order = store.units_in_order
        self.certificate: Certificate | None = None  # of the other side, over TLS
        self._ledger = Ledger(self._tell_counted)
        self._marking: set[asyncio.Task[None]] = set()

    def for_peer(self, certificate: Certificate | None) -> Intake:
        """The same for one connection, whose certificate (or having none) is known."""
        one = copy.copy(self)
        one.allow = self.allow.known_by(certificate)
        one.certificate = certificate
        return one

    async def answer(self, data: bytes, address: str) -> Answered:
        """The acknowledgements of a frame: one, or one for each message of a batch, or those in a batch."""
        if not holds_several(data) and not is_answer(data):
            one = await self._answer(data, address)
            if one.owed is None:
                return Answered([one.reply] if one.reply else [], one.kept)
            return Answered([reply for reply in (one.reply, one.further) if reply], one.kept, (one.owed,))
        file = batches_in(data)
        for difference in file.differences():
            self.counts["batch counts wrong"] += 1
            logger.warning("HL7 batch: %s", difference)
        as_batch = self._batch_answers and file.enveloped
        raws = [raw for batch in file.batches for raw in batch.messages]
        found: list[_One] = []
        for raw in raws if raws or as_batch else [data]:
            found.append(await (self._keep_stray if is_answer(raw) else self._answer)(raw, address))
        replies = [self._batch(file, [one.reply for one in found])] if as_batch else []
        for one in found:
            replies += [reply for reply in (b"" if as_batch else one.reply, one.further) if reply]
        owed = tuple(one.owed for one in found if one.owed is not None)
        return Answered(replies, all(one.kept for one in found), owed)

    async def answer_fault(self, fault: FramingFault, address: str) -> Answered:
        """The refusal of bytes that are no message. Those that look like an answer are not answered."""
        self.counts["faults"] += 1
        self.counts[f"fault {fault.reason}"] += 1
        logger.warning("MLLP framing fault: %s", fault.text)
        kind = TooLargeError if fault.reason == "too-large" else MalformedError
        error = kind(fault.text, hl7_code="100")
        reply = (await self._refuse_bytes(fault.head, error, address, f"fault {fault.reason}")).reply
        if fault.reason == "commit-block":
            return Answered([], None)
        return Answered([reply] if reply else [], False)

    async def refuse_connection(self, address: str, raw: bytes = b"") -> None:
        """Leave a trace of a connection from an address that is not on the list, with the first bytes that came."""
        self.counts["connections refused"] += 1
        self.tallies.fault(address, "connection refused: the address is not on the list of peers")
        await self.keep_fault("peer", "the address is not on the list of peers", address, raw)

    async def answer_stranger(self, raw: bytes, address: str) -> bytes:
        """AR, with what would have to be added to the list; of an unknown certificate the message is kept with it."""
        if is_answer(raw):
            return b""
        error = unlisted(address, self.certificate, admitted=self.allow.admits(address))
        try:
            message = messages.read(self._site, raw)
        except InteropError:
            return self._unkept(header_of(raw), error)
        if self.allow.admits(address):
            self.counts["certificates refused"] += 1
            if self._ledger.writes("certificate", address):
                refused = await self._refuse(message, address, error)
                return refused.reply
        return self._unkept(message, error)

    async def keep_fault(self, kind: str, text: str, address: str, raw: bytes = b"") -> None:
        """Audit a connection that came to nothing, and list the same once a minute beside the messages; the many of a
        stubborn caller are counted, so that they cannot fill the disk."""
        if not self._ledger.writes(kind, address):
            self.counts["refusals only counted"] += 1
            return
        event = Event("alert", f"mllp-{kind}-refused", "E", outcome="4", detail=text)
        new = self._ledger.is_new(kind, address, text)

        def work(tx: Tx) -> None:
            tx.audit(event)
            if new:
                messages.keep_fault(tx, f"fault {kind}", address, text, raw)

        try:
            await self._store.unit(_agent(address), work)
        except UnavailableError as error:
            logger.error("a refused connection could not be audited: %s", error.text)

    async def _tell_counted(self, kind: str, number: int, addresses: int) -> None:
        """The audit entry of refusals that were only counted."""
        detail = f"{number} more within a minute, from {addresses} addresses: only counted"
        event = Event("alert", f"mllp-{kind}-refused", "E", outcome="4", detail=detail)
        logger.warning("MLLP %s refused: %s", kind, detail)
        try:
            await self._store.unit(_agent(""), lambda tx: tx.audit(event))
        except UnavailableError as error:
            logger.error("refused connections could not be audited: %s", error.text)

    def written(self, owed: tuple[int, ...]) -> None:
        """These application acknowledgements went over their connection: their jobs have nothing to do any more."""
        task = asyncio.ensure_future(self._mark_written(owed))
        self._marking.add(task)
        task.add_done_callback(self._marking.discard)

    async def _mark_written(self, owed: tuple[int, ...]) -> None:
        try:
            await self._store.unit(system_agent("sender"), lambda tx: answers.written(tx, owed))
        except UnavailableError as error:  # the job sends the same bytes again, under the same MSH-10
            logger.error("acknowledgements not marked as sent: %s", error.text)

    async def settle(self) -> None:
        """Until everything about connections that are gone is written down."""
        await asyncio.gather(*self._marking)
        await self._ledger.close()

    async def _keep_stray(self, raw: bytes, address: str) -> _One:
        """Keep somebody else's acknowledgement; what it wants in return, usually nothing."""
        self.counts["stray answers"] += 1
        known = self.allow.allows(address, *sender_of(raw))
        try:
            reply = await self._store.unit(
                _agent(address), lambda tx: stray_answers.keep(tx, self._site, raw, address, known=known)
            )
        except UnavailableError as error:
            logger.error("an acknowledgement that came in could not be kept: %s", error.text)
            return _One(b"", False)
        return _One(reply, True)

    async def _answer(self, raw: bytes, address: str) -> _One:
        """The acknowledgement, and whether a commit stands behind it."""
        self.counts["messages"] += 1
        arrived = time.time_ns() // 1000
        try:
            if len(raw) > LARGE:
                message = await asyncio.to_thread(messages.read, self._site, raw)
            else:
                message = messages.read(self._site, raw)
        except InteropError as error:
            return await self._refuse_bytes(raw, error, address)
        except Exception:
            logger.exception("message not read: a fault of this server")
            self.counts["failed"] += 1
            return await self._refuse_bytes(raw, InteropError("this server could not read the message"), address)
        try:
            reply = await self._carry_out(message, address, arrived)
        except UnavailableError as error:
            self.counts["unavailable"] += 1
            self.tallies.message("|".join(message.sender), address, f"AE: not kept, {error.text}")
            logger.error("message not kept, the sender is asked to send it again: %s", error.text)
            return _One(self._unkept(message, error), False)
        except Exception:
            logger.exception("message not carried out: a fault of this server")
            return await self._failed(message, address)
        self.counts[reply.code] += 1
        self.tallies.message("|".join(message.sender), address, None if reply.code == "AA" else _refusal(reply))
        if reply.repeated:
            self.counts["repeats"] += 1
        return _One(reply.ack, True, reply.further, reply.owed)

    async def _carry_out(self, message: Message, address: str, arrived: int) -> Reply:
        agent = _agent(address, message)

        def work(tx: Tx) -> Reply:
            if not self.allow.allows(address, *message.sender):
                raise ForbiddenError("this sender is not on the list of peers", location="MSH-3")
            return messages.receive(tx, self._site, message, address, arrived)

        def refused(tx: Tx, error: InteropError) -> Reply:
            return messages.refuse(tx, self._site, message, address, error, arrived)

        return await self._store.unit(agent, work, refused=refused)

    async def _failed(self, message: Message, address: str) -> _One:
        """Keep the message that we could not deal with, in a unit of its own."""
        self.counts["failed"] += 1
        error = InteropError("this server could not carry the message out")
        self.tallies.message("|".join(message.sender), address, f"AE: {error.text}")
        return await self._refuse(message, address, error)

    async def _refuse(self, message: Message, address: str, error: InteropError) -> _One:
        try:
            reply = await self._store.unit(
                _agent(address, message), lambda tx: messages.refuse(tx, self._site, message, address, error)
            )
        except Exception:
            logger.exception("message not kept")
            return _One(self._unkept(message, error), False)
        return _One(reply.ack, True, reply.further, reply.owed)

    async def _refuse_bytes(self, raw: bytes, error: InteropError, address: str, kind: str = "") -> _One:
        self.counts["unreadable"] += 1
        self.tallies.fault(address, error.text)
        try:
            reply = await self._store.unit(
                _agent(address), lambda tx: messages.refuse_bytes(tx, self._site, raw, address, error, kind)
            )
        except Exception as failure:
            logger.error("unreadable bytes not kept: %s", type(failure).__name__)
            return _One(self._unkept(None, error), False)
        return _One(reply.ack, True)

    def _batch(self, file: BatchFile, replies: list[bytes]) -> bytes:
        id = uuid.uuid4().hex[:20]
        return acknowledge_batch(file, replies, control_id=id, now=datetime.now(UTC), facility=self._site.facility)

    def _unkept(self, message: Message | None, error: InteropError) -> bytes:
        """AE that no commit stands behind: it promises nothing (table 0008: AE, the sender may try again)."""
        id = uuid.uuid4().hex[:20]
        return answers.refusal_unkept(self._site, message, error, control_id=id, now=datetime.now(UTC))


def unlisted(address: str, certificate: Certificate | None, *, admitted: bool) -> ForbiddenError:
    """Why somebody is not heard, and what to add where."""
    setting = "INTEROP_MLLP_PEERS of the receiving server"
    if not admitted:
        return ForbiddenError(f"{address} is not on the list of peers: add it to {setting}")
    if certificate is None or not certificate.fingerprint:
        return ForbiddenError(f"{address} is on the list of peers with a certificate only, and came without one")
    named = "".join(f"cn:{name} or " for name in sorted(certificate.names)[:3])
    fingerprint = f"sha256:{certificate.fingerprint}"
    return ForbiddenError(f"this certificate is not on the list of peers: add {named}{fingerprint} to {setting}")


def _refusal(reply: Reply) -> str:
    issue = next((one for one in reply.issues if one.severity in ("error", "fatal")), None)
    return f"{reply.code} {issue.location or ''}: {issue.text}".replace(" :", ":") if issue else reply.code


def _agent(address: str, message: Message | None = None) -> Agent:
    if message is None:
        return Agent(who="unknown", kind="peer", client="mllp", address=address)
    return Agent(
        who="|".join(message.sender), kind="peer", client="mllp", address=address, request_id=message.control_id
    )
