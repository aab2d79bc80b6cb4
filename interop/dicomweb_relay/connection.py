"""One HTTP/1.1 connection to the archive, carrying one request at a time.

The parser reads the head only. A body of known length, or one that ends with the connection (Orthanc sends whole
studies and series so), is passed on as the socket gave it; only chunked bodies go through the parser.

Nothing is awaited for each piece: once a sink is there, what arrives is written to it in the same call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from interop.dicomweb_relay.buffers import SIZE, Buffers
from interop.errors import UnavailableError

HIGH_WATER = 512 * 1024  # bytes read ahead of the client; beyond it the archive is left to wait
LOW_WATER = 128 * 1024
MAX_HEAD = 64 * 1024
_COPIED = SIZE // 4  # a shorter piece is copied, so that it does not hold a whole buffer


class Sink(Protocol):
    """Where a body goes: the client's socket."""

    @property
    def full(self) -> bool: ...  # leave the archive to wait until told otherwise
    @property
    def gone(self) -> bool: ...
    def write(self, *pieces: bytes | memoryview) -> bool: ...  # whether their memory may be used again
    def tell(self, changed: Callable[[], None] | None) -> None: ...  # call when no longer full, or gone
    def abort(self) -> None: ...


class LostError(UnavailableError):
    """The archive closed the connection before it answered."""


