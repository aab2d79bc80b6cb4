"""Thumbnails kept for the next list that shows them: to make one, the archive decodes a whole image each time.

A picture is given only while the archive says that its series (a study's: all) is as it was when the picture was made
(``series_state``), so that one of a series shows what was added or deleted, and one of an image that it was replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from interop.dicomweb.archive import ArchiveAnswer
from interop.dicomweb.metadata_memory import Memory
from interop.dicomweb.paths import Target
from interop.dicomweb.series_state import SeriesStates

LARGEST = 256 * 1024  # of one picture; a larger one is passed on as it arrives

Ask = Callable[[Sequence[tuple[bytes, bytes]]], Awaitable[ArchiveAnswer]]  # with further headers


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The archive's picture."""

    state: bytes  # what the archive said of the series when it gave the picture
    packed: bytes
    tag: bytes  # ETag
    type: bytes
    since: float = 0.0  # when it was read, where its age matters


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
        ask: Ask,
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
        answer = await ask(())
        try:
            made = await picture(answer, said[0])
        finally:
            answer.close()
        after = await self._states.of(target)
        if made is None or after is None or after[0] != said[0]:
            return None
        self._memory.keep(key, made, ahead=not counted)
        return made

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return self._memory.report("pictures")


async def picture(answer: ArchiveAnswer, state: bytes, since: float = 0.0) -> Thumbnail | None:
    """The answer as it is kept; None where it is no picture, too large, or may have been cut short unnoticed."""
    kind, length = answer.header(b"content-type") or b"", answer.header(b"content-length")
    if not kind.startswith(b"image/") or answer.ends_with_connection:
        return None
    if length is not None and (not length.isdigit() or int(length) > LARGEST):
        return None
    pieces: list[bytes] = []
    size = 0
    while data := await answer.chunk():
        pieces.append(bytes(data))
        size += len(data)
        if size > LARGEST:
            return None
    body = b"".join(pieces)
    return Thumbnail(
        state, body, b'"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode("ascii"), kind, since
    )
