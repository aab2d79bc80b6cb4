"""A viewer session sees exactly its studies, on every path; so does a patient's app; nobody else's token does."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

A, B = "1.2.3.1", "1.2.3.2"
SERIES, INSTANCE = "1.2.3.4", "1.2.3.5"
IN_STUDY = (
    "",
    "/metadata",
    "/rendered",
    "/thumbnail",
    "/series",
    "/instances",
    f"/series/{SERIES}",
    f"/series/{SERIES}/metadata",
    f"/series/{SERIES}/rendered",
    f"/series/{SERIES}/thumbnail",
    f"/series/{SERIES}/instances",
    f"/series/{SERIES}/instances/{INSTANCE}",
    f"/series/{SERIES}/instances/{INSTANCE}/metadata",
    f"/series/{SERIES}/instances/{INSTANCE}/rendered",
    f"/series/{SERIES}/instances/{INSTANCE}/thumbnail",
    f"/series/{SERIES}/instances/{INSTANCE}/bulk/7FE00010",
    f"/series/{SERIES}/instances/{INSTANCE}/frames/1",
    f"/series/{SERIES}/instances/{INSTANCE}/frames/1,2",
    f"/series/{SERIES}/instances/{INSTANCE}/frames/1/rendered",
    f"/series/{SERIES}/instances/{INSTANCE}/frames/1/thumbnail",
)
SEARCHES = ("studies", "series", "instances")


@pytest.mark.parametrize("path", IN_STUDY)
async def test_cookie_a_on_study_b_is_403_on_every_path(web: Any, path: str) -> None:
    async with web.viewer(A) as client:
        web.archive.asked.clear()
        refused = await client.get(f"/dicom-web/studies/{B}{path}")
        assert refused.status_code == 403
        assert web.archive.asked == []
        allowed = await client.get(f"/dicom-web/studies/{A}{path}")
        assert allowed.status_code == 200, allowed.text


@pytest.mark.parametrize("level", SEARCHES)
@pytest.mark.parametrize("name", ["StudyInstanceUID", "0020000D", "0020000d"])
async def test_cookie_a_cannot_search_for_study_b(web: Any, level: str, name: str) -> None:
    async with web.viewer(A) as client:
        web.archive.asked.clear()
        for value in (B, f"{A},{B}", f"{B}%5C{A}", f"{A}&{name}={B}"):
            answer = await client.get(f"/dicom-web/{level}?{name}={value}")
            assert answer.status_code == 403, value
        assert web.archive.asked == []


@pytest.mark.parametrize("level", SEARCHES)
@pytest.mark.parametrize("query", ["", "?00100020=P1&limit=101", "?PatientName=*", "?StudyInstanceUID="])
async def test_the_priors_query_shows_granted_studies_alone(web: Any, level: str, query: str) -> None:
    async with web.viewer(A) as client:
        web.archive.asked.clear()
        answer = await client.get(f"/dicom-web/{level}{query}")
        assert [row["0020000D"]["Value"] for row in answer.json()] == [[A]]
        assert f"StudyInstanceUID={A}" in web.archive.asked[0][0]
        assert B not in web.archive.asked[0][0]


async def test_rows_that_the_archive_should_not_have_sent_are_dropped(web: Any) -> None:
    async with web.viewer(A) as client:
        original = web.archive.get

        async def careless(target: bytes, headers: Any = ()) -> Any:
            return await original(target.split(b"?")[0], headers)

        web.archive.get = careless
        answer = await client.get("/dicom-web/studies?PatientID=P1")
        assert [row["0020000D"]["Value"] for row in answer.json()] == [[A]]


async def test_two_launches_in_one_browser_both_go_on(web: Any) -> None:
    async with web.viewer(A) as client:
        launched = await client.post("/api/v1/launch", json={"studies": [B]}, headers=web.bearer())
        await client.get(launched.json()["url"])
        for study in (A, B):
            assert (await client.get(f"/dicom-web/studies/{study}/series")).status_code == 200


async def test_another_persons_launch_ends_the_first(web: Any) -> None:
    async with web.viewer(A, who="one") as client:
        launched = await client.post("/api/v1/launch", json={"studies": [B]}, headers=web.bearer(who="two"))
        await client.get(launched.json()["url"])
        assert (await client.get(f"/dicom-web/studies/{A}/series")).status_code == 403
        assert (await client.get(f"/dicom-web/studies/{B}/series")).status_code == 200


async def test_a_viewer_session_reaches_no_other_door(web: Any) -> None:
    async with web.viewer(A) as client:
        for method, path in (("POST", "/api/v1/launch"), ("POST", "/api/v1/login")):
            answer = await client.request(method, path, headers={"Origin": "http://testserver"})
            assert answer.status_code == 403, path
        assert (await client.get("/")).status_code == 401


async def test_a_patients_app_sees_its_patients_studies(web: Any) -> None:
    patient = web.patients[A].removeprefix("Patient/")
    headers = web.bearer("patient/ImagingStudy.rs", patient=patient)
    async with web.client(headers=headers) as client:
        assert (await client.get(f"/dicom-web/studies/{A}/series")).status_code == 200
        assert (await client.get(f"/dicom-web/studies/{B}/series")).status_code == 403
        assert (await client.get("/dicom-web/studies/9.9.9/series")).status_code == 403
        listed = await client.get("/dicom-web/studies")
        assert [row["0020000D"]["Value"] for row in listed.json()] == [[A]]
        assert (await client.get(f"/dicom-web/studies?StudyInstanceUID={B}")).status_code == 403


async def test_a_patient_without_studies_gets_an_empty_list(web: Any) -> None:
    async with web.client(headers=web.bearer("patient/ImagingStudy.rs", patient="nobody")) as client:
        web.archive.asked.clear()
        assert (await client.get("/dicom-web/studies")).json() == []
        assert web.archive.asked == []


@pytest.mark.parametrize("scope", ["user/Patient.rs", "user/ImagingStudy.cud", "patient/ImagingStudy.rs"])
async def test_other_scopes_see_nothing(web: Any, scope: str) -> None:
    async with web.client(headers=web.bearer(scope)) as client:
        assert (await client.get(f"/dicom-web/studies/{A}")).status_code == 403
        assert (await client.get("/dicom-web/studies")).status_code == 403


async def test_a_wide_scope_sees_all(web: Any) -> None:
    async with web.client(headers=web.bearer("user/ImagingStudy.rs")) as client:
        assert len((await client.get("/dicom-web/studies")).json()) == 2
        assert (await client.get(f"/dicom-web/studies/{B}")).status_code == 200


async def test_a_viewer_session_reads_no_fhir(web: Any) -> None:
    async with web.viewer(A) as client:
        for path in ("/fhir/ImagingStudy", f"/fhir/{web.patients[A]}", "/fhir/AuditEvent"):
            answer = await client.get(path)
            assert answer.status_code == 403, path
            assert answer.json()["resourceType"] == "OperationOutcome"


async def test_an_auditor_finds_the_access_by_patient(web: Any) -> None:
    async with web.viewer(A) as client:
        await client.get(f"/dicom-web/studies/{A}/series")
        await client.get(f"/dicom-web/studies/{A}/metadata")
    async with web.client(headers=web.bearer("system/AuditEvent.rs", who="auditor")) as client:
        bundle = (await client.get("/fhir/AuditEvent", params={"patient": web.patients[A]})).json()
    seen = {
        (entry["resource"]["type"]["code"], entry["resource"]["subtype"][0]["code"], entry["resource"]["outcome"])
        for entry in bundle["entry"]
    }
    assert seen == {("110103", "launch", "0"), ("110112", "qido-rs", "0"), ("110104", "wado-rs", "0")}


async def test_a_patients_app_sees_nothing_of_a_study_that_is_another_patients_too(web: Any) -> None:
    own = web.patients[A].removeprefix("Patient/")
    web.archive.studies.append("1.2.3.9")
    headers = web.bearer("patient/ImagingStudy.rs", patient=own)
    async with web.client(headers=headers) as app, web.client(headers=web.bearer()) as doctor:
        assert (await app.get(f"/dicom-web/studies/{A}/series")).status_code == 200
        web.archive.twice = {A: ["P1", "P2"]}
        for level in SEARCHES:
            assert (await app.get(f"/dicom-web/{level}")).json() == []
            assert len((await doctor.get(f"/dicom-web/{level}?StudyInstanceUID={A}")).json()) == 2
        for body, path in (({"studies": [A]}, "launch"), ({"studies": [A]}, "share")):
            assert (await app.post(f"/api/v1/{path}", json=body)).status_code == 403
        assert (await doctor.post("/api/v1/launch", json={"studies": [A]})).status_code == 200
    web.archive.twice = {B: ["P1", "P2"], A: ["P1", ""]}
    other = web.patients[B].removeprefix("Patient/")
    async with web.client(headers=web.bearer("patient/ImagingStudy.rs", patient=other)) as app:
        for path in IN_STUDY:
            refused = await app.get(f"/dicom-web/studies/{B}{path}")
            assert (refused.status_code, "several patients" in refused.text) == (403, True), path
        uri = f"/dicom-web/wado?requestType=WADO&studyUID={B}&seriesUID={SERIES}&objectUID={INSTANCE}"
        assert (await app.get(uri)).status_code == 403
    async with web.client(headers=headers) as app:  # an object without a number is nobody else's
        assert len((await app.get("/dicom-web/studies")).json()) == 2


async def test_a_patients_app_stores_nothing_into_a_study_that_is_another_patients_too(web: Any) -> None:
    own = web.patients[A].removeprefix("Patient/")
    web.archive.twice = {A: ["P1", "P2"]}
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, INSTANCE
    image.StudyInstanceUID, image.SeriesInstanceUID, image.PatientID = A, SERIES, "P2"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    image.save_as(out, enforce_file_format=True)
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + out.getvalue() + b"\r\n--b--"
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    bearer = web.bearer("patient/ImagingStudy.crs", patient=own)
    async with web.client(headers=bearer) as app:
        refused = await app.post("/dicom-web/studies", content=body, headers=headers)
    assert (refused.status_code, "several patients" in refused.text) == (403, True)
