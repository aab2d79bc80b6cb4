"""Shared links: who makes them, what they open and for how long, and that one that was taken back is over."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

A, B = "1.2.3.1", "1.2.3.2"
OWN = {"Origin": "http://testserver"}


async def share(web: Any, body: Any, *scopes: str, **options: Any) -> Any:
    async with web.client() as client:
        return await client.post("/api/v1/share", json=body, headers=web.bearer(*scopes, **options))


async def made(web: Any, **body: Any) -> dict[str, Any]:
    answer = await share(web, {"studies": [A], **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def opened(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """What a browser does with the link."""
    place, _, secret = url.partition("#")
    page = await client.get(place)
    assert page.status_code == 200
    return await client.post(f"{place}?", data={"secret": secret}, headers=OWN)


async def revoked(web: Any, id: str, **options: Any) -> int:
    async with web.client() as client:
        answer = await client.delete(f"/api/v1/share/{id}", headers=web.bearer(**options))
    return int(answer.status_code)


async def test_a_link_opens_exactly_its_studies_again_and_again(web: Any) -> None:
    link = await made(web, minutes=30, label="second opinion")
    assert re.fullmatch(r"http://testserver/viewer/share#[A-Za-z0-9_-]{43}", link["url"])
    left = datetime.fromisoformat(link["expires"]) - datetime.now(UTC)
    assert 29 * 60 < left.total_seconds() <= 30 * 60
    for _ in range(2):
        async with web.client() as client:
            answer = await opened(client, link["url"])
            assert (answer.status_code, answer.headers["location"]) == (303, f"../viewer?StudyInstanceUIDs={A}")
            cookie = answer.headers["set-cookie"]
            assert 0 < int(cookie.split("Max-Age=")[1].split(";")[0]) <= 30 * 60, "no longer than the share"
            assert (await client.get(f"/viewer?StudyInstanceUIDs={A}")).status_code == 200
            assert (await client.get(f"/dicom-web/studies/{A}/series")).status_code == 200
            assert (await client.get(f"/dicom-web/studies/{B}/series")).status_code == 403
            assert (await client.get("/fhir/Patient")).status_code == 403
            for method, place in (("POST", "/api/v1/share"), ("GET", "/api/v1/share"), ("DELETE", "/api/v1/share/x")):
                assert (await client.request(method, place, headers=OWN)).status_code == 403


async def test_the_page_takes_the_secret_out_of_its_address_and_runs_nothing_else(web: Any) -> None:
    async with web.client() as client:
        page = await client.get("/viewer/share")
    policy = page.headers["content-security-policy"]
    for word in ("default-src 'none'", "script-src 'sha256-", "form-action 'self'", "frame-ancestors 'none'"):
        assert word in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert "history.replaceState" in page.text


async def test_a_link_that_was_taken_back_opens_nothing_and_ends_what_it_opened(web: Any) -> None:
    link, other = await made(web), await made(web)
    async with web.client() as client, web.client() as second, web.viewer(A, who="dr") as doctor:
        await opened(client, link["url"])
        await opened(second, other["url"])
        assert await revoked(web, link["id"]) == 204
        for place in (f"/viewer?StudyInstanceUIDs={A}", f"/dicom-web/studies/{A}/series", "/app-config.js"):
            assert (await client.get(place)).status_code == 401, place
            assert (await second.get(place)).status_code == 200, "another link goes on"
            assert (await doctor.get(place)).status_code == 200, "so does its maker's own session"
        again = await opened(client, link["url"])
        assert again.status_code == 410
        assert "<h1>No longer here</h1>" in again.text
        assert "ask whoever sent it for another" in again.text
        assert "Try again" not in again.text, "that would open the page without its secret"
        assert "set-cookie" not in again.headers
    assert await revoked(web, link["id"]) == 204, "it is over, as was asked"


async def test_what_is_no_link_is_our_own_404_and_written_down_once(web: Any) -> None:
    async with web.client() as client:
        for secret in ("x" * 43, "x", ""):
            answer = await client.post("/viewer/share", data={"secret": secret}, headers=OWN)
            assert answer.status_code == (404 if secret else 400), secret
            assert answer.headers["content-type"].startswith("text/html")
    assert 1 <= len(await web.events(kind="login", outcome="4")) <= 2, "one in a minute"


@pytest.mark.parametrize("content", [b"", b"secret=a&secret=b", b"secret=%FF", b"\xff", b"a=1&b=2&c=3", b"x" * 2000])
async def test_what_is_no_form_is_refused(web: Any, content: bytes) -> None:
    async with web.client() as client:
        answer = await client.post("/viewer/share", content=content, headers=OWN)
    assert answer.status_code in (400, 404, 413)


@pytest.mark.parametrize("headers", [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}])
async def test_another_site_cannot_put_its_images_before_a_doctor(web: Any, headers: dict[str, str]) -> None:
    link = await made(web)
    async with web.client() as client:
        secret = link["url"].partition("#")[2]
        answer = await client.post("/viewer/share", data={"secret": secret}, headers=headers)
        cross = {**OWN, "Sec-Fetch-Site": "cross-site"}
        assert (await client.post("/viewer/share", data={"secret": secret}, headers=cross)).status_code == 403
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_everything_is_in_the_trail_and_the_secret_nowhere(web: Any) -> None:
    link = await made(web, label="for Νίκος")
    secret = link["url"].partition("#")[2]
    async with web.client() as client:
        await opened(client, link["url"])
        await revoked(web, link["id"])
        await opened(client, link["url"])
    events = [
        (row.event.subtype, row.event.entity, row.event.detail, row.agent.who) for row in await web.events(kind="share")
    ]
    named = (f"urn:oid:{A}", f"share {link['id']}")
    assert sorted(events) == [
        ("create", *named, "dr"),
        ("open", *named, f"share:{link['id']}"),
        ("revoke", *named, "dr"),
    ]
    assert {row.event.patient for row in await web.events(kind="share", who="dr")} == {web.patients[A]}
    assert [row.event.detail for row in await web.events(outcome="4")] == [f"share {link['id']} was withdrawn"]
    everything = repr(await web.events())
    assert secret not in everything
    assert "Νίκος" not in everything
    kept = await web.store.view(lambda tx: tx.session.rows("SELECT * FROM share"))
    assert secret not in repr(kept), "only its hash is kept"


async def test_each_sees_and_takes_back_their_own_and_a_governor_all(web: Any) -> None:
    reader = ("user/ImagingStudy.rs",)
    mine = (await share(web, {"studies": [A]}, *reader, who="one")).json()
    others = (await share(web, {"accession": "ACC2", "label": "x"}, *reader, who="two")).json()
    assert others["studies"] == [B]
    async with web.client() as client:
        for scopes, who, ids in (
            (reader, "one", [mine["id"]]),
            (reader, "nobody", []),
            (("user/ImagingStudy.u",), "desk", [others["id"], mine["id"]]),
        ):
            listed = (await client.get("/api/v1/share", headers=web.bearer(*scopes, who=who))).json()
            assert [one["id"] for one in listed["shares"]] == ids
            assert all("url" not in one for one in listed["shares"])
        place = f"/api/v1/share/{others['id']}"
        assert (await client.delete(place, headers=web.bearer(*reader, who="one"))).status_code == 404
        assert (await client.delete("/api/v1/share/x", headers=web.bearer())).status_code == 404
        assert (await client.delete(place, headers=web.bearer("user/ImagingStudy.u", who="desk"))).status_code == 204
        states = (await client.get("/api/v1/share?limit=1", headers=web.bearer())).json()
        assert (states["shares"][0]["state"], states["next"]) == ("revoked", others["id"])
        rest = (await client.get(f"/api/v1/share?before={states['next']}", headers=web.bearer())).json()
        assert ([one["state"] for one in rest["shares"]], rest["next"]) == (["open"], None)
        assert (await client.get("/api/v1/share?limit=x", headers=web.bearer())).status_code == 400
        assert (await client.get("/api/v1/share?who=x", headers=web.bearer())).status_code == 400


async def test_nobody_shares_what_they_may_not_open(web: Any) -> None:
    patient = web.patients[B].removeprefix("Patient/")
    assert (await share(web, {"studies": [A]}, "patient/ImagingStudy.rs", patient=patient)).status_code == 403
    assert (await share(web, {"studies": [B]}, "patient/ImagingStudy.rs", patient=patient)).status_code == 201
    assert (await share(web, {"studies": [A], "annotate": True}, "user/ImagingStudy.rs")).status_code == 403
    assert (await share(web, {"studies": ["9.9"]})).status_code == 404
    web.archive.down = True
    assert (await share(web, {"studies": [A]})).status_code == 503


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"studies": [A], "accession": "ACC1"},
        {"studies": [A], "minutes": 0},
        {"studies": [A], "minutes": 43_201},
        {"studies": [A], "minutes": "soon"},
        {"studies": [A], "label": ""},
        {"studies": [A], "label": "a\0b"},
        {"studies": [A], "label": "x" * 101},
        {"studies": [A], "secret": "x" * 43},
        {"studies": [f"1.{number}" for number in range(31)]},
    ],
)
async def test_bad_requests_say_what_is_wrong(web: Any, body: Any) -> None:
    answer = await share(web, body)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


async def test_images_that_are_gone_are_said_to_be(web: Any) -> None:
    link = await made(web)
    web.archive.studies.remove(A)
    async with web.client() as client:
        answer = await opened(client, link["url"])
    assert answer.status_code == 404
    assert A in answer.text


@pytest.mark.parametrize(("annotate", "status"), [(False, 403), (True, 400)])
async def test_annotations_are_taken_from_a_share_that_allows_them(web: Any, annotate: bool, status: int) -> None:
    link = await made(web, annotate=annotate)
    async with web.client() as client:
        await opened(client, link["url"])
        kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
        answer = await client.post("/dicom-web/studies", content=b"--x--", headers=OWN | kind)
    assert answer.status_code == status, "an allowed one is looked into, and holds nothing"


# ending sessions


async def ended(web: Any, body: Any, *scopes: str, who: str = "dr") -> Any:
    async with web.client() as client:
        return await client.post("/api/v1/sessions/end", json=body, headers=web.bearer(*scopes, who=who))


async def test_all_sessions_of_a_person_end_and_links_under_way_with_them(web: Any) -> None:
    async with web.viewer(A) as client, web.viewer(A, who="other") as other, web.client() as late:
        waiting = await late.post("/api/v1/launch", json={"studies": [A]}, headers=web.bearer())
        assert (await ended(web, {})).json()["subject"] == "dr"
        assert (await client.get(f"/dicom-web/studies/{A}/series")).status_code == 401
        assert (await other.get(f"/dicom-web/studies/{A}/series")).status_code == 200
        assert (await late.get(waiting.json()["url"])).status_code == 303
        assert (await late.get(f"/dicom-web/studies/{A}/series")).status_code == 401
    async with web.viewer(A) as anew:
        assert (await anew.get(f"/dicom-web/studies/{A}/series")).status_code == 200
    [event] = await web.events(kind="login", subtype="logout")
    assert event.event.detail == "all sessions of dr"


async def test_somebody_elses_sessions_need_a_right(web: Any) -> None:
    async with web.viewer(A) as client:
        assert (await ended(web, {"subject": "dr"}, "user/ImagingStudy.rs", who="x")).status_code == 403
        assert (await client.get(f"/dicom-web/studies/{A}/series")).status_code == 200
        assert (await client.post("/api/v1/sessions/end", json={}, headers=OWN)).status_code == 403
        assert (await ended(web, {"subject": "dr"}, "user/ImagingStudy.u", who="desk")).status_code == 200
        assert (await client.get(f"/dicom-web/studies/{A}/series")).status_code == 401
    for body in ({"subject": ""}, {"subject": 1}, {"who": "dr"}, []):
        assert (await ended(web, body)).status_code == 400


async def test_whoever_leaves_the_start_page_takes_the_copies_of_the_cookie_along(web: Any) -> None:
    async with web.client() as client:
        link = (await client.post("/api/v1/login", headers=web.bearer())).json()["url"]
        await client.get(link)
        copy = dict(client.cookies)
        assert (await client.get("/")).status_code == 200
        assert (await client.post("/console/logout", headers=OWN)).status_code == 303
    async with web.client(cookies=copy) as thief:
        assert (await thief.get("/")).status_code == 401
