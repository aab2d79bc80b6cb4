"""uvicorn, with a way for a door to hand a body straight to the client's socket.

ASGI passes a body on as one awaited message after another, through every layer above the door: a third of a
millisecond for a frame of 512 kB. The extension ``interop.sink`` spares that for the body alone. The start of the
answer and its end stay ASGI messages, so every layer sees and shapes what it always did, and a server without the
extension serves the same answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import cast
from urllib.parse import unquote

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from interop.dicomweb.archive import SINK

_FRAMING = frozenset({b"connection", b"transfer-encoding"})  # headers that say how the body ends: left to uvicorn
_SMALL = 64 * 1024  # what uvloop does not try to write at once, but collects


LONGEST_FRAME = 16 * 1024  # bytes of what a websocket's client may say at once: a binding token and its word
CLOSE_SECONDS = 5.0  # that a websocket's client has to say farewell
_GOING_AWAY = 1001


class HttpServer(uvicorn.Server):
    """Stops when it is told to, not by signals: those belong to the whole process."""

    @classmethod
    def serving(cls, app: ASGIApp, stop_seconds: int) -> HttpServer:
        """A server of the application, not started; requests have so many seconds to finish when it stops."""
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=HttpProtocol,
            ws=SocketProtocol,
            ws_max_size=LONGEST_FRAME,
            ws_ping_interval=20.0,  # whoever does not answer one within as long is gone
            ws_ping_timeout=20.0,
            ws_per_message_deflate=False,  # memory for each socket, and secrets beside what others chose (RFC 7692 8)
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=stop_seconds,
        )
        return cls(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class SocketProtocol(WebSocketsSansIOProtocol):
    """One client's websocket. What is to end does, whether the client reads or not."""

    def shutdown(self) -> None:
        """The server stops: 1001 (RFC 6455 7.4.1), where uvicorn says 1012."""
        if self.handshake_complete and not self.close_sent:
            self.stop_keepalive()
            self.conn.send_close(_GOING_AWAY, "the server stops")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _GOING_AWAY, "reason": ""})
        super().shutdown()
        self._end()

    async def send(self, message: ASGISendEvent) -> None:
        """Takes an ASGI message; a close does not wait for what the client has yet to read."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self._end()

    def keepalive_timeout(self) -> None:
        """A ping was not answered."""
        super().keepalive_timeout()
        self._end()

    def _end(self) -> asyncio.TimerHandle:
        return self.loop.call_later(CLOSE_SECONDS, self.transport.abort)


class HttpProtocol(HttpToolsProtocol):
    """One client's connection; offers the extension with every request."""

    descriptor = -1  # of the client's socket, if what is written to it is what the client gets
    answering: _Exchange | None = None  # requests are answered one at a time, in their order
    sink: ClientSink | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The socket is open."""
        super().connection_made(transport)
        if transport.get_extra_info("sslcontext") is None:
            self.descriptor = transport.get_extra_info("socket").fileno()

    def on_headers_complete(self) -> None:
        """A request has begun: uvicorn's own steps, without the limit that this server has not."""
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        if parser.should_upgrade() and self._should_upgrade():
            return  # a websocket: handed to its own protocol when the head has been read
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = cycle = _Exchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {SINK: {"open": self._open_sink}}
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:  # its turn comes when the answer before it is complete
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.answering = cast(_Exchange, cycle)
        super()._start_asgi_task(cycle, app)

    def _open_sink(self) -> ClientSink:
        assert self.answering is not None
        return ClientSink(self, self.answering)

    def resume_writing(self) -> None:
        """The client has taken what was waiting for it."""
        super().resume_writing()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.descriptor = -1
        super().connection_lost(exc)
        self._tell()

    def _tell(self) -> None:
        if self.sink is not None and self.sink.changed is not None:
            self.sink.changed()


class _Exchange(RequestResponseCycle):
    """One request and its answer, whose lines of headers are checked once and not for every frame."""

    holds = False  # the head goes out together with the first bytes of the body: a sink is open
    head = b""  # the head that is held

    async def send(self, message: ASGISendEvent) -> None:
        """Takes an ASGI message."""
        if self.head:
            self.transport.write(self.head)
            self.head = b""
        if message["type"] == "http.response.start" and not (self.response_started or self.flow.write_paused):
            content = [STATUS_LINE[message["status"]]]
            length = -1
            for name, value in (*self.default_headers, *message.get("headers", ())):
                own, line = _line(name, value)
                content.append(line)
                if own == b"content-length":
                    length = int(value)
                elif own in _FRAMING:
                    length = -1
                    break
            if length >= 0 and self.keep_alive and not self.disconnected:
                self.response_started, self.waiting_for_100_continue = True, False
                self.expected_content_length, self.chunked_encoding = length, False
                content.append(b"\r\n")
                self.head = b"".join(content)
                if not self.holds:
                    self.transport.write(self.head)
                    self.head = b""
                return
        await super().send(message)


