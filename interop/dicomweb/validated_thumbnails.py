"""Thumbnails of an archive that speaks DICOMweb alone: kept where it gives them an entity tag.

They are kept by the rule of such an archive's metadata (``validated_metadata``): given only after it has said, in the
same request, that they still hold (If-None-Match, 304; RFC 9110 13.1.2), and for an hour at most. It then need neither
read nor decode the image. Pictures without a tag are relayed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from interop.dicomweb.kept_thumbnails import Ask, Thumbnail, picture
from interop.dicomweb.metadata_memory import Memory
from interop.dicomweb.paths import Target
from interop.dicomweb.validated_metadata import OLDEST, UNTAGGED
from interop.errors import InteropError, UnavailableError


class ValidatedThumbnails:
    """Keeps pictures up to so many bytes; the one that was not asked for longest goes first."""

    def __init__(self, *, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._memory: Memory[Thumbnail] = Memory(limit)
        self._untagged_until = 0.0

    async def get(self, target: Target, query: str, accept: str, ask: Ask, *, counted: bool = True) -> Thumbnail | None:
        """The picture as the archive has it now; None where it is to be relayed.

        ``ask`` gives the archive's answer or raises what its refusal means. Without ``counted`` it is read ahead.
        UnavailableError when it does not answer.
        """
        if self._memory.limit == 0 or self._clock() < self._untagged_until:
            return None
        key = (target.path, query, accept)
        entry = self._memory.find(key)
        if entry is not None and self._clock() - entry.since >= OLDEST:
            entry = None
        asked_at = self._clock()
        try:
            answer = await ask([(b"If-None-Match", entry.state)] if entry is not None else ())
        except UnavailableError:
            raise
        except InteropError:
            self._memory.drop(key)
            raise
        try:
            if answer.status == 304 and entry is not None:
                if counted:
                    self._memory.served(key)
                return entry
            self._memory.drop(key)
            self._memory.counts.asked += counted
            tag = answer.header(b"etag")
            made = await picture(answer, tag or b"", asked_at)
        finally:
            answer.close()
        if tag is None:
            self._untagged_until = self._clock() + UNTAGGED
        elif made is not None:
            self._memory.keep(key, made, ahead=not counted)
        return made

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return self._memory.report("pictures")