class Connection(asyncio.BufferedProtocol):
    """Speaks to the archive for one exchange after another; the pool decides which."""

    def __init__(self, buffers: Buffers) -> None:
        self.loop = asyncio.get_running_loop()
        self._buffers = buffers
        self._buffer: bytearray | None = None
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.exchanges = 0
        self.closed = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._reset()

    def _reset(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.keep = False
        self.complete = True  # nothing expected
        self.to_close = False  # the body ends with the connection
        self.error: UnavailableError | None = None
        self._remaining = -1  # bytes of a body of known length; -1: not known, or head not read
        self._head_done = False
        self._raw = False  # what follows is the body as it is
        self._surplus = False  # something follows the answer that nobody asked for
        self._head_bytes = 0
        self._chunks: deque[bytes | memoryview] = deque()
        self._buffered = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._heard = 0.0  # when something moved last
        self._timer: asyncio.TimerHandle | None = None

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The archive, or we, closed the socket: the end of a body without length, else a failure."""
        self.closed = True
        self._drained.set()
        if not self.complete:
            if self._head_done and self.to_close and exc is None:
                self.complete = True
            elif self._head_done:
                self.error = UnavailableError("the archive broke off its answer", retry_after=5)
            else:
                self.error = LostError("the archive closed the connection", retry_after=5)
        self._wake()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into.

        A view: asyncio's TLS reads the records that follow into slices of it, and those of a bytearray are copies.
        """
        if self._buffer is None:
            self._buffer = self._buffers.take()
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        """More of the answer."""
        buffer, self._buffer = cast(bytearray, self._buffer), None
        kept = False
        if self.complete:
            self.abort()  # bytes that nobody asked for: the connection cannot be trusted any more
        elif self._raw:
            kept = self._take(memoryview(buffer)[:nbytes])
        else:
            kept = self._parse(buffer, nbytes)
        if not kept:
            self._buffers.give(buffer)
        if self._chunks or self.complete or self.error is not None:
            self._wake()

    def _parse(self, buffer: bytearray, size: int) -> bool:
        """Whether the buffer is still read from."""
        end = size
        if not self._head_done:
            self._head_bytes += size
            found = buffer.find(b"\r\n\r\n", 0, min(size, MAX_HEAD)) + 4
            end = found if found >= 4 else size
        view = memoryview(buffer)
        try:
            self.parser.feed_data(view[:end])
            if end < size and self._raw:
                return self._take(view[end:size])
            if end < size:
                self.parser.feed_data(view[end:size])
        except httptools.HttpParserError:
            self._fail("the archive's answer is not HTTP")
            return False
        if not self._head_done and self._head_bytes > MAX_HEAD:
            self._fail("the archive's answer has no end of its headers")
        return False

    def _fail(self, text: str) -> None:
        self.error = UnavailableError(text, retry_after=5)
        self.abort()

    # httptools callbacks

    def on_message_begin(self) -> None:
        """A further answer in the same bytes belongs to no request of ours: it must not reach the next one."""
        self._surplus = self._head_done

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        if not self._head_done:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is read: from it follows how the body ends."""
        if self._surplus:
            return
        self.status = self.parser.get_status_code()
        if self.status < 200:  # 100 Continue and its like: the real answer follows
            self.headers = []
            return
        self.keep = self.parser.should_keep_alive()
        named = dict(self.headers)
        length = named.get(b"content-length", b"")
        if self.status in (204, 304):
            self._remaining = 0
        elif length.isdigit() and b"transfer-encoding" not in named:
            self._remaining = int(length)
        elif b"transfer-encoding" not in named:
            self.to_close = True
            self.keep = False
        self._raw = self._remaining >= 0 or self.to_close
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self._surplus:
            self._take(body)

    def on_message_complete(self) -> None:
        """The parser has seen the end of the answer."""
        if self.status >= 200 and not self.to_close and not self._surplus:
            self.complete = True

    def _take(self, data: bytes | memoryview) -> bool:
        """Passes a piece of the body on, or keeps it; whether its memory is still read from."""
        if self._remaining >= 0:
            if len(data) > self._remaining:
                data = data[: self._remaining]
                self._surplus = True
            self._remaining -= len(data)
            self.complete = self.complete or self._remaining == 0
        if self._sink is not None:
            return self._pass(self._sink, data)
        copied = len(data) < _COPIED
        self._chunks.append(bytes(data) if copied else data)
        self._buffered += len(data)
        if self._buffered > HIGH_WATER and not self.complete:
            self._pause()
        return not copied

    def _pass(self, sink: Sink, data: bytes | memoryview) -> bool:
        self._heard = self.loop.time()
        free = sink.write(data)
        if not self.complete and sink.full:
            self._pause()
        return not free

    def _pause(self) -> None:
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    # what an exchange calls

    def send(self, request: bytes) -> None:
        """Starts an exchange."""
        self._reset()
        self.exchanges += 1
        self.complete = False
        if self.closed or self.transport is None:
            self.error = LostError("the archive closed the connection", retry_after=5)
        else:
            self.transport.write(request)

    def pause_writing(self) -> None:
        """The archive takes a request's body more slowly than it comes."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """The archive has taken most of it."""
        self._drained.set()

    async def write(self, data: bytes | memoryview, seconds: float) -> bool:
        """More of a request's body; False if the archive has answered already, or left, and wants none.

        UnavailableError if it takes nothing for so many seconds.
        """
        if self.closed or self._head_done or self.transport is None:
            return False
        self.transport.write(data)
        if self._drained.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._drained.wait()
        except TimeoutError:
            raise UnavailableError("the archive takes no more of what is sent to it", retry_after=10) from None
        return True

    async def head(self, seconds: float) -> None:
        """Returns when status, headers and, if there is one, the beginning of the body are there.

        UnavailableError if that takes longer.
        """
        while not (self._head_done and (self._chunks or self.complete)):
            await self._moved(seconds, "the archive does not answer in time")

    async def more(self, seconds: float) -> None:
        """Returns when a piece of the body is there, or its end; UnavailableError if that takes longer."""
        while not self._chunks and not self.complete:
            await self._moved(seconds, "the archive fell silent in its answer")

    async def ahead(self, size: int, seconds: float) -> bytes | memoryview:
        """So many bytes of the body or more, which stay to be taken; fewer where it ends. 512 kB is the most."""
        while self._buffered < min(size, HIGH_WATER) and not self.complete:
            await self._moved(seconds, "the archive fell silent in its answer")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def take(self) -> bytes | memoryview:
        """The next piece of the body as it arrived; empty if none is there."""
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        self._buffered -= len(data)
        if self._buffered < LOW_WATER:
            self._resume()
        return data

    async def pour(self, sink: Sink, idle: float, patience: float) -> bool:
        """Passes the rest of the body to the sink as it arrives; whether the sink was there until the end.

        UnavailableError if the archive breaks off, or is silent for ``idle`` seconds. A sink that takes nothing for
        ``patience`` seconds is aborted.
        """
        while self._chunks:
            data = self._chunks.popleft()
            if sink.write(data) and isinstance(data, memoryview):
                self._buffers.give(cast(bytearray, data.obj))
        self._buffered = 0
        if not self.complete:
            self._sink = sink
            sink.tell(self._sink_changed)
            self._heard = self.loop.time()
            self._sink_changed()
            self._watch(idle, patience)
            try:
                while not (self.complete or sink.gone):
                    if self.error is not None:
                        raise self.error
                    await self._wait()
            finally:
                sink.tell(None)
                self._sink = None
                if self._timer is not None:
                    self._timer.cancel()
        return self.complete and not sink.gone

    def _sink_changed(self) -> None:
        assert self._sink is not None
        if self._sink.gone:
            self._wake()
        elif self._sink.full:
            self._pause()
        else:
            self._heard = self.loop.time()
            self._resume()

    def _watch(self, idle: float, patience: float) -> None:
        limit = patience if self._paused else idle
        left = self._heard + limit - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(min(left, idle, patience), self._watch, idle, patience)
        elif not self._paused:
            self._too_late("the archive fell silent in its answer")
        elif self._sink is not None:
            self._sink.abort()
            self._wake()

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        return self.complete and self.keep and not (self.closed or self._surplus or self.error)

    def abort(self) -> None:
        """Closes the socket at once."""
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    async def _moved(self, seconds: float, otherwise: str) -> None:
        if self.error is not None:
            raise self.error
        timer = self.loop.call_later(seconds, self._too_late, otherwise)
        try:
            await self._wait()
        finally:
            timer.cancel()

    def _too_late(self, text: str) -> None:
        self.error = UnavailableError(text, retry_after=10)
        self._wake()

    async def _wait(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
