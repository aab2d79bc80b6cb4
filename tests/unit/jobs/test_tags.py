"""Correcting tags in an archive that does not do as it is told, and one that does not answer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, BinaryIO

import pytest
from pydicom import dcmread

from interop.access.agent import Agent
from interop.errors import UnavailableError
from interop.jobs import TagJobs, UndeliverableError
from interop.store import Store
from interop.workflow import deciding, tag_corrections
from interop.workflow.tag_corrections import Correction
from tests.hl7_messages import orm
from tests.hospital import Hospital, images
from tests.unit.dicom.test_corrections import an_image

UID = "2.25.1"
PERSON = Agent("mtra", "user", client="test")


class Shelf:
    """One file, under the PatientID that it was first stored with whatever it says later."""

    def __init__(self, *, keeps: bool = False, status: str = "Success") -> None:
        self.file, self.patient, self.keeps, self.status, self.silent = an_image(), "666", keeps, status, False

    async def find_studies(self, study_uid: str) -> list[str]:
        if self.silent:
            raise UnavailableError("Orthanc does not answer")
        return ["study"]

    async def resources(self, ids: Sequence[str], level: str | None = None) -> list[dict[str, Any]]:
        if level == "Instance":
            return [{"ID": "file", "MainDicomTags": {"0008,0018": "2.25.3"}}] if ids else []
        return [{"ID": "study", "PatientMainDicomTags": {"0010,0020": self.patient}}]

    async def fetch(self, instance: str, into: BinaryIO) -> None:
        into.write(self.file)

    async def store_file(self, file: BinaryIO, size: int) -> dict[str, Any]:
        file.seek(0)
        self.file = file.read(size)
        if not self.keeps:
            self.patient = dcmread(io.BytesIO(self.file)).PatientID
        return {"Status": self.status}

    async def delete_instances(self, ids: Sequence[str]) -> None:
        raise AssertionError("nothing is to go")

    async def reconstruct(self, study: str) -> None:
        return None


async def _asked(store: Store) -> Hospital:
    hospital = Hospital(store)
    order = (await hospital.send(orm(accession="R1"))).orders[0]
    await hospital.register(images(UID, 1, accession="R1", patient_id="666"))
    site = hospital.site
    await store.unit(PERSON, lambda tx: deciding.resolve(tx, site, UID, order, correct=True))
    return hospital


async def _run(store: Store, shelf: Shelf) -> Correction:
    """One job, as the runner ends it."""
    (job,) = await store.claim(["tags"], 1, 60.0)
    try:
        outcome = await TagJobs(store, {"orthanc": shelf})(job)
    except UndeliverableError as error:
        outcome = error.outcome
    assert outcome is not None
    await store.unit(outcome.agent, outcome.keep)
    await store.finish(job)
    found = await store.view(lambda tx: tag_corrections.read(tx, UID))
    assert found is not None
    return found


async def test_files_that_stay_under_another_number_end_it_after_some_tries(store: Store) -> None:
    await _asked(store)
    shelf = Shelf(keeps=True)
    reached = [await _run(store, shelf) for _ in range(4)]
    assert [(one.state, one.changed) for one in reached] == [("running", 1)] * 3 + [("failed", 1)]
    assert "another PatientID" in (reached[-1].error or "")
    assert await store.claim(["tags"], 1, 60.0) == []


async def test_an_archive_that_keeps_the_first_version_is_named(store: Store) -> None:
    await _asked(store)
    assert "OverwriteInstances" in ((await _run(store, Shelf(status="AlreadyStored"))).error or "")


async def test_a_silent_archive_is_asked_again(store: Store) -> None:
    await _asked(store)
    shelf = Shelf()
    shelf.silent = True
    with pytest.raises(UnavailableError):
        await _run(store, shelf)
    found = await store.view(lambda tx: tag_corrections.read(tx, UID))
    assert found is not None
    assert (found.state, found.error) == ("asked", None)
