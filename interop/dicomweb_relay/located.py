"""Content-Location in the parts of a multipart answer, which names the archive, made to lead here as it streams by.

The header keeps its length (spaces fill what is left of it), and so does the answer. PS3.18 8.6.1.2.1 lets servers send
it.
"""

from __future__ import annotations

import asyncio
import re

from interop.dicomweb_relay.answer import Answer
from interop.dicomweb_relay.connection import Sink
from interop.errors import UnavailableError

_BOUNDARY = re.compile(rb'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_LOCATION = re.compile(rb"^(content-location:[ \t]*)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
# Of bulk data, PS3.19 A.1.6; Orthanc writes it in capitals.
_URI = re.compile(rb'(uri=")https?://[^"\s]*?(/studies/[0-9.]+[^"\s]*)"', re.IGNORECASE)
_XML = b"dicom+xml"
_MAX_HEAD = 16 * 1024
_END = b"\r\n\r\n"


async def with_own_locations(answer: Answer, root: bytes) -> Answer | LocatedAnswer:
    """The answer itself, unless its first part has the header: an archive sends it with all parts or with none."""
    kind = answer.header(b"content-type") or b""
    mark = _BOUNDARY.search(kind) if kind.lower().startswith(b"multipart/") else None
    if mark is None or answer.status not in (200, 206):
        return answer
    head, end, _ = bytes(await answer.ahead(_MAX_HEAD)).partition(_END)
    return LocatedAnswer(answer, mark.group(1), root) if end and _LOCATION.search(head) else answer


def is_xml(answer: Answer) -> bool:
    """Whether the parts are DICOM in XML, whose bulk data are at addresses too."""
    kind = (answer.header(b"content-type") or b"").lower()
    return answer.status == 200 and kind.startswith(b"multipart/") and _XML in kind


def xml_led_here(body: bytes, content_type: bytes, root: bytes) -> bytes:
    """The whole body with addresses of this server in it, as long as before: spaces follow a shorter attribute."""

    def own(found: re.Match[bytes]) -> bytes:
        name, path = found.groups()
        attribute = b'%b%b%b"' % (name, root, path)
        return bytes((attribute if len(attribute) <= len(found[0]) else name + b'"').ljust(len(found[0])))

    body = _URI.sub(own, body)
    mark = _BOUNDARY.search(content_type)
    if mark is None:
        return body
    relocation = Relocation(mark.group(1), root)
    return relocation.feed(body) + relocation.rest()


class Relocation:
    """Reads the body piece by piece; what it gives back differs in the heads of parts alone."""

    def __init__(self, boundary: bytes, root: bytes) -> None:
        self._root = root
        self._mark = b"--" + boundary  # of the first part; those of the others follow a line end (RFC 2046 5.1.1)
        self._later = b"\r\n--" + boundary
        self._held = b""
        self._in_head = self._ended = False

    def feed(self, data: bytes) -> bytes:
        """What can be passed on."""
        self._held += data
        passed = []
        while (piece := self._step()) is not None:
            passed.append(piece)
        return b"".join(passed)

    def rest(self) -> bytes:
        """What was held back when the body ends."""
        held, self._held = self._held, b""
        return held

    def _step(self) -> bytes | None:
        """The next piece; None where more has to come first."""
        if self._ended:
            return self._take(len(self._held)) if self._held else None
        if self._in_head:
            return self._head()
        at = self._held.find(self._mark)
        if at >= 0:
            size, self._in_head, self._mark = at + len(self._mark), True, self._later
            return self._take(size)
        size = len(self._held) - len(self._mark) + 1
        return self._take(size) if size > 0 else None

    def _head(self) -> bytes | None:
        if self._held.startswith(b"--"):
            self._ended = True
            return self._take(2)
        end = self._held.find(_END)
        if end < 0 and len(self._held) <= _MAX_HEAD:
            return None
        self._in_head = False
        if end < 0:  # no head that anybody could read
            return self._take(_MAX_HEAD)
        return _LOCATION.sub(self._located, self._take(end + len(_END)))

    def _located(self, found: re.Match[bytes]) -> bytes:
        name, value = found.groups()
        at = value.find(b"/studies/")
        own = self._root + value[at:].rstrip() if at >= 0 else b""
        return bytes(name + (own if len(own) <= len(value) else b"").ljust(len(value)))

    def _take(self, size: int) -> bytes:
        piece, self._held = self._held[:size], self._held[size:]
        return piece


class LocatedAnswer:
    """An answer whose parts have their Content-Location below ``root``, or none that says anything."""

    def __init__(self, answer: Answer, boundary: bytes, root: bytes) -> None:
        self.status, self.headers = answer.status, answer.headers
        self.ends_with_connection = answer.ends_with_connection
        self._answer = answer
        self._relocation = Relocation(boundary, root)

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower case) name."""
        return self._answer.header(name)

    async def chunk(self) -> bytes:
        """The next piece of the body; empty at its end. UnavailableError if the archive falls silent or breaks off."""
        while data := await self._answer.chunk():
            if piece := self._relocation.feed(bytes(data)):
                return piece
        return self._relocation.rest()

    async def ahead(self, size: int) -> bytes | memoryview:
        """The beginning of the body as the archive has it."""
        return await self._answer.ahead(size)

    async def body(self, limit: int) -> bytes:
        """The whole body; UnavailableError beyond the limit."""
        chunks, size = [], 0
        while data := await self.chunk():
            chunks.append(data)
            size += len(data)
            if size > limit:
                raise UnavailableError("the archive's answer is longer than this server keeps in memory")
        return b"".join(chunks)

    async def pour(self, sink: Sink, patience: float) -> bool:
        """Passes the body to the sink as it arrives; False if the sink was gone before its end.

        A sink that takes nothing for ``patience`` seconds is aborted.
        """
        while data := await self.chunk():
            if sink.gone or not await _room(sink, patience):
                return False
            sink.write(data)
        return not sink.gone

    def close(self) -> None:
        """Gives the connection back, or closes it if the answer was not read to its end."""
        self._answer.close()


async def _room(sink: Sink, patience: float) -> bool:
    """Whether the sink has room, once it has."""
    if not sink.full:
        return True
    moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def changed() -> None:
        if not moved.done() and (sink.gone or not sink.full):
            moved.set_result(None)

    sink.tell(changed)
    try:
        changed()
        async with asyncio.timeout(patience):
            await moved
    except TimeoutError:
        sink.abort()
        return False
    finally:
        sink.tell(None)
    return not sink.gone
