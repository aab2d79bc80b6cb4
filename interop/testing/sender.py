"""An HL7 sender: message bytes out over MLLP, the acknowledgement's bytes back."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import Self

from interop.errors import UnavailableError
from interop.hl7.framing import Frame, FrameDecoder, frame

_LARGEST = 10_000_000


class NoAnswerError(UnavailableError):
    """The receiver did not answer."""


class HL7Sender:
    """One connection, kept open; one message at a time, as a context manager."""

    def __init__(self, host: str, port: int, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=host)
        except OSError as error:
            raise NoAnswerError(f"nobody listens at {host}:{port}: {error.strerror or error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = FrameDecoder(_LARGEST)
        self._frames: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def send(self, raw: bytes) -> bytes:
        """Send a message and wait for its acknowledgement; line feeds as segment ends are sent as they are."""
        self.send_bytes(frame(raw))
        return self.receive()

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes, framed or not."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise NoAnswerError(f"the connection broke while sending: {error.strerror or error}") from error

    def receive(self) -> bytes:
        """The next message that comes; NoAnswerError if none does in time."""
        while not self._frames:
            try:
                data = self._socket.recv(65536)
            except TimeoutError as error:
                raise NoAnswerError("no acknowledgement in time") from error
            except OSError as error:
                raise NoAnswerError(f"the connection broke: {error.strerror or error}") from error
            if not data:
                raise NoAnswerError("the receiver ended the connection without an acknowledgement")
            self._frames += [event.data for event in self._decoder.feed(data) if isinstance(event, Frame)]
        return self._frames.pop(0)


def send(host: str, port: int, raw: bytes, *, timeout: float = 10.0) -> bytes:
    """Send one message on a connection of its own; the acknowledgement."""
    with HL7Sender(host, port, timeout=timeout) as sender:
        return sender.send(raw)
