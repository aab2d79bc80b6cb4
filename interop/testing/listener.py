"""An HL7 receiver that answers as it is told to and keeps what it was sent: a RIS or an EMR for tests and the demo."""

from __future__ import annotations

import socketserver
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self

from interop.errors import MalformedError
from interop.hl7.acknowledgement import acknowledge
from interop.hl7.framing import Frame, FrameDecoder, frame
from interop.hl7.message import Message, parse

Answer = Literal["AA", "AE", "AR", "CA", "CE", "CR", "silence", "wrong-control-id", "close", "garbage"]

_LARGEST = 100_000_000


class HL7Listener:
    """Listens in threads of its own, as a context manager. Every message that arrives whole is in ``messages``.

    ``script`` says how the next messages are answered, one by one; after that, and without it, ``answer`` holds.
    silence: no answer, and the connection stays. close: the connection ends instead of an answer. wrong-control-id: AA
    for another message. garbage: bytes that are no HL7.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, answer: Answer = "AA") -> None:
        self.messages: list[bytes] = []
        self.answered: list[Answer] = []
        self.answer: Answer = answer
        self._script: deque[Answer] = deque()
        self._arrived = threading.Condition()
        self._server = _Server((host, port), _Connection)
        self._server.listener = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def host(self) -> str:
        """The address it listens on."""
        return str(self._server.server_address[0])

    @property
    def port(self) -> int:
        """The port it listens on; with 0 asked for, the one it got."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end all connections."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def script(self, *answers: Answer) -> None:
        """Answer the next messages so."""
        with self._arrived:
            self._script.extend(answers)

    def wait_for(self, holds: Callable[[list[bytes]], bool], *, within: float = 10.0) -> list[bytes]:
        """The messages once they are as wanted; TimeoutError otherwise."""
        deadline = time.monotonic() + within
        with self._arrived:
            while not holds(self.messages):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{len(self.messages)} messages came within {within:g} s, not those wanted")
                self._arrived.wait(left)
            return list(self.messages)

    def received(self, raw: bytes) -> bytes | None:
        """Keep a message; the bytes to answer with, None for silence. ConnectionAbortedError to close."""
        with self._arrived:
            answer = self._script.popleft() if self._script else self.answer
            self.messages.append(raw)
            self.answered.append(answer)
            self._arrived.notify_all()
        if answer == "silence":
            return None
        if answer == "close":
            raise ConnectionAbortedError
        if answer == "garbage":
            return frame(b"this is no HL7\r")
        try:
            message = parse(raw)
        except MalformedError:
            return frame(self._acknowledgement(None, "AR"))
        return frame(self._acknowledgement(message, answer))

    def _acknowledgement(self, message: Message | None, answer: Answer) -> bytes:
        wrong = answer == "wrong-control-id"
        raw = acknowledge(
            message,
            "AA" if wrong else answer,
            control_id=f"L{len(self.messages)}",
            now=datetime.now(UTC),
            facility="TEST",
            application="LISTENER",
        )
        if not wrong:
            return raw
        head, separator, rest = raw.partition(b"\rMSA|AA|")
        return head + separator + b"X" + rest


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection; ended with the listener."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = True
    request_queue_size = 64
    listener: HL7Listener

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
        self._open: set[_Connection] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def opened(self, connection: _Connection) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: _Connection) -> None:
        with self._lock:
            self._open.discard(connection)

    def end_connections(self) -> None:
        """Make every connection's thread see the end of its stream."""
        with self._lock:
            for connection in self._open:
                connection.end()


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def end(self) -> None:
        try:
            self.request.shutdown(2)
        except OSError:
            return  # the peer ended it already

    def handle(self) -> None:
        self.server.opened(self)
        decoder = FrameDecoder(_LARGEST)
        try:
            while data := self.request.recv(65536):
                for event in decoder.feed(data):
                    if isinstance(event, Frame):
                        self._answer(event.data)
        except (ConnectionError, TimeoutError):
            return  # the peer is gone, or the script says to hang up
        finally:
            self.server.closed(self)

    def _answer(self, raw: bytes) -> None:
        answer = self.server.listener.received(raw)
        if answer is not None:
            self.request.sendall(answer)
