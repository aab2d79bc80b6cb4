"""What somebody reads who gets no images: our own page with the status, the reason, and what can be done about it."""

from __future__ import annotations

from typing import Any

import pytest

A, B, UNKNOWN = "1.2.3.1", "1.2.3.2", "9.9.9"


@pytest.mark.parametrize("path", ["/viewer", "/segmentation", "/viewer/dicomweb", "/notfoundstudy"])
async def test_without_a_session_the_page_says_where_images_open(web: Any, path: str) -> None:
    async with web.client() as client:
        answer = await client.get(f"{path}?StudyInstanceUIDs={A}")
    assert_page(answer, 401, "Not signed in", "No images are open in this browser")


async def test_another_study_is_refused_in_words(web: Any) -> None:
    async with web.viewer(A) as client:
        for path in ("/viewer", "/basic", "/viewer/iid"):
            answer = await client.get(f"{path}?requestType=STUDY&studyUID={B}&StudyInstanceUIDs={B}")
            assert_page(answer, 403, "Not allowed", "studies that it was opened for")


async def test_a_study_that_has_gone_is_our_404_and_not_ohifs(web: Any) -> None:
    async with web.viewer(A) as client:
        web.archive.studies.remove(A)
        answer = await client.get(f"/viewer?StudyInstanceUIDs={A}")
        assert_page(answer, 404, "No images here", f"no images of study {A}")
    async with web.client(headers=web.bearer()) as client:
        answer = await client.get(f"/viewer?StudyInstanceUIDs={UNKNOWN}")
        assert_page(answer, 404, "No images here", "may not have arrived yet")
        assert '<a href="">Try again</a>' in answer.text


async def test_a_link_that_was_used_is_gone(web: Any) -> None:
    async with web.client(headers=web.bearer()) as client:
        url = (await client.post("/api/v1/launch", json={"studies": [A]})).json()["url"]
        assert (await client.get(url)).status_code == 303
        assert_page(await client.get(url), 410, "No longer here", "from the system that lists them")


async def test_an_archive_that_is_down_is_a_page_with_retry_after(web: Any) -> None:
    async with web.viewer(A) as client:
        web.archive.down = True
        answer = await client.get(f"/viewer?StudyInstanceUIDs={A}")
        assert_page(answer, 503, "Not available just now", "archive does not answer")
        assert int(answer.headers["retry-after"]) > 0
        assert '<a href="">Try again</a>' in answer.text
        web.archive.down = False
        assert (await client.get(f"/viewer?StudyInstanceUIDs={A}")).status_code == 200


def assert_page(answer: Any, status: int, title: str, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert f"<h1>{title}</h1>" in answer.text
    assert words in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
