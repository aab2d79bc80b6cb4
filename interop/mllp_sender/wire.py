"""One MLLP connection to a receiver, with one message on its way at most."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from logging import getLogger
from typing import cast

from interop.errors import UnavailableError
from interop.hl7.acknowledgement import names_another
from interop.hl7.framing import ACK, Frame, FrameDecoder, FramingFault, commit_block, frame
from interop.hl7.line import Line
from interop.tls import reason_of

logger = getLogger(__name__)

MAX_REPLY = 1_000_000  # an acknowledgement is a few hundred bytes
QUIET_SECONDS = 0.2  # silence that ends a reply without a proper end
REMEMBERED = 64  # messages of a connection whose second answers are known as such
_FRAMING = b"\x0b\x1c\r\n\x00 "
_KEEPALIVE = (30, 4)  # seconds between the questions, and how many without an answer end the connection

Answers = Callable[[bytes], bool]  # whether a reply is one to the message at hand
Writing = Callable[[bytes], None]
Unasked = Callable[[bytes, Writing], None]  # what came, and how to answer it over the same connection


def anything(reply: bytes) -> bool:
    """Every reply is one to this message."""
    return True


class StrayAnswerError(UnavailableError):
    """The receiver answered, but not this message."""


class Wire(asyncio.Protocol):
    """A connection; what comes when nothing is awaited answers nothing.

    ``unasked`` is given it, where there is one: in enhanced mode the application's acknowledgement follows the accept
    acknowledgement over the same connection (v2.5.1 2.9.3).
    """

    def __init__(self, line: Line, unasked: Unasked | None = None) -> None:
        self._unasked = unasked
        self._framed = line.answers != "unframed"
        self._release = line.mllp
        self._keepalive = line.keepalive_seconds
        self._decoder = FrameDecoder(MAX_REPLY)
        self._loose = b""  # of a reply without framing
        self._transport: asyncio.Transport | None = None
        self._inbox: asyncio.Queue[Frame | FramingFault | None] | None = None  # None in it: the connection ended
        self._earlier: deque[Answers] = deque(maxlen=REMEMBERED)
        self._quiet: asyncio.TimerHandle | None = None
        self._ended = "the receiver closed the connection without an answer"
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def open(self) -> bool:
        """Whether it can still be written to, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the system ask an idle receiver whether it is still there: firewalls forget connections."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport.set_write_buffer_limits(high=0)  # writable means: handed to the system
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(self._keepalive)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE[0])
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE[1])

    def pause_writing(self) -> None:
        """Not all that was written is with the system yet."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It is now."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Bytes of replies, cut in any way."""
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        if not self._framed:
            self._loose = (self._loose + data)[:MAX_REPLY]
            self._wait_for_silence(self._take_loose)
            return
        self._take(self._decoder.feed(data))
        if self._decoder.pending and self._inbox is not None:  # an ACK whose last CR never comes
            self._wait_for_silence(lambda: self._take(self._decoder.quiet()))

    def connection_lost(self, exc: Exception | None) -> None:
        """What was whole is a reply; then whoever waits for one is told that none comes."""
        if self._framed:
            self._take(self._decoder.eof())
        else:
            self._take_loose()
        self._transport = None
        self._writable.set()
        if isinstance(exc, ssl.SSLError):  # TLS 1.3: a certificate of ours is refused behind the handshake
            self._ended = f"the receiver ended TLS: {reason_of(exc)}"
        if self._inbox is not None:
            self._inbox.put_nowait(None)

    async def exchange(self, message: bytes, seconds: float, answers: Answers) -> bytes:
        """The reply; TimeoutError when none comes in time, StrayAnswerError for one to something else.

        A second answer to an earlier message of this connection is passed over. In release 2 the commit block comes
        first, and a NAK is an UnavailableError: the receiver has nothing (TRMLLP R2).
        """
        self._inbox = asyncio.Queue()
        try:
            async with asyncio.timeout(seconds):
                self._write(message)
                reply = await self._committed() if self._release == 2 else None
                reply = await self._answer(reply, answers, message.strip(b"\x0b\x1c\r"))
        finally:
            self._await_no_more()
        self._earlier.append(answers)
        if self._release == 2:  # the sender's own commit follows: were it lost, the message goes out again
            self._write(commit_block(kept=True))
        return reply

    async def tell(self, message: bytes, seconds: float) -> None:
        """Write to somebody who never answers; UnavailableError where the connection ends over it, or for a NAK."""
        self._inbox = asyncio.Queue() if self._release == 2 else None
        try:
            async with asyncio.timeout(seconds):
                self._write(message)
                await self._writable.wait()
                if self._release == 2:
                    await self._committed()
        finally:
            self._await_no_more()
        if not self.open:
            raise UnavailableError("the receiver closed the connection")

    def close(self, *, abort: bool = True) -> None:
        """End it; what was written and not yet sent is sent first unless it is aborted."""
        if self._transport is None:
            return
        if abort:
            self._transport.abort()
        else:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def _next(self) -> Frame | FramingFault:
        assert self._inbox is not None
        item = await self._inbox.get()
        if item is None:
            raise UnavailableError(self._ended)
        return item

    async def _committed(self) -> bytes | None:
        """Once the receiver has the message in safe storage; a reply that comes instead of ACK says so, too."""
        while True:
            item = await self._next()
            if isinstance(item, Frame):
                return item.data
            if item.reason == "commit-block":
                if item.head == ACK:
                    return None
                raise UnavailableError("the receiver could not keep the message (NAK)")
            self._aside(item)

    async def _answer(self, reply: bytes | None, answers: Answers, message: bytes) -> bytes:
        while True:
            if reply is None:
                item = await self._next()
                reply = item.data if isinstance(item, Frame) else None
                if reply is None:
                    self._aside(item)
                    continue
            if answers(reply):
                return reply
            if self._unasked is not None and names_another(reply, message):
                self._unasked(reply, self._say)
                reply = None
                continue
            if not any(earlier(reply) for earlier in self._earlier):
                raise StrayAnswerError("the receiver answered another message")
            logger.warning("a receiver answered an earlier message once more")
            reply = None

    def _wait_for_silence(self, then: Callable[[], None]) -> None:
        self._quiet = asyncio.get_running_loop().call_later(QUIET_SECONDS, then)

    def _take_loose(self) -> None:
        found, self._loose = self._loose.strip(_FRAMING), b""
        if found:
            self._take([Frame(found + b"\r")])

    def _take(self, found: Sequence[Frame | FramingFault]) -> None:
        for item in found:
            if self._inbox is not None:
                self._inbox.put_nowait(item)
            else:
                self._aside(item)

    def _await_no_more(self) -> None:
        """What came together with the reply, and behind it, is nobody's answer."""
        inbox, self._inbox = self._inbox, None
        while inbox is not None and not inbox.empty():
            item = inbox.get_nowait()
            if item is not None:
                self._aside(item)

    def _aside(self, item: Frame | FramingFault) -> None:
        if self._unasked is not None and isinstance(item, Frame):
            self._unasked(item.data, self._say)
        else:
            logger.warning("a receiver sent bytes that answer nothing (%s)", type(item).__name__)

    def _say(self, raw: bytes) -> None:
        if self.open:
            self._write(frame(raw))
