"""The archives behind this door, and which of them is asked for a study."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from interop.dicomweb.archive import Archive, NamedArchive
from interop.dicomweb.kept_thumbnails import KeptThumbnails
from interop.dicomweb.paths import ROOT
from interop.dicomweb.patient_ids import PatientIds
from interop.dicomweb.series_metadata import SeriesMetadata
from interop.dicomweb.series_state import SeriesStates
from interop.dicomweb.stored_files import StoredFiles
from interop.dicomweb.stored_frames import StoredFrames
from interop.dicomweb.storing import Storing
from interop.dicomweb.stowing import StowStoring
from interop.dicomweb.validated_metadata import ValidatedMetadata
from interop.dicomweb.validated_thumbnails import ValidatedThumbnails
from interop.errors import UnavailableError
from interop.store import Store

log = logging.getLogger(__name__)

_KEPT_SECONDS = 10.0  # a study changes its archive when it is gone from the one that had it
_KEPT = 4096
_MAX_ANSWER = 64 * 1024
_TO_PICTURES = 8  # so much less memory is for thumbnails than for metadata


@dataclass(frozen=True, slots=True)
class Upstream:
    """One archive, with what this door keeps of it. Without frames it is no Orthanc."""

    name: str
    archive: Archive
    storing: Storing
    frames: StoredFrames | None
    files: StoredFiles | None
    metadata: SeriesMetadata | ValidatedMetadata
    pictures: KeptThumbnails | ValidatedThumbnails
    thumbnails: bool  # whether it has /thumbnail itself
    page: int  # rows that it gives at most

    @property
    def orthanc(self) -> bool:
        """Whether it is an Orthanc, with the habits of one."""
        return self.frames is not None

    @classmethod
    def of(cls, named: NamedArchive, metadata_bytes: int) -> Upstream:
        """What belongs to this archive's kind."""
        relay = named.relay
        if named.plain:
            kept = ValidatedMetadata(relay, limit=metadata_bytes)
            shown = ValidatedThumbnails(limit=metadata_bytes // _TO_PICTURES)
            return cls(named.name, relay, StowStoring(relay), None, None, kept, shown, named.thumbnails, named.page)
        patients = PatientIds(relay)
        states = SeriesStates(relay, patients)
        metadata = SeriesMetadata(relay, states, limit=metadata_bytes)
        pictures = KeptThumbnails(states, limit=metadata_bytes // _TO_PICTURES)
        frames = StoredFrames(relay, patients)
        files = StoredFiles(relay, named.path_of, patients) if named.path_of is not None else None
        return cls(named.name, relay, Storing(relay), frames, files, metadata, pictures, named.thumbnails, named.page)


class Archives:
    """All of them; the first one takes new studies."""

    def __init__(
        self,
        archives: Sequence[NamedArchive],
        store: Store,
        *,
        metadata_bytes: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = tuple(Upstream.of(each, metadata_bytes // len(archives)) for each in archives)
        self.default = self.all[0]
        self._named = {each.name: each for each in self.all}
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[float, Upstream]] = {}

    async def of(self, study: str) -> Upstream:
        """The archive to ask for the study.

        One that is not registered yet is looked for in all of them; UnavailableError if that cannot be done because
        one does not answer. Where no archive has it, the default one may say so.
        """
        if len(self.all) == 1:
            return self.default
        return await self._registered(study) or await self._look_for(study)

    async def to_store(self, study: str) -> Upstream:
        """Where images of the study go: to those that are there, else to the default archive."""
        return await self._registered(study) or self.default

    async def holders(self, studies: Iterable[str]) -> dict[str, list[str]]:
        """The studies by the names of the archives to ask for them; one that is not registered is every archive's."""
        found: dict[str, list[str]] = {each.name: [] for each in self.all}
        for study in studies:
            holder = await self._registered(study)
            for each in (holder,) if holder is not None else self.all:
                found[each.name].append(study)
        return {name: uids for name, uids in found.items() if uids}

    def named(self, name: str) -> Upstream:
        """The archive of that name."""
        return self._named[name]

    async def _registered(self, study: str) -> Upstream | None:
        until, known = self._known.get(study, (0.0, None))
        if until > self._clock():
            return known
        name = await self._store.view(lambda tx: tx.archive_of_study(study))
        upstream = self._named.get(name) if name is not None else None
        if upstream is not None:
            self._keep(study, upstream)
        return upstream

    async def _look_for(self, study: str) -> Upstream:
        silent: UnavailableError | None = None
        for each in self.all:
            try:
                if await _has(each.archive, study):
                    self._keep(study, each)
                    return each
            except UnavailableError as error:
                silent = error
        if silent is not None:
            raise silent
        return self.default

    def _keep(self, study: str, upstream: Upstream) -> None:
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[study] = (self._clock() + _KEPT_SECONDS, upstream)

    def report(self) -> dict[str, dict[str, int]]:
        """How the memories of metadata and of thumbnails fare, over all archives."""
        return {
            "series_metadata": _summed([each.metadata.report() for each in self.all]),
            "thumbnails": _summed([each.pictures.report() for each in self.all]),
        }


def _summed(reports: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in reports) for name in (reports[0] if reports else ())}


async def _has(archive: Archive, study: str) -> bool:
    target = f"{ROOT}/studies?StudyInstanceUID={study}&limit=1".encode("ascii")
    answer = await archive.get(target, [(b"Accept", b"application/dicom+json")])
    try:
        if answer.status == 204 or answer.status == 404:
            return False
        if answer.status != 200:
            raise UnavailableError(f"an image archive answers {answer.status}", retry_after=10)
        return bool(orjson.loads(await answer.body(_MAX_ANSWER) or b"[]"))
    except orjson.JSONDecodeError:
        raise UnavailableError("an image archive's answer is not DICOM JSON", retry_after=10) from None
    finally:
        answer.close()
