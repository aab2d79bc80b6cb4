"""What hospitals have, launched one after another in Chromium: the viewport shows the picture that was stored."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.integration.web.conftest import Site, keep
from tests.viewed_studies import STUDIES
from tests.viewer_screen import Open, heartbeats

LONG = pytest.mark.long
# The number of the picture that comes first: the topmost slice of a volume, the first frame of a cine.
IMAGES = {"CT of 60 images": 60, "US cine": 0, "MR": 20}
MORE_IMAGES = {"XA cine": 0, "NM": 0, "PT": 30, "CR": 1, "photograph": 1}
COMPRESSED = {"JPEG": 0, "JPEG lossless": 4, "JPEG 2000": 4, "RLE": 4}


@pytest.mark.parametrize(
    ("study", "number"),
    [*IMAGES.items(), *COMPRESSED.items(), *(pytest.param(*more, marks=LONG) for more in MORE_IMAGES.items())],
)
def test_the_viewport_shows_the_image(viewer: Open, study: str, number: int) -> None:
    screen = viewer(study)
    screen.pattern(number=number)
    assert screen.complaints == []


@pytest.mark.parametrize("study", ["US cine", pytest.param("XA cine", marks=LONG)])
def test_a_cine_is_played_and_paused(viewer: Open, study: str) -> None:
    """The frames in the viewport change by themselves; OHIF offers the bar for ultrasound, else its key is C."""
    screen = viewer(study)
    screen.pattern(number=0)
    play = screen.page.locator('[data-cy="cine-player-play-pause"]')
    if study != "US cine":
        screen.canvas().hover()
        screen.page.keyboard.press("c")
    play.click()
    seen: set[int] = set()

    def moved() -> bool:
        seen.add(screen.pattern())
        return len(seen) >= 4

    screen.until(moved, "four frames")
    play.click()
    screen.until(lambda: screen.pattern() == screen.pattern(), "a frame that stands still")
    assert screen.complaints == []


def test_what_is_drawn_on_images_is_shown_on_them(viewer: Open) -> None:
    """A length as OHIF saves it, a segmentation, and structures: each opened from the list."""
    screen = viewer("CT with what is drawn on it")
    screen.pattern(number=5)
    assert screen.coloured() == 0
    screen.open_series("Measured length")
    screen.until(lambda: (screen.measured() or "").endswith("70.00 mm"), "the length")
    screen.open_series("Outlined box")
    line = screen.until(screen.coloured, "the outline")
    screen.open_series("Segmented box")
    filled = screen.until(lambda: (share := screen.coloured()) > 0.05 and share, "the segment")
    assert line < 0.01
    assert abs(filled - (128 / 512) ** 2) < 0.01  # its line lies around it
    screen.page.get_by_role("button", name="Yes", exact=True).click()  # "Do you want to open this Segmentation?"
    screen.page.locator('[data-cy="panelSegmentation-btn"]').click()
    menu = screen.page.locator('[data-cy="segmentation-collapsed-more-btn"]')
    menu.wait_for(state="attached")
    assert not menu.is_visible(), "exporting would store"
    assert screen.complaints == []


def test_a_pdf_is_shown_as_a_page(viewer: Open) -> None:
    screen = viewer("PDF")
    screen.until(partial(screen.page_of_pdf, 1), "the page of the PDF")
    assert screen.complaints == []


def test_a_report_in_words_is_shown_as_text(viewer: Open) -> None:
    screen = viewer("SR of text", "CDA")
    screen.text("The lungs are clear. Η καρδιά είναι φυσιολογική.")
    notice = screen.page.locator("#interop-unseen")
    notice.wait_for()
    assert "DOC of SOP class 1.2.840.10008.5.1.4.1.1.104.2 is listed and not shown" in notice.inner_text()
    notice.get_by_role("button", name="Close").click()
    assert notice.count() == 0
    assert screen.complaints == []


@LONG
def test_an_electrocardiogram_is_drawn_with_its_beats(viewer: Open) -> None:
    """Ten seconds across the viewport, a beat each 0.8 s."""
    screen = viewer("ECG")
    screen.until(lambda: abs(heartbeats(screen.viewport()) - 0.08) < 0.004, "75 beats a minute")
    assert screen.complaints == []


def test_a_launch_tells_what_will_be_listed_and_not_shown(hospital: Site, tmp_path: Path) -> None:
    unseen = {
        "SR of dose": "SR of SOP class 1.2.840.10008.5.1.4.1.1.88.67 is listed and not shown",
        "CDA": "DOC of SOP class 1.2.840.10008.5.1.4.1.1.104.2 is listed and not shown",
        "SR of measurements": "a report of measurements (TID 1500) is shown on its images alone, "
        "and the study has none; words are shown",
    }
    names = (*unseen, "SR of text", "PDF", "ECG", "photograph")
    keep(hospital, tmp_path, *names)
    told = hospital.launched(*(STUDIES[name].uid for name in names))["warnings"]
    assert {each["study"]: each["text"] for each in told} == {STUDIES[name].uid: text for name, text in unseen.items()}


@LONG
@pytest.mark.parametrize(("study", "first", "last"), [("CT of 1,000 images", 1000, 1), ("US cine", 0, 86)])
def test_a_long_series_is_opened_and_scrolled_to_its_end(viewer: Open, study: str, first: int, last: int) -> None:
    """The picture's number has eight bits."""
    screen = viewer(study)
    screen.pattern(number=first % 256)
    screen.canvas().hover()
    screen.page.keyboard.press("End")
    screen.pattern(number=last)
