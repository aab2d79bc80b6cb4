"""What the gate lets through, what it answers, and the trace that it leaves."""

from __future__ import annotations

from typing import Any

import pytest

A, B = "1.2.3.1", "1.2.3.2"


async def test_answers_come_in_the_tongue_of_their_path(web: Any) -> None:
    async with web.client() as client:
        fhir = await client.get("/fhir/Patient")
        assert fhir.json()["resourceType"] == "OperationOutcome"
        assert fhir.headers["content-type"] == "application/fhir+json"
        data = await client.get("/dicom-web/studies")
        assert data.headers["content-type"] == "application/problem+json"
        for path in ("/", "/viewer/iid?requestType=STUDY&studyUID=1.2.3", "/viewer?StudyInstanceUIDs=1.2.3"):
            page = await client.get(path)
            assert page.status_code == 401
            assert page.headers["content-type"].startswith("text/html")
            assert "<h1>Not signed in</h1>" in page.text
        for answer in (fhir, data):
            assert answer.headers["www-authenticate"] == 'Bearer realm="interop"'


async def test_a_bad_token_is_called_one(web: Any) -> None:
    async with web.client() as client:
        answer = await client.post("/api/v1/launch", headers={"Authorization": "Bearer nonsense"}, content=b"{}")
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert answer.headers["connection"] == "close"
        basic = await client.get("/fhir/Patient", headers={"Authorization": "Basic aW50ZXJvcDpzZWNyZXQ="})
        assert basic.status_code == 401


async def test_a_bad_token_is_not_saved_by_a_good_cookie(web: Any) -> None:
    async with web.viewer(A) as client:
        answer = await client.get(f"/dicom-web/studies/{A}/series", headers={"Authorization": "Bearer nonsense"})
        assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/fhir/Patient", "/", "/dicom-web/studies"])
async def test_every_answer_carries_its_request_and_the_security_headers(web: Any, path: str) -> None:
    async with web.client() as client:
        answer = await client.get(path, headers={"X-Request-Id": "abc-1.2:3"})
        assert answer.headers["x-request-id"] == "abc-1.2:3"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", ["a b", "x" * 65, "a\tb", "<script>", ""])
async def test_a_strange_request_id_is_replaced(web: Any, given: str) -> None:
    async with web.client() as client:
        answer = await client.get("/healthz", headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"] != given
        assert len(answer.headers["x-request-id"]) == 32


async def test_a_flood_of_refusals_leaves_one_event_per_address_and_minute(web: Any) -> None:
    async with web.client(address="198.51.100.1") as one, web.client(address="198.51.100.2") as other:
        for _ in range(20):
            await one.get("/fhir/Patient", headers={"Authorization": "Bearer x.y.z"})
            await other.get("/fhir/Patient")
    events = await web.events(kind="login", outcome="4")
    assert 2 <= len(events) <= 4  # a minute may have turned over
    assert {row.agent.address for row in events} == {"198.51.100.1", "198.51.100.2"}
    assert {row.agent.kind for row in events} == {"anonymous"}


async def test_a_flood_from_many_addresses_is_bounded(web: Any) -> None:
    for number in range(200):
        async with web.client(address=f"2001:db8::{number:x}") as client:
            await client.get("/fhir/Patient")
    assert len(await web.events(kind="login", outcome="4")) <= 2 * 121


async def test_another_site_cannot_use_a_cookie_to_write(web: Any) -> None:
    async with web.client() as client:
        link = (await client.post("/api/v1/login", headers=web.bearer())).json()["url"]
        assert (await client.get(link)).status_code == 303
        form = {"study": A}
        for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await client.post("/console/launch", data=form, headers=headers)
            assert answer.status_code == 403, headers
        for headers in ({"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}):
            assert (await client.post("/console/launch", data=form, headers=headers)).status_code == 303


async def test_another_sites_page_cannot_read_with_a_viewers_cookie(web: Any) -> None:
    address = f"/dicom-web/studies/{A}/series"
    async with web.viewer(A) as client:
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
            assert (await client.get(address, headers=headers)).status_code == 403, site
        assert (await client.get(address, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
        led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}  # a link in an EMR
        assert (await client.get(f"/viewer?StudyInstanceUIDs={A}", headers=led)).status_code == 200


async def test_the_start_pages_cookie_opens_nothing_else(web: Any) -> None:
    async with web.client() as client:
        await client.get((await client.post("/api/v1/login", headers=web.bearer())).json()["url"])
        assert (await client.get("/")).status_code == 200
        for path in ("/fhir/Patient", "/dicom-web/studies", f"/viewer?StudyInstanceUIDs={A}", "/api/v1/launch"):
            assert (await client.get(path)).status_code == 401, path


async def test_a_sign_in_link_is_good_once_and_uses_the_givers_rights(web: Any) -> None:
    async with web.client() as client:
        link = (await client.post("/api/v1/login", headers=web.bearer("user/Patient.r"))).json()["url"]
        assert (await client.head(link)).status_code == 405
        opened = await client.get(link)
        assert opened.status_code == 303
        cookie = opened.headers["set-cookie"]
        for attribute in ("HttpOnly", "SameSite=Lax", "Path=/"):
            assert attribute in cookie
        assert (await client.get("/")).status_code == 403  # signed in, but not allowed to list orders
        again = await client.get(link)
        assert again.status_code == 401
        assert "used before" in again.text
    assert [row.agent.who for row in await web.events(kind="login", subtype="login", outcome="0")] == ["dr"]


async def test_nobody_makes_a_sign_in_link_out_of_less(web: Any) -> None:
    async with web.viewer(A) as viewer:
        answer = await viewer.post("/api/v1/login", headers={"Origin": "http://testserver"})
        assert answer.status_code == 403
    async with web.client() as client:
        headers = web.bearer("patient/*.rs", patient="p1")
        assert (await client.post("/api/v1/login", headers=headers)).status_code == 403


async def test_signing_out_ends_the_session_of_the_browser(web: Any) -> None:
    async with web.client() as client:
        await client.get((await client.post("/api/v1/login", headers=web.bearer())).json()["url"])
        left = await client.post("/console/logout", headers={"Origin": "http://testserver"})
        assert left.status_code == 303
        assert (await client.get("/")).status_code == 401
    assert len(await web.events(kind="login", subtype="logout")) == 1


async def test_smart_configuration_says_what_is_true(web: Any) -> None:
    async with web.client() as client:
        for base in ("", "/fhir"):
            document = (await client.get(f"{base}/.well-known/smart-configuration")).json()
            assert "permission-v2" in document["capabilities"]
            assert "token_endpoint" not in document
