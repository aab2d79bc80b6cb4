"""IHE Invoke Image Display (RAD-106), and the way into the viewer for who has a bearer."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from interop.access import system_agent

A, B, C = "1.2.3.1", "1.2.3.2", "1.2.3.3"
ONE, TWO = "urn:oid:1.2.4.1", "urn:oid:1.2.4.2"


@pytest.fixture
async def numbered(web: Any) -> Any:
    """The first patient has number 77 of hospital one and a second study; the other has 77 of hospital two."""

    def work(tx: Any) -> None:
        for uid, system in ((A, ONE), (B, TWO)):
            patient = tx.get("Patient", web.patients[uid].removeprefix("Patient/")).resource()
            tx.update({**patient, "identifier": [{"system": system, "value": "77"}, {"system": system, "value": uid}]})
        study = {
            "resourceType": "ImagingStudy",
            "status": "available",
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{C}"}],
            "subject": {"reference": web.patients[A]},
            "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
            "started": "2026-09-01",
        }
        tx.create(study)

    await web.store.unit(system_agent("test"), work)
    web.archive.studies.append(C)
    return web


async def ask(web: Any, query: str, *scopes: str, **options: Any) -> Any:
    async with web.client() as client:
        return await client.get(f"/viewer/iid?{query}", headers=web.bearer(*scopes, **options))


async def opened(web: Any, query: str, *scopes: str, **options: Any) -> list[str]:
    answer = await ask(web, query, *scopes, **options)
    assert answer.status_code == 303, answer.text
    async with web.client() as client:
        location = (await client.get(answer.headers["location"])).headers["location"]
    return str(location).removeprefix("/viewer?StudyInstanceUIDs=").split(",")


@pytest.mark.parametrize("number", [f"77^^^{ONE}", "77^^^&1.2.4.1&ISO", "77^^^ONE&1.2.4.1&ISO", A])
async def test_a_patient_opens_with_all_studies(numbered: Any, number: str) -> None:
    assert await opened(numbered, f"requestType=PATIENT&patientID={quote(number)}") == [A, C]


@pytest.mark.parametrize(
    ("narrower", "studies"),
    [
        ("mostRecentResults=1", [C]),
        ("mostRecentResults=5", [A, C]),
        ("lowerDateTime=2026-08-15", [C]),
        ("upperDateTime=2026-08-15T00:00:00Z", [A]),
        ("lowerDateTime=2026-08-01T07:15:00Z&upperDateTime=2026-08-01T07:15:00Z", [A]),
        ("lowerDateTime=2026-08-01T10:15:00+03:00&upperDateTime=2026-08", [A]),
        ("modalitiesInStudy=MR,CT", [C]),
        ("viewerType=x&diagnosticQuality=true&keyImagesOnly=false", [A, C]),
    ],
)
async def test_a_patients_studies_are_narrowed(numbered: Any, narrower: str, studies: list[str]) -> None:
    assert await opened(numbered, f"requestType=PATIENT&patientID={A}&{narrower}") == studies


async def test_a_number_of_two_patients_needs_its_issuer_unless_the_token_sees_one(numbered: Any) -> None:
    answer = await ask(numbered, "requestType=PATIENT&patientID=77")
    assert answer.status_code == 409
    assert "issuer" in answer.text
    own = numbered.patients[B].removeprefix("Patient/")
    assert await opened(numbered, "requestType=PATIENT&patientID=77", "patient/ImagingStudy.rs", patient=own) == [B]
    query = f"requestType=PATIENT&patientID={quote(f'77^^^{ONE}')}"
    answer = await ask(numbered, query, "patient/ImagingStudy.rs", patient=own)
    assert answer.status_code == 403
    assert [row.event.outcome for row in await numbered.events(kind="launch", outcome="4")][:1] == ["4"]


async def test_an_accession_number_of_two_patients_opens_for_who_sees_one(numbered: Any) -> None:
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}

    def work(tx: Any) -> None:
        names = [
            {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.4"},
            {"type": kind, "system": "urn:other", "value": "ACC1"},
        ]
        study = {"resourceType": "ImagingStudy", "status": "available", "identifier": names}
        tx.create({**study, "subject": {"reference": numbered.patients[B]}})

    await numbered.store.unit(system_agent("test"), work)
    query = "requestType=STUDY&accessionNumber=ACC1"
    assert (await ask(numbered, query)).status_code == 409
    own = numbered.patients[A].removeprefix("Patient/")
    assert await opened(numbered, query, "patient/ImagingStudy.rs", patient=own) == [A]
    async with numbered.viewer(A) as client:
        assert (await client.get(f"/viewer/iid?{query}")).headers["location"] == f"/viewer?StudyInstanceUIDs={A}"
    other = await ask(numbered, "requestType=STUDY&accessionNumber=ACC2", "patient/ImagingStudy.rs", patient=own)
    assert other.status_code == 403
    assert (await numbered.events(kind="launch", outcome="4"))[0].event.patient == numbered.patients[B]


async def test_a_patients_app_opens_what_is_that_patients_alone(numbered: Any) -> None:
    own = numbered.patients[A].removeprefix("Patient/")
    query = f"requestType=PATIENT&patientID={A}"
    assert await opened(numbered, query, "patient/ImagingStudy.rs", patient=own) == [A, C]
    numbered.archive.twice = {A: ["P1", "P2"]}
    assert await opened(numbered, query, "patient/ImagingStudy.rs", patient=own) == [C]
    assert await opened(numbered, query) == [A, C]


async def test_a_merged_patients_number_opens_the_survivors_studies(numbered: Any) -> None:
    def work(tx: Any) -> None:
        link = [{"type": "replaced-by", "other": {"reference": numbered.patients[A]}}]
        tx.create({"resourceType": "Patient", "identifier": [{"system": ONE, "value": "OLD"}], "link": link})

    await numbered.store.unit(system_agent("test"), work)
    assert await opened(numbered, "requestType=PATIENT&patientID=OLD") == [A, C]


async def test_a_viewer_session_opens_what_it_has_of_the_patient(numbered: Any) -> None:
    async with numbered.viewer(A) as client:
        answer = await client.get(f"/viewer/iid?requestType=PATIENT&patientID={A}")
        assert answer.headers["location"] == f"/viewer?StudyInstanceUIDs={A}"
        assert (await client.get(f"/viewer/iid?requestType=PATIENT&patientID={B}")).status_code == 403


async def test_studies_that_the_archive_lacks_are_left_out(numbered: Any) -> None:
    numbered.archive.studies.remove(A)
    assert await opened(numbered, f"requestType=PATIENT&patientID={A}") == [C]
    numbered.archive.studies.remove(C)
    assert (await ask(numbered, f"requestType=PATIENT&patientID={A}")).status_code == 404


async def test_several_studies_and_accession_numbers_open_together(numbered: Any) -> None:
    assert await opened(numbered, f"requestType=STUDY&studyUID={A},{B}") == [A, B]
    assert await opened(numbered, "requestType=STUDY&accessionNumber=ACC1,ACC2") == [A, B]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("requestType=SERIES&studyUID=1", 400),
        ("requestType=PATIENT", 400),
        ("requestType=PATIENT&patientID=NOBODY", 404),
        (f"requestType=PATIENT&patientID={A}&mostRecentResults=0", 400),
        (f"requestType=PATIENT&patientID={A}&mostRecentResults=all", 400),
        (f"requestType=PATIENT&patientID={A}&lowerDateTime=yesterday", 400),
        (f"requestType=PATIENT&patientID={A}&lowerDateTime=2027&upperDateTime=2026", 400),
        (f"requestType=PATIENT&patientID={A}&lowerDateTime=2027", 404),
        (f"requestType=PATIENT&patientID={A}&modalitiesInStudy=US", 404),
        ("requestType=PATIENT&patientID=77^^^HOSP", 400),
        ("requestType=PATIENT&patientID=77^1", 400),
        ("requestType=STUDY&studyUID=../x", 400),
    ],
)
async def test_what_is_wrong_is_told_on_a_page_of_our_own(numbered: Any, query: str, status: int) -> None:
    answer = await ask(numbered, query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "<h1>" in answer.text


async def test_a_session_is_not_told_which_numbers_of_others_there_are(numbered: Any) -> None:
    async with numbered.viewer(A) as client:
        said = set()
        for query in (
            "requestType=STUDY&accessionNumber=ACC2",  # another study's
            "requestType=STUDY&accessionNumber=NOBODYS",
            "requestType=PATIENT&patientID=NOBODY",
            "requestType=PATIENT&patientID=NOBODY&mostRecentResults=1",
        ):
            answer = await client.get(f"/viewer/iid?{query}", headers={"Accept": "text/html"})
            said.add(answer.status_code)
        assert said == {403}
        assert (await client.get("/viewer/iid?requestType=STUDY&accessionNumber=ACC1")).status_code == 303


async def test_the_archive_down_is_503_on_our_own_page(numbered: Any) -> None:
    numbered.archive.down = True
    answer = await ask(numbered, f"requestType=PATIENT&patientID={A}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


# GET /api/v1/dicom/viewer/{study_uid}


async def test_a_bearer_is_led_to_the_viewer(web: Any) -> None:
    async with web.client(headers=web.bearer()) as client:
        answer = await client.get(f"/api/v1/dicom/viewer/{A}")
        assert (answer.status_code, answer.headers["vary"]) == (303, "Accept")
        assert "/viewer/open/" in answer.headers["location"]
        told = await client.get(f"/api/v1/dicom/viewer/{A},{B}", headers={"accept": "application/json"})
        assert (told.status_code, told.json()["studies"], told.json()["expires_in"]) == (200, [A, B], 60)
        for path, status in (("9.9.9", 404), ("x", 400), (",", 400)):
            assert (await client.get(f"/api/v1/dicom/viewer/{path}")).status_code == status, path
    async with web.viewer(A) as client:
        assert (await client.get(f"/api/v1/dicom/viewer/{A}")).status_code == 403
