"""A doctor's screen: Chromium opens a launch URL, and what OHIF draws is compared with the simulator's pattern."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

from interop.demo.world import StoryError

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 60.0
BORDER = 4  # pixels


def shows_pattern(launch_url: str, study_uid: str, *, picture: Path | None = None) -> str:
    """Open the one-time URL and wait until a viewport shows the simulator's pattern; how well, in words.

    ``picture`` keeps the last screenshot of the whole page. StoryError when the pattern does not appear in time.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise StoryError("the viewer check needs the package's dev extra (playwright): make setup") from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), headless=True)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(launch_url, wait_until="domcontentloaded")
            if study_uid not in page.url:
                raise StoryError(f"the launch did not lead to the study but to {page.url.split('?')[0]}")
            share = _until_seen(page)
            if picture is not None:
                page.screenshot(path=str(picture))
            return f"{share:.0%} of the pattern"
        finally:
            browser.close()


def _until_seen(page: Any) -> float:
    from interop.testing.pattern import pattern_share

    deadline = time.monotonic() + SECONDS
    share = 0.0
    while time.monotonic() < deadline:
        notice = page.query_selector('button:has-text("Confirm and hide")')  # OHIF's word on investigational use
        if notice is not None:
            notice.click()
        canvas = page.query_selector("canvas.cornerstone-canvas, .cornerstone-canvas, .viewport-element canvas")
        if canvas is not None:
            share = pattern_share(_pixels(canvas.screenshot()))
            if share >= 0.9:
                return share
        time.sleep(0.5)
    raise StoryError(f"the viewport shows {share:.0%} of the pattern after {SECONDS:g} s")


def _pixels(png: bytes) -> Any:
    """The screenshot in grey levels, without the line that OHIF draws around the viewport in use."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("L")
    return image.crop((BORDER, BORDER, image.width - BORDER, image.height - BORDER))
