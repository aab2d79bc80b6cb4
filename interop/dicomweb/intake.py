"""The body of a STOW-RS request, taken in before anything of it is stored (PS3.18 10.5.1, RFC 2046 5.1).

It is kept whole (``taken``), so that everything in it can be looked at before the archive gets the first instance: a
request that is refused, or whose sender leaves, stores nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from starlette.types import Receive

from interop.dicomweb.taken import Piece, Room, Taken
from interop.errors import MalformedError, TooLargeError, UnsupportedError

MAX_PARTS = 5000
_MAX_HEAD = 16 * 1024
_BLOCK = 1024 * 1024  # kept at once
_PIECES = 256
_PATIENCE = 60.0  # seconds for a client to send the next piece
_TYPE = re.compile(r'multipart/related\s*;.*\btype="?application/dicom"?\s*(;.*)?', re.IGNORECASE)
_BOUNDARY = re.compile(r"""boundary=(?:"([0-9A-Za-z'()+_,./:=? -]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
_PART_TYPE = re.compile(rb"^content-type:\s*application/dicom\s*(;.*)?$", re.IGNORECASE | re.MULTILINE)


class SenderLeftError(MalformedError):
    """The client went away, or fell silent, before its request was whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where in the file an instance lies."""

    start: int
    length: int


def boundary_of(content_type: str) -> bytes:
    """The boundary of a body of DICOM files; UnsupportedError (415) for any other kind of body."""
    found = _BOUNDARY.search(content_type)
    if not _TYPE.fullmatch(content_type.strip()) or found is None:
        raise UnsupportedError('the body has to be multipart/related; type="application/dicom"', status=415)
    return (found.group(1) or found.group(2)).encode("ascii", "replace")


def storing_request(headers: Sequence[tuple[bytes, bytes]], limit: int) -> bytes:
    """The boundary of the body that is announced; UnsupportedError (415, 406) or TooLargeError if it is not taken."""
    named = {name: value.decode("latin-1") for name, value in headers}
    if named.get(b"content-encoding", "").strip().lower() not in ("", "identity"):
        raise UnsupportedError("a body is taken as it is, without Content-Encoding", status=415)
    length = named.get(b"content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise TooLargeError(f"a request stores at most {limit} bytes")
    accept = named.get(b"accept", "*/*").lower()
    if not any(kind in accept for kind in ("application/dicom+json", "application/json", "*/*", "application/*")):
        raise UnsupportedError("the answer is application/dicom+json, which the request does not accept", status=406)
    return boundary_of(named.get(b"content-type", ""))


class Intake:
    """Takes a body in; ``close`` must follow."""

    def __init__(self, boundary: bytes, limit: int, room: Room) -> None:
        self._mark = b"\r\n--" + boundary
        self._limit = limit
        self.taken = Taken(room)
        self._parts: list[Part] = []
        self._held = b"\r\n"  # of what came, what cannot be judged yet; the first boundary may stand at the beginning
        self._in_head = False
        self._ended = False
        self._start = -1  # of the part that is being read
        self._kept = 0  # bytes of parts, given away or not
        self._pieces: list[memoryview] = []  # not given away yet
        self._waiting = 0

    def close(self) -> None:
        """Forgets the body."""
        self.taken.close()

    async def take(self, receive: Receive) -> list[Part]:
        """The parts, all there.

        MalformedError, TooLargeError (413) or SenderLeftError if they are not; UnavailableError without room.
        """
        size, more, now = 0, True, asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(_PATIENCE) as patience:
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise SenderLeftError("the sender left before the body was whole; nothing was stored")
                    data, more = message.get("body", b""), message.get("more_body", False)
                    size += len(data)
                    if size > self._limit:
                        raise TooLargeError(f"a request stores at most {self._limit} bytes")
                    self._read_on(data)
                    if self._waiting >= _BLOCK or len(self._pieces) >= _PIECES:
                        patience.reschedule(None)
                        await self._flush()
                    patience.reschedule(now() + _PATIENCE)
        except TimeoutError:
            text = "nothing more of the body came for a minute; nothing was stored"
            raise SenderLeftError(text, status=408) from None
        if not self._ended or not self._parts:
            raise MalformedError("the multipart body has no end, or nothing in it")
        await self._flush()
        return self._parts

    def _read_on(self, data: bytes) -> None:
        """Sorts what has come: what belongs to a part is kept, by reference."""
        data, self._held = self._held + data if self._held else data, b""
        at = 0
        while not self._ended:
            if self._in_head:
                at = self._read_head(data, at)
                if self._in_head or self._ended:
                    return
            found = data.find(self._mark, at)
            if found < 0:
                end = data.find(b"\r", max(len(data) - len(self._mark) + 1, at))  # where a boundary may have begun
                end = len(data) if end < 0 else end
                self._keep(data, at, end)
                self._held = data[end:]
                return
            self._keep(data, at, found)
            if self._start >= 0:
                self._parts.append(Part(self._start, self._kept - self._start))
            at, self._in_head = found + len(self._mark), True

    def _read_head(self, data: bytes, at: int) -> int:
        """Reads what follows a boundary; where the part begins, if all of its head is there."""
        if data[at : at + 2] == b"--":
            self._ended = True
            return len(data)
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > _MAX_HEAD:
                raise MalformedError("a part of the body has no end of its headers")
            self._held = data[at:]
            return len(data)
        if not _PART_TYPE.search(data[at:end].replace(b"\r\n", b"\n")):
            raise UnsupportedError("every part of the body has to be application/dicom", status=415)
        if len(self._parts) >= MAX_PARTS:
            raise TooLargeError(f"a request stores at most {MAX_PARTS} instances")
        self._in_head, self._start = False, self._kept
        return end + 4

    def _keep(self, data: bytes, start: int, end: int) -> None:
        """What stands before the first part belongs to none."""
        if self._start >= 0 and end > start:
            self._pieces.append(memoryview(data)[start:end])
            self._waiting += end - start
            self._kept += end - start

    async def _flush(self) -> None:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        if pieces:
            await self.taken.append(pieces)

    def digest(self, part: Part) -> bytes:
        """MD5 of a part, by which Orthanc calls its files; for a thread."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.taken.blocks(part.start, part.length):
            digest.update(piece)
        return digest.hexdigest().encode("ascii")

    def pieces(self, part: Part) -> AsyncIterator[Piece]:
        """The bytes of a part."""
        return self.taken.pieces(part.start, part.length)
