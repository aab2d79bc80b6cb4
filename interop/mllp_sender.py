"""The MLLP wire to receivers: message bytes out, reply bytes back; it knows nothing of what they say.

One connection per receiver, kept open unless its line says otherwise, one message in flight on it. A reply that does
not come in time closes the connection: a late one must never be taken for the answer to the next message.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from typing import Protocol, cast

from interop.errors import UnavailableError
from interop.hl7.framing import Frame, FrameDecoder, FramingFault, frame
from interop.hl7.line import Line
from interop.tls import TlsContext, TlsFileError, TlsFiles

logger = getLogger(__name__)

MAX_REPLY = 1_000_000  # an acknowledgement is a few hundred bytes
QUIET_SECONDS = 0.2  # silence that ends a reply without a proper end
_FRAMING = b"\x0b\x1c\r\n\x00 "

Place = tuple[str, int]


class Address(Protocol):
    """Where a receiver listens; how it is to be spoken to may stand in its ``line``."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class _Wire(asyncio.Protocol):
    """One connection; at most one reply is awaited."""

    def __init__(self, *, framed: bool = True) -> None:
        self._framed = framed
        self._decoder = FrameDecoder(MAX_REPLY)
        self._loose = b""  # of a reply without framing
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[bytes] | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport.set_write_buffer_limits(high=0)  # writable means: handed to the system
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        if not self._framed:
            self._loose = (self._loose + data)[:MAX_REPLY]
            self._wait_for_silence(self._take_loose)
            return
        self._take(self._decoder.feed(data))
        if self._decoder.pending and self._reply is not None:  # an ACK whose last CR never comes
            self._wait_for_silence(lambda: self._take(self._decoder.quiet()))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._framed:
            self._take(self._decoder.eof())
        else:
            self._take_loose()
        self._transport = None
        self._writable.set()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(UnavailableError("the receiver closed the connection without an answer"))

    async def exchange(self, message: bytes, seconds: float) -> bytes:
        """The reply; TimeoutError when none comes in time."""
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(message)
            return await asyncio.wait_for(self._reply, seconds)
        finally:
            self._reply = None

    async def tell(self, message: bytes, seconds: float) -> None:
        """Write to somebody who never answers; UnavailableError where the connection ends over it."""
        assert self._transport is not None
        self._transport.write(message)
        await asyncio.wait_for(self._writable.wait(), seconds)
        if not self.open:
            raise UnavailableError("the receiver closed the connection")

    def close(self, *, abort: bool = True) -> None:
        if self._transport is None:
            return
        if abort:
            self._transport.abort()
        else:
            self._transport.close()

    def _wait_for_silence(self, then: object) -> None:
        assert callable(then)
        self._quiet = asyncio.get_running_loop().call_later(QUIET_SECONDS, then)

    def _take_loose(self) -> None:
        found, self._loose = self._loose.strip(_FRAMING), b""
        if found:
            self._take([Frame(found + b"\r")])

    def _take(self, found: Sequence[Frame | FramingFault]) -> None:
        for item in found:
            if isinstance(item, Frame) and self._reply is not None and not self._reply.done():
                self._reply.set_result(item.data)
            else:
                logger.warning("a receiver sent bytes that answer nothing (%s)", type(item).__name__)


class MllpSender:
    """Sends messages to receivers and hands their replies back."""

    def __init__(self, *, connect_seconds: float | None = None, reply_seconds: float | None = None) -> None:
        """The seconds hold for receivers that have no line of their own, or for all where they are given."""
        self._connect_seconds = connect_seconds
        self._reply_seconds = reply_seconds
        self._wires: dict[Place, _Wire] = {}
        self._locks: dict[Place, asyncio.Lock] = {}
        self._failures: Counter[Place] = Counter()
        self._free_at: dict[Place, float] = {}  # when the pause after the last message is over
        self._contexts: dict[TlsFiles, TlsContext] = {}

    async def send(self, receiver: Address, raw: bytes) -> bytes:
        """The reply to the message, empty where the receiver gives none; UnavailableError when none came."""
        place, line = (receiver.host, receiver.port), _line_of(receiver)
        framed, failures = frame(raw), self._failures[place]
        async with self._locks.setdefault(place, asyncio.Lock()):
            if self._failures[place] != failures:  # it failed while this one waited its turn
                raise UnavailableError(f"{place[0]}:{place[1]} does not answer")
            await asyncio.sleep(max(0.0, self._free_at.get(place, 0.0) - asyncio.get_running_loop().time()))
            try:
                return await self._send(place, line, framed)
            except BaseException:
                self._failures[place] += 1
                self.drop(receiver)
                raise
            finally:
                self._free_at[place] = asyncio.get_running_loop().time() + line.pause_seconds
                if line.one_message_per_connection:
                    self._end(place, abort=False)

    async def _send(self, place: Place, line: Line, framed: bytes) -> bytes:
        seconds = self._reply_seconds or line.answer_seconds
        wire = await self._wire(place, line)
        try:
            if line.answers == "none":
                await wire.tell(framed, seconds)
                return b""
            return await wire.exchange(framed, seconds)
        except TimeoutError as error:
            raise UnavailableError(f"no answer from {place[0]}:{place[1]} in {seconds:g} s") from error

    def drop(self, receiver: Address) -> None:
        """Close the connection, so that the next message starts on a fresh one."""
        self._end((receiver.host, receiver.port), abort=True)

    async def close(self) -> None:
        """Close all connections."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()

    def _end(self, place: Place, *, abort: bool) -> None:
        wire = self._wires.pop(place, None)
        if wire is not None:
            wire.close(abort=abort)

    async def _wire(self, place: Place, line: Line) -> _Wire:
        present = self._wires.get(place)
        if present is not None and present.open:
            return present
        loop = asyncio.get_running_loop()
        try:
            context = self._context(line) if line.tls else None
            async with asyncio.timeout(self._connect_seconds or line.connect_seconds):
                _, wire = await loop.create_connection(
                    lambda: _Wire(framed=line.answers != "unframed"),
                    *place,
                    ssl=context,
                    server_hostname=(line.server_name or place[0]) if context else None,
                )
        except TlsFileError as error:
            raise UnavailableError(f"no TLS to {place[0]}:{place[1]}: {error.text}") from error
        except (OSError, TimeoutError) as error:
            why = f": {getattr(error, 'verify_message', '') or error.reason}" if isinstance(error, ssl.SSLError) else ""
            raise UnavailableError(f"no connection to {place[0]}:{place[1]}{why}") from error
        self._wires[place] = wire
        return wire

    def _context(self, line: Line) -> ssl.SSLContext:
        cert, key, ca = (Path(name) if name else None for name in (line.cert, line.key, line.ca))
        files = TlsFiles(cert, key, ca)
        if files not in self._contexts:
            self._contexts[files] = TlsContext(files, server=False)
        return self._contexts[files].current()


def _line_of(receiver: Address) -> Line:
    line = getattr(receiver, "line", None)
    return line if isinstance(line, Line) else Line()
