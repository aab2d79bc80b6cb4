"""What the archive says, as facts: new images at a cost in proportion to what is new, or one study whole."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Any, Generic, Protocol, TypeVar

from interop.archive_feed.bursts import Arrived
from interop.archive_feed.image_types import Heads, image_types
from interop.dicom.facts import image_type_of, instance_of, series_of, study_of, tells_of_itself
from interop.dicom.study import SeriesFacts, StudyFacts

logger = logging.getLogger(__name__)

Resource = dict[str, Any]
V = TypeVar("V")
Held = Callable[[str], Awaitable[str | None]]  # of a StudyInstanceUID, the PatientID it was last registered with

AT_ONCE = 500  # resources in one request
_FILLED = (
    *("patient_name", "birth_date", "sex", "issuer", "accession", "study_id", "description", "started", "referrer"),
    *("readers", "procedures", "reasons", "reason", "institution", "department"),
)
_REMEMBERED = 2000  # series, and studies


class Archive(Protocol):
    """Orthanc's REST interface, as far as this door needs it."""

    async def changes(self, since: int, limit: int = 1000) -> Resource: ...
    async def last_change(self) -> int: ...
    async def statistics(self) -> Resource: ...
    async def resources(self, ids: Sequence[str], level: str | None = None) -> list[Resource]: ...
    async def tags(self, instance: str) -> Resource | None: ...
    async def find_studies(self, study_uid: str) -> list[str]: ...
    async def list_resources(self, level: str, since: int, limit: int) -> list[Resource]: ...


class Reader:
    """Reads facts, and remembers the series and studies that it met last."""

    def __init__(self, archive: Archive, zone: tzinfo, held: Held | None = None, *, heads: Heads | None = None) -> None:
        self._archive, self._heads = archive, heads
        self._zone = zone
        self._held = held
        self._series: _Remembered[tuple[StudyFacts, SeriesFacts]] = _Remembered(_REMEMBERED)
        self._studies: _Remembered[StudyFacts] = _Remembered(_REMEMBERED)

    async def images(self, ids: Sequence[str]) -> dict[str, Arrived]:
        """The images of these instance ids; those that are gone or name no study are left out."""
        found: dict[str, Arrived] = {}
        for some in _chunks(ids):
            resources = await self._archive.resources(some)
            types = await image_types(resources, self._heads)
            for resource in resources:
                arrived = await self._image(resource, types.get(resource["ID"]))
                if arrived is not None:
                    found[resource["ID"]] = arrived
        return found

    async def whole(self, study_uid: str) -> StudyFacts | None:
        """Everything the archive has of a study, under whichever patients; None where it has nothing."""
        self._studies.forget(study_uid)
        ids = await self._archive.find_studies(study_uid)
        series = [resource for some in _chunks(ids) for resource in await self._archive.resources(some, "Series")]
        parts: dict[str, SeriesFacts] = {}
        study: StudyFacts | None = None
        for resource in series:
            self._series.forget(resource["ID"])
            for arrived in (await self.images(resource["Instances"])).values():
                study = arrived.study
                part = parts.setdefault(arrived.series.uid, arrived.series)
                parts[part.uid] = replace(part, instances=(*part.instances, arrived.instance))
        return replace(study, series=tuple(parts.values()), whole=True) if study is not None else None

    async def _image(self, resource: Resource, image_type: str | None) -> Arrived | None:
        known = self._series.get(resource["ParentSeries"])
        tags = None
        sop_class = (resource.get("Metadata") or {}).get("SopClassUid", "")
        if known is None or tells_of_itself(sop_class, known[1].modality):
            tags = await self._archive.tags(resource["ID"])
            if tags is None:
                return None
        if known is None:
            assert tags is not None
            known = await self._meet(resource["ParentSeries"], tags, (resource.get("Metadata") or {}).get("RemoteAET"))
        if known is not None and image_type is None and tags and tells_of_itself(sop_class, known[1].modality):
            image_type = image_type_of(tags)
        instance = instance_of(resource, tags, image_type)
        if known is None or instance is None:
            logger.warning("instance %s names no study, series or SOP class; it is left out", resource["ID"])
            return None
        study, series = known
        latest = self._studies.get(study.study_uid)
        if latest is not None and latest.patient_id == study.patient_id:
            study = replace(latest, station=study.station)
        return Arrived(study, series, instance)

    async def _meet(
        self, series_id: str, tags: Mapping[str, Any], sender: str | None
    ) -> tuple[StudyFacts, SeriesFacts] | None:
        study, series = study_of(tags, self._zone), series_of(tags, self._zone)
        if study is None or series is None:
            return None
        known = (replace(await self._identity(study), station=sender or None), series)
        self._series.put(series_id, known)
        return known

    async def _identity(self, study: StudyFacts) -> StudyFacts:
        """The study as its first patient has it: an object stored later under another PatientID (a viewer's SR, say)
        makes a second study of the same UID in Orthanc, and must not move the first one to another patient.
        """
        known = self._studies.get(study.study_uid)
        if known is None or known.patient_id != study.patient_id:
            known = await self._first(study)
        if known.patient_id == study.patient_id:
            known = _filled(known, study)
        self._studies.put(study.study_uid, known)
        return known

    async def _first(self, study: StudyFacts) -> StudyFacts:
        ids = await self._archive.find_studies(study.study_uid)
        if len(ids) < 2:
            return study
        logger.warning("study %s stands under %s patients in the archive", study.study_uid, len(ids))
        candidates = [entry for entry in await self._archive.resources(ids, "Study") if entry.get("Series")]
        held = await self._held(study.study_uid) if self._held is not None else None
        for entry in sorted(candidates, key=lambda entry: _precedence(entry, held)):
            series = await self._archive.resources(entry["Series"][:1])
            tags = await self._archive.tags(series[0]["Instances"][0]) if series else None
            first = study_of(tags, self._zone) if tags is not None else None
            if first is not None:
                return first
        return study


def _filled(known: StudyFacts, other: StudyFacts) -> StudyFacts:
    """What is known of a study, and what only another of its series says: the accession number, perhaps."""
    lacking = {name: getattr(other, name) for name in _FILLED if getattr(known, name) in (None, ())}
    if known.accession is None:
        lacking["accession_issuer"] = other.accession_issuer
    return replace(known, **lacking)


def _precedence(entry: Resource, held: str | None) -> tuple[bool, bool, int, str]:
    """Whose it was known to be; then a patient with an id before one without; more series before fewer."""
    patient = (entry.get("PatientMainDicomTags") or {}).get("0010,0020", "").strip(" \0")
    return patient != held, not patient, -len(entry["Series"]), entry["ID"]


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


class _Remembered(Generic[V]):
    """The values used last, up to a number."""

    def __init__(self, limit: int) -> None:
        self._values: OrderedDict[str, V] = OrderedDict()
        self._limit = limit

    def get(self, key: str) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: str, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def forget(self, key: str) -> None:
        self._values.pop(key, None)
