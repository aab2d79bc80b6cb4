"""One HTTP/1.1 connection to the archive, carrying one request at a time.

The parser reads the head only. A body of known length, or one that ends with the connection (Orthanc sends whole
studies and series so), is passed on as the socket gave it; only chunked bodies go through the parser.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools

from interop.errors import UnavailableError

HIGH_WATER = 512 * 1024  # bytes read ahead of the client; beyond it the archive is left to wait
LOW_WATER = 128 * 1024
MAX_HEAD = 64 * 1024


class LostError(UnavailableError):
    """The archive closed the connection before it answered."""


class Connection(asyncio.Protocol):
    """Speaks to the archive for one exchange after another; the pool decides which."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.exchanges = 0
        self.closed = False
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
        self._surplus = False  # something follows the answer that nobody asked for
        self._head_bytes = 0
        self._chunks: deque[bytes | memoryview] = deque()
        self._buffered = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The archive, or we, closed the socket: the end of a body without length, else a failure."""
        self.closed = True
        if not self.complete:
            if self._head_done and self.to_close and exc is None:
                self.complete = True
            elif self._head_done:
                self.error = UnavailableError("the archive broke off its answer", retry_after=5)
            else:
                self.error = LostError("the archive closed the connection", retry_after=5)
        self._wake()

    def data_received(self, data: bytes) -> None:
        """More of the answer."""
        if self.complete:
            self.abort()  # bytes that nobody asked for: the connection cannot be trusted any more
        elif self._head_done and (self._remaining >= 0 or self.to_close):
            self._take(data)
        else:
            self._parse(data)
        self._wake()

    def _parse(self, data: bytes) -> None:
        body: memoryview | None = None
        if not self._head_done:
            self._head_bytes += len(data)
            end = data.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
            if 4 <= end < len(data):  # what follows the head is not copied through the parser where that can be helped
                body = memoryview(data)[end:]
                data = data[:end]
        try:
            self.parser.feed_data(data)
            if body is not None and self._head_done and (self._remaining >= 0 or self.to_close):
                self._take(body)
            elif body is not None:
                self.parser.feed_data(body)
        except httptools.HttpParserError:
            self._fail("the archive's answer is not HTTP")
            return
        if not self._head_done and self._head_bytes > MAX_HEAD:
            self._fail("the archive's answer has no end of its headers")

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
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self._surplus:
            self._take(body)

    def on_message_complete(self) -> None:
        """The parser has seen the end of the answer."""
        if self.status >= 200 and not self.to_close and not self._surplus:
            self.complete = True

    def _take(self, data: bytes | memoryview) -> None:
        if self._remaining >= 0:
            if len(data) > self._remaining:
                data = data[: self._remaining]
                self._surplus = True
            self._remaining -= len(data)
            self.complete = self.complete or self._remaining == 0
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > HIGH_WATER and not self._paused and self.transport is not None and not self.complete:
            self._paused = True
            self.transport.pause_reading()

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

    async def head(self) -> None:
        """Returns when status and headers are there."""
        while not self._head_done:
            if self.error is not None:
                raise self.error
            await self._wait()

    async def more(self) -> None:
        """Returns when a piece of the body is there, or its end."""
        while not self._chunks and not self.complete:
            if self.error is not None:
                raise self.error
            await self._wait()

    def take(self) -> bytes | memoryview:
        """The next piece of the body as it arrived; empty if none is there."""
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        self._buffered -= len(data)
        if self._paused and self._buffered < LOW_WATER and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        return data

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        return self.complete and self.keep and not (self.closed or self._surplus or self.error)

    def abort(self) -> None:
        """Closes the socket at once."""
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    async def _wait(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
