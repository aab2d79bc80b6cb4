"""What the viewer will not show is told in the launch's answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

A, B = "1.2.3.1", "1.2.3.2"
TEXT_SR, MEASUREMENTS, DOSE_SR, PDF, CDA = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("88.11", "88.33", "88.67", "104.1", "104.2")
)
NO_IMAGES = "a report of measurements (TID 1500) is shown on its images alone, and the study has none; words are shown"


def values(**tags: Any) -> dict[str, Any]:
    return {
        tag.removeprefix("x"): {"Value": value if isinstance(value, list) else [value]} for tag, value in tags.items()
    }


def holding(web: Any, study: str, modalities: list[str], instances: list[dict[str, Any]]) -> None:
    """The archive's study has these modalities and, where it is asked for them, these instances."""

    async def get(target: bytes, headers: Any = ()) -> Any:
        path, query = urlsplit(target.decode()).path, parse_qs(urlsplit(target.decode()).query)
        rows = [values(x0020000D=study, x00080061=modalities)]
        if path == "/dicom-web/instances":
            assert query["StudyInstanceUID"] == [study]
            rows = [row for row in instances if row["00080060"]["Value"] == query["Modality"]]
        return web.archive.Answer(200, [], [orjson.dumps(rows)])

    web.archive.get = get


def instance(modality: str, sop_class: str) -> dict[str, Any]:
    return values(x0020000D=A, x00080060=modality, x00080016=sop_class)


@pytest.mark.parametrize(
    ("modalities", "instances", "told"),
    [
        (["CT"], [], []),
        (["CT", "PR"], [], [("PR", "PR objects are listed and not shown")]),
        (["CT", "RTSTRUCT", "SEG"], [], []),
        (["SEG"], [], [("SEG", "SEG objects are shown on their images alone, and the study has none")]),
        (["SR"], [instance("SR", TEXT_SR)], []),
        (
            ["CT", "SR"],
            [instance("SR", DOSE_SR), instance("SR", DOSE_SR)],
            [("SR", f"SR of SOP class {DOSE_SR} is listed and not shown")],
        ),
        (
            ["DOC"],
            [instance("DOC", PDF), instance("DOC", CDA)],
            [("DOC", f"DOC of SOP class {CDA} is listed and not shown")],
        ),
        (["CT", "SR"], [instance("SR", MEASUREMENTS)], []),
        (
            ["SR", "KO"],
            [instance("SR", MEASUREMENTS)],
            [
                ("KO", "KO objects are listed and not shown"),
                ("SR", NO_IMAGES),
            ],
        ),
    ],
)
async def test_a_launch_tells_what_will_not_be_seen(
    web: Any, modalities: list[str], instances: list[dict[str, Any]], told: list[tuple[str, str]]
) -> None:
    holding(web, A, modalities, instances)
    async with web.client(headers=web.bearer()) as client:
        posted = await client.post("/api/v1/launch", json={"studies": [A, A]})
        got = await client.get(f"/api/v1/dicom/viewer/{A}", headers={"Accept": "application/json"})
    async with web.viewer(A) as session:
        asked = await session.get("/viewer/unseen", params={"StudyInstanceUIDs": f"{A},{A}"})
    for answer in (posted, got, asked):
        assert answer.status_code == 200, answer.text
        assert answer.json()["warnings"] == [{"study": A, "modality": name, "text": text} for name, text in told]


async def test_an_archive_that_does_not_tell_fails_the_launch(web: Any) -> None:
    async def get(target: bytes, headers: Any = ()) -> Any:
        rows = [values(x0020000D=A, x00080061=["SR"])]
        failed = target.startswith(b"/dicom-web/instances")
        return web.archive.Answer(500 if failed else 200, [], [orjson.dumps(rows)])

    web.archive.get = get
    async with web.client(headers=web.bearer()) as client:
        assert (await client.post("/api/v1/launch", json={"studies": [A]})).status_code == 502
    assert not [event for event in await web.events(kind="launch") if event.event.outcome == "0"]


async def test_a_session_is_told_of_its_own_studies_alone(web: Any) -> None:
    async with web.viewer(A) as session:
        for named, status in ((A, 200), (f"{A},{B}", 403), (B, 403), ("x", 400), ("", 400)):
            answer = await session.get("/viewer/unseen", params={"StudyInstanceUIDs": named})
            assert answer.status_code == status, answer.text
    async with web.client() as stranger:
        assert (await stranger.get("/viewer/unseen", params={"StudyInstanceUIDs": A})).status_code == 401
