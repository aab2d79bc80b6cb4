"""uvicorn, with a way for a door to hand a body straight to the client's socket.

ASGI passes a body on as one awaited message after another, through every layer above the door: a third of a
millisecond for a frame of 512 kB. The extension ``interop.sink`` spares that for the body alone. The start of the
answer and its end stay ASGI messages, so every layer sees and shapes what it always did, and a server without the
extension serves the same answers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from interop.dicomweb.archive import SINK

_SMALL = 64 * 1024  # what uvloop does not try to write at once, but collects


class HttpServer(uvicorn.Server):
    """Stops when it is told to, not by signals: those belong to the whole process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpProtocol(HttpToolsProtocol):
    """One client's connection; offers the extension with every request."""

    sink: ClientSink | None = None

    def on_headers_complete(self) -> None:
        """A request has begun."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # the task that answers has not started yet
            extensions: dict[str, dict[object, object]] = {SINK: {"open": partial(ClientSink, self, self.cycle)}}
            self.cycle.scope["extensions"] = extensions

    def resume_writing(self) -> None:
        """The client has taken what was waiting for it."""
        super().resume_writing()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._tell()

    def _tell(self) -> None:
        if self.sink is not None and self.sink.changed is not None:
            self.sink.changed()


class ClientSink:
    """Takes the body of one answer, between its ASGI messages ``http.response.start`` and the last, empty body."""

    def __init__(self, protocol: HttpProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
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

    def write(self, data: bytes | memoryview) -> bool:
        """Writes to the client; whether the memory of the data may be used again."""
        cycle = self._cycle
        if not cycle.response_started or cycle.chunked_encoding or len(data) > cycle.expected_content_length:
            raise RuntimeError("a sink takes the announced length of a started answer")
        if self.gone:
            return True
        cycle.expected_content_length -= len(data)
        if len(data) <= _SMALL:
            self._transport.write(bytes(data))
            return True
        self._transport.write(data)
        return self._transport.get_write_buffer_size() == 0

    def tell(self, changed: Callable[[], None] | None) -> None:
        """Calls back when the client has taken what was written, or is gone."""
        self.changed = changed
        self._protocol.sink = self if changed is not None else None

    def abort(self) -> None:
        """Closes the client's connection at once, whatever it has not taken."""
        self._transport.abort()
