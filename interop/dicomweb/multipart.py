"""Multipart answers as they stream by: one part out of them, or whether their end was there (RFC 2046 5.1)."""

from __future__ import annotations

import re

from interop.dicomweb.archive import Answer, Sink
from interop.dicomweb.passing_sink import PassingSink
from interop.errors import UnavailableError

_BOUNDARY = re.compile(rb'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_LENGTH = re.compile(rb"^content-length:\s*(\d{1,15})\s*$", re.IGNORECASE | re.MULTILINE)
_SYNTAX = re.compile(rb"^content-type:[^\r\n]*transfer-syntax=\"?([0-9.]{1,64})", re.IGNORECASE | re.MULTILINE)
_MAX_HEAD = 16 * 1024


def boundary(content_type: bytes | None) -> bytes | None:
    """The boundary parameter of a multipart content type."""
    match = _BOUNDARY.search(content_type or b"")
    return match.group(1) if match and (content_type or b"").lower().startswith(b"multipart/") else None


class SinglePart:
    """The first part of the answer: its length is known after ``open``, its bytes come from ``chunk``."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._rest = b""
        self.length = 0
        self.syntax = b""  # the transfer syntax that its head names
        self._left = 0

    async def open(self) -> bytes:
        """Reads the part's headers; the first bytes of its content, for a look at what it is."""
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0 or len(head) < end + 12:
            data = await self._answer.chunk()
            if not data:
                break
            head += data
            if end < 0 and len(head) > _MAX_HEAD and b"\r\n\r\n" not in head[:_MAX_HEAD]:
                break
        end = head.find(b"\r\n\r\n")
        length = _LENGTH.search(head[:end].replace(b"\r\n", b"\n")) if end >= 0 else None
        if length is None:
            raise UnavailableError("the archive's multipart answer is not readable")
        self.length = self._left = int(length.group(1))
        named = _SYNTAX.search(head[:end])
        self.syntax = named.group(1) if named is not None else b""
        self._rest = head[end + 4 :]
        return self._rest[:8]

    async def chunk(self) -> bytes | memoryview:
        """The next bytes of the part; empty at its end. The rest of the answer is read and dropped."""
        if self._left == 0:
            while await self._answer.chunk():
                continue
            return b""
        data: bytes | memoryview = self._rest or await self._answer.chunk()
        self._rest = b""
        if not data:
            raise UnavailableError("the archive broke off its answer")
        data = data[: self._left]
        self._left -= len(data)
        return data


class WholeMultipart:
    """A multipart answer whose end only its content shows: a study never arrives cut short unnoticed."""

    def __init__(self, answer: Answer) -> None:
        mark = boundary(answer.header(b"content-type"))
        self._answer = answer
        self._end = b"--" + mark + b"--" if mark else b""
        self._tail = b""

    async def chunk(self) -> bytes | memoryview:
        """The next bytes; empty at the end, UnavailableError if that was not the end of the last part."""
        data = await self._answer.chunk()
        if data:
            self.saw(data)
        else:
            self._check()
        return data

    async def pour(self, sink: Sink, patience: float) -> bool:
        """Passes the body to the sink as it arrives; False if the sink was gone before its end.

        UnavailableError if that was not the end of the last part.
        """
        whole = await self._answer.pour(_WatchedSink(sink, self), patience)
        if whole:
            self._check()
        return whole

    def saw(self, data: bytes | memoryview) -> None:
        """These bytes went by."""
        self._tail = (self._tail + bytes(data[-512:]))[-(len(self._end) + 8) :]

    def _check(self) -> None:
        if self._end not in self._tail:
            raise UnavailableError("the archive broke off its answer")


class _WatchedSink(PassingSink):
    """The client's socket; the end of what it gets is remembered."""

    def __init__(self, sink: Sink, whole: WholeMultipart) -> None:
        super().__init__(sink)
        self._whole = whole

    def write(self, *pieces: bytes | memoryview) -> bool:
        for data in pieces:
            self._whole.saw(data)
        return self._sink.write(*pieces)
