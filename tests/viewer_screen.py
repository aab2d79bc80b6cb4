"""A doctor's screen: what OHIF draws in Chromium, read back from screenshots."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import BrowserContext, Error, Locator, Page, sync_playwright

from interop.demo.viewing import BORDER, CHROMIUM, FLAGS
from interop.testing.pattern import frame_number, pattern_share

SECONDS = 90.0  # generous: a loaded machine draws slowly
CANVAS = ".viewport-element canvas, canvas.cornerstone-canvas"
_NOTICE = 'button:has-text("Confirm and hide")'  # OHIF's word on investigational use

T = TypeVar("T")
Picture = npt.NDArray[np.uint8]  # rows, columns, RGB


@contextmanager
def browser() -> Iterator[BrowserContext]:
    """One Chromium; its pages share what they have loaded of the viewer."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), headless=True)
        yield chromium.new_context(viewport={"width": 1280, "height": 800})
        chromium.close()


class Screen:
    """A page with the viewer in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.goto(url, wait_until="domcontentloaded")

    def panes(self) -> list[Locator]:
        """The viewports of the layout."""
        return self.page.locator('[data-cy="viewport-pane"]').all()

    def pattern(self, *, canvas: int = 0, number: int | None = None) -> int:
        """Wait until a viewport shows the simulator's picture, the wanted one if it is named; its number."""
        return self.until(lambda: self._pattern(canvas, number), "the picture")

    def _pattern(self, canvas: int, number: int | None) -> int | None:
        drawn = self.page.locator(CANVAS)
        if drawn.count() <= canvas:
            self.dismiss()
            return None
        grey = self.seen(drawn.nth(canvas)).mean(axis=2)
        found = frame_number(grey)
        return found if pattern_share(grey) >= 0.9 and number in (None, found) else None

    def page_of_pdf(self, number: int) -> bool:
        """Whether the browser shows the simulator's page; the thumbnails beside it and the bar above are left out."""
        drawn = self.page.locator("object[type='application/pdf']")
        if not drawn.count():
            self.dismiss()
            return False
        grey = self.seen(drawn).mean(axis=2)[60:, 300:]
        return pattern_share(grey) >= 0.9 and frame_number(grey) == number

    def text(self, words: str) -> None:
        """Wait until a viewport has these words in it."""
        self.until(lambda: self._says(words), words)

    def _says(self, words: str) -> bool:
        self.dismiss()
        return any(words in pane.inner_text() for pane in self.panes())

    def viewport(self) -> Picture:
        """What the first viewport shows."""
        self.dismiss()
        return self.seen(self.panes()[0]) if self.panes() else np.zeros((100, 100, 3), np.uint8)

    def canvas(self, place: int = 0) -> Locator:
        """Where a viewport draws its images."""
        return self.page.locator(CANVAS).nth(place)

    def canvases(self) -> int:
        """How many viewports draw images."""
        return self.page.locator(CANVAS).count()

    def height(self) -> float:
        """Of the first canvas, in the page's pixels."""
        box = self.canvas().bounding_box()
        assert box is not None
        return box["height"]

    def drag(self, *path: tuple[float, float]) -> None:
        """With the left button over the first canvas; points are counted from its middle."""
        box = self.canvas().bounding_box()
        assert box is not None
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        mouse = self.page.mouse
        for number, (right, down) in enumerate(path):
            mouse.move(middle[0] + right, middle[1] + down, steps=5)
            if number == 0:
                mouse.down()
        mouse.up()

    def brightness(self) -> float:
        """Of the bright cells of the first canvas, 0 to 255."""
        return float(np.percentile(self.seen(self.canvas()).mean(axis=2), 95))

    def contrast(self, place: int) -> float:
        """How much the grey levels of a canvas differ."""
        return float(self.seen(self.canvas(place)).mean(axis=2).std())

    def open_series(self, description: str) -> None:
        """One that is listed without a picture of its own."""
        self.page.locator('[data-cy="study-browser-thumbnail-no-image"]', has_text=description).dblclick()

    def coloured(self) -> float:
        """How much of the first canvas's image is red: the images are grey, and squares as high as their viewport."""
        picture = self.seen(self.canvas()).astype(int)
        red = (picture[:, :, 0] - picture[:, :, 1] > 64) & (picture[:, :, 0] - picture[:, :, 2] > 64)
        return float(red.sum()) / picture.shape[0] ** 2

    def overlay(self, corner: str) -> str:
        """The words in a corner of the first viewport."""
        return " ".join(self.page.locator(f'[data-cy="viewport-overlay-{corner}"]').first.inner_text().split())

    def measured(self) -> str | None:
        """What is written beside a measurement."""
        written = self.page.locator("svg.svg-layer text, svg text").all_text_contents()
        return next((text for text in written if text.endswith("mm")), None)

    def button(self, name: str) -> Locator:
        """A tool of the toolbar."""
        return self.page.locator(f'[data-cy="{name}-btn"]')

    def layout(self, name: str) -> None:
        """Choose one of the named layouts."""
        self.page.locator('[data-cy="layout-button"]').click()
        self.page.locator(f'[data-cy="{name}"]').click()

    def layout_of(self, *, columns: int) -> None:
        """Choose a layout of one row."""
        self.page.locator('[data-cy="layout-button"]').click()
        self.page.locator(f'[data-cy="Layout-{columns - 1}-0"]').click()

    def dismiss(self) -> None:
        """OHIF's word on investigational use lies over everything until somebody has read it."""
        notice = self.page.query_selector(_NOTICE)
        if notice is not None:
            notice.click()

    def seen(self, place: Locator) -> Picture:
        """A screenshot of a part of the page, without the line that OHIF draws around the viewport in use."""
        image = Image.open(io.BytesIO(place.screenshot())).convert("RGB")
        return np.asarray(image.crop((BORDER, BORDER, image.width - BORDER, image.height - BORDER)))

    def until(self, probe: Callable[[], T | None], what: str) -> T:
        """What the probe finds, once it finds something. OHIF may replace an element while it is looked at."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                found = probe()
            except Error as error:
                if "not attached" not in error.message:
                    raise
                found = None
            if found is not None and found is not False:
                return found
            self.page.wait_for_timeout(200)
        raise AssertionError(f"{what} is not on the screen after {SECONDS:g} s; the page says {self.complaints[:3]}")


def heartbeats(picture: Any) -> float:
    """The distance of two beats of a drawn electrocardiogram, as a share of the picture's width.

    0 where there are none. The traces are white, the paper red and the labels yellow: the traces alone are blue too.
    """
    trace = picture[:, :, 2] > 128
    height = trace.sum(axis=0).astype(np.float64)
    if height.max() < 2:
        return 0.0
    height -= height.mean()
    width = len(height)
    shifts = range(width // 30, width // 7)  # less than two beats, which would be as alike as one
    likeness = [float(np.dot(height[:-shift], height[shift:])) / (width - shift) for shift in shifts]
    return shifts[int(np.argmax(likeness))] / width


Open = Callable[..., Screen]
