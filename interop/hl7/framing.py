"""MLLP framing (HL7 v2 Implementation Guide, appendix C; TRMLLP R2): ``<VT> message <FS><CR>``; no sockets here.

What comes out depends on the bytes only, never on how they were cut into reads. Tolerated silently: what cannot hide a
loss. Reported as a FramingFault: everything that may be a message, or a part of one, that never reaches the parser.

| bytes from the sender                                   | what the decoder makes of them                            |
|---------------------------------------------------------|-----------------------------------------------------------|
| ``VT msg FS CR``, several in one write                  | one Frame each, in order                                  |
| ``… CR FS`` then anything (no CR, LF, CRLF, other byte) | the Frame, at once: FS after a segment end is a trailer   |
| ``… x FS`` then CR, LF, VT, FS or the end of the stream | the Frame (the last segment has no CR)                    |
| ``… x FS`` then any other byte                          | FS is a character of the text; the frame goes on          |
| NUL, space, tab, CR, LF, FS between frames              | nothing (keep-alives, doubled trailers)                   |
| ``VT FS CR``, or only blanks between VT and FS          | nothing (keep-alive)                                      |
| ``VT VT msg``                                           | the Frame: the first VT began nothing                     |
| VT inside a message                                     | Fault ``torn`` with what came before; VT begins a Frame   |
| other bytes outside a frame (``MSH…`` without VT, too)  | Fault ``unframed``, at the next VT, FS or end of stream   |
| more than ``max_size`` bytes in a frame                 | Fault ``too-large`` at its end; the next frame is in step |
| ``VT ACK FS CR``, ``VT NAK FS CR`` (MLLP release 2)     | Fault ``commit-block``: this is not a message; what it    |
|                                                         | means is for whoever speaks release 2                     |
| end of the stream inside a frame                        | Fault ``unfinished``, or what ``eof`` is told             |
| end of the stream outside one, or a bare connect        | nothing (health probes)                                   |
| several MSH in one frame, FHS/BHS batches               | one Frame; ``interop.hl7.batches`` takes it apart         |
| LF or CRLF as segment end, no CR at the very end        | the Frame as sent; ``interop.hl7.message`` reads it       |

VT and FS bytes inside UTF-16 text cannot be told from framing: MLLP is not transparent to them, and UTF-16 needs luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interop.errors import InvalidContentError

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
_TRAILER = FS + CR
_BLANK = b"\x00\t\n\r "  # what keeps a connection warm or pads a frame
_SEGMENT_END = b"\r\n"
_AFTER_TRAILER = b"\r\n\x0b\x1c"  # what may follow the FS of a message without a last CR
ACK, NAK = b"\x06", b"\x15"  # what a commit block of MLLP release 2 holds
_COMMIT_BLOCKS = (ACK, NAK)
HEAD = 4096  # how much of refused bytes a fault keeps: the MSH is in it

FaultReason = Literal["torn", "unframed", "too-large", "commit-block", "unfinished", "too-slow"]
_WORDS: dict[FaultReason, str] = {
    "torn": "a new message began inside this one, which never ended",
    "unframed": "bytes outside an MLLP frame",
    "too-large": "the message is larger than this listener accepts",
    "commit-block": "an MLLP release 2 commit block where a message was expected",
    "unfinished": "the connection ended inside a message",
    "too-slow": "the message did not come to its end in time",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One message (or batch), without its framing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FramingFault:
    """Bytes that are not a message. ``head`` is their beginning, ``size`` how many there were."""

    reason: FaultReason
    head: bytes
    size: int

    @property
    def text(self) -> str:
        """The fault in words."""
        return f"{_WORDS[self.reason]} ({self.size} bytes)"


class FrameDecoder:
    """Cuts one connection's bytes into frames; never raises, never holds more than ``max_size`` and one read."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        self._inside = False
        self._searched = 0  # bytes at the front of the buffer that are known to hold neither VT nor a trailer
        self._dropped = 0  # bytes of the present frame (or run of unframed bytes) that are no longer in the buffer
        self._head = b""  # their beginning

    @property
    def pending(self) -> int:
        """Bytes received of what has not ended, a frame or unframed bytes; 0 between frames."""
        return self._dropped + len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | FramingFault]:
        """What these bytes complete."""
        if not self._inside and not self._buffer and not self._dropped and data[:1] == VT:
            size = len(data)  # the usual case: exactly one frame in one read
            whole = size - 3 <= self._max_size and data.endswith(_TRAILER) and data.find(FS) == size - 2
            if whole and data.find(VT, 1) < 0:
                return self._frame(data[1:-2])
        self._buffer += data
        found: list[Frame | FramingFault] = []
        while (self._step_inside if self._inside else self._step_outside)(found):
            pass
        return found

    def quiet(self) -> list[Frame | FramingFault]:
        """What ends because the sender fell silent and waits for an answer: a frame whose FS is the last byte."""
        if self._inside and self._buffer.endswith(FS):
            return self._end_frame(len(self._buffer) - 1)
        return []

    def eof(self, reason: FaultReason = "unfinished") -> list[Frame | FramingFault]:
        """What the end of the stream completes or cuts off; ``reason`` is that of its end inside a frame."""
        found = self.quiet()
        if self._inside:
            found += self._fault(reason, len(self._buffer)) if self.pending else []
        else:
            found += self._unframed(len(self._buffer))
        self._inside = False
        return found

    def _step_outside(self, found: list[Frame | FramingFault]) -> bool:
        """To the next VT; True if the buffer may hold more."""
        if not self._dropped and self._buffer[:1].strip(_BLANK) != self._buffer[:1]:
            self._buffer = self._buffer.lstrip(_BLANK)
        start = self._buffer.find(VT)
        stop = self._buffer.find(FS)
        if stop >= 0 and (start < 0 or stop < start):
            found += self._unframed(stop)  # FS ends a message whose VT was lost
            del self._buffer[:1]
            return True
        if start < 0:
            if len(self._buffer) > HEAD:
                self._drop(len(self._buffer))
            return False
        found += self._unframed(start)
        del self._buffer[:1]
        self._inside = True
        self._searched = 0
        return True

    def _step_inside(self, found: list[Frame | FramingFault]) -> bool:
        """To the next trailer or VT; True if the buffer may hold more."""
        buffer = self._buffer
        stop = buffer.find(FS, self._searched)
        torn = buffer.find(VT, self._searched, stop if stop >= 0 else len(buffer))
        if torn >= 0:
            found += self._fault("torn", torn) if torn or self._dropped else []
            del buffer[:1]
            self._searched = 0
            return True  # this VT begins the next frame
        if stop < 0:
            self._searched = len(buffer)
            if self.pending > self._max_size:
                self._drop(len(buffer) - 1)  # the last byte tells whether a following FS is a trailer
                self._searched = 1
            return False
        before = buffer[stop - 1 : stop]
        if before and before not in _SEGMENT_END:
            after = buffer[stop + 1 : stop + 2]
            if not after:
                self._searched = stop
                return False  # cannot be told yet
            if after not in _AFTER_TRAILER:
                self._searched = stop + 1
                return True
        found += self._end_frame(stop)
        return True

    def _end_frame(self, stop: int) -> list[Frame | FramingFault]:
        self._inside = False
        if self._dropped + stop > self._max_size:
            found = self._fault("too-large", stop)
        else:
            found = self._frame(bytes(self._buffer[:stop]))
            del self._buffer[:stop]
        del self._buffer[:1]
        return found

    def _frame(self, data: bytes) -> list[Frame | FramingFault]:
        if len(data) < 8:
            if not data.strip(_BLANK):
                return []
            if data in _COMMIT_BLOCKS:
                return [FramingFault("commit-block", data, 1)]
        return [Frame(data)]

    def _unframed(self, end: int) -> list[Frame | FramingFault]:
        return self._fault("unframed", end) if end or self._dropped else []

    def _fault(self, reason: FaultReason, end: int) -> list[Frame | FramingFault]:
        """The first ``end`` bytes of the buffer, and what was dropped before them, are no message."""
        size = self._dropped + end
        self._drop(end)
        head, self._head, self._dropped = self._head, b"", 0
        return [FramingFault(reason, head, size)]

    def _drop(self, count: int) -> None:
        if len(self._head) < HEAD:
            self._head += bytes(self._buffer[: min(count, HEAD - len(self._head))])
        self._dropped += count
        del self._buffer[:count]


def frame(message: bytes) -> bytes:
    """The message between VT and FS CR; InvalidContentError if it holds a byte that would end or begin a frame."""
    if VT in message or FS in message:
        raise InvalidContentError("the message holds a VT or FS byte, which MLLP cannot carry")
    return VT + message + _TRAILER


def commit_block(kept: bool) -> bytes:
    """What MLLP release 2 answers to a content block: ACK once it is in safe storage, NAK where it is not."""
    return VT + (ACK if kept else NAK) + _TRAILER
