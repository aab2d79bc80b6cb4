"""An HL7 receiver that answers as it is told to and keeps what it was sent: a RIS or an EMR for tests and the demo."""

from __future__ import annotations

import socketserver
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self

from interop.errors import MalformedError
from interop.hl7.acknowledgement import acknowledge
from interop.hl7.framing import Frame, FrameDecoder, commit_block, frame
from interop.hl7.message import Message, parse

Answer = Literal[
    "AA", "AE", "AR", "CA", "CE", "CR",
    "silence", "wrong-control-id", "close", "garbage", "half", "late", "twice", "unframed", "NAK", "ACK",
]  # fmt: skip
Rule = Callable[[bytes], Answer | None]

_LARGEST = 100_000_000
_CODES = ("AA", "AE", "AR", "CA", "CE", "CR")


class HL7Listener:
    """Listens in threads of its own, as a context manager. Every message that arrives whole is in ``messages``.

    ``script`` says how the next messages are answered, one by one; after that, and without it, ``answer`` holds.
    silence: no answer, and the connection stays. close: the connection ends instead of an answer. wrong-control-id: AA
    for another message. garbage: bytes that are no HL7. half: the connection ends in the middle of an AA. late: AA
    after ``late`` seconds, whatever comes meanwhile. twice: AA, and AA again. unframed: AA without VT and FS.

    In MLLP release 2 (``release=2``) a commit block comes first. NAK: nothing but a negative one. ACK: nothing but a
    positive one. ``rule`` may answer a message by its content, before script and ``answer`` are asked; ``seconds`` is
    how long each answer takes. ``busiest`` is how many messages were at hand at once, ``connections`` how many
    connections there were, ``commits`` what commit blocks came back.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        answer: Answer = "AA",
        release: int = 1,
        rule: Rule | None = None,
        seconds: float = 0.0,
        late: float = 0.5,
    ) -> None:
        self.release = release
        self.rule = rule
        self.seconds = seconds
        self.late = late
        self.connections = 0
        self.busiest = 0
        self.commits: list[bytes] = []
        self._busy = 0
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

    def received(self, raw: bytes) -> Iterator[bytes]:
        """Keep a message; the bytes to answer with, piece by piece. ConnectionAbortedError to close."""
        with self._arrived:
            answer = self.rule(raw) if self.rule is not None else None
            if answer is None:
                answer = self._script.popleft() if self._script else self.answer
            self.messages.append(raw)
            self.answered.append(answer)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            self._arrived.notify_all()
        try:
            time.sleep(self.seconds)
            yield from self._answered(raw, answer)
        finally:
            with self._arrived:
                self._busy -= 1

    def _answered(self, raw: bytes, answer: Answer) -> Iterator[bytes]:
        if answer == "close":
            raise ConnectionAbortedError
        if self.release == 2 and answer != "silence":
            yield commit_block(answer != "NAK")
        if answer in ("silence", "NAK", "ACK"):
            return
        if answer == "garbage":
            yield frame(b"this is no HL7\r")
            return
        try:
            message: Message | None = parse(raw)
        except MalformedError:
            message, answer = None, "AR"
        said = self._acknowledgement(message, answer)
        if answer == "late":
            time.sleep(self.late)
        if answer == "half":
            yield frame(said)[: len(said) // 2]
            raise ConnectionAbortedError
        yield said if answer == "unframed" else frame(said)
        if answer == "twice":
            yield frame(said)

    def _acknowledgement(self, message: Message | None, answer: Answer) -> bytes:
        wrong = answer == "wrong-control-id"
        raw = acknowledge(
            message,
            answer if answer in _CODES else "AA",
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
            self.listener.connections += 1

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
                    elif event.reason == "commit-block":
                        self.server.listener.commits.append(event.head)
        except (ConnectionError, TimeoutError):
            return  # the peer is gone, or the script says to hang up
        finally:
            self.server.closed(self)

    def _answer(self, raw: bytes) -> None:
        for piece in self.server.listener.received(raw):
            self.request.sendall(piece)
