"""What an archive has that speaks DICOMweb alone, by QIDO-RS and the metadata of WADO-RS."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, tzinfo
from typing import Any, Protocol

from interop.archive_feed.reading import Held
from interop.archive_feed.reconciling import Holdings
from interop.dicom.facts import image_type_of, instance_of, series_of, study_of
from interop.dicom.json_tags import tags_of
from interop.dicom.study import SeriesFacts, StudyFacts

logger = logging.getLogger(__name__)

FIELDS = "ModalitiesInStudy,NumberOfStudyRelatedSeries,NumberOfStudyRelatedInstances"
_MOST = 10_000_000  # studies: an archive that gives the same page again and again is not read for ever


class PlainArchive(Protocol):
    """The wire, as far as this door needs it."""

    async def search(self, level: str, parameters: Sequence[tuple[str, str]]) -> list[dict[str, Any]]: ...
    async def metadata(self, study: str) -> list[dict[str, Any]]: ...


class QidoStock:
    """Its studies, page by page. Where counts are left out, ``named`` asks for them."""

    def __init__(
        self, archive: PlainArchive, zone: tzinfo, *, page: int = 100, named: bool = True, held: Held | None = None
    ) -> None:
        self._archive, self._zone, self._page, self._named = archive, zone, page, named
        self._held = held

    async def studies(self, since: date | None = None) -> AsyncIterator[tuple[str, Holdings]]:
        """Its studies; a day leaves out those that are older, or that nobody dated."""
        matching = [("StudyDate", f"{since:%Y%m%d}-")] if since is not None else []
        async for found in self.matching(matching):
            yield found

    async def matching(self, keys: Sequence[tuple[str, str]]) -> AsyncIterator[tuple[str, Holdings]]:
        """The studies that match these keys."""
        fields = [("includefield", FIELDS)] if self._named else []
        offset, last = 0, ""
        while offset < _MOST:
            paging = [("limit", str(self._page)), ("offset", str(offset))]
            rows = await self._archive.search("studies", [*keys, *fields, *paging])
            if not rows or (first := _text(rows[0], "0020000D") or "") == last:
                return  # the end, or an archive that does not heed the offset
            last = first
            for row in rows:
                if uid := _text(row, "0020000D"):
                    yield uid, _holdings(row)
            offset += len(rows)

    async def whole(self, study_uid: str) -> StudyFacts | None:
        """Everything it has of a study."""
        owners: dict[str | None, StudyFacts] = {}  # by PatientID
        parts: dict[str, SeriesFacts] = {}
        for dataset in await self._archive.metadata(study_uid):
            tags = tags_of(dataset)
            resource = {"MainDicomTags": tags, "Metadata": {"SopClassUid": tags.get("0008,0016")}}
            own, series = study_of(tags, self._zone), series_of(tags, self._zone)
            instance = instance_of(resource, tags, image_type_of(tags))
            if own is None or series is None or instance is None or own.study_uid != study_uid:
                logger.warning("an instance in the metadata of %s names no study, series or SOP class", study_uid)
                continue
            owners.setdefault(own.patient_id, own)
            part = parts.setdefault(series.uid, series)
            parts[series.uid] = replace(part, instances=(*part.instances, instance))
        if not owners:
            return None
        study = await self._first(study_uid, owners)
        return replace(study, series=tuple(parts.values()), whole=True)

    async def _first(self, study_uid: str, owners: dict[str | None, StudyFacts]) -> StudyFacts:
        """The study as the patient has it with whom it was registered; as the first one told, where that is nobody."""
        if len(owners) > 1:
            logger.warning("study %s stands under %s patients in the archive", study_uid, len(owners))
            held = await self._held(study_uid) if self._held is not None else None
            if held is not None and (held or None) in owners:
                return owners[held or None]
        return next(iter(owners.values()))


def _holdings(row: dict[str, Any]) -> Holdings:
    patient = _text(row, "00100020") if "00100020" in row else None
    return Holdings(_number(row, "00201208"), _number(row, "00201206"), patient)


def _text(row: dict[str, Any], tag: str) -> str | None:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] if values[0] is not None else "").strip()


def _number(row: dict[str, Any], tag: str) -> int | None:
    text = _text(row, tag) or ""
    return int(text) if text.isdigit() else None
