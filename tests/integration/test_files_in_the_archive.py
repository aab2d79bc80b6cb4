"""What this server writes into the real Orthanc by itself: corrected tags, and the documents of reports."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from interop.errors import ConflictError
from interop.jobs import ReportPdfJobs, TagJobs, UndeliverableError
from interop.jobs_api import DeadJobs
from interop.orthanc.child import PrivateOrthanc
from interop.store import OrderRow, Store
from interop.testing.documents import pdf_page
from tests.compressed_images import CODERS
from tests.hospital import a_report, images
from tests.integration.conftest import make_orthanc
from tests.sites import a_site
from tests.ward import PERSON, Ward


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


@pytest.fixture
async def ward(store: Store, archive: PrivateOrthanc, request: pytest.FixtureRequest) -> AsyncIterator[Ward]:
    async with archive.client() as client:
        yield Ward(store, client, request.node.name)


def pixels(dataset: Dataset) -> str:
    return hashlib.sha256(dataset.PixelData).hexdigest()


def of_order(dataset: Dataset) -> tuple[str, str, str, str, str]:
    names = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber")
    return tuple(str(dataset.get(name, "")) for name in names)  # type: ignore[return-value]


@pytest.fixture
async def reporting(store: Store, archive: PrivateOrthanc, request: pytest.FixtureRequest) -> AsyncIterator[Ward]:
    """A site that keeps the documents of reports in the archive."""
    async with archive.client() as client:
        yield Ward(store, client, request.node.name, replace(a_site(), archive_reports=True))


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


async def test_a_correction_that_failed_is_tried_again_and_taken_back_as_a_whole(ward: Ward) -> None:
    """Half of the files bear its mark already: the undo of the second try has to find those of the first."""
    store = ward.hospital.store
    await ward.arrive(*ward.images(4))
    row = await ward.order(accession="R1")
    await ward.resolve(row)
    await ward.run(seconds=0.0, most=2)

    async def fails() -> int:
        (claimed,) = await store.claim(["tags"], 1, 60.0)
        with pytest.raises(UndeliverableError) as refused:
            await TagJobs(store, {})(claimed)
        await store.unit(PERSON, refused.value.outcome.keep)
        await store.bury(claimed, refused.value.text)
        return claimed.id

    id = await fails()
    engineer = replace(PERSON, scopes=frozenset({"system/*.cruds"}))
    [shown] = (await DeadJobs(store).list(engineer, {"kind": "tags"}))["jobs"]
    assert (shown["id"], shown["about"]) == (id, f"urn:oid:{ward.uid}")
    await DeadJobs(store).act("retry", engineer, id)
    assert (await ward.state()).state == "asked"
    await ward.run(seconds=0.0, most=1)
    await fails()
    await ward.resolve(row)  # asking for it once more does as well
    assert await store.view(lambda tx: tx.dead_jobs()) == []
    await ward.run()
    state = await ward.state()
    assert (state.state, state.changed) == ("done", 4)
    assert {of_order(one)[0] for one in (await ward.files()).values()} == {"100234"}
    await ward.undo()
    await ward.run()
    found = (await ward.files()).values()
    assert {of_order(one)[0] for one in found} == {"666"}
    assert all("OriginalAttributesSequence" not in one for one in found)


def with_pdf(row: OrderRow, status: str = "final", number: int = 1, **more: Any) -> dict[str, Any]:
    """A report of the order with a page of that number."""
    form = {
        "contentType": "application/pdf",
        "data": base64.b64encode(pdf_page(number)).decode(),
        "title": "CT Θώρακος",
    }
    return a_report(
        f"Patient/{row.patient_id}",
        f"ServiceRequest/{row.id}",
        status,
        presentedForm=[form],
        issued="2026-11-21T12:00:00+02:00",
        **more,
    )


async def documents(ward: Ward) -> list[Dataset]:
    return [one for one in (await ward.files()).values() if one.Modality == "DOC"]


async def _of_order(ward: Ward) -> OrderRow:
    row = await ward.order(accession="R1", study=ward.uid)
    await ward.arrive(*ward.images(2, PatientID="100234", AccessionNumber="R1", PatientName="Papadopoulos^Nikos"))
    return row


async def test_a_final_report_s_pdf_stands_beside_the_images(reporting: Ward) -> None:
    row = await _of_order(reporting)
    report = await reporting.hospital.post(with_pdf(row))
    assert await reporting.archive_reports() == 1
    (pdf,) = await documents(reporting)
    image = next(one for one in (await reporting.files()).values() if one.Modality == "CT")
    assert pdf.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    for name in ("PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "TimezoneOffsetFromUTC"):
        assert pdf.get(name) == image.get(name), name
    assert (str(pdf.PatientName), pdf.DocumentTitle) == ("Papadopoulos^Nikos", "CT Θώρακος")
    assert pdf.EncapsulatedDocument[: pdf.EncapsulatedDocumentLength] == pdf_page(1)
    assert (pdf.ContentDate, pdf.ContentTime) == ("20261121", "100000")  # as the images count: UTC
    concept = pdf.ConceptNameCodeSequence[0]
    assert (concept.CodeValue, concept.CodingSchemeDesignator) == ("11528-7", "LN")
    assert pdf.SeriesInstanceUID != image.SeriesInstanceUID
    assert len(await reporting.client.find_studies(reporting.uid)) == 1
    await reporting.arrive()  # the feed sees it
    (series,) = [one for one in (await reporting.study_series()) if one["modality"]["code"] == "DOC"]
    assert series["numberOfInstances"] == 1
    (told,) = await reporting.audited("report-pdf")
    assert (told.entity, told.action) == (f"urn:oid:{reporting.uid}", "C")
    assert report.id in (told.detail or "")


async def test_a_corrected_report_takes_the_place_of_what_stood_there(reporting: Ward) -> None:
    row = await _of_order(reporting)
    stored = await reporting.hospital.post(with_pdf(row))
    await reporting.archive_reports()
    (first,) = await documents(reporting)
    await reporting.hospital.put(with_pdf(row, id=stored.id, conclusion="Other words, the same page."))
    assert await reporting.archive_reports() == 1
    assert [one.SOPInstanceUID for one in await documents(reporting)] == [first.SOPInstanceUID]  # not stored twice
    await reporting.hospital.put(with_pdf(row, "corrected", 2, id=stored.id))
    await reporting.archive_reports()
    (second,) = await documents(reporting)
    assert (second.DocumentTitle, second.SeriesInstanceUID) == ("CT Θώρακος (corrected)", first.SeriesInstanceUID)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.EncapsulatedDocument[: second.EncapsulatedDocumentLength] == pdf_page(2)
    await reporting.hospital.delete("DiagnosticReport", stored.id)
    await reporting.archive_reports()
    assert await documents(reporting) == []
    assert len(await reporting.files()) == 2


async def test_a_report_that_was_here_before_the_images_joins_them(reporting: Ward) -> None:
    row = await reporting.order(accession="R1", study=reporting.uid)
    await reporting.hospital.post(with_pdf(row, "preliminary"))
    await reporting.hospital.post(with_pdf(row))
    assert await reporting.archive_reports() == 0
    await reporting.arrive(*reporting.images(1, PatientID="100234", AccessionNumber="R1"))
    assert await reporting.archive_reports() == 1
    assert len(await documents(reporting)) == 1


async def test_a_document_is_nobody_s_images(reporting: Ward) -> None:
    """Its series moves no order, unlike those of a modality."""
    row = await reporting.order(accession="R1")
    of_patient = {"quiet": True, "patient_id": "100234", "accession": "R1"}
    own = replace(images(reporting.uid, 1, modality="DOC"), **of_patient)
    series = own.series[0].uid
    await reporting.hospital.store.unit(PERSON, lambda tx: tx.set_state(f"report-series:{series}", "r1"))
    assert (await reporting.hospital.register(own)).row is not None
    assert (await reporting.hospital.row(row.id)).step == "scheduled"
    await reporting.hospital.register(replace(images(reporting.uid, 1, series=2), **of_patient))
    assert (await reporting.hospital.row(row.id)).step == "images-available"


async def test_what_is_no_pdf_fails_in_words_and_nothing_is_owed_unless_wanted(reporting: Ward, ward: Ward) -> None:
    row = await _of_order(reporting)
    report = with_pdf(row)
    report["presentedForm"][0]["data"] = base64.b64encode(b"<html>").decode()
    stored = await reporting.hospital.post(report)
    (claimed,) = await reporting.hospital.store.claim(["report-pdf"], 1, 60.0)
    jobs = ReportPdfJobs(reporting.hospital.store, reporting.hospital.site, {"orthanc": reporting.client})
    with pytest.raises(UndeliverableError, match="no PDF") as refused:
        await jobs(claimed)
    store = reporting.hospital.store
    await store.bury(claimed, refused.value.text)
    report["presentedForm"][0]["data"] = base64.b64encode(pdf_page(1)).decode()
    await reporting.hospital.put(report | {"id": stored.id})
    assert await store.view(lambda tx: tx.dead_jobs()) == [], "what is owed anew takes its place"
    await reporting.archive_reports()
    assert len(await documents(reporting)) == 1
    await ward.hospital.post(with_pdf(row))
    assert await ward.hospital.jobs("report-pdf") == []
