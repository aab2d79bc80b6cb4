"""Metadata of a series, kept for the next viewer: the archive needs half a second for 500 instances, each time.

What is kept is the archive's own answer, compressed. It is given only while the archive says that the series is as it
was when the answer was made: ``/series/{id}`` names every instance and the second of the last change, and costs a
thousandth of the answer. A second is coarse, so an answer is kept only if the last change was two seconds ago by the
archive's own clock, and if nothing changed while it was read.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from interop.dicomweb.archive import Archive, ArchiveAnswer
from interop.dicomweb.paths import Target
from interop.dicomweb.patient_ids import PatientIds

JSON = b"application/dicom+json"
_LARGEST = 64 * 1024 * 1024  # of one answer as the archive gives it; a larger one is passed on as it arrives
_LARGEST_STATE = 16 * 1024 * 1024
_SETTLED = timedelta(seconds=2)
_AT_ONCE = 2  # answers read whole at the same time
_MOMENT = "%Y%m%dT%H%M%S"
_NEVER = datetime.min.replace(tzinfo=UTC)
_OVERHEAD = 512  # bytes of an entry besides its answer

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class KeptMetadata:
    """The archive's answer."""

    state: bytes  # what the archive said of the series when it gave the answer
    packed: bytes  # gzip
    tag: bytes  # ETag: weak, for it names the answer packed and unpacked

    async def unpacked(self) -> bytes:
        """The answer as the archive gave it."""
        return await asyncio.to_thread(gzip.decompress, self.packed)


@dataclass(slots=True)
class Counts:
    """How often the archive was spared."""

    kept: int = 0
    asked: int = 0


class SeriesMetadata:
    """Keeps answers up to so many (compressed) bytes; the one that was not asked for longest goes first."""

    def __init__(self, archive: Archive, patients: PatientIds, *, limit: int) -> None:
        self._archive = archive
        self._patients = patients
        self._limit = limit
        self._entries: OrderedDict[_Key, KeptMetadata] = OrderedDict()
        self._reading: dict[_Key, asyncio.Future[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.bytes = 0
        self.counts = Counts()

    async def get(
        self, target: Target, address: str, forwarded: tuple[bytes, bytes], *, counted: bool = True
    ) -> KeptMetadata | None:
        """The metadata as the archive has them now; None where they are to be relayed, refusals included.

        ``address`` is the scheme and host in the answer's own URLs. UnavailableError when the archive does not answer.
        """
        if self._limit == 0:
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
        entry = self._entries.get(key)
        if entry is not None and entry.state == state:
            self._entries.move_to_end(key)
            self.counts.kept += counted
            return entry
        self.counts.asked += counted
        if key in self._reading or await self._now() - changed < _SETTLED:
            return None
        return await self._renew(key, name, target, forwarded, state)

    async def _renew(
        self, key: _Key, name: str, target: Target, forwarded: tuple[bytes, bytes], state: bytes
    ) -> KeptMetadata | None:
        if key in self._reading:
            return None
        self._drop(key)
        reading = self._reading[key] = asyncio.get_running_loop().create_future()
        try:
            async with self._turns:
                entry = await self._read(target, state, forwarded)
                if entry is None or (await self._state(name))[0] != state:
                    return None
            self._keep(key, entry)
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
            if not _is_whole(answer):
                return None
            body = await answer.body(_LARGEST)
        finally:
            answer.close()
        return await asyncio.to_thread(_packed, body, state)

    def _keep(self, key: _Key, entry: KeptMetadata) -> None:
        size = len(entry.packed) + _OVERHEAD
        if size > self._limit:
            return
        while self._entries and self.bytes + size > self._limit:
            self._drop(next(iter(self._entries)))
        self._entries[key] = entry
        self.bytes += size

    def _drop(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= len(entry.packed) + _OVERHEAD

    def report(self) -> dict[str, int]:
        """How much is kept, and how often it served."""
        return {
            "series": len(self._entries),
            "bytes": self.bytes,
            "limit": self._limit,
            "kept": self.counts.kept,
            "asked": self.counts.asked,
        }


def _moment(text: object) -> datetime | None:
    try:
        return datetime.strptime(str(text), _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _is_whole(answer: ArchiveAnswer) -> bool:
    """Whether the answer can be kept: JSON of a length that is said and not too large."""
    length = answer.header(b"content-length") or b""
    said = length.isdigit() and int(length) <= _LARGEST
    kind = (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    return answer.status == 200 and said and kind == JSON and not answer.ends_with_connection


def _packed(body: bytes, state: bytes) -> KeptMetadata:
    tag = b'W/"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode("ascii")
    return KeptMetadata(state, gzip.compress(body, compresslevel=4, mtime=0), tag)


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
