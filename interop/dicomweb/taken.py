"""What was taken in of a request's body: in memory while there is room for it, else in a temporary file.

A file costs its bytes twice on their way, into it and out of it; on two cores that is a quarter of what storing an
image costs this server. All requests share the room, so that memory stays as it is however many send.
"""

from __future__ import annotations

import asyncio
import io
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from interop.dicomweb.taken_file import TakenFile

_BLOCK = 1024 * 1024  # read from the file at once
_CRUMB = 4 * 1024  # bytes; pieces that are smaller in the middle are put together
_CRUMBS = 64 * 1024  # until there are so many

Piece = bytes | memoryview


class Room:
    """So many bytes for all requests together, and so many at most for one."""

    def __init__(self, size: int, most: int) -> None:
        self._free, self.most = size, most

    def take(self, size: int) -> bool:
        """Whether that much is free; it is not, from then on."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        """It is free again."""
        self._free += size


class Taken:
    """The bytes in their order. ``close`` must follow. Threads may read what is there."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = _Held()
        self._file: TakenFile | None = None

    async def append(self, pieces: Sequence[memoryview]) -> None:
        """Keeps them behind what is there; UnavailableError where there is no room on the disk either."""
        size = sum(map(len, pieces))
        fits = self._held.size + size <= self._room.most
        if self._file is None and fits and self._room.take(size):
            self._held.add(pieces)
            return
        if self._file is None:
            self._file = TakenFile()
            pieces = [*self._held.cut(0, self._held.size), *pieces]
            self._let_go()
        await asyncio.to_thread(self._file.append, pieces)

    async def pieces(self, start: int, length: int) -> AsyncIterator[Piece]:
        """So many bytes from there, as they lie."""
        if self._file is None:
            for piece in self._held.cut(start, length):
                yield piece
            return
        for at in range(start, start + length, _BLOCK):
            yield await asyncio.to_thread(self._file.read, at, min(_BLOCK, start + length - at))

    def blocks(self, start: int, length: int) -> Iterator[Piece]:
        """The same, for a thread."""
        if self._file is None:
            yield from self._held.cut(start, length)
            return
        for at in range(start, start + length, _BLOCK):
            yield self._file.read(at, min(_BLOCK, start + length - at))

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """What is there, as a file for one reader; for a thread."""
        if self._file is None:
            yield cast(BinaryIO, io.BufferedReader(_HeldFile(self._held)))
            return
        with self._file.reader() as found:
            yield found

    def close(self) -> None:
        """Forgets it; a thread that reads it goes on to its end."""
        self._let_go()
        if self._file is not None:
            self._file.close()

    def _let_go(self) -> None:
        held, self._held = self._held, _Held()
        self._room.give_back(held.size)


class _Held:
    """Pieces in memory, and where each begins. Threads read it when nothing is added any more."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._starts: list[int] = []
        self.size = 0

    def add(self, pieces: Sequence[memoryview]) -> None:
        """Keeps them, small ones put together: each has an overhead of its own."""
        small = sum(map(len, pieces)) < len(pieces) * _CRUMB
        for piece in [b"".join(pieces)] if small else pieces:
            if small and self._pieces and len(self._pieces[-1]) < _CRUMBS:
                self._pieces[-1] = b"".join((self._pieces[-1], piece))
            else:
                self._pieces.append(piece)
                self._starts.append(self.size)
            self.size += len(piece)

    def cut(self, start: int, length: int) -> Iterator[memoryview]:
        """So many bytes from there, or as many as there are."""
        end = min(start + length, self.size)
        number = bisect_right(self._starts, start) - 1
        while start < end:
            piece, begin = self._pieces[number], self._starts[number]
            part = memoryview(piece)[start - begin : end - begin]
            if part:
                yield part
            start += len(part)
            number += 1


class _HeldFile(io.RawIOBase):
    """What is held, as a file."""

    name = ""  # pydicom asks a file for one

    def __init__(self, held: _Held) -> None:
        self._held, self._at = held, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._held.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Some bytes; none at the end."""
        piece = next(self._held.cut(self._at, len(buffer)), memoryview(b""))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
