"""Metadata of a series, kept for the next viewer: the archive needs half a second for 500 instances, each time.

What is kept is the archive's own answer, compressed. It is given only while the archive says that the series is as it
was when the answer was made: ``/series/{id}`` names every instance and the second of the last change, and costs a
thousandth of the answer. A second is coarse, so an answer is kept only if the last change was two seconds ago by the
archive's own clock, and if nothing changed while it was read.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import orjson

from interop.dicomweb.archive import Archive
from interop.dicomweb.metadata_memory import JSON, LARGEST, KeptMetadata, Key, MetadataMemory, is_whole, packed
from interop.dicomweb.paths import Target
from interop.dicomweb.patient_ids import PatientIds

_LARGEST_STATE = 16 * 1024 * 1024
_SETTLED = timedelta(seconds=2)
_AT_ONCE = 2  # answers read whole at the same time
_MOMENT = "%Y%m%dT%H%M%S"
_NEVER = datetime.min.replace(tzinfo=UTC)


class SeriesMetadata:
    """Keeps answers up to so many (compressed) bytes; the one that was not asked for longest goes first."""

    def __init__(self, archive: Archive, patients: PatientIds, *, limit: int) -> None:
        self._archive = archive
        self._patients = patients
        self._memory = MetadataMemory(limit)
        self._reading: dict[Key, asyncio.Future[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def get(
        self, target: Target, address: str, forwarded: tuple[bytes, bytes], *, counted: bool = True
    ) -> KeptMetadata | None:
        """The metadata as the archive has them now; None where they are to be relayed, refusals included.

        ``address`` is the scheme and host in the answer's own URLs. UnavailableError when the archive does not answer.
        """
        if self._memory.limit == 0:
            return None
        name = await self._patients.series(target)
        if name is None:
            return None
        state, changed = await self._state(name)
        if changed is None:  # no such series, under this name at least
            self._patients.forget(str(target.study))
            return None
        key = (str(target.study), target.series, address)
        reading = self._reading.get(key)
        if reading is not None:
            await asyncio.shield(reading)
        entry = self._memory.find(key)
        if entry is not None and entry.state == state:
            self._memory.counts.kept += counted
            return entry
        self._memory.counts.asked += counted
        if key in self._reading or await self._now() - changed < _SETTLED:
            return None
        return await self._renew(key, name, target, forwarded, state)

    async def _renew(
        self, key: Key, name: str, target: Target, forwarded: tuple[bytes, bytes], state: bytes
    ) -> KeptMetadata | None:
        if key in self._reading:
            return None
        self._memory.drop(key)
        reading = self._reading[key] = asyncio.get_running_loop().create_future()
        try:
            async with self._turns:
                entry = await self._read(target, state, forwarded)
                if entry is None or (await self._state(name))[0] != state:
                    return None
            self._memory.keep(key, entry)
            return entry
        finally:
            del self._reading[key]
            reading.set_result(None)

    async def _state(self, name: str) -> tuple[bytes, datetime | None]:
        """What the archive says of the series, shortened, and when it last changed; None if there is no such series."""
        answer = await self._archive.get(f"/series/{name}".encode("ascii"))
        try:
            if answer.status != 200:
                return b"", None
            said = orjson.loads(await answer.body(_LARGEST_STATE))
        except orjson.JSONDecodeError:
            return b"", None
        finally:
            answer.close()
        for passing in ("IsStable", "Status"):  # they change while the images do not
            said.pop(passing, None)
        digest = hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
        return digest, _moment(said.get("LastUpdate"))

    async def _now(self) -> datetime:
        """By the archive's clock, to the second."""
        answer = await self._archive.get(b"/tools/now")
        try:
            text = (await answer.body(64)).decode("ascii", "replace") if answer.status == 200 else ""
        finally:
            answer.close()
        return _moment(text.strip()) or _NEVER

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
        return self._memory.report()


def _moment(text: object) -> datetime | None:
    try:
        return datetime.strptime(str(text), _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None


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
