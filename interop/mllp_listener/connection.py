"""One MLLP connection: frames in, answers out in the same order, never one that was not earned."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from logging import getLogger
from typing import cast

from interop.hl7.framing import NAK, Frame, FrameDecoder, FramingFault, commit_block, frame
from interop.mllp_listener.intake import LARGE, Answered, Intake
from interop.mllp_listener.strangers import Stranger, Strangers

logger = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may ask of us."""

    message_bytes: int = 50_000_000
    in_flight: int = 64  # messages received and not answered; reading stops there
    faults: int = 10  # framing faults in a row, after which the connection is closed
    partial_seconds: float = 30.0  # what began has to be whole by then, or come at least at ``partial_rate``
    partial_rate: int = 20_000  # bytes per second
    quiet_seconds: float = 0.25  # silence that ends a frame whose last CR is missing
    stop_seconds: float = 10.0  # how long stopping waits for answers


SURE_SECONDS = 1.0  # after which what was written to an open connection counts as sent
_KEEPALIVE = ((socket.SO_KEEPALIVE, 1),)
_KEEPALIVE_TCP = (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))


class Connection(asyncio.Protocol):
    """Sockets that stay open for hours are the norm: silence between frames is never a fault.

    With MLLP release 2 every content block is answered with a commit block first, ACK after the commit and NAK where
    there was none; the acknowledgement follows as a content block of its own, after ACK only (TRMLLP R2).
    """

    def __init__(
        self, intake: Intake, limits: Limits, open_ones: set[Connection], strangers: Strangers, release: int = 1
    ) -> None:
        self._intake = intake
        self._limits = limits
        self._release = release
        self._open_ones = open_ones
        self._strangers = strangers
        self._decoder = FrameDecoder(limits.message_bytes)
        self._answers: deque[asyncio.Task[Answered]] = deque()
        self._received: deque[Frame | FramingFault] = deque()
        self._exclusive = False  # a large message is being read
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._faults = 0
        self._began: float | None = None  # when the first byte of an unfinished frame came
        self._timer: asyncio.TimerHandle | None = None
        self._paused_writing = False
        self._closing = False
        self._ended = False  # the sender has said that it sends no more
        self._unsure: list[int] = []  # application acknowledgements that were written a moment ago
        self._idle = asyncio.Event()
        self._idle.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._intake.counts["connections"] += 1
        if not self._intake.allow.hears(self._address):
            self._hand_over(cast(asyncio.Transport, transport))
            return
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._open_ones.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE_TCP:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _hand_over(self, transport: asyncio.Transport) -> None:
        """To somebody who says no; what was done over TLS before is noted already."""
        logger.warning("MLLP connection refused: its sender is not on the list of peers")
        address, intake = self._address, self._intake
        noted = intake.certificate is not None
        refused = None if noted else lambda raw: self._strangers.note(intake.refuse_connection(address, raw))
        stranger = Stranger(self._strangers, lambda raw: intake.answer_stranger(raw, address), refused)
        transport.set_protocol(stranger)
        stranger.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._unsure:
            self._be_sure()
        self._take(self._decoder.feed(data))
        self._watch(len(data))

    def eof_received(self) -> bool:
        self._be_sure()  # who closes with an answer unread resets the connection instead
        self._ended = True
        self._take(self._decoder.eof())
        self._closing = True
        self._answer()
        secured = self._transport is not None and self._transport.get_extra_info("ssl_object") is not None
        return not secured  # half-closed: what was received is still answered; not so over TLS

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self._take(self._decoder.eof())
        if exc is None:
            self._be_sure()
        self._unsure.clear()
        self._closing = True
        self._transport = None
        self._stop_timer()
        self._answer()

    def pause_writing(self) -> None:
        self._paused_writing = True
        self._flow()

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._flow()

    async def finish(self) -> None:
        """Take nothing more, answer what is here, close."""
        self._closing = True
        self._stop_timer()
        self._answer()
        try:
            async with asyncio.timeout(self._limits.stop_seconds):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("MLLP connection closed with %d messages unanswered", len(self._answers))
        self._be_sure()
        if self._transport is not None:
            self._transport.close()

    def _take(self, found: list[Frame | FramingFault]) -> None:
        if self._release == 2:
            found = [item for item in found if not self._confirms(item)]
        if not found:
            return
        self._received.extend(found)
        self._idle.clear()
        self._begin()
        self._flow()

    def _confirms(self, item: Frame | FramingFault) -> bool:
        """Whether this is the sender's word on an answer of ours; one it could not keep it asks for by a repeat."""
        if isinstance(item, Frame) or item.reason != "commit-block":
            return False
        refused = item.head == NAK
        self._intake.counts["answers not kept by the sender" if refused else "answers confirmed"] += 1
        if refused:
            logger.warning("MLLP release 2: the sender could not keep an answer")
        return True

    def _begin(self) -> None:
        """Start on what was received, in order.

        Where the store carries units out in the order they were handed over, messages of a pipelining sender share a
        commit. Elsewhere, and for a large message, which is read in a thread, the next waits for the one before.
        """
        while self._received and not self._exclusive:
            item = self._received.popleft()
            if isinstance(item, Frame):
                self._faults = 0
                self._exclusive = len(item.data) > LARGE or not self._intake.in_order
                task = asyncio.ensure_future(self._intake.answer(item.data, self._address))
            else:
                self._faults += 1
                task = asyncio.ensure_future(self._intake.answer_fault(item, self._address))
            if self._exclusive:
                task.add_done_callback(self._begin_again)
            self._answers.append(task)
            task.add_done_callback(self._answer)
            if self._faults >= self._limits.faults:
                logger.warning("MLLP connection closed after %d framing faults in a row", self._faults)
                self._received.clear()
                self._closing = True

    def _begin_again(self, _: object) -> None:
        self._exclusive = False
        self._begin()

    def _answer(self, _: object = None) -> None:
        """Send the answers that are ready, up to the first that is not."""
        while self._answers and self._answers[0].done():
            task = self._answers.popleft()
            if not task.cancelled():
                self._write(task.result())
        self._flow()
        if not self._answers and not self._received:
            self._idle.set()
            if self._closing:
                self._open_ones.discard(self)
                if self._transport is not None:
                    self._transport.close()

    def _write(self, answered: Answered) -> None:
        blocks = self._blocks(answered)
        if self._transport is None or self._transport.is_closing():
            self._intake.counts["unsent"] += len(blocks)  # the sender is gone; its repeat gets the stored answer
            return
        for block in blocks:
            self._transport.write(block)
        if answered.owed and not self._ended:  # else nobody may be there: the job sends it again
            self._unsure += answered.owed
            asyncio.get_running_loop().call_later(SURE_SECONDS, self._be_sure)

    def _be_sure(self) -> None:
        if self._unsure:
            self._intake.written(tuple(self._unsure))
            self._unsure.clear()

    def _blocks(self, answered: Answered) -> list[bytes]:
        if self._release == 1 or answered.kept is None:
            return [frame(reply) for reply in answered.replies]
        if not answered.kept:
            return [commit_block(False)]  # an answer to what the sender is to send again would answer the repeat
        return [commit_block(True), *(frame(reply) for reply in answered.replies)]

    def _flow(self) -> None:
        """Read only while there is room for another message and the answers are taken."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._closing or self._paused_writing or len(self._answers) + len(self._received) >= self._limits.in_flight:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _watch(self, received: int) -> None:
        """Time the unfinished frame, if there is one."""
        loop = asyncio.get_running_loop()
        self._stop_timer()
        pending = self._decoder.pending
        if not pending:
            self._began = None
            return
        if self._began is None or pending < received:
            self._began = loop.time()
        elif self._overdue(loop.time() - self._began):  # a byte now and then keeps silence away
            self._drop()
            return
        self._timer = loop.call_later(self._limits.quiet_seconds, self._fell_silent)

    def _fell_silent(self) -> None:
        self._take(self._decoder.quiet())
        if not self._decoder.pending or self._began is None:
            self._began = None
            return
        loop = asyncio.get_running_loop()
        if not self._overdue(loop.time() - self._began):
            self._timer = loop.call_later(min(1.0, self._limits.partial_seconds), self._fell_silent)
            return
        self._drop()

    def _overdue(self, seconds: float) -> bool:
        counted = min(self._decoder.pending, self._limits.message_bytes)  # a frame without end has an end here
        return seconds >= self._limits.partial_seconds + counted / self._limits.partial_rate

    def _drop(self) -> None:
        """Refuse what does not come to its end, and close."""
        logger.warning("MLLP connection closed: %d bytes did not come to their end", self._decoder.pending)
        self._intake.counts["slow"] += 1
        self._take(self._decoder.eof("too-slow"))
        self._closing = True
        self._answer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
