"""The simulated modality asks the worklist, takes pictures of its kind and stores them with the worklist's values."""

import asyncio
import io
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest

from interop.dicom.worklist import worklist_bytes
from interop.errors import NotFoundError
from interop.orthanc.child import PrivateOrthanc
from interop.testing.modality import AssociationError, acquire, query_worklist
from interop.testing.pattern import frame_number, pattern_share
from interop.testing.walk_ins import DEMO, send_walk_ins
from interop.worklist_folder import WorklistFolder

JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def item(aet: str, modality: str) -> dict[str, Any]:
    code = {"CodeValue": "TTE", "CodingSchemeDesignator": "99HOSP", "CodeMeaning": "Υπέρηχος"}
    return {
        "AccessionNumber": "IMG1",
        "PatientName": JAPANESE,
        "PatientID": "P1",
        "IssuerOfPatientID": "HOSP",
        "PatientBirthDate": "19800102",
        "PatientSex": "F",
        "StudyInstanceUID": "2.25.77",
        "RequestedProcedureID": "RP1",
        "RequestedProcedureDescription": "Εξέταση",
        "RequestedProcedureCodeSequence": [code],
        "ScheduledProcedureStepSequence": [
            {
                "Modality": modality,
                "ScheduledStationAETitle": aet,
                "ScheduledProcedureStepStartDate": "20261121",
                "ScheduledProcedureStepStartTime": "101500",
                "ScheduledProcedureStepID": "SPS1",
                "ScheduledProcedureStepDescription": "Step",
                "ScheduledPerformingPhysicianName": "Ιατρός^Α",
            }
        ],
    }


async def stored(orthanc: PrivateOrthanc) -> list[pydicom.Dataset]:
    """The objects that Orthanc holds."""
    secret = httpx.BasicAuth(orthanc.credentials.username, orthanc.credentials.password)
    async with httpx.AsyncClient(base_url=orthanc.url, auth=secret) as client:
        ids = (await client.get("/instances")).json()
        files = [(await client.get(f"/instances/{id}/file")).content for id in ids]
    return sorted((pydicom.dcmread(io.BytesIO(file)) for file in files), key=lambda each: int(each.InstanceNumber))


def numbers(orthanc: PrivateOrthanc, aet: str) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": orthanc.dicom_port, "called_aet": orthanc.aet, "calling_aet": aet}


@pytest.mark.parametrize(
    ("aet", "modality", "images", "objects"),
    [
        ("CT1", "CT", 7, 7),
        ("MR1", "MR", 3, 3),
        ("US1", "US", 5, 1),
        ("XA1", "XA", 4, 1),
        ("CT1", "CR", 2, 2),
        ("CT1", "PT", 2, 2),
        ("CT1", "NM", 3, 1),
        ("CT1", "ECG", 1, 1),
        ("CT1", "SR", 1, 1),
        ("CT1", "DOC", 1, 1),
        ("CT1", "DX", 2, 2),
        ("CT1", "ES", 2, 2),
    ],
)
async def test_a_study_of_its_kind_is_stored_with_the_worklists_values(
    orthanc: PrivateOrthanc, aet: str, modality: str, images: int, objects: int
) -> None:
    await WorklistFolder(orthanc.worklist).make("o1", {aet: worklist_bytes(item(aet, modality))})
    told: list[str] = []
    done = acquire(**numbers(orthanc, aet), accession="IMG1", images=images, progress=told.append)
    assert (done.study_uid, done.patient_id, done.modality) == ("2.25.77", "P1", modality)
    assert (done.instances, done.frames) == (objects, images)
    assert told[0] == "C-ECHO: ORTHANC answers"
    assert told[1] == f"worklist: {modality} of accession IMG1, step SPS1"
    made = await stored(orthanc)
    assert [str(each.SOPInstanceUID) for each in made] == list(done.sop_instance_uids)
    for each in made:
        assert str(each.PatientName) == JAPANESE
        assert (each.PatientID, each.IssuerOfPatientID, each.PatientSex) == ("P1", "HOSP", "F")
        assert (each.AccessionNumber, each.StudyInstanceUID) == ("IMG1", "2.25.77")
        assert each.StudyDescription == "Εξέταση"
        assert each.ProcedureCodeSequence[0].CodeMeaning == "Υπέρηχος"
        assert str(each.PerformingPhysicianName) == "Ιατρός^Α"
        (request,) = each.RequestAttributesSequence
        assert (request.RequestedProcedureID, request.ScheduledProcedureStepID) == ("RP1", "SPS1")
        assert each.TimezoneOffsetFromUTC


