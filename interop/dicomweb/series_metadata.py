"""Metadata of a series, kept for the next viewer: the archive needs half a second for 500 instances, each time.

What is kept is the archive's own answer, compressed. It is given only while the archive says that the series is as it
was when the answer was made (``series_state``), and kept only if nothing changed while it was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from interop.dicomweb.archive import Archive
from interop.dicomweb.metadata_memory import JSON, LARGEST, KeptMetadata, Key, Memory, is_whole, packed
from interop.dicomweb.paths import Target
from interop.dicomweb.series_state import SeriesStates

_AT_ONCE = 2  # answers read whole at the same time


class SeriesMetadata:
    """Keeps answers up to so many (compressed) bytes; the one that was not asked for longest goes first."""

    def __init__(self, archive: Archive, states: SeriesStates, *, limit: int) -> None:
        self._archive = archive
        self._states = states
        self._memory: Memory[KeptMetadata] = Memory(limit)
        self._reading: dict[Key, asyncio.Future[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def get(
        self, target: Target, address: str, forwarded: tuple[bytes, bytes], *, counted: bool = True
    ) -> KeptMetadata | None:
        """The metadata as the archive has them now; None where they are to be relayed, refusals included.

        ``address`` is the scheme and host in the answer's own URLs. Without ``counted`` it is read ahead.
        UnavailableError when the archive does not answer.
        """
        if self._memory.limit == 0:
            return None
        said = await self._states.of(target)
        if said is None:
            return None
        state, changed = said
        key = (str(target.study), target.series, address)
        reading = self._reading.get(key)
        if reading is not None:
            await asyncio.shield(reading)
        entry = self._memory.find(key)
        if entry is not None and entry.state == state:
            if counted:
                self._memory.served(key)
            return entry
        self._memory.counts.asked += counted
        if key in self._reading or not await self._states.settled(changed):
            return None
        return await self._renew(key, target, forwarded, state, ahead=not counted)

    async def _renew(
        self, key: Key, target: Target, forwarded: tuple[bytes, bytes], state: bytes, *, ahead: bool
    ) -> KeptMetadata | None:
        if key in self._reading:
            return None
        self._memory.drop(key)
        reading = self._reading[key] = asyncio.get_running_loop().create_future()
        try:
            async with self._turns:
                entry = await self._read(target, state, forwarded)
                after = await self._states.of(target)
                if entry is None or after is None or after[0] != state:
                    return None
            self._memory.keep(key, entry, ahead=ahead)
            return entry
        finally:
            del self._reading[key]
            reading.set_result(None)

    async def _read(self, target: Target, state: bytes, forwarded: tuple[bytes, bytes]) -> KeptMetadata | None:
        answer = await self._archive.get(target.path.encode("ascii"), [(b"Accept", JSON), forwarded])
        try:
            if not is_whole(answer):
                return None
            body = await answer.body(LARGEST)
        finally:
            answer.close()
        return await asyncio.to_thread(packed, body, state)

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return self._memory.report("series")


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
