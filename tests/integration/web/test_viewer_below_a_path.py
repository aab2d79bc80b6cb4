"""https://host/imaging/ in place of a site's root, and a site's own configuration of OHIF, in a doctor's browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from interop.testing.ports import free_ports
from tests.integration.web.conftest import OHIF
from tests.integration.web.test_viewer_in_frames import fill
from tests.real_server import RealServer
from tests.viewed_studies import STUDIES
from tests.viewer_screen import Screen, browser

PDF = STUDIES["PDF"]
STUDY = STUDIES["JPEG 2000"]  # decoders are loaded by workers: from below the path, too

SITE = """
window.config.investigationalUseDialog = { option: 'always' };
window.config.whiteLabeling = {
  createLogoComponentFn: React => React.createElement('b', { id: 'hospital' }, 'Nicosia General'),
};
window.config.customizationService['viewportOverlay.topLeft'] = {
  $set: [{ id: 'house', inheritsFrom: 'ohif.overlayItem', label: 'House:', contentF: () => 'NGH' }],
};
throw new Error('a mistake at the end of the file');
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("placed")
    (folder / "site.js").write_text(SITE)
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
        made.stop()


def launch(server: RealServer) -> str:
    answer = server.http.post("/api/v1/launch", json={"studies": [STUDY.uid]}).raise_for_status()
    return str(answer.json()["url"])


@pytest.fixture(scope="module")
def page(server: RealServer) -> Iterator[Page]:
    with browser() as context:
        yield context.new_page()


def test_ohif_runs_and_shows_images_below_a_path(server: RealServer, page: Page) -> None:
    failed: list[str] = []
    asked: list[str] = []
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    page.on("request", lambda request: asked.append(request.url))
    url = launch(server)
    assert urlsplit(url).path.startswith("/imaging/viewer/open/")
    screen = Screen(page, url)
    assert urlsplit(page.url).path == "/imaging/viewer"
    screen.pattern(number=4)
    assert failed == []
    assert all("a mistake at the end of the file" in each for each in screen.complaints)
    outside = {each for each in asked if each.startswith("http") and not urlsplit(each).path.startswith("/imaging/")}
    assert outside == set()
    assert any(each.endswith(".woff2") for each in asked)
    [cookie] = [each for each in page.context.cookies() if each["name"].startswith("interop_")]
    assert cookie["path"] == "/imaging"


def test_a_sites_configuration_is_laid_over_ours_and_no_further(server: RealServer, page: Page) -> None:
    """Depends on the page that the test before has opened: OHIF takes long to load."""
    assert page.text_content("#hospital") == "Nicosia General"
    page.wait_for_selector("text=NGH")
    config = page.evaluate("JSON.parse(JSON.stringify(window.config))")
    [source] = config["dataSources"]
    assert {source["configuration"][root] for root in ("wadoUriRoot", "qidoRoot", "wadoRoot")} == {"/imaging/dicom-web"}
    assert config["routerBasename"] == "/imaging"


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
