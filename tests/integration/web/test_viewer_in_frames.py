"""The viewer in a frame of another site's page: images, full screen, and nothing for pages that are not named.

localhost and 127.0.0.1 are two sites to a browser, and both are secure to it without https.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from interop.demo.viewing import CHROMIUM, FLAGS, _until_seen
from interop.demo.world import eventually
from interop.parts import archive_credentials, archive_url
from interop.testing.ports import free_ports
from tests.integration.web.conftest import OHIF
from tests.real_server import RealServer
from tests.viewed_studies import STUDIES, Study

STUDY = STUDIES["CR"]
# What browsers are about to do, or do: no cookies in frames of other sites but those that are kept apart for each.
STRICT = "--test-third-party-cookie-phaseout"


class Emr(BaseHTTPRequestHandler):
    """Pages with a frame; below /isolated they are isolated themselves."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        source = parse_qs(address.query).get("src", ["about:blank"])[0].replace("&", "&amp;")
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if address.path == "/isolated":
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        frame = f'<iframe allow="fullscreen; cross-origin-isolated" width="1200" height="760" src="{source}"></iframe>'
        self.wfile.write(f"<!doctype html><title>EMR</title>{frame}".encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@dataclass
class Hospital:
    """The server, and the addresses of an EMR that may frame it and of a page that may not."""

    server: RealServer
    emr: str
    other: str
    browser: Browser

    def launch(self) -> str:
        return str(
            self.server.http.post("/api/v1/launch", json={"studies": [STUDY.uid]}).raise_for_status().json()["url"]
        )

    def framed(self, page: Page, source: str, *, origin: str = "", path: str = "/plain") -> Frame:
        page.goto(f"{origin or self.emr}{path}?{httpx.QueryParams({'src': source})}")
        return page.frames[1]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    emr, other = free_ports(2)
    pages = [ThreadingHTTPServer(("127.0.0.1", port), Emr) for port in (emr, other)]
    for each in pages:
        threading.Thread(target=each.serve_forever).start()
    origin = f"http://localhost:{emr}"
    server = RealServer(tmp_path_factory.mktemp("framed"), ohif_dir=OHIF, frame_ancestors=origin)
    try:
        server.start()
        fill(server, STUDY, server.folder)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, STRICT], headless=True)
            yield Hospital(server, origin, f"http://localhost:{other}", browser)
            browser.close()
    finally:
        server.discard()
        for each in pages:
            each.shutdown()
            each.server_close()


def fill(server: RealServer, study: Study, folder: Path) -> None:
    """A study in the archive, and known to the server."""
    with httpx.Client(auth=_credentials(server), base_url=archive_url(server.settings), trust_env=False) as archive:
        for file in study.files(folder):
            archive.post("/instances", content=file).raise_for_status()
    query = f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{study.uid}"
    eventually("the study is known", lambda: server.found(query), 60)


def _credentials(server: RealServer) -> tuple[str, str]:
    user, password = archive_credentials(server.settings)
    assert password is not None
    return user, password


@pytest.fixture
def page(hospital: Hospital) -> Iterator[Page]:
    context = hospital.browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def test_a_named_page_shows_images_in_a_frame(hospital: Hospital, page: Page) -> None:
    frame = hospital.framed(page, hospital.launch())
    assert _until_seen(frame) >= 0.9
    assert frame.evaluate("document.fullscreenEnabled") is True
    [cookie] = [each for each in page.context.cookies() if each["name"].startswith("interop_viewer_")]
    assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
    assert cookie["partitionKey"] == "http://localhost"


def test_a_page_that_is_isolated_can_have_the_frame_too(hospital: Hospital, page: Page) -> None:
    frame = hospital.framed(page, hospital.launch(), path="/isolated")
    frame.wait_for_selector("#root", state="attached")
    assert page.evaluate("crossOriginIsolated") is True
    assert frame.evaluate("crossOriginIsolated") is True


def test_a_page_that_is_not_named_shows_nothing(hospital: Hospital, page: Page) -> None:
    frame = hospital.framed(page, hospital.launch(), origin=hospital.other)
    frame.wait_for_url("chrome-error://**")
    assert "chrome-error" in frame.url
    bare = hospital.framed(page, f"{hospital.server.settings.base_url}/", origin=hospital.emr)
    bare.wait_for_url("chrome-error://**")
    assert "chrome-error" in bare.url  # the start page is framed by nobody


def test_the_naming_page_cannot_act_with_the_frames_session(hospital: Hospital, page: Page) -> None:
    frame = hospital.framed(page, hospital.launch())
    frame.wait_for_selector("#root", state="attached")
    base = hospital.server.settings.base_url
    cookies = "; ".join(f"{each['name']}={each['value']}" for each in page.context.cookies())
    sent = {"Origin": hospital.emr, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    for method, address in (
        ("POST", f"{base}/dicom-web/studies"),
        ("GET", f"{base}/dicom-web/studies/{STUDY.uid}/series"),
    ):
        with page.expect_event("requestfailed", lambda request, sent=address: request.url == sent):
            page.evaluate(
                "([method, url]) => fetch(url, {method, mode: 'no-cors', credentials: 'include'}).catch(() => 0)",
                [method, address],
            )
        answer = httpx.request(method, address, headers={**sent, "Cookie": cookies}, trust_env=False)
        assert (answer.status_code, "another site" in answer.text) == (403, True)


def test_a_refusal_can_be_read_in_the_frame(hospital: Hospital, page: Page) -> None:
    spent = hospital.launch()
    assert httpx.get(spent, trust_env=False).status_code == 303
    for path in ("/plain", "/isolated"):
        frame = hospital.framed(page, spent, path=path)
        assert frame.text_content("h1") == "No longer here"


def test_on_its_own_the_session_is_as_it_was(hospital: Hospital, page: Page) -> None:
    page.goto(hospital.launch())
    [cookie] = [each for each in page.context.cookies() if each["name"].startswith("interop_viewer_")]
    assert (cookie["sameSite"], cookie.get("partitionKey")) == ("Lax", None)
