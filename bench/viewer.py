"""From the click to the first image in OHIF: through this server, and on Orthanc alone."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

from bench import archive, images
from bench.figures import Figure
from bench.parts import ROOT, MeasurementError, Server
from interop.demo.viewing import CHROMIUM, FLAGS
from interop.shipped import shipped

IMAGES = 1000
ROUNDS = 5
OHIF = ROOT / "build" / "ohif" / "dist"
TITLE = "The viewer"
EXPLANATION = f"""\
From the click on a launch URL to the first image on the canvas of OHIF in headless Chromium, a CT of {IMAGES:,} images
(512 × 512 × 16 bit), nothing in the browser's cache. Beside it OHIF on Orthanc alone: its files by a static server, its
data source Orthanc's own DICOMweb, the browser's rules for other origins and the password out of the way. In turn,
{ROUNDS} rounds; the ratio is the middle one of the rounds'."""

_DRAWN = """() => {
    const canvas = document.querySelector("canvas.cornerstone-canvas");
    const drawing = canvas && canvas.width && canvas.getContext("2d");
    if (!drawing) return false;
    const pixels = drawing.getImageData(0, 0, canvas.width, canvas.height).data;
    for (let place = 0; place < pixels.length; place += 4 * 997) if (pixels[place]) return true;
    return false;
}"""


def measure(server: Server, folder: Path) -> list[Figure]:
    """Both ways, in turn. MeasurementError where OHIF or Chromium is not there."""
    if not (OHIF / "index.html").is_file():
        raise MeasurementError(f"{OHIF} is not there: make setup")
    uid = images.make(folder / "viewer", IMAGES)
    images.store(folder / "viewer", server.dicom_port, dict(server.environment))
    archive.eventually("the ImagingStudy of the CT", lambda: archive.shown(server, uid) == IMAGES)
    with _plain_ohif(server.orthanc_port) as port:
        direct = f"http://127.0.0.1:{port}/viewer?StudyInstanceUIDs={uid}"
        credentials = {"Authorization": archive.orthanc_credentials(server)}
        rounds = []
        for _ in range(ROUNDS):
            launched = json.loads(server.request("POST", "/api/v1/launch", {"studies": [uid]}))["url"]
            rounds.append((_opened(launched, {}), _opened(direct, credentials)))
    ours, theirs = (sorted(times) for times in zip(*rounds, strict=True))
    ratio = median(mine / other for mine, other in rounds)
    return [
        Figure(f"OHIF on Orthanc alone, {IMAGES:,} images", "", _times(theirs)),
        Figure("click to first image through this server", "", _times(ours), f"{ratio:.2f}× of alone", "≤ 1.2×, < 5 s"),
    ]


def _times(seconds: list[float]) -> str:
    return f"{median(seconds):.1f} s ({seconds[0]:.1f} to {seconds[-1]:.1f})"


def _opened(url: str, headers: dict[str, str]) -> float:
    """Seconds until the first image is drawn, in a browser of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = [*FLAGS, "--disable-web-security"]  # in both, so that they differ in nothing else
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options, headless=True)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, extra_http_headers=headers)
        begun = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.wait_for_function(_DRAWN, timeout=180_000)
        taken = time.perf_counter() - begun
        browser.close()
    return taken


class _Ohif(SimpleHTTPRequestHandler):
    """OHIF's files; its page for every path that is none of them."""

    config = b""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/app-config.js":
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(self.config)))
            self.end_headers()
            self.wfile.write(self.config)
            return
        if not Path(self.translate_path(path)).is_file():
            self.path = "/index.html"
        super().do_GET()

    def end_headers(self) -> None:
        """Isolated, as our own page is."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def _plain_ohif(orthanc_port: int) -> Iterator[int]:
    config = (shipped("ohif") / "app-config.js").read_bytes()
    root = f"'http://127.0.0.1:{orthanc_port}/dicom-web'".encode()
    handler = type("Configured", (_Ohif,), {"config": config.replace(b"'/dicom-web'", root)})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(OHIF))) as static:
        static.daemon_threads = True
        thread = threading.Thread(target=static.serve_forever, daemon=True)
        thread.start()
        try:
            yield static.server_port
        finally:
            static.shutdown()
            thread.join()
