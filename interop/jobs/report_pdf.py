"""report-pdf: make a report's series in the archive equal the report.

Level-triggered, as the worklist is: what the report says when the job runs. Names are made of report and content, so a
repeated run stores nothing twice. The new document is there before an older one goes.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, BinaryIO, Protocol

from interop.access.agent import system_agent
from interop.dicom.encapsulated_pdf import PdfDocument, instance_uid, pdf_instance, series_uid, shared_attributes
from interop.errors import InvalidContentError, UnavailableError
from interop.jobs.runner import Lane, Outcome, UndeliverableError
from interop.store import Job, Store, Tx
from interop.workflow import report_documents
from interop.workflow.report_documents import Documents, Place
from interop.workflow.site import Site

_AGENT = system_agent("report-pdf")


class Shelf(Protocol):
    """An archive that documents are put into."""

    async def find_studies(self, study_uid: str) -> list[str]: ...

    async def find_series(self, series_uid: str) -> list[str]: ...

    async def resources(self, ids: Sequence[str], level: str | None = None) -> list[dict[str, Any]]: ...

    async def tags(self, instance: str) -> dict[str, Any] | None: ...

    async def store_file(self, file: BinaryIO, size: int) -> dict[str, Any]: ...

    async def delete_instances(self, ids: Sequence[str]) -> None: ...


class ReportPdfJobs:
    """The handler of kind ``report-pdf``."""

    def __init__(self, store: Store, site: Site, archives: Mapping[str, Shelf]) -> None:
        self._store = store
        self._site = site
        self._archives = archives

    async def __call__(self, job: Job) -> Outcome | None:
        """Bring the report's studies up to date."""
        id, uids = str(job.payload["report"]), list(job.payload["studies"])
        found = await self._store.view(lambda tx: report_documents.read(tx, self._site, id, uids))
        if found.fault:
            raise UndeliverableError(found.fault)
        changes: list[tuple[str, int, int]] = []
        for place in found.places:
            archive = self._archives.get(place.archive)
            if archive is not None:
                try:
                    stored, removed = await self._bring(archive, place, found)
                except InvalidContentError as error:
                    raise UndeliverableError(error.text) from error
                changes.append((place.study_uid, stored, removed))

        def keep(tx: Tx) -> None:
            for uid, stored, removed in changes:
                if stored or removed:
                    report_documents.note(tx, found, id, uid, stored, removed)

        return Outcome(_AGENT, keep)

    async def _bring(self, archive: Shelf, place: Place, found: Documents) -> tuple[int, int]:
        """How many documents were stored in one study, and how many removed."""
        series = await archive.find_series(series_uid(found.report, place.study_uid))
        there = await archive.resources(series, "Instance") if series else []
        present = {str(one["MainDicomTags"]["0008,0018"]).strip(" \0"): one["ID"] for one in there}
        wanted = {instance_uid(one, place.study_uid): one for one in found.documents}
        fresh = [one for uid, one in wanted.items() if uid not in present]
        stored = 0
        if fresh:
            shared = await _shared(archive, place.study_uid)
            if shared is None:
                return 0, 0  # the images are gone; a study that comes back owes this anew
            for one in fresh:
                await _store(archive, one, shared, self._site.zone)
                stored += 1
        stale = [id for uid, id in present.items() if uid not in wanted]
        if stale:
            await archive.delete_instances(stale)
        return stored, len(stale)


def report_pdf_lane(store: Store, site: Site, archives: Mapping[str, Shelf]) -> Lane:
    """How these jobs are run."""
    return Lane(ReportPdfJobs(store, site, archives), at_once=2, lease=180.0)


async def _store(archive: Shelf, document: PdfDocument, shared: Mapping[str, Any], zone: tzinfo) -> None:
    content = await asyncio.to_thread(pdf_instance, document, shared, zone)
    answer = await archive.store_file(io.BytesIO(content), len(content))
    if answer.get("Status") not in ("Success", "AlreadyStored"):
        raise UnavailableError(f"the archive did not store the report's document: {answer.get('Status')}")


async def _shared(archive: Shelf, study_uid: str) -> dict[str, Any] | None:
    """What the study's instances say of patient and study, where most of them are (PS3.3 A.1.2.1)."""
    ids = await archive.find_studies(study_uid)
    studies = await archive.resources(ids) if ids else []
    for study in sorted(studies, key=lambda one: (-len(one.get("Series") or ()), one["ID"])):
        series = await archive.resources(study["Series"][:1])
        instances = series[0]["Instances"] if series else []
        tags = await archive.tags(instances[0]) if instances else None
        if tags is not None:
            return shared_attributes(tags)
    return None
