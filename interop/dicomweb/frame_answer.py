"""One frame as the archive's DICOMweb would answer it, cut out of an answer that holds it."""

from __future__ import annotations

from interop.dicomweb.archive import Answer, Sink
from interop.dicomweb.passing_sink import PassingSink
from interop.errors import UnavailableError


class FrameAnswer:
    """An Answer whose body is ``length`` bytes of another's, from ``start`` on, between ``before`` and ``after``."""

    status = 200
    ends_with_connection = False

    def __init__(
        self, answer: Answer, start: int, length: int, *, content_type: bytes, before: bytes = b"", after: bytes = b""
    ) -> None:
        size = len(before) + length + len(after)
        self.headers = [(b"content-type", content_type), (b"content-length", b"%d" % size)]
        self._answer = answer
        self._cut = _Cut(start, length, before, after)

    def header(self, name: bytes) -> bytes | None:
        """The header of that (lower case) name."""
        return next((value for key, value in self.headers if key == name), None)

    async def chunk(self) -> bytes | memoryview:
        """The next piece of the body; empty at its end. UnavailableError if the archive breaks off."""
        while not self._cut.done:
            data = await self._answer.chunk()
            if not data:
                raise UnavailableError("the archive broke off its answer", retry_after=5)
            if pieces := self._cut.of(data):
                return b"".join(pieces) if len(pieces) > 1 else pieces[0]
        while await self._answer.chunk():
            continue
        return b""

    async def pour(self, sink: Sink, patience: float) -> bool:
        """Passes the body to the sink as it arrives; False if the sink was gone before its end."""
        return await self._answer.pour(_CutSink(sink, self._cut), patience)

    def close(self) -> None:
        """Gives the archive's answer back."""
        self._answer.close()


class _Cut:
    """What of a body that streams by belongs to the frame."""

    def __init__(self, start: int, length: int, before: bytes, after: bytes) -> None:
        self._skip, self._left = start, length
        self._before, self._after = before, after

    @property
    def done(self) -> bool:
        """Whether all of the frame went by."""
        return self._left == 0

    def of(self, data: bytes | memoryview) -> list[bytes | memoryview]:
        """The pieces that the next bytes give."""
        size = len(data)
        if size <= self._skip or self._left == 0:
            self._skip -= min(size, self._skip)
            return []
        piece = data[self._skip : self._skip + self._left]
        self._skip = 0
        self._left -= len(piece)
        pieces = [self._before, piece] if self._before else [piece]
        self._before = b""
        if self._left == 0 and self._after:
            pieces.append(self._after)
        return pieces


class _CutSink(PassingSink):
    """The client's socket, which gets the frame alone."""

    def __init__(self, sink: Sink, cut: _Cut) -> None:
        super().__init__(sink)
        self._cut = cut

    def write(self, *pieces: bytes | memoryview) -> bool:
        free = True
        for data in pieces:
            if own := self._cut.of(data):
                free = self._sink.write(*own) and free
        return free
