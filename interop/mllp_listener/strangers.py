"""Senders that may not be heard: the first thing that they say is answered AR, with what to do about it; that is all.

A stranger may neither send much nor stay long, and only so many are listened to at once; the rest are closed unheard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from logging import getLogger
from typing import Any, cast

from interop.hl7.framing import Frame, FrameDecoder, commit_block, frame

logger = getLogger(__name__)

_HEAD = 4096  # of what is no frame: enough for its MSH
_QUIET = 0.25  # silence that ends a frame whose last CR is missing

Answering = Callable[[bytes], Awaitable[bytes]]
Refused = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class StrangerLimits:
    """What is borne of those who are not on the list."""

    bytes: int = 65_536
    seconds: float = 3.0  # for their first frame
    parting_seconds: float = 1.0  # for taking the answer
    at_once: int = 32


class Strangers:
    """The strangers of one listener."""

    def __init__(self, limits: StrangerLimits, release: int = 1) -> None:
        self.limits = limits
        self.release = release
        self.present: set[Stranger] = set()
        self._noting: set[asyncio.Future[None]] = set()

    @property
    def full(self) -> bool:
        """Whether nobody more is listened to."""
        return len(self.present) >= self.limits.at_once

    def note(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something written down about one of them, while it goes on."""
        task = asyncio.ensure_future(work)
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        """End their connections."""
        tasks = [one.task for one in self.present if one.task is not None]
        for one in tuple(self.present):
            one.end()
        await asyncio.gather(*tasks, *self._noting, return_exceptions=True)


class Stranger(asyncio.Protocol):
    """One connection of somebody who is not on the list."""

    def __init__(self, strangers: Strangers, answering: Answering, refused: Refused | None = None) -> None:
        """``refused`` is told once, of the first bytes that came: when they are answered, or when it is gone."""
        self._strangers = strangers
        self._answering = answering
        self._refused = refused
        self._decoder = FrameDecoder(strangers.limits.bytes)
        self._head = b""
        self._received = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Listen, unless there are too many already."""
        self._transport = cast(asyncio.Transport, transport)
        if self._strangers.full:
            self._transport.abort()
            return
        self._strangers.present.add(self)
        self._timer = asyncio.get_running_loop().call_later(self._strangers.limits.seconds, self.end)

    def data_received(self, data: bytes) -> None:
        """The first frame, or too much of anything, is answered; what comes after it is not looked at."""
        if self.task is not None:
            return
        self._stop_quiet()
        self._head += data[: max(0, _HEAD - len(self._head))]
        self._received += len(data)
        for item in self._decoder.feed(data):
            self._answer(item.data if isinstance(item, Frame) else item.head)
            return
        if self._received > self._strangers.limits.bytes:
            self._answer(self._head)
        elif self._decoder.pending:
            self._quiet = asyncio.get_running_loop().call_later(_QUIET, self._fell_silent)

    def eof_received(self) -> bool:
        """Half-closed: what was begun is still answered; once that is done there is nothing to wait for."""
        if self.task is None and self._received:
            self._answer(self._head)
        secured = self._transport is not None and self._transport.get_extra_info("ssl_object") is not None
        return self.task is not None and not self.task.done() and not secured

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self._note()
        self._transport = None
        self._stop_quiet()
        if self._timer is not None:
            self._timer.cancel()
        self._strangers.present.discard(self)

    def end(self) -> None:
        """Close the connection, whatever is still to come."""
        self._note()
        if self._transport is not None:
            self._transport.abort()

    def _fell_silent(self) -> None:
        for item in self._decoder.quiet():
            if self.task is None:
                self._answer(item.data if isinstance(item, Frame) else item.head)

    def _stop_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    def _note(self) -> None:
        refused, self._refused = self._refused, None
        if refused is not None:
            refused(self._head)

    def _answer(self, raw: bytes) -> None:
        self._note()
        self._stop_quiet()
        self.task = asyncio.ensure_future(self._part(raw.lstrip(b"\x0b")))

    async def _part(self, raw: bytes) -> None:
        """Answer, say that there is no more, and leave the other side a moment to read it: closing with bytes unread
        would take the answer away from it."""
        reply = await self._answering(raw)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if reply:
            transport.write((commit_block(False) if self._strangers.release == 2 else b"") + frame(reply))
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._strangers.limits.parting_seconds, self.end)
