"""The body of a STOW-RS request, taken in before anything of it is stored (PS3.18 10.5.1, RFC 2046 5.1).

It goes to a temporary file, so that memory stays as it is however large the body is, and so that everything in it can
be looked at before the archive gets the first instance: a request that is refused, or whose sender leaves, stores
nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from starlette.types import Message, Receive

from interop.errors import MalformedError, TooLargeError, UnsupportedError

MAX_PARTS = 5000
_MAX_HEAD = 16 * 1024
_BLOCK = 512 * 1024
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
    length = named.get(b"content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise TooLargeError(f"a request stores at most {limit} bytes")
    accept = named.get(b"accept", "*/*").lower()
    if not any(kind in accept for kind in ("application/dicom+json", "application/json", "*/*", "application/*")):
        raise UnsupportedError("the answer is application/dicom+json, which the request does not accept", status=406)
    return boundary_of(named.get(b"content-type", ""))


class Intake:
    """Takes a body in; ``close`` must follow."""

    def __init__(self, boundary: bytes, limit: int) -> None:
        self._mark = b"\r\n--" + boundary
        self._limit = limit
        self.file: BinaryIO = tempfile.TemporaryFile(prefix="interop-stow-")  # noqa: SIM115  # closed by close()
        self._held = bytearray(b"\r\n")  # the first boundary may stand at the very beginning
        self._ended = False
        self._written = 0
        self._pending = bytearray()

    def close(self) -> None:
        """Forgets the body."""
        self.file.close()

    async def take(self, receive: Receive) -> list[Part]:
        """The parts, all there. MalformedError, TooLargeError (413) or SenderLeftError if they are not."""
        parts: list[Part] = []
        size = 0
        start: int | None = None  # of the part that is being read
        while True:
            message = await _next(receive)
            data = message.get("body", b"")
            size += len(data)
            if size > self._limit:
                raise TooLargeError(f"a request stores at most {self._limit} bytes")
            self._held += data
            while not self._ended:
                found, start = await self._step(start, parts)
                if not found:
                    break
            if self._ended:
                self._held.clear()
            if not message.get("more_body", False):
                break
        if not self._ended or not parts:
            raise MalformedError("the multipart body has no end, or nothing in it")
        await self._flush()
        await asyncio.to_thread(self.file.flush)
        return parts

    async def _step(self, start: int | None, parts: list[Part]) -> tuple[bool, int | None]:
        """Reads up to the next boundary and past the part head behind it; whether it got that far."""
        at = self._held.find(self._mark)
        if at < 0:
            safe = max(len(self._held) - len(self._mark) + 1, 0)
            await self._keep(safe, start)
            return False, start
        await self._keep(at, start)
        if start is not None:
            parts.append(Part(start, self._written - start))
        after = len(self._mark)
        if self._held[after : after + 2] == b"--":
            self._ended = True
            return True, None
        end = self._held.find(b"\r\n\r\n", after)
        if end < 0:
            if len(self._held) > _MAX_HEAD:
                raise MalformedError("a part of the body has no end of its headers")
            if start is not None:
                parts.pop()  # it is looked at again when more is there
            return False, start
        if not _PART_TYPE.search(bytes(self._held[after:end]).replace(b"\r\n", b"\n")):
            raise UnsupportedError("every part of the body has to be application/dicom", status=415)
        if len(parts) >= MAX_PARTS:
            raise TooLargeError(f"a request stores at most {MAX_PARTS} instances")
        del self._held[: end + 4]
        return True, self._written

    async def _keep(self, size: int, start: int | None) -> None:
        """Moves the first bytes to the file; drops them where they belong to no part."""
        if start is not None and size:
            self._pending += self._held[:size]
            self._written += size
            if len(self._pending) >= _BLOCK:
                await self._flush()
        del self._held[:size]

    async def _flush(self) -> None:
        block, self._pending = bytes(self._pending), bytearray()
        await asyncio.to_thread(self.file.write, block)

    def digest(self, part: Part) -> bytes:
        """MD5 of a part, by which Orthanc calls its files; for a thread."""
        digest = hashlib.md5(usedforsecurity=False)
        for position in range(part.start, part.start + part.length, _BLOCK):
            digest.update(self._read(position, min(_BLOCK, part.start + part.length - position)))
        return digest.hexdigest().encode("ascii")

    async def pieces(self, part: Part) -> AsyncIterator[bytes]:
        """The bytes of a part."""
        for position in range(part.start, part.start + part.length, _BLOCK):
            yield await asyncio.to_thread(self._read, position, min(_BLOCK, part.start + part.length - position))

    def _read(self, position: int, size: int) -> bytes:
        """Several parts are read at the same time, so none moves the place in the file."""
        return os.pread(self.file.fileno(), size, position)


async def _next(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(_PATIENCE):
            message = await receive()
    except TimeoutError:
        raise SenderLeftError("nothing more of the body came for a minute; nothing was stored", status=408) from None
    if message["type"] != "http.request":
        raise SenderLeftError("the sender left before the body was whole; nothing was stored")
    return message
