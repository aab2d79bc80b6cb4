"""Launching: who may, what is opened, and how often a link works."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from interop.access import system_agent
from interop.auth import codes

A, B = "1.2.3.1", "1.2.3.2"


async def launch(web: Any, body: Any, *scopes: str, **options: Any) -> Any:
    async with web.client() as client:
        return await client.post("/api/v1/launch", json=body, headers=web.bearer(*scopes, **options))


async def test_a_launch_opens_exactly_its_studies_once(web: Any) -> None:
    answer = await launch(web, {"studies": [A]})
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 60
    async with web.client() as client:
        url = answer.json()["url"]
        assert (await client.head(url)).status_code == 405
        opened = await client.get(url)
        assert opened.status_code == 303
        assert opened.headers["location"] == f"/viewer?StudyInstanceUIDs={A}"
        cookie = opened.headers["set-cookie"]
        for attribute in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="):
            assert attribute in cookie
        assert "Secure" not in cookie  # plain http here
        assert (await client.get(opened.headers["location"])).status_code == 200
    async with web.client() as thief:
        again = await thief.get(url)
        assert again.status_code == 410
        assert "set-cookie" not in again.headers
        assert "<h1>No longer here</h1>" in again.text
    [event] = await web.events(kind="launch")
    assert (event.event.patient, event.event.entity, event.event.outcome) == (web.patients[A], f"urn:oid:{A}", "0")


async def test_of_many_at_once_one_gets_in(web: Any) -> None:
    url = (await launch(web, {"studies": [A]})).json()["url"]
    async with web.client() as client:
        answers = await asyncio.gather(*(client.get(url) for _ in range(16)))
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 15


async def test_a_link_dies_after_a_minute_and_leaves_nothing_behind(web: Any) -> None:
    agent = system_agent("test")
    code = await web.store.unit(agent, lambda tx: codes.make(tx, "viewer", {"sub": "x"}, now=1000.0))
    shards = await web.store.view(lambda tx: [tx.get_state(f"codes:{digit:x}") for digit in range(16)])
    assert code not in "".join(filter(None, shards)), "only its hash is kept"
    from interop.errors import UnauthenticatedError

    for now, purpose in ((1061.0, "viewer"), (1001.0, "console")):
        with pytest.raises(UnauthenticatedError):
            await web.store.unit(agent, lambda tx, n=now, p=purpose: codes.redeem(tx, p, code, now=n))
    touched: set[str] = set()
    while len(touched) < 16:
        fresh = await web.store.unit(agent, lambda tx: codes.make(tx, "viewer", {"sub": "y"}, now=5000.0))
        touched.add(hashlib.sha256(f"viewer:{fresh}".encode()).hexdigest()[0])
    shards = await web.store.view(lambda tx: [tx.get_state(f"codes:{digit:x}") for digit in range(16)])
    assert '"x"' not in "".join(filter(None, shards)), "dead codes are swept when a shard is touched"
    with pytest.raises(ValueError, match="60"):
        await web.store.unit(agent, lambda tx: codes.make(tx, "viewer", {}, now=0.0, seconds=61))


async def test_accession_numbers_find_their_studies(web: Any) -> None:
    answer = await launch(web, {"accession": "ACC1"})
    assert answer.json()["studies"] == [A]
    assert (await launch(web, {"accession": "ACC9"})).status_code == 404
    assert (await launch(web, {"accession": f"urn:oid:{A}"})).status_code == 404, "not every identifier is one"


async def test_an_unknown_study_is_404_and_written_down(web: Any) -> None:
    answer = await launch(web, {"studies": [A, "9.9.9"]})
    assert answer.status_code == 404
    assert "9.9.9" in answer.json()["detail"]
    assert {row.event.outcome for row in await web.events(kind="launch")} == {"4"}


@pytest.mark.parametrize("scope", ["user/Patient.rs", "patient/ImagingStudy.rs", "user/ImagingStudy.s"])
async def test_a_study_that_the_caller_may_not_see_is_403_and_written_down(web: Any, scope: str) -> None:
    patient = web.patients[B].removeprefix("Patient/")
    for _ in range(3):
        answer = await launch(web, {"studies": [A]}, scope, patient=patient)
        assert answer.status_code == 403
    events = await web.events(kind="launch")
    assert 1 <= len(events) <= 2, "the same refusal once a minute"
    assert events[0].event.outcome == "4"


async def test_a_patients_app_launches_its_own_study(web: Any) -> None:
    patient = web.patients[A].removeprefix("Patient/")
    assert (await launch(web, {"studies": [A]}, "patient/ImagingStudy.rs", patient=patient)).status_code == 200
    assert (await launch(web, {"studies": [A, B]}, "patient/ImagingStudy.rs", patient=patient)).status_code == 403


async def test_the_archive_down_is_503(web: Any) -> None:
    web.archive.down = True
    answer = await launch(web, {"studies": [A]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"studies": []},
        {"studies": [A], "accession": "ACC1"},
        {"studies": "1.2"},
        {"studies": ["1.2/../3"]},
        {"studies": ["1.2,1.3"]},
        {"studies": ["1" * 65]},
        {"studies": [f"1.{number}" for number in range(31)]},
        {"accession": "x" * 65},
        {"accession": "a\\b"},
        {"studies": [A], "redirect": "https://evil.example"},
        [A],
    ],
)
async def test_bad_requests_say_what_is_wrong(web: Any, body: Any) -> None:
    answer = await launch(web, body)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


async def test_what_is_no_json_or_too_long_is_refused(web: Any) -> None:
    async with web.client(headers=web.bearer()) as client:
        assert (await client.post("/api/v1/launch", content=b"{")).status_code == 400
        assert (await client.post("/api/v1/launch", content=b" " * 70000)).status_code == 413
        assert (await client.get("/api/v1/launch")).status_code == 405


# IHE Invoke Image Display


async def test_iid_with_a_bearer_leads_to_a_one_time_url(web: Any) -> None:
    async with web.client() as client:
        for query in (f"studyUID={A}", "accessionNumber=ACC1"):
            answer = await client.get(f"/viewer/iid?requestType=STUDY&{query}", headers=web.bearer())
            assert answer.status_code == 303
            opened = await client.get(answer.headers["location"])
            assert opened.headers["location"] == f"/viewer?StudyInstanceUIDs={A}"


async def test_iid_makes_no_url_for_who_only_asks_for_the_head(web: Any) -> None:
    async with web.client() as client:
        answer = await client.head("/viewer/iid?requestType=STUDY&studyUID=1.2.3", headers=web.bearer())
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert "location" not in answer.headers


async def test_iid_with_a_fitting_session_opens_and_with_another_is_our_own_403(web: Any) -> None:
    async with web.viewer(A) as client:
        opened = await client.get(f"/viewer/iid?requestType=STUDY&studyUID={A}")
        assert opened.headers["location"] == f"/viewer?StudyInstanceUIDs={A}"
        for address in (
            f"/viewer/iid?requestType=STUDY&studyUID={B}",
            f"/viewer/iid?requestType=STUDY&studyUID={A},{B}",
            "/viewer/iid?requestType=STUDY&accessionNumber=ACC2",
            f"/viewer?StudyInstanceUIDs={B}",
            f"/viewer?StudyInstanceUIDs={A}&StudyInstanceUIDs={B}",
            f"/segmentation?StudyInstanceUIDs={B}",
        ):
            refused = await client.get(address)
            assert refused.status_code == 403, address
        assert "<h1>Not allowed</h1>" in (await client.get(f"/viewer?StudyInstanceUIDs={B}")).text


async def test_iid_of_what_is_not_here_is_our_own_404(web: Any) -> None:
    async with web.client(headers=web.bearer()) as client:
        for query in ("studyUID=9.9.9", "accessionNumber=NONE"):
            answer = await client.get(f"/viewer/iid?requestType=STUDY&{query}")
            assert answer.status_code == 404
            assert "<h1>No images here</h1>" in answer.text
    async with web.viewer(A) as client:
        web.archive.studies.remove(A)
        assert (await client.get(f"/viewer/iid?requestType=STUDY&studyUID={A}")).status_code == 404


@pytest.mark.parametrize("query", ["", "?requestType=PATIENT", "?requestType=STUDY", "?studyUID=1.2.3.1"])
async def test_iid_says_what_it_offers(web: Any, query: str) -> None:
    async with web.client(headers=web.bearer()) as client:
        assert (await client.get(f"/viewer/iid{query}")).status_code == 400


async def test_a_viewer_without_a_study_goes_to_its_own(web: Any) -> None:
    async with web.viewer(A) as client:
        answer = await client.get("/viewer")
        assert answer.headers["location"] == f"/viewer?StudyInstanceUIDs={A}"
        for path, mode in (
            ("/viewer/", "viewer"),
            ("/viewer?StudyInstanceUIDs=", "viewer"),
            ("/segmentation", "segmentation"),
        ):
            assert (await client.get(path)).headers["location"] == f"/{mode}?StudyInstanceUIDs={A}"
        assert (await client.get("/notfoundstudy")).status_code == 200
    async with web.client(headers=web.bearer()) as client:
        for path in ("/viewer", "/viewer/", "/segmentation"):
            assert (await client.get(path)).status_code == 404


async def test_a_study_named_twice_is_opened_once(web: Any) -> None:
    async with web.client(headers=web.bearer()) as client:
        launched = await client.post("/api/v1/launch", json={"studies": [A, A, B, A]})
        assert launched.json()["studies"] == [A, B]
        opened = await client.get(f"/api/v1/dicom/viewer/{A},{A}", headers={"Accept": "application/json"})
        assert opened.json()["studies"] == [A]
    async with web.viewer(A) as client:
        answer = await client.get(f"/viewer/iid?requestType=STUDY&studyUID={A},{A}")
        assert answer.headers["location"] == f"/viewer?StudyInstanceUIDs={A}"
