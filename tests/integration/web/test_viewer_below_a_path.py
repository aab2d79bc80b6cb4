"""https://host/imaging/ in place of a site's root, and a site's own configuration of OHIF, in a doctor's browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from interop.testing.ports import free_ports
from tests.integration.web.conftest import OHIF
from tests.integration.web.test_viewer_in_frames import fill
from tests.real_server import RealServer
from tests.viewed_studies import STUDIES
from tests.viewer_screen import Screen, browser

PDF = STUDIES["PDF"]
STUDY = STUDIES["JPEG 2000"]  # decoders are loaded by workers: from below the path, too

ROOT = Path(__file__).resolve().parents[3]
MISTAKE = "\nthrow new Error('a mistake at the end of the file');\n"


def example() -> str:
    """The site's configuration that the documentation shows."""
    page = (ROOT / "docs" / "how-to" / "viewer-configuration.md").read_text()
    return page.partition("```js\n")[2].partition("\n```")[0] + MISTAKE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("placed")
    (folder / "site.js").write_text(example())
    [port] = free_ports(1)
    made = RealServer(
        folder / "server",
        http_port=port,
        public_url=f"http://127.0.0.1:{port}/imaging/",
        ohif_dir=OHIF,
        ohif_config=folder / "site.js",
    )
    try:
        made.start()
        fill(made, STUDY, folder)
        fill(made, PDF, folder)
        yield made
    finally:
        made.discard()


def launch(server: RealServer) -> str:
    answer = server.http.post("/api/v1/launch", json={"studies": [STUDY.uid]}).raise_for_status()
    return str(answer.json()["url"])


@dataclass
class Opened:
    """The viewer as it was launched, and what the browser asked for and did not get."""

    screen: Screen
    launched: str
    asked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def opened(server: RealServer) -> Iterator[Opened]:
    asked: list[str] = []
    failed: list[str] = []
    with browser() as context:
        page = context.new_page()
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.on("request", lambda request: asked.append(request.url))
        url = launch(server)
        screen = Screen(page, url)
        screen.pattern(number=4)
        yield Opened(screen, url, asked, failed)


def test_ohif_runs_and_shows_images_below_a_path(opened: Opened) -> None:
    page = opened.screen.page
    assert urlsplit(opened.launched).path.startswith("/imaging/viewer/open/")
    assert urlsplit(page.url).path == "/imaging/viewer"
    assert opened.failed == []
    http = [urlsplit(each).path for each in opened.asked if each.startswith("http")]
    assert [path for path in http if not path.startswith("/imaging/")] == []
    assert any(path.endswith(".woff2") for path in http)
    assert any(path.endswith(".wasm") for path in http)
    assert all("a mistake at the end of the file" in each for each in opened.screen.complaints)
    [cookie] = [each for each in page.context.cookies() if each["name"].startswith("interop_")]
    assert cookie["path"] == "/imaging"


def test_a_sites_configuration_is_laid_over_ours_and_no_further(opened: Opened) -> None:
    screen, page = opened.screen, opened.screen.page
    screen.text("NGH")
    logo = page.locator("img[alt='Nicosia General']")
    assert logo.evaluate("image => [image.width, image.height, image.naturalWidth]") == [60, 28, 60]
    assert len(screen.panes()) == 2  # the hanging protocol
    page.keyboard.press("g")
    screen.until(lambda: len(screen.panes()) == 4, "two rows of two viewports")
    page.locator('[data-cy="MoreTools-split-button-secondary"]').click()
    page.locator('[data-cy="FreeRotate"]').first.wait_for()
    assert page.locator('[data-cy="CobbAngle"]').count() == 0
    config = page.evaluate("JSON.parse(JSON.stringify(window.config))")
    [source] = config["dataSources"]
    assert {source["configuration"][root] for root in ("wadoUriRoot", "qidoRoot", "wadoRoot")} == {"/imaging/dicom-web"}
    assert config["routerBasename"] == "/imaging"
    assert config["maxNumRequests"] == {"interaction": 40, "thumbnail": 4, "prefetch": 4}


def test_urls_in_metadata_lead_below_the_path(server: RealServer) -> None:
    base = server.settings.base_url
    headers = {"Accept": "application/dicom+json"}
    rows: list[dict[str, Any]] = server.http.get(
        f"/dicom-web/studies?StudyInstanceUID={STUDY.uid}", headers=headers
    ).json()
    retrieve = rows[0]["00081190"]["Value"][0]
    assert retrieve == f"{base}/dicom-web/studies/{STUDY.uid}"
    [document] = server.http.get(f"{base}/dicom-web/studies/{PDF.uid}/metadata", headers=headers).json()
    bulk = document["00420011"]["BulkDataURI"]
    assert bulk.startswith(f"{base}/dicom-web/studies/{PDF.uid}/series/")
    assert server.http.get(bulk, headers={"Accept": "application/pdf"}).content.startswith(b"%PDF")
    endpoints = [each for each in server.found("Endpoint") if each["connectionType"]["code"] == "dicom-wado-rs"]
    assert {each["address"] for each in endpoints} == {f"{base}/dicom-web"}


def test_the_start_page_works_below_the_path_and_a_proxy_may_take_it_off(server: RealServer, tmp_path: Path) -> None:
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        start = browser.get(server.http.post("/api/v1/login").json()["url"])
        assert start.url == f"{server.settings.base_url}/"
        assert 'action="/imaging/console/logout"' in start.text
        left = browser.post(f"{start.url}console/logout", headers={"Origin": "http://127.0.0.1"})
        assert left.status_code == 403  # another port is another origin
    bare = f"http://127.0.0.1:{server.settings.http_port}"
    assert httpx.get(f"{bare}/healthz", trust_env=False).status_code == 200
    assert httpx.get(f"{bare}/imaging/healthz", trust_env=False).status_code == 200
    assert httpx.get(f"{bare}/imagingx/healthz", trust_env=False).status_code == 401