@lru_cache(maxsize=2048)
def _line(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """The header's name and line as they are sent. ValueError for what HTTP cannot carry (RFC 9110 5.1, 5.5)."""
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise ValueError("a header has characters that HTTP cannot carry")
    name = name.lower()
    return name, name + b": " + value + b"\r\n"


class ClientSink:
    """Takes the body of one answer, between its ASGI messages ``http.response.start`` and the last, empty body.

    Opened before the first of them, so that head and body can leave together and wake the client once.
    """

    def __init__(self, protocol: HttpProtocol, cycle: _Exchange) -> None:
        self._protocol = protocol
        self._cycle = cycle
        cycle.holds = True
        self._transport = protocol.transport
        self.changed: Callable[[], None] | None = None

    @property
    def full(self) -> bool:
        """Whether the client has yet to take what was written."""
        return self._protocol.flow.write_paused

    @property
    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        return self._cycle.disconnected or self._transport.is_closing()

    def write(self, *pieces: bytes | memoryview) -> bool:
        """Writes to the client; whether the memory of the pieces may be used again."""
        cycle = self._cycle
        if self.gone:
            return True
        size = sum(map(len, pieces))
        if not cycle.response_started or (not cycle.chunked_encoding and size > cycle.expected_content_length):
            raise RuntimeError("a sink takes the announced length of a started answer, or its chunks")
        if size == 0:
            return True
        if cycle.chunked_encoding:  # RFC 9112 7.1
            pieces = (b"%x\r\n" % size, *pieces, b"\r\n")
        else:
            cycle.expected_content_length -= size
        if cycle.head:
            rest, cycle.head = self._begun((cycle.head, *pieces)), b""
            size = sum(map(len, rest))
        else:
            rest = list(pieces)
        if size <= _SMALL:
            if rest:
                self._transport.write(b"".join(rest))
            return True
        if len(rest) == 1:
            self._transport.write(rest[0])
        else:
            self._transport.writelines(rest)
        return self._transport.get_write_buffer_size() == 0

    def _begun(self, pieces: tuple[bytes | memoryview, ...]) -> list[bytes | memoryview]:
        """Writes what the socket takes of the pieces; the rest of them."""
        sent = 0
        if self._protocol.descriptor >= 0 and self._transport.get_write_buffer_size() == 0:
            with contextlib.suppress(OSError):  # would block, or is broken: the transport will find out
                sent = os.writev(self._protocol.descriptor, pieces)
        rest: list[bytes | memoryview] = []
        for piece in pieces:
            if sent < len(piece):
                rest.append(piece[sent:])
            sent = max(0, sent - len(piece))
        return rest

    def tell(self, changed: Callable[[], None] | None) -> None:
        """Calls back when the client has taken what was written, or is gone."""
        self.changed = changed
        self._protocol.sink = self if changed is not None else None
        if not self._transport.is_closing():
            # Full as soon as anything waits: a slow client costs one buffer, not one and what others left.
            self._transport.set_write_buffer_limits(high=None if changed is None else 0)

    def abort(self) -> None:
        """Closes the client's connection at once, whatever it has not taken."""
        self._transport.abort()

    def lend(self) -> int | None:
        """The number of the client's socket, for a body of announced length; None until what was written has left.

        Nothing may be written here until it is given back. It is the socket's only while the client is there.
        """
        cycle, waiting = self._cycle, self._transport.get_write_buffer_size()
        if cycle.head:
            self._transport.write(cycle.head)
            cycle.head, waiting = b"", 1  # the loop writes it at its next turn
        usable = cycle.response_started and not cycle.chunked_encoding and self._protocol.descriptor >= 0
        return self._protocol.descriptor if usable and not waiting and not self.gone else None

    def given_back(self, written: int) -> None:
        """So many bytes of the body were written to the socket meanwhile."""
        self._cycle.expected_content_length -= written
