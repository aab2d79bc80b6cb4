"""The start page: right, escaped, and written down whose names it showed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from interop.access import system_agent
from interop.fhir.query import Identity
from interop.store import OrderRow

A, B = "1.2.3.1", "1.2.3.2"


@asynccontextmanager
async def signed_in(web: Any, *scopes: str) -> AsyncIterator[Any]:
    async with web.client() as client:
        await client.get((await client.post("/api/v1/login", headers=web.bearer(*scopes))).json()["url"])
        yield client


def order(patient: str, number: int, **facts: Any) -> OrderRow:
    return OrderRow(
        id=f"o{number}",
        patient_id=patient.removeprefix("Patient/"),
        status="active",
        origin="fhir:emr",
        updated=datetime(2026, 8, 1, 7, number, tzinfo=UTC),
        accession=Identity("urn:acc", f"ACC-{number}"),
        **facts,
    )


async def put_orders(web: Any) -> None:
    def work(tx: Any) -> None:
        scheduled = order(
            web.patients[A],
            1,
            step="scheduled",
            scheduled=True,
            modality="CT",
            start=datetime(2026, 8, 1, 9, tzinfo=UTC),
        )
        tx.put_order(scheduled)
        tx.put_order(order(web.patients[B], 2, step="images-available", study_uid=B))
        tx.put_order(order(web.patients[B], 3, step="", missing="no <modality>"))

    await web.store.unit(system_agent("test"), work)


async def test_it_shows_where_the_last_orders_stand(web: Any) -> None:
    await put_orders(web)
    async with signed_in(web) as client:
        page = await client.get("/")
    assert page.status_code == 200
    text = page.text
    for word in ("Νίκος Παπαδόπουλος", "ACC-1", "2026-08-01 09:00", "Scheduled", "Images available", "active"):
        assert word in text, word
    assert text.index("ACC-3") < text.index("ACC-2") < text.index("ACC-1")
    assert "no &lt;modality&gt;" in text
    assert "CT &lt;b&gt;head&lt;/b&gt;" in text
    assert "2026-08-01 07:15" in text  # the study's start, in the site's zone
    assert '<input type="hidden" name="study" value="1.2.3.2">' in text
    assert "<dt>In the worklist</dt><dd>1</dd>" in text
    assert "database: answers" in text


async def test_it_runs_no_script_and_lets_nobody_frame_it(web: Any) -> None:
    async with signed_in(web) as client:
        page = await client.get("/")
        assert "<script" not in page.text
        assert "style=" not in page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'")
        assert "frame-ancestors 'none'" in policy
        style = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
        assert (await client.get(style)).headers["content-type"].startswith("text/css")
        assert (await client.get("/console/icon.svg")).headers["content-type"] == "image/svg+xml"


async def test_whose_names_it_showed_is_written_down_once(web: Any) -> None:
    await put_orders(web)
    async with signed_in(web) as client:
        for _ in range(3):
            await client.get("/")
    events = await web.events(kind="rest", subtype="search-type")
    assert sorted(row.event.patient for row in events if row.event.query == "GET /") == sorted(web.patients.values())


async def test_a_form_leads_into_the_viewer(web: Any) -> None:
    async with signed_in(web) as client:
        headers = {"Origin": "http://testserver"}
        answer = await client.post("/console/launch", data={"study": A}, headers=headers)
        assert answer.status_code == 303
        opened = await client.get(answer.headers["location"])
        assert opened.headers["location"] == f"/viewer?StudyInstanceUIDs={A}"
        assert (await client.get(opened.headers["location"])).status_code == 200
        missing = await client.post("/console/launch", data={"study": "9.9"}, headers=headers)
        assert missing.status_code == 404
        assert "<h1>Not here</h1>" in missing.text
        assert (await client.post("/console/launch", data={}, headers=headers)).status_code == 400
        long = {"study": "1" * 5000}
        assert (await client.post("/console/launch", data=long, headers=headers)).status_code == 413


async def test_who_may_not_list_orders_sees_none(web: Any) -> None:
    async with signed_in(web, "user/ImagingStudy.rs") as client:
        answer = await client.get("/")
        assert answer.status_code == 403
        assert "Παπαδόπουλος" not in answer.text
