"""Pending C-FIND responses as P-DATA-TF, written in one go (PS3.7 9.3.2.2, PS3.8 9.3.5).

The library encodes every response anew and hands each PDU through a queue to another thread: too slow for thousands of
answers. While a query is answered nobody else writes to its association, so they can go out directly.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

from interop.dicom.worklist import MODALITY_WORKLIST_FIND
from interop.errors import UnavailableError

PENDING, PENDING_UNSUPPORTED = 0xFF00, 0xFF01
FLUSH = 1 << 16  # bytes
SMALLEST = 1024  # a peer that says it takes less would have each name in pieces
_ELEMENT = struct.Struct("<HHI")
_PDU = struct.Struct(">BBI")
_PDV = struct.Struct(">IBB")
_COMMAND, _LAST = 0x01, 0x02


class Responses:
    """Answers one query; ``pending`` for each match, ``flush`` before the final response."""

    def __init__(self, event: Any, *, warns: bool) -> None:
        self._association = event.assoc
        self._context = int(event.context.context_id)
        self._longest = _longest(event.assoc)
        status = PENDING_UNSUPPORTED if warns else PENDING
        self._command = _command(int(event.request.MessageID), status)
        self._waiting = bytearray()
        self.sent = 0

    def pending(self, identifier: bytes) -> bool:
        """Answer with this; whether what was waiting went out with it."""
        for data, flags in ((self._command, _COMMAND), (identifier, 0)):
            for part, last in _parts(data, self._longest):
                self._waiting += _PDU.pack(4, 0, len(part) + 6)
                self._waiting += _PDV.pack(len(part) + 2, self._context, flags | (_LAST if last else 0)) + part
        self.sent += 1
        if len(self._waiting) < FLUSH:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Send what waits; UnavailableError where the peer does not take it."""
        if not self._waiting:
            return
        connection = self._association.dul.socket.socket
        try:
            if connection is None:
                raise ConnectionResetError
            connection.sendall(self._waiting)
        except OSError as error:
            raise UnavailableError("the station takes no more answers") from error
        self._waiting.clear()


def send_at_once(event: Any, patience: int) -> None:
    """For a new connection: no waiting for more to send, and no waiting for ever for a peer that reads nothing."""
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", patience, 0))


def _longest(association: Any) -> int:
    """Bytes of a fragment: what the peer takes in a PDU, without the head of a PDV (PS3.8 D.1)."""
    taken = int(association.requestor.maximum_length or 0)
    return (max(taken, SMALLEST) if taken else FLUSH) - 6


def _parts(data: bytes, longest: int) -> Iterator[tuple[bytes, bool]]:
    for begin in range(0, len(data), longest):
        yield data[begin : begin + longest], begin + longest >= len(data)


def _command(message: int, status: int) -> bytes:
    """The command set of a pending C-FIND-RSP (PS3.7 table 9.3-4), Implicit VR Little Endian."""
    uid = MODALITY_WORKLIST_FIND.encode()
    uid += b"\0" * (len(uid) % 2)
    content = _ELEMENT.pack(0, 0x0002, len(uid)) + uid
    for number, value in ((0x0100, 0x8020), (0x0120, message), (0x0800, 0x0001), (0x0900, status)):
        content += _ELEMENT.pack(0, number, 2) + struct.pack("<H", value)
    return _ELEMENT.pack(0, 0x0000, 4) + struct.pack("<I", len(content)) + content
