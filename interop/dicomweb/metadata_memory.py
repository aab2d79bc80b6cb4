"""What is kept of the archive in the memory of the process, up to so many bytes; the longest unasked goes first."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from interop.dicomweb.archive import ArchiveAnswer

JSON = b"application/dicom+json"
LARGEST = 64 * 1024 * 1024  # of one answer as the archive gives it; a larger one is passed on as it arrives
_OVERHEAD = 512  # bytes of an entry besides its answer

Key = tuple[str, str, str]  # of metadata: study, series, and the address in the answer's own URLs


class Entry(Protocol):
    """Something that takes as much room as its bytes."""

    @property
    def packed(self) -> bytes: ...


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, slots=True)
class KeptMetadata:
    """The archive's answer."""

    state: bytes  # what the archive said of the series when it gave the answer
    packed: bytes  # gzip
    tag: bytes  # ETag: weak, for it names the answer packed and unpacked
    since: float = 0.0  # when it was read, where its age matters

    async def there(self) -> bool:
        """It is at hand."""
        return True

    async def ready(self) -> bool:
        """It is at hand."""
        return True

    async def zipped(self) -> bytes:
        """The answer, gzip."""
        return self.packed

    async def unpacked(self) -> bytes:
        """The answer as the archive gave it."""
        return await asyncio.to_thread(gzip.decompress, self.packed)

    def given(self) -> None:
        """The client has it, which changes nothing."""


class Unpacked:
    """The archive's answer, with its ETag where the archive says that the series is as it was.

    It is packed once: when somebody takes it so, else when whoever takes it as it is has it. Packing beside that takes
    the processor from the client.
    """

    def __init__(self, body: bytes, tag: bytes | None) -> None:
        self.body, self.tag = body, tag
        self._given = asyncio.Event()
        self._packing: asyncio.Future[bytes] | None = None

    def packed(self) -> asyncio.Future[bytes]:
        """The answer, gzip."""
        if self._packing is None:
            self._packing = asyncio.get_running_loop().run_in_executor(None, zipped, self.body)
        return self._packing

    def given(self) -> None:
        """Whoever asked has it."""
        self._given.set()

    async def until_given(self, seconds: float) -> None:
        """Returns when whoever asked has it, and after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._given.wait()


@dataclass(frozen=True, slots=True)
class Coming:
    """What is on its way from the archive."""

    named: asyncio.Future[bool]  # whether its index has the series
    answer: asyncio.Future[Unpacked | None]  # None: to be relayed


class FreshMetadata:
    """The archive's answer to whoever asked first, who need not wait until it is packed and kept."""

    def __init__(self, coming: Coming) -> None:
        self._coming = coming

    async def there(self) -> bool:
        """Whether there is such a series; known long before the answer has come."""
        return await asyncio.shield(self._coming.named)

    async def ready(self) -> bool:
        """Whether the answer has come; False where it is to be relayed. Raises what the archive's failure means."""
        return await self._coming.answer is not None

    @property
    def tag(self) -> bytes | None:
        """ETag; None where the next answer may be another without that being told."""
        return self._found.tag

    async def zipped(self) -> bytes:
        """The answer, gzip; waits until it is packed."""
        return await asyncio.shield(self._found.packed())

    async def unpacked(self) -> bytes:
        """The answer as the archive gave it."""
        return self._found.body

    def given(self) -> None:
        """The client has it."""
        self._found.given()

    @property
    def _found(self) -> Unpacked:
        found = self._coming.answer.result()
        if found is None:
            raise ValueError("no answer has come")
        return found


@dataclass(slots=True)
class Counts:
    """How often the archive was spared."""

    kept: int = 0
    asked: int = 0
    ahead: int = 0  # read before anybody had asked
    ahead_used: int = 0  # of these: asked for while they were kept and true


class Memory(Generic[E]):
    """Answers by their keys."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.counts = Counts()
        self._bytes = 0
        self._bytes_ahead = 0
        self._entries: OrderedDict[Key, E] = OrderedDict()
        self._ahead: dict[Key, None] = {}  # what nobody has asked for yet, the oldest first

    def find(self, key: Key) -> E | None:
        """What is kept, asked for last from now on; None where there is nothing."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def served(self, key: Key) -> None:
        """Somebody was given what is kept."""
        self.counts.kept += 1
        if key in self._ahead:
            self.counts.ahead_used += 1
            self._bytes_ahead -= self._size(key)
            del self._ahead[key]

    def keep(self, key: Key, entry: E, *, ahead: bool = False) -> None:
        """Keep it in place of what was there; one that is too large for all of the memory is not kept.

        What is read ahead of those who may ask takes the place of what they did ask for in half of the memory at most.
        """
        self.drop(key)
        size = len(entry.packed) + _OVERHEAD
        room = self.limit // 2 if ahead else self.limit
        if size > room:
            return
        while ahead and self._bytes_ahead + size > room:
            self.drop(next(iter(self._ahead)))
        while self._entries and self._bytes + size > self.limit:
            self.drop(next(iter(self._entries)))
        self._entries[key] = entry
        self._bytes += size
        if ahead:
            self._ahead[key] = None
            self._bytes_ahead += size
            self.counts.ahead += 1

    def drop(self, key: Key) -> None:
        """Keep it no more."""
        if key not in self._entries:
            return
        size = self._size(key)
        self._bytes -= size
        if key in self._ahead:
            self._bytes_ahead -= size
            del self._ahead[key]
        del self._entries[key]

    def _size(self, key: Key) -> int:
        return len(self._entries[key].packed) + _OVERHEAD

    def report(self, what: str) -> dict[str, int]:
        """How much of what is kept, and how often it served."""
        return {
            what: len(self._entries),
            "bytes": self._bytes,
            "limit": self.limit,
            "kept": self.counts.kept,
            "asked": self.counts.asked,
            "ahead": self.counts.ahead,
            "ahead_used": self.counts.ahead_used,
        }


def is_whole(answer: ArchiveAnswer) -> bool:
    """Whether the answer can be kept: JSON of a length that is said and not too large."""
    length = answer.header(b"content-length") or b""
    said = length.isdigit() and int(length) <= LARGEST
    kind = (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    return answer.status == 200 and said and kind == JSON and not answer.ends_with_connection


def zipped(body: bytes) -> bytes:
    """The answer, gzip; takes some milliseconds a megabyte."""
    return gzip.compress(body, compresslevel=4, mtime=0)


def packed(body: bytes, state: bytes, since: float = 0.0) -> KeptMetadata:
    """The answer as it is kept."""
    tag = b'W/"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode("ascii")
    return KeptMetadata(state, zipped(body), tag, since)
