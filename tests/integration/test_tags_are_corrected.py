"""A study matched by hand gets its order's tags in the real Orthanc, and its own again when that is undone."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from interop.access.agent import Agent
from interop.archive_feed.orthanc_stock import OrthancStock
from interop.archive_feed.reading import Reader
from interop.dicom.uids import digest_uid
from interop.dicom.values import dataset_of
from interop.errors import ConflictError
from interop.jobs import TagJobs, UndeliverableError
from interop.orthanc.child import PrivateOrthanc
from interop.orthanc.client import OrthancClient
from interop.store import OrderRow, Store
from interop.testing.images import study_images
from interop.workflow import deciding, tag_corrections
from interop.workflow.tag_corrections import Correction
from tests.compressed_images import CODERS, part10
from tests.hl7_messages import orm
from tests.hospital import Hospital
from tests.integration.conftest import make_orthanc

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
PERSON = Agent("mtra", "user", client="test")


@pytest.fixture
def backend() -> str:
    """Both engines keep the rows alike; what is asked here is asked of the archive."""
    return "sqlite"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOrthanc]:
    """One Orthanc for all of these tests, each with a study of its own."""
    orthanc = make_orthanc(tmp_path_factory.mktemp("archive"))
    asyncio.run(orthanc.start())
    yield orthanc
    asyncio.run(orthanc.stop(grace=0.0))


class Ward:
    """A hospital, its archive, and a study in it that is not of any order yet."""

    def __init__(self, store: Store, client: OrthancClient, name: str) -> None:
        self.hospital = Hospital(store)
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
        store = self.hospital.store
        jobs = TagJobs(store, {"orthanc": self.client}, seconds=seconds)
        for count in range(most):
            claimed = await store.claim(["tags"], 1, 60.0)
            if not claimed:
                return count
            outcome = await jobs(claimed[0])
            assert outcome is not None
            await store.unit(outcome.agent, lambda tx, outcome=outcome: outcome.keep(tx))  # type: ignore[misc]
            await store.finish(claimed[0])
        return most

    async def state(self) -> Correction:
        found = await self.hospital.store.view(lambda tx: tag_corrections.read(tx, self.uid))
        assert found is not None
        return found

    async def study(self) -> dict[str, Any]:
        stored = await self.hospital.store.view(lambda tx: tx.study(self.uid))
        assert stored is not None
        return stored.resource()

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


@pytest.fixture
async def ward(store: Store, archive: PrivateOrthanc, request: pytest.FixtureRequest) -> AsyncIterator[Ward]:
    async with archive.client() as client:
        yield Ward(store, client, request.node.name)


def pixels(dataset: Dataset) -> str:
    return hashlib.sha256(dataset.PixelData).hexdigest()


def of_order(dataset: Dataset) -> tuple[str, str, str, str, str]:
    names = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber")
    return tuple(str(dataset.get(name, "")) for name in names)  # type: ignore[return-value]


async def test_every_file_gets_the_order_s_tags_and_keeps_its_pixels(ward: Ward, tmp_path: Path) -> None:
    plain = ward.images(1 + len(CODERS))
    kinds = [coder(one, tmp_path) for coder, one in zip([*CODERS.values()], plain[1:], strict=True) if one]
    sent = {one.SOPInstanceUID: one for one in [plain[0], *kinds]}
    await ward.arrive(*sent.values())
    row = await ward.order(accession="R1")
    await ward.resolve(row)
    assert (await ward.state()).state == "asked"
    await ward.run()
    found = await ward.files()
    assert found.keys() == sent.keys()
    for uid, dataset in found.items():
        assert of_order(dataset) == ("100234", "Παπαδόπουλος^Νίκος", "19670321", "M", "R1")
        assert dataset.file_meta.TransferSyntaxUID == sent[uid].file_meta.TransferSyntaxUID
        assert pixels(dataset) == pixels(sent[uid])
        assert dataset.InstitutionName == "Hôpital"
        (original,) = dataset.OriginalAttributesSequence
        assert (original.ReasonForTheAttributeModification, original.ModifyingSystem) == ("CORRECT", "INTEROP IMG")
        assert original.AttributeModificationDateTime
        (before,) = original.ModifiedAttributesSequence
        assert of_order(before) == ("666", "Doe^Jane", "", "", "TYPO")
    (study,) = await ward.client.resources(await ward.client.find_studies(ward.uid))
    assert study["MainDicomTags"]["0008,0050"] == "R1"
    assert study["PatientMainDicomTags"]["0010,0020"] == "100234"
    state = await ward.state()
    assert (state.state, state.changed, state.total) == ("done", len(sent), len(sent))
    (accession,) = [one["value"] for one in (await ward.study())["identifier"] if "type" in one]
    assert accession == "R1"


async def test_an_undo_puts_the_tags_back(ward: Ward) -> None:
    sent = {one.SOPInstanceUID: one for one in ward.images(3)}
    await ward.arrive(*sent.values())
    before = (await ward.study())["identifier"]
    await ward.resolve(await ward.order(accession="R1"))
    await ward.run()
    await ward.undo()
    with pytest.raises(ConflictError, match="still being put back"):
        await ward.resolve(await ward.order(accession="R2", placer="P2"))
    await ward.run()
    found = await ward.files()
    assert found.keys() == sent.keys()
    for uid, dataset in found.items():
        assert of_order(dataset) == ("666", "Doe^Jane", "", "", "TYPO")
        assert "OriginalAttributesSequence" not in dataset
        assert "IssuerOfPatientID" not in dataset
        assert pixels(dataset) == pixels(sent[uid])
    assert (await ward.state()).state == "done"
    assert (await ward.study())["identifier"] == before


async def test_an_interrupted_correction_goes_on_where_it_was(ward: Ward) -> None:
    """One file a run, and a run whose outcome is lost: what the files say is what counts."""
    sent = ward.images(4)
    await ward.arrive(*sent)
    await ward.resolve(await ward.order(accession="R1"))
    await ward.run(seconds=0.0, most=2)
    store, jobs = ward.hospital.store, TagJobs(ward.hospital.store, {"orthanc": ward.client}, seconds=0.0)
    (claimed,) = await store.claim(["tags"], 1, 60.0)
    await jobs(claimed)  # its worker dies before the commit
    assert len(await ward.client.find_studies(ward.uid)) == 2  # the old one is whole until the new one is
    await store.unit(PERSON, lambda tx: tx.retry_job(claimed, "killed", 0.0))
    await ward.run(seconds=0.0)
    state = await ward.state()
    assert (state.state, state.total) == ("done", 4)
    found = await ward.files()
    assert {of_order(one)[0] for one in found.values()} == {"100234"}
    assert all(len(one.OriginalAttributesSequence) == 1 for one in found.values())
    assert len(await ward.client.find_studies(ward.uid)) == 1


async def test_an_undo_turns_round_a_correction_that_is_under_way(ward: Ward) -> None:
    await ward.arrive(*ward.images(3))
    await ward.resolve(await ward.order(accession="R1"))
    await ward.run(seconds=0.0, most=2)
    await ward.undo()
    await ward.run(seconds=0.0)
    found = await ward.files()
    assert len(found) == 3
    assert {of_order(one) for one in found.values()} == {("666", "Doe^Jane", "", "", "TYPO")}
    assert all("OriginalAttributesSequence" not in one for one in found.values())


async def test_of_the_same_patient_only_the_number_changes_in_place(ward: Ward) -> None:
    """And images that came under several PatientIDs become one study."""
    own = ward.images(2, PatientID="100234", PatientName="Παπαδόπουλος^Νίκος".encode().decode())
    for one in own:
        one.SpecificCharacterSet, one.InstitutionName = "ISO_IR 192", "Νοσοκομείο"
    strange = ward.images(1)
    await ward.arrive(*own, *strange)
    await ward.resolve(await ward.order(accession="R1"))
    await ward.run()
    found = await ward.files()
    assert {of_order(one)[0::4] for one in found.values()} == {("100234", "R1")}
    assert found[own[0].SOPInstanceUID].InstitutionName == "Νοσοκομείο"
    (study,) = await ward.client.resources(await ward.client.find_studies(ward.uid))
    assert study["MainDicomTags"]["0008,0050"] == "R1"
    await ward.undo()
    await ward.run()
    assert sorted(of_order(one)[0::4] for one in (await ward.files()).values()) == [
        ("100234", "TYPO"),
        ("100234", "TYPO"),
        ("666", "TYPO"),
    ]


async def test_an_archive_that_is_not_there_fails_in_words(ward: Ward) -> None:
    await ward.arrive(*ward.images(1))
    await ward.resolve(await ward.order(accession="R1"))
    (claimed,) = await ward.hospital.store.claim(["tags"], 1, 60.0)
    with pytest.raises(UndeliverableError, match="no archive orthanc") as refused:
        await TagJobs(ward.hospital.store, {})(claimed)
    await ward.hospital.store.unit(PERSON, refused.value.outcome.keep)
    assert (await ward.state()).state == "failed"