async def test_walk_ins_are_four_kinds_of_named_patients_that_no_worklist_has(orthanc: PrivateOrthanc) -> None:
    told: list[str] = []
    sent = send_walk_ins(
        host="127.0.0.1",
        port=orthanc.dicom_port,
        called_aet=orthanc.aet,
        calling_aet="CT1",
        now=datetime(2026, 8, 1, 10, tzinfo=UTC),
        progress=told.append,
    )
    done = list(sent)
    assert [(each.modality, each.instances) for each in done] == [("CT", 60), ("MR", 24), ("CR", 1), ("XA", 1)]
    assert told[0] == "C-ECHO: ORTHANC answers"
    made = await stored(orthanc)
    assert {str(each.PatientName) for each in made} == {patient.name for patient in DEMO}
    assert {each.StudyInstanceUID for each in made} == {each.study_uid for each in done}


async def test_every_image_shows_the_pattern_and_its_number(orthanc: PrivateOrthanc) -> None:
    folder = WorklistFolder(orthanc.worklist)
    await folder.make("o1", {"CT1": worklist_bytes(item("CT1", "CT"))})
    acquire(**numbers(orthanc, "CT1"), accession="IMG1", images=3)
    for number, each in enumerate(await stored(orthanc), 1):
        units = each.pixel_array.astype(int) * int(each.RescaleSlope) + int(each.RescaleIntercept)
        shown = np.clip((units - (40 - 200)) / 400 * 255, 0, 255)
        assert pattern_share(shown) == 1.0
        assert frame_number(shown) == number
        assert each.ImagePositionPatient[2] == (number - 2) * 2.5


async def test_every_frame_of_a_cine_shows_the_pattern_and_its_number(orthanc: PrivateOrthanc) -> None:
    folder = WorklistFolder(orthanc.worklist)
    await folder.make("o1", {"US1": worklist_bytes(item("US1", "US"))})
    acquire(**numbers(orthanc, "US1"), accession="IMG1", images=30)
    (cine,) = await stored(orthanc)
    assert cine.NumberOfFrames == 30
    for number, frame in enumerate(cine.pixel_array):
        assert pattern_share(frame) == 1.0
        assert frame_number(frame) == number


async def test_of_several_stations_it_takes_its_own_item(orthanc: PrivateOrthanc) -> None:
    own = item("MR1", "MR")
    await WorklistFolder(orthanc.worklist).make(
        "o1", {"CT1": worklist_bytes(item("CT1", "CT")), "MR1": worklist_bytes(own)}
    )
    assert len(query_worklist(**numbers(orthanc, "FINDSCU"), accession="IMG1")) == 2
    assert len(query_worklist(**numbers(orthanc, "FINDSCU"), station="MR1")) == 1
    assert acquire(**numbers(orthanc, "MR1"), accession="IMG1", images=1).modality == "MR"


async def test_an_accession_that_is_not_scheduled_is_said_so(orthanc: PrivateOrthanc) -> None:
    with pytest.raises(NotFoundError, match="has no item of accession NONE"):
        acquire(**numbers(orthanc, "CT1"), accession="NONE", images=1)


async def test_an_item_that_comes_while_it_waits_is_taken(orthanc: PrivateOrthanc) -> None:
    made = asyncio.get_running_loop().create_task(_made_later(WorklistFolder(orthanc.worklist)))
    taken = asyncio.to_thread(acquire, **numbers(orthanc, "CT1"), accession="IMG1", images=1, patience=30.0)
    assert (await taken).accession == "IMG1"
    await made


async def _made_later(folder: WorklistFolder) -> None:
    await asyncio.sleep(0.5)
    await folder.make("o1", {"CT1": worklist_bytes(item("CT1", "CT"))})


async def test_a_station_that_is_not_listed_is_told_why(orthanc: PrivateOrthanc) -> None:
    told = ""
    for _ in range(5):  # Orthanc closes at once behind its refusal, which may then not be read on a busy machine
        with pytest.raises(AssociationError) as refused:
            query_worklist(**numbers(orthanc, "STRANGER"))
        told = str(refused.value)
        if "rejects" in told:
            break
    assert "rejects STRANGER: Calling AE title not recognised" in told
