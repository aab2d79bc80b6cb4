"""Metadata of a series in an archive that speaks DICOMweb alone: kept where it gives them an entity tag.

DICOMweb has no question by which an instance replaced under its UID would be noticed; HTTP has one. An answer with an
ETag is kept, and given only after the archive has said, in the same request, that it still holds (If-None-Match, 304;
RFC 9110 13.1.2). An archive may make its tags too coarsely: after an hour the answer is read anew, whatever it says.
Answers without a tag are relayed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from interop.dicomweb.archive import Archive
from interop.dicomweb.metadata_memory import JSON, LARGEST, KeptMetadata, Key, Memory, is_whole, packed
from interop.dicomweb.paths import Target

OLDEST = 3600.0  # seconds for which an archive's word is taken that nothing has changed
UNTAGGED = 600.0  # seconds for which an archive that gave no tag is not expected to give one
_AT_ONCE = 4  # requests at the same time; the wire reads their answers whole


class ValidatedMetadata:
    """Keeps answers up to so many (compressed) bytes."""

    def __init__(self, archive: Archive, *, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._archive, self._clock = archive, clock
        self._memory: Memory[KeptMetadata] = Memory(limit)
        self._reading: dict[Key, asyncio.Future[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._untagged_until = 0.0

    async def get(
        self, target: Target, address: str, forwarded: tuple[bytes, bytes], *, counted: bool = True
    ) -> KeptMetadata | None:
        """The metadata as the archive has them now; None where they are to be relayed, refusals included.

        ``address`` is the scheme and host in the answer's own URLs. Without ``counted`` it is read ahead.
        UnavailableError when the archive does not answer.
        """
        if self._memory.limit == 0 or self._clock() < self._untagged_until:
            return None
        key = (str(target.study), target.series, address)
        while (reading := self._reading.get(key)) is not None:
            await asyncio.shield(reading)
        mark = self._reading[key] = asyncio.get_running_loop().create_future()
        try:
            entry, fresh = await self._asked(key, target, forwarded, ahead=not counted)
        finally:
            del self._reading[key]
            mark.set_result(None)
        self._memory.counts.asked += counted and fresh
        if counted and not fresh and entry is not None:
            self._memory.served(key)
        return entry

    async def _asked(
        self, key: Key, target: Target, forwarded: tuple[bytes, bytes], *, ahead: bool
    ) -> tuple[KeptMetadata | None, bool]:
        """The answer, and whether it was read anew."""
        entry = self._memory.find(key)
        if entry is not None and self._clock() - entry.since >= OLDEST:
            entry = None
        headers = [(b"Accept", JSON), forwarded]
        if entry is not None:
            headers.append((b"If-None-Match", entry.state))
        async with self._turns:
            answer = await self._archive.get(target.path.encode("ascii"), headers)
            try:
                if answer.status == 304 and entry is not None:
                    return entry, False
                self._memory.drop(key)
                if not is_whole(answer):
                    return None, True
                tag = answer.header(b"etag")
                body = await answer.body(LARGEST)
            finally:
                answer.close()
            found = await asyncio.to_thread(packed, body, tag or b"", self._clock())
        if tag:
            self._memory.keep(key, found, ahead=ahead)
        else:
            self._untagged_until = self._clock() + UNTAGGED
        return found, True

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return self._memory.report("series")
