"""What an Orthanc has, by its REST interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

from interop.archive_feed.reading import Archive, Reader, Resource
from interop.archive_feed.reconciling import Holdings
from interop.dicom.study import StudyFacts

_PAGE = 100  # studies in one request


class OrthancStock:
    """Its studies, page by page."""

    def __init__(self, archive: Archive, reader: Reader) -> None:
        self._archive, self._reader = archive, reader

    async def studies(self, since: date | None = None) -> AsyncIterator[tuple[str, Holdings]]:
        """Its studies; a day leaves out those that are older, or that nobody dated."""
        start, first = 0, since.strftime("%Y%m%d") if since else ""
        while page := await self._archive.list_resources("studies", start, _PAGE):
            start += len(page)
            page = [study for study in page if study["MainDicomTags"].get("StudyDate", "") >= first]
            for uid, holdings in await self._counted(page):
                yield uid, holdings

    async def _counted(self, page: list[Resource]) -> list[tuple[str, Holdings]]:
        counts: dict[str, tuple[int, int]] = {}
        series_of = await self._archive.resources([study["ID"] for study in page], "Series") if page else []
        for series in series_of:
            instances, number = counts.get(series["ParentStudy"], (0, 0))
            counts[series["ParentStudy"]] = (instances + len(series["Instances"]), number + 1)
        found = []
        for study in page:
            uid = study["MainDicomTags"].get("StudyInstanceUID", "").strip()
            patient = study["PatientMainDicomTags"].get("PatientID", "").strip()
            if study["ID"] in counts:  # a study without series is being deleted
                found.append((uid, Holdings(*counts[study["ID"]], patient)))
        return found

    async def whole(self, study_uid: str) -> StudyFacts | None:
        """Everything it has of a study, under whichever patients."""
        return await self._reader.whole(study_uid)
