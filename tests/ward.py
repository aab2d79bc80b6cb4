"""A hospital, its real archive, and a study in it: what happens to files there, without a feed that runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from interop.access.agent import Agent
from interop.archive_feed.orthanc_stock import OrthancStock
from interop.archive_feed.reading import Reader
from interop.audit.event import Event
from interop.dicom.uids import digest_uid
from interop.dicom.values import dataset_of
from interop.fhir.query import Query
from interop.jobs import Handler, ReportPdfJobs, TagJobs
from interop.orthanc.client import OrthancClient
from interop.store import OrderRow, Store
from interop.testing.images import study_images
from interop.workflow import deciding, tag_corrections
from interop.workflow.site import Site
from interop.workflow.tag_corrections import Correction
from tests.compressed_images import part10
from tests.hl7_messages import orm
from tests.hospital import Hospital

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
PERSON = Agent("mtra", "user", client="test")


class Ward:
    """A hospital, its archive, and a study in it that is not of any order yet."""

    def __init__(self, store: Store, client: OrthancClient, name: str, site: Site | None = None) -> None:
        self.hospital = Hospital(store, site)
        self.client = client
        self.uid = digest_uid(name.encode())

    def images(self, count: int = 2, **more: str) -> list[Dataset]:
        """Objects with what a mistyped entry at the modality makes of them."""
        item = dataset_of(
            {
                "PatientName": "Doe^Jane",
                "PatientID": "666",
                "AccessionNumber": "TYPO",
                "StudyInstanceUID": self.uid,
                "ScheduledProcedureStepSequence": [{"Modality": "CT"}],
                **more,
            }
        )
        item.SpecificCharacterSet = "ISO_IR 100"
        made = list(study_images(item, aet="CT1", images=count, now=NOW))
        for one in made:
            one.SpecificCharacterSet = "ISO_IR 100"
            one.InstitutionName = "Hôpital"
        return made

    async def arrive(self, *datasets: Dataset) -> None:
        """Stored, and registered as the feed would."""
        for one in datasets:
            assert (await self.client.store(part10(one)))["Status"] == "Success"
        facts = await OrthancStock(self.client, Reader(self.client, self.hospital.site.zone)).whole(self.uid)
        assert facts is not None
        await self.hospital.register(facts)

    async def order(self, **more: str) -> OrderRow:
        return await self.hospital.row((await self.hospital.send(orm(**more))).orders[0])

    async def resolve(self, row: OrderRow) -> None:
        site = self.hospital.site
        await self.hospital.store.unit(PERSON, lambda tx: deciding.resolve(tx, site, self.uid, row.id, correct=True))

    async def undo(self) -> None:
        await self.hospital.store.unit(PERSON, lambda tx: deciding.undo(tx, self.hospital.site, self.uid))

    async def run(self, *, seconds: float = 60.0, most: int = 100) -> int:
        """Run what is owed, as the runner does; how many jobs that took."""
        return await self.work_off(
            "tags", TagJobs(self.hospital.store, {"orthanc": self.client}, seconds=seconds), most
        )

    async def work_off(self, kind: str, handler: Handler, most: int = 100) -> int:
        """Run what is owed of a kind; how many jobs that took."""
        store = self.hospital.store
        for count in range(most):
            claimed = await store.claim([kind], 1, 60.0)
            if not claimed:
                return count
            outcome = await handler(claimed[0])
            assert outcome is not None
            await store.unit(outcome.agent, lambda tx, outcome=outcome: outcome.keep(tx))  # type: ignore[misc]
            await store.finish(claimed[0])
        return most

    async def archive_reports(self) -> int:
        """Store and remove the documents that are owed; how many jobs that took."""
        hospital = self.hospital
        return await self.work_off("report-pdf", ReportPdfJobs(hospital.store, hospital.site, {"orthanc": self.client}))

    async def state(self) -> Correction:
        found = await self.hospital.store.view(lambda tx: tag_corrections.read(tx, self.uid))
        assert found is not None
        return found

    async def study(self) -> dict[str, Any]:
        stored = await self.hospital.store.view(lambda tx: tx.study(self.uid))
        assert stored is not None
        return stored.resource()

    async def study_series(self) -> list[dict[str, Any]]:
        """The series of the ImagingStudy, without their instances."""
        id = (await self.study())["id"]
        return list((await self.hospital.store.view(lambda tx: tx.study_series(id))).values())

    async def audited(self, subtype: str) -> list[Event]:
        """The events of that subtype."""
        rows = await self.hospital.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=500)))
        return [one.event for one in rows if one.event.subtype == subtype]

    async def files(self) -> dict[str, Dataset]:
        """What the archive has of the study, by SOPInstanceUID; each once."""
        ids = await self.client.find_studies(self.uid)
        found: dict[str, Dataset] = {}
        for one in await self.client.resources(ids, "Instance") if ids else []:
            buffer = io.BytesIO()
            await self.client.fetch(one["ID"], buffer)
            buffer.seek(0)
            dataset = pydicom.dcmread(buffer)
            assert found.setdefault(dataset.SOPInstanceUID, dataset) is dataset, "an instance is kept twice"
        return found
