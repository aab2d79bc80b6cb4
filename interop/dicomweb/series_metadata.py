"""Metadata of a series, kept for the next viewer: the archive needs half a second for 500 instances, each time.

What is kept is the archive's own answer, compressed. It is given only while the archive says that the series is as it
was when the answer was made (``series_state``), and kept only if nothing changed while it was read. Who asks first is
given the answer itself, as a relay would, before it is packed and kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from interop.dicomweb.archive import Archive
from interop.dicomweb.metadata_memory import (
    JSON,
    LARGEST,
    FreshMetadata,
    KeptMetadata,
    Key,
    Memory,
    Unpacked,
    is_whole,
    tag_of,
    zipped,
)
from interop.dicomweb.paths import Target
from interop.dicomweb.series_state import SeriesStates

log = logging.getLogger(__name__)

_AT_ONCE = 2  # answers read whole at the same time


class SeriesMetadata:
    """Keeps answers up to so many (compressed) bytes; the one that was not asked for longest goes first."""

    def __init__(self, archive: Archive, states: SeriesStates, *, limit: int) -> None:
        self._archive = archive
        self._states = states
        self._memory: Memory[KeptMetadata] = Memory(limit)
        self._reading: dict[Key, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def get(
        self, target: Target, address: str, forwarded: tuple[bytes, bytes], *, counted: bool = True
    ) -> KeptMetadata | FreshMetadata | None:
        """The metadata as the archive has them now; None where they are to be relayed, refusals included.

        Whoever asks first may be given what is still on its way. ``address`` is the scheme and host in the answer's own
        URLs. Without ``counted`` it is read ahead: what can be kept is, when this returns. UnavailableError when the
        archive does not answer.
        """
        if self._memory.limit == 0:
            return None
        said = await self._states.of(target)
        if said is None:
            return None
        key = (str(target.study), target.series, address)
        reading = self._reading.get(key)
        if reading is not None:
            await asyncio.shield(reading)
        entry = self._memory.find(key)
        if entry is not None and entry.state == said[0]:
            if counted:
                self._memory.served(key)
            return entry
        self._memory.counts.asked += counted
        if key in self._reading:
            return None
        fresh = self._begin(key, target, forwarded, said, ahead=not counted)
        if not counted:
            await asyncio.shield(self._reading[key])
            await fresh.ready()
        return fresh

    def _begin(
        self, key: Key, target: Target, forwarded: tuple[bytes, bytes], said: tuple[bytes, datetime], *, ahead: bool
    ) -> FreshMetadata:
        """Whoever asked is answered when the archive has answered; others that ask wait until the answer is kept."""
        self._memory.drop(key)
        loop = asyncio.get_running_loop()
        coming: asyncio.Future[Unpacked | None] = loop.create_future()
        self._reading[key] = loop.create_task(self._renew(key, target, forwarded, said, coming, ahead=ahead))
        return FreshMetadata(coming)

    async def _renew(
        self,
        key: Key,
        target: Target,
        forwarded: tuple[bytes, bytes],
        said: tuple[bytes, datetime],
        coming: asyncio.Future[Unpacked | None],
        *,
        ahead: bool,
    ) -> None:
        try:
            async with self._turns:
                body = await self._read(target, forwarded) if await self._states.settled(said[1]) else None
                if body is None:
                    _settle(coming, None)
                    return
                tag = await asyncio.to_thread(tag_of, body)
                packing = asyncio.get_running_loop().run_in_executor(None, zipped, body)
                _settle(coming, Unpacked(body, tag, packing))
                after = await self._states.of(target)
                kept = KeptMetadata(said[0], await packing, tag)
            if after is not None and after[0] == said[0]:
                self._memory.keep(key, kept, ahead=ahead)
        except Exception as error:  # it is whoever asked that is told
            if coming.done():
                log.info("metadata of a series are not kept: %s", type(error).__name__)
            else:
                coming.set_exception(error)
                coming.exception()  # whoever asked may have gone
        finally:
            del self._reading[key]
            coming.cancel()

    async def _read(self, target: Target, forwarded: tuple[bytes, bytes]) -> bytes | None:
        answer = await self._archive.get(target.path.encode("ascii"), [(b"Accept", JSON), forwarded])
        try:
            return await answer.body(LARGEST) if is_whole(answer) else None
        finally:
            answer.close()

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return self._memory.report("series")


def _settle(coming: asyncio.Future[Unpacked | None], found: Unpacked | None) -> None:
    if not coming.done():  # whoever asked may have gone
        coming.set_result(found)


def accepts_gzip(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the client takes gzip (RFC 9110 12.5.3)."""
    for name, value in headers:
        for coding in value.lower().split(b",") if name == b"accept-encoding" else ():
            token, _, weight = coding.partition(b";")
            if token.strip() in (b"gzip", b"*") and weight.replace(b" ", b"").rstrip(b"0.") != b"q=":
                return True
    return False


def has_same_tag(headers: Sequence[tuple[bytes, bytes]], tag: bytes) -> bool:
    """Whether If-None-Match names the answer (RFC 9110 13.1.2, weak comparison)."""
    given = b",".join(value for name, value in headers if name == b"if-none-match")
    own = tag.removeprefix(b"W/")
    return any(each.strip() == b"*" or each.strip().removeprefix(b"W/") == own for each in given.split(b","))
