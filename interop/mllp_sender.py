"""The MLLP wire to receivers: message bytes out, reply bytes back; it knows nothing of what they say.

One connection per receiver, kept open, one message in flight on it. A reply that does not come in time closes the
connection: a late one must never be taken for the answer to the next message.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from logging import getLogger
from typing import Protocol, cast

from interop.errors import UnavailableError
from interop.hl7.framing import Frame, FrameDecoder, FramingFault, frame

logger = getLogger(__name__)

MAX_REPLY = 1_000_000  # an acknowledgement is a few hundred bytes


class Address(Protocol):
    """Where a receiver listens."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class _Wire(asyncio.Protocol):
    """One connection; at most one reply is awaited."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder(MAX_REPLY)
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[bytes] | None = None
        self._quiet: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        self._take(self._decoder.feed(data))
        if self._decoder.pending and self._reply is not None:  # an ACK whose last CR never comes
            self._quiet = asyncio.get_running_loop().call_later(0.2, lambda: self._take(self._decoder.quiet()))

    def connection_lost(self, exc: Exception | None) -> None:
        self._take(self._decoder.eof())
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(UnavailableError("the receiver closed the connection without an answer"))

    def _take(self, found: Sequence[Frame | FramingFault]) -> None:
        for item in found:
            if isinstance(item, Frame) and self._reply is not None and not self._reply.done():
                self._reply.set_result(item.data)
            else:
                logger.warning("a receiver sent bytes that answer nothing (%s)", type(item).__name__)

    async def exchange(self, message: bytes, seconds: float) -> bytes:
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(message)
            return await asyncio.wait_for(self._reply, seconds)
        finally:
            self._reply = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class MllpSender:
    """Sends messages to receivers and hands their replies back."""

    def __init__(self, *, connect_seconds: float = 5.0, reply_seconds: float = 30.0) -> None:
        self._connect_seconds = connect_seconds
        self._reply_seconds = reply_seconds
        self._wires: dict[tuple[str, int], _Wire] = {}
        self._locks: dict[tuple[str, int], asyncio.Lock] = {}

    async def send(self, receiver: Address, raw: bytes) -> bytes:
        """The reply to the message; UnavailableError when none came."""
        place = (receiver.host, receiver.port)
        framed = frame(raw)
        async with self._locks.setdefault(place, asyncio.Lock()):
            wire = await self._wire(place)
            try:
                return await wire.exchange(framed, self._reply_seconds)
            except TimeoutError as error:
                self.drop(receiver)
                raise UnavailableError(f"no answer from {place[0]}:{place[1]} in {self._reply_seconds:g} s") from error
            except BaseException:
                self.drop(receiver)
                raise

    def drop(self, receiver: Address) -> None:
        """Close the connection, so that the next message starts on a fresh one."""
        wire = self._wires.pop((receiver.host, receiver.port), None)
        if wire is not None:
            wire.close()

    async def close(self) -> None:
        """Close all connections."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()

    async def _wire(self, place: tuple[str, int]) -> _Wire:
        present = self._wires.get(place)
        if present is not None and present.open:
            return present
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, wire = await loop.create_connection(_Wire, *place)
        except (OSError, TimeoutError) as error:
            raise UnavailableError(f"no connection to {place[0]}:{place[1]}") from error
        self._wires[place] = wire
        return wire
