"""What hospitals have, launched one after another in Chromium: the viewport shows the picture that was stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import make_orthanc
from tests.integration.web.conftest import Site, register, served
from tests.viewed_studies import STUDIES
from tests.viewer_screen import Screen, browser, heartbeats

Open = Callable[[str], Screen]
LONG = pytest.mark.long
# The number of the picture that comes first: the topmost slice of a volume, the first frame of a cine.
IMAGES = {"CT of 60 images": 60, "US cine": 0, "MR": 20}
MORE_IMAGES = {"XA cine": 0, "NM": 0, "PT": 30, "CR": 1, "photograph": 1}
COMPRESSED = {"JPEG": 0, "JPEG lossless": 4, "JPEG 2000": 4, "RLE": 4}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server before one archive; a study is stored when it is first opened."""
    folder: Path = tmp_path_factory.mktemp("hospital")
    orthanc = make_orthanc(folder)
    asyncio.run(orthanc.start())
    try:
        uids = [study.uid for study in STUDIES.values()]
        with served(orthanc, folder, lambda tx: register(tx, uids)) as site:
            yield site
    finally:
        asyncio.run(orthanc.stop(grace=0.0))


@pytest.fixture(scope="module")
def viewer(hospital: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Stores a study, launches it and opens it, in one browser."""
    folder = tmp_path_factory.mktemp("coders")
    with browser() as context:

        def open_(name: str) -> Screen:
            store(hospital, name, folder)
            for page in context.pages:
                page.close()
            return Screen(context.new_page(), hospital.launch(STUDIES[name].uid))

        yield open_


def store(site: Site, name: str, folder: Path) -> None:
    auth = (site.orthanc.credentials.username, site.orthanc.credentials.password)
    with httpx.Client(base_url=site.orthanc.url, auth=auth, timeout=60, trust_env=False) as client:
        known = client.get("/dicom-web/studies", params={"StudyInstanceUID": STUDIES[name].uid})
        if not known.json():
            for file in STUDIES[name].files(folder):
                client.post("/instances", content=file).raise_for_status()


@pytest.mark.parametrize(
    ("study", "number"),
    [*IMAGES.items(), *COMPRESSED.items(), *(pytest.param(*more, marks=LONG) for more in MORE_IMAGES.items())],
)
def test_the_viewport_shows_the_image(viewer: Open, study: str, number: int) -> None:
    screen = viewer(study)
    screen.pattern(number=number)
    assert screen.complaints == []


def test_a_pdf_is_shown_as_a_page(viewer: Open) -> None:
    screen = viewer("PDF")
    screen.until(partial(screen.page_of_pdf, 1), "the page of the PDF")
    assert screen.complaints == []


def test_a_report_in_words_is_shown_as_text(viewer: Open) -> None:
    screen = viewer("SR of text")
    screen.text("The lungs are clear. Η καρδιά είναι φυσιολογική.")
    assert screen.complaints == []


def test_an_electrocardiogram_is_drawn_with_its_beats(viewer: Open) -> None:
    """Ten seconds across the viewport, a beat each 0.8 s."""
    screen = viewer("ECG")
    screen.until(lambda: abs(heartbeats(screen.viewport()) - 0.08) < 0.004, "75 beats a minute")
    assert screen.complaints == []


@pytest.mark.long
def test_a_series_of_a_thousand_images_is_opened_and_scrolled_to_its_end(viewer: Open) -> None:
    screen = viewer("CT of 1,000 images")
    first = screen.pattern()
    screen.page.locator(".viewport-element").first.hover()
    screen.page.keyboard.press("End")
    assert screen.until(lambda: screen.pattern() != first, "another image")
