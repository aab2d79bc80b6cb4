"""Metadata of a series, kept for the next viewer: the archive needs half a second for 500 instances, each time.

What is kept is the archive's own answer, compressed. It is given only while the archive says that the series is as it
was when the answer was made (``series_state``), and kept only if nothing changed while it was read. Who asks first is
given the answer itself, as a relay would, before it is packed and kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from interop.dicomweb.archive import Archive
from interop.dicomweb.metadata_memory import (
    JSON,
    LARGEST,
    Coming,
    FreshMetadata,
    KeptMetadata,
    Key,
    Memory,
    Unpacked,
    is_whole,
)
from interop.dicomweb.paths import Target
from interop.dicomweb.series_state import SeriesStates

log = logging.getLogger(__name__)

T = TypeVar("T")
_AT_ONCE = 2  # answers read whole at the same time
_AT_MOST = 1.0  # seconds
_GIVING = 0.05  # seconds in which a client takes an answer


class SeriesMetadata:
    """Keeps answers up to so many (compressed) bytes; the one that was not asked for longest goes first."""

    def __init__(
        self, archive: Archive, states: SeriesStates, *, limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._archive, self._clock = archive, clock
        self._states = states
        self._memory: Memory[KeptMetadata] = Memory(limit)
        self._reading: dict[Key, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._salt = os.urandom(16)

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
        key = (str(target.study), target.series, address)
        reading = self._reading.get(key)
        if reading is not None:
            await asyncio.shield(reading)
        entry = self._memory.find(key)
        said = await self._states.of(target) if entry is not None else None
        if entry is not None and said is not None and entry.state == said[0]:
            if counted:
                self._memory.served(key)
            return entry
        self._memory.counts.asked += counted
        if key in self._reading:
            return None
        fresh = self._begin(key, target, forwarded, ahead=not counted)
        if not counted:
            await asyncio.shield(self._reading[key])
            await fresh.ready()
        return fresh

    def _begin(self, key: Key, target: Target, forwarded: tuple[bytes, bytes], *, ahead: bool) -> FreshMetadata:
        """Whoever asked is answered when the archive has answered; others that ask wait until the answer is kept."""
        self._memory.drop(key)
        loop = asyncio.get_running_loop()
        coming = Coming(loop.create_future(), loop.create_future())
        self._reading[key] = loop.create_task(self._renew(key, target, forwarded, coming, ahead=ahead))
        return FreshMetadata(coming)

    async def _renew(
        self, key: Key, target: Target, forwarded: tuple[bytes, bytes], coming: Coming, *, ahead: bool
    ) -> None:
        try:
            async with self._turns:
                kept = await self._answered(key, target, forwarded, coming, ahead=ahead)
            if kept is not None:
                self._memory.keep(key, kept, ahead=ahead)
        except Exception as error:  # it is whoever asked that is told
            if coming.answer.done():
                log.info("metadata of a series are not kept: %s", type(error).__name__)
            else:
                coming.answer.set_exception(error)
                coming.answer.exception()  # whoever asked may have gone
        finally:
            del self._reading[key]
            _settle(coming.named, False)
            coming.answer.cancel()

    async def _answered(
        self, key: Key, target: Target, forwarded: tuple[bytes, bytes], coming: Coming, *, ahead: bool
    ) -> KeptMetadata | None:
        """Gives the answer; what of it can be kept."""
        loop = asyncio.get_running_loop()
        asking = loop.create_task(self._state(target, coming.named, self._clock()))
        try:
            body = await self._read(target, forwarded)
            if body is None:
                _settle(coming.answer, None)
                return None
            state = await asking
        finally:
            asking.cancel()
        tag = self._tag(key, state) if state is not None else None
        found = Unpacked(body, tag)
        _settle(coming.answer, found)
        if state is None or tag is None:
            return None
        if not ahead:
            await found.until_given(_GIVING)
        after = await self._states.of(target)
        packed = await found.packed()
        return KeptMetadata(state, packed, tag) if after is not None and after[0] == state else None

    async def _state(self, target: Target, named: asyncio.Future[bool], begun: float) -> bytes | None:
        """The state in which the series is read that began to be read at that time; None where that is not certain.

        It is asked for while that goes on. By a clock of whole seconds, what has not changed for two of them has not
        changed for one; so it had not changed any more when the reading began, if that was less than a second ago.
        """
        said = await self._states.of(target)
        _settle(named, said is not None)
        settled = said is not None and await self._states.settled(said[1])
        return said[0] if said is not None and settled and self._clock() - begun < _AT_MOST else None

    def _tag(self, key: Key, state: bytes) -> bytes:
        """Weak, for it names the answer packed and unpacked; another from the next start on, as what is kept."""
        said = b"\0".join((self._salt, state, *(part.encode() for part in key)))
        return b'W/"%s"' % hashlib.blake2b(said, digest_size=16).hexdigest().encode("ascii")

    async def _read(self, target: Target, forwarded: tuple[bytes, bytes]) -> bytes | None:
        answer = await self._archive.get(target.path.encode("ascii"), [(b"Accept", JSON), forwarded])
        try:
            return await answer.body(LARGEST) if is_whole(answer) else None
        finally:
            answer.close()

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return self._memory.report("series")


def _settle(future: asyncio.Future[T], found: T) -> None:
    if not future.done():  # whoever asked may have gone
        future.set_result(found)


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
