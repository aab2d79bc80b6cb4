"""OHIF at the root of the site: its files and nothing beside them, and a page that may talk to us alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from interop.shipped import shipped
from interop.viewer import Assets, MissingViewerError

A = "1.2.3.1"


async def test_the_page_runs_isolated_and_may_talk_to_this_server_alone(web: Any) -> None:
    async with web.viewer(A) as client:
        page = await client.get(f"/viewer?StudyInstanceUIDs={A}")
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["connect-src"] == "'self' data: blob:"
    assert "unsafe" not in policy["script-src"].replace("wasm-unsafe-eval", "")
    inline = base64.b64encode(hashlib.sha256(b'window.PUBLIC_URL="/"').digest()).decode()
    assert f"'sha256-{inline}'" in policy["script-src"]
    assert 'crossorigin="use-credentials"' in page.text


async def test_a_worker_may_decode_and_talk_to_this_server_alone(web: Any) -> None:
    """Its script's own policy is the one it obeys."""
    async with web.viewer(A) as client:
        script = await client.get("/app.bundle.0f6159c501addfe9.js")
    policy = dict(part.split(" ", 1) for part in script.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self' 'unsafe-eval'",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
    }


async def test_our_configuration_is_served_and_not_the_one_in_the_package(web: Any) -> None:
    async with web.viewer(A) as client:
        answer = await client.get("/app-config.js")
    assert answer.text.startswith("window.config = {}\n")
    assert "disableEditing" in answer.text, "of a session that may store nothing"
    assert answer.headers["cache-control"] == "no-store", "the next session may have another"
    async with web.client(headers=web.bearer()) as client:
        link = (await client.post("/api/v1/launch", json={"studies": [A], "annotate": True})).json()["url"]
    async with web.client() as client:
        await client.get(link)
        assert (await client.get("/app-config.js")).text == "window.config = {}"


def test_the_shipped_configuration_has_one_source_on_our_own_origin() -> None:
    text = (shipped("ohif") / "app-config.js").read_text("utf-8")
    code = "\n".join(line.split("//")[0] for line in text.split("*/", 1)[1].splitlines())
    assert code.count("sourceName:") == 1
    assert code.count("'/dicom-web'") == 3
    for word in ("http", "dicomjson", "dicomwebproxy", "dangerously", "customizationUrlPrefixes", "oidc"):
        assert word not in code


async def test_hashed_files_stay_in_the_cache_and_others_are_asked_for(web: Any) -> None:
    async with web.viewer(A) as client:
        bundle = await client.get("/app.bundle.0f6159c501addfe9.js", headers={"Accept-Encoding": "identity"})
        assert bundle.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert bundle.headers["content-type"].startswith("text/javascript")
        manifest = await client.get("/manifest.json")
        assert manifest.headers["cache-control"] == "private, no-cache"
        known = {"If-None-Match": f'"other", W/{manifest.headers["etag"]}'}
        assert (await client.get("/manifest.json", headers=known)).status_code == 304
        nested = await client.get("/assets/icon.svg")
        assert nested.headers["content-type"] == "image/svg+xml"


async def test_a_file_is_compressed_once_and_then_sent_so(web: Any) -> None:
    address = "/app.bundle.0f6159c501addfe9.js"
    async with web.viewer(A) as client:
        first = await client.get(address, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in first.headers
        for _ in range(100):
            second = await client.get(address, headers={"Accept-Encoding": "gzip"})
            if "content-encoding" in second.headers:
                break
            await asyncio.sleep(0.02)
        assert second.headers["content-encoding"] == "gzip"
        assert second.content == first.content
        assert second.headers["etag"] != first.headers["etag"]
        assert "content-encoding" not in (await client.get(address, headers={"Accept-Encoding": "br"})).headers


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/link.txt",
        "/assets/",
        "/assets",
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%5c..%5csecret.txt",
        "/index.html",
        "/dicom-webx",
        "/api/v2",
        "/console/nothing",
        "/nothing",
    ],
)
async def test_nothing_else_is_there(web: Any, path: str) -> None:
    async with web.client(headers=web.bearer()) as client:
        answer = await client.get(path)
        assert answer.status_code in (400, 404), answer.text
        assert "not to be served" not in answer.text


async def test_files_need_a_session_too(web: Any) -> None:
    async with web.client() as client:
        for path in ("/app-config.js", "/app.bundle.0f6159c501addfe9.js", "/manifest.json"):
            assert (await client.get(path)).status_code == 401


def test_a_folder_without_ohif_is_told_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingViewerError, match="make setup"):
        Assets(tmp_path, b"")
