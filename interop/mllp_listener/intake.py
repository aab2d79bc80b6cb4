"""From the bytes of a frame to the bytes of its answer, through one unit of work."""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from datetime import UTC, datetime
from logging import getLogger
from typing import NamedTuple

from interop.access.agent import Agent
from interop.audit.event import Event
from interop.errors import ForbiddenError, InteropError, Issue, MalformedError, TooLargeError, UnavailableError
from interop.hl7.acknowledgement import acknowledge, is_answer
from interop.hl7.batches import BatchFile, acknowledge_batch, batches_in, holds_several
from interop.hl7.framing import FramingFault
from interop.hl7.message import Message
from interop.mllp_listener.peers import AllowList
from interop.mllp_listener.tallies import Tallies
from interop.store import Store, Tx
from interop.tls import Certificate
from interop.workflow import messages, stray_answers
from interop.workflow.messages import Reply
from interop.workflow.site import Site

logger = getLogger(__name__)

FAULT_SECONDS = 60.0
_FAULTS_KNOWN = 10_000
LARGE = 200_000  # bytes; reading more than this takes longer than the event loop may be kept


class Answered(NamedTuple):
    """What goes back for a frame; ``kept``: whether its content is in safe storage, None if it had none."""

    replies: list[bytes]
    kept: bool | None


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
        self._faults: dict[tuple[str, str], float] = {}  # when which was listed last

    def for_peer(self, certificate: Certificate | None) -> Intake:
        """The same for one connection, whose certificate (or having none) is known."""
        one = copy.copy(self)
        one.allow = self.allow.known_by(certificate)
        return one

    async def answer(self, data: bytes, address: str) -> Answered:
        """The acknowledgements of a frame: one, or one for each message of a batch, or those in a batch."""
        if not holds_several(data) and not is_answer(data):
            reply, kept = await self._answer(data, address)
            return Answered([reply], kept)
        file = batches_in(data)
        for difference in file.differences():
            self.counts["batch counts wrong"] += 1
            logger.warning("HL7 batch: %s", difference)
        as_batch = self._batch_answers and file.enveloped
        raws = [raw for batch in file.batches for raw in batch.messages]
        answers: list[tuple[bytes, bool]] = []
        for raw in raws if raws or as_batch else [data]:
            if is_answer(raw):
                answers.append((b"", await self._keep_stray(raw, address)))
            else:
                answers.append(await self._answer(raw, address))
        replies = [reply for reply, _ in answers if reply or as_batch]
        return Answered([self._batch(file, replies)] if as_batch else replies, all(kept for _, kept in answers))

    async def answer_fault(self, fault: FramingFault, address: str) -> Answered:
        """The refusal of bytes that are no message. Those that look like an answer are not answered."""
        self.counts["faults"] += 1
        self.counts[f"fault {fault.reason}"] += 1
        logger.warning("MLLP framing fault: %s", fault.text)
        kind = TooLargeError if fault.reason == "too-large" else MalformedError
        error = kind(fault.text, hl7_code="100")
        reply, _ = await self._refuse_bytes(fault.head, error, address, f"fault {fault.reason}")
        return Answered([], None) if fault.reason == "commit-block" else Answered([reply], False)

    async def refuse_connection(self, address: str) -> Answered:
        """Leave a trace of a connection from an address that is not on the list."""
        self.counts["connections refused"] += 1
        self.tallies.fault(address, "connection refused: the address is not on the list of peers")
        await self.keep_fault("peer", "the address is not on the list of peers", address)
        return Answered([], None)

    async def keep_fault(self, kind: str, text: str, address: str, raw: bytes = b"") -> None:
        """Audit a connection that came to nothing; in the list of messages the same once a minute, so that a stubborn
        caller cannot fill the disk."""
        event = Event("alert", f"mllp-{kind}-refused", "E", outcome="4", detail=text)
        now = time.monotonic()
        listed = now - self._faults.get((kind, address), -FAULT_SECONDS) >= FAULT_SECONDS
        if len(self._faults) > _FAULTS_KNOWN:
            self._faults.clear()

        def work(tx: Tx) -> None:
            tx.audit(event)
            if listed:
                messages.keep_fault(tx, f"fault {kind}", address, text, raw)

        try:
            await self._store.unit(_agent(address), work)
        except UnavailableError as error:
            logger.error("a refused connection could not be audited: %s", error.text)
        else:
            if listed:
                self._faults[kind, address] = now

    async def _keep_stray(self, raw: bytes, address: str) -> bool:
        """Keep somebody else's acknowledgement, which is never acknowledged itself; whether it was kept."""
        self.counts["stray answers"] += 1
        try:
            await self._store.unit(_agent(address), lambda tx: stray_answers.keep(tx, raw, address))
        except UnavailableError as error:
            logger.error("an acknowledgement that came in could not be kept: %s", error.text)
            return False
        return True

    async def _answer(self, raw: bytes, address: str) -> tuple[bytes, bool]:
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
            return self._unkept(message, error), False
        except Exception:
            logger.exception("message not carried out: a fault of this server")
            return await self._failed(message, address)
        self.counts[reply.code] += 1
        self.tallies.message("|".join(message.sender), address, None if reply.code == "AA" else _refusal(reply))
        if reply.repeated:
            self.counts["repeats"] += 1
        return reply.ack, True

    async def _carry_out(self, message: Message, address: str, arrived: int) -> Reply:
        agent = _agent(address, message)

        def work(tx: Tx) -> Reply:
            if not self.allow.allows(address, *message.sender):
                raise ForbiddenError("this sender is not on the list of peers", location="MSH-3")
            return messages.receive(tx, self._site, message, address, arrived)

        def refused(tx: Tx, error: InteropError) -> Reply:
            return messages.refuse(tx, self._site, message, address, error, arrived)

        return await self._store.unit(agent, work, refused=refused)

    async def _failed(self, message: Message, address: str) -> tuple[bytes, bool]:
        """Keep the message that we could not deal with, in a unit of its own."""
        error = InteropError("this server could not carry the message out")
        self.counts["failed"] += 1
        self.tallies.message("|".join(message.sender), address, f"AE: {error.text}")
        try:
            reply = await self._store.unit(
                _agent(address, message), lambda tx: messages.refuse(tx, self._site, message, address, error)
            )
        except Exception:
            logger.exception("message not kept")
            return self._unkept(message, error), False
        return reply.ack, True

    async def _refuse_bytes(self, raw: bytes, error: InteropError, address: str, kind: str = "") -> tuple[bytes, bool]:
        self.counts["unreadable"] += 1
        self.tallies.fault(address, error.text)
        try:
            reply = await self._store.unit(
                _agent(address), lambda tx: messages.refuse_bytes(tx, self._site, raw, address, error, kind)
            )
        except Exception as failure:
            logger.error("unreadable bytes not kept: %s", type(failure).__name__)
            return self._unkept(None, error), False
        return reply.ack, True

    def _batch(self, file: BatchFile, replies: list[bytes]) -> bytes:
        id = uuid.uuid4().hex[:20]
        return acknowledge_batch(file, replies, control_id=id, now=datetime.now(UTC), facility=self._site.facility)

    def _unkept(self, message: Message | None, error: InteropError) -> bytes:
        """AE that no commit stands behind: it promises nothing (table 0008: AE, the sender may try again)."""
        code = "AE" if message is not None else error.ack_code
        issue = Issue(error.issue_code, error.text, hl7_code=error.hl7_code)
        return acknowledge(
            message,
            code,
            issues=(issue,),
            control_id=uuid.uuid4().hex[:20],
            now=datetime.now(UTC),
            facility=self._site.facility,
        )


def _refusal(reply: Reply) -> str:
    issue = next((one for one in reply.issues if one.severity in ("error", "fatal")), None)
    return f"{reply.code} {issue.location or ''}: {issue.text}".replace(" :", ":") if issue else reply.code


def _agent(address: str, message: Message | None = None) -> Agent:
    if message is None:
        return Agent(who="unknown", kind="peer", client="mllp", address=address)
    return Agent(
        who="|".join(message.sender), kind="peer", client="mllp", address=address, request_id=message.control_id
    )
