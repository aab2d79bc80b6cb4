"""Thumbnails kept for the next list that shows them: to make one, the archive decodes a whole image each time.

A picture is given only while the archive says that its series (a study's: all) is as it was when the picture was made
(``series_state``), so that one of a series shows what was added or deleted, and one of an image that it was replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from interop.dicomweb.archive import ArchiveAnswer
from interop.dicomweb.metadata_memory import Memory
from interop.dicomweb.paths import Target
from interop.dicomweb.series_state import SeriesStates

LARGEST = 256 * 1024  # of one picture; a larger one is passed on as it arrives


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The archive's picture."""

    state: bytes  # what the archive said of the series when it gave the picture
    packed: bytes
    tag: bytes  # ETag
    type: bytes


class KeptThumbnails:
    """Keeps pictures up to so many bytes; the one that was not asked for longest goes first."""

    def __init__(self, states: SeriesStates, *, limit: int) -> None:
        self._states = states
        self._memory: Memory[Thumbnail] = Memory(limit)

    async def get(
        self,
        target: Target,
        query: str,
        accept: str,
        ask: Callable[[], Awaitable[ArchiveAnswer]],
        *,
        counted: bool = True,
    ) -> Thumbnail | None:
        """The picture as the archive has it now; None where it is to be relayed.

        ``ask`` gives the archive's answer or raises what its refusal means. Without ``counted`` it is read ahead.
        UnavailableError when it does not answer.
        """
        if self._memory.limit == 0:
            return None
        said = await self._states.of(target)
        if said is None:
            return None
        key = (target.path, query, accept)
        entry = self._memory.find(key)
        if entry is not None and entry.state == said[0]:
            if counted:
                self._memory.served(key)
            return entry
        self._memory.counts.asked += counted
        if not await self._states.settled(said[1]):
            return None
        made = await self._made(said[0], ask)
        after = await self._states.of(target)
        if made is None or after is None or after[0] != said[0]:
            return None
        self._memory.keep(key, made, ahead=not counted)
        return made

    async def _made(self, state: bytes, ask: Callable[[], Awaitable[ArchiveAnswer]]) -> Thumbnail | None:
        answer = await ask()
        try:
            length, kind = answer.header(b"content-length") or b"", answer.header(b"content-type") or b""
            if not length.isdigit() or int(length) > LARGEST or not kind.startswith(b"image/"):
                return None
            body = await answer.body(LARGEST)
        finally:
            answer.close()
        return Thumbnail(state, body, b'"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode("ascii"), kind)

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return self._memory.report("pictures")
