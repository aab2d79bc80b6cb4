"""What a radiologist does in OHIF: grey levels, a measurement, a copy, other layouts, a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interop.testing.pattern import pattern_share
from tests.derived_objects import SEGMENTATION, STRUCTURES
from tests.integration.web.conftest import Site
from tests.viewed_studies import STUDIES
from tests.viewer_screen import Open, Screen

CT, MR = "CT of 60 images", "MR"
MILLIMETRES = 512 * 0.7  # how wide the simulator's CT is


def test_window_measurement_and_capture(viewer: Open, tmp_path: Path) -> None:
    screen = viewer(CT)
    screen.pattern(number=60)
    _changes_the_level(screen)
    _measures_a_length(screen)
    _saves_a_picture(screen, tmp_path)
    _offers_nothing_to_save(screen)
    assert screen.complaints == []


def _changes_the_level(screen: Screen) -> None:
    """700 HU are white in the simulator's window of 40 ± 200, and grey in one of 640 ± 200."""
    assert screen.overlay("bottom-left") == "W: 400 L: 40"
    assert screen.brightness() > 250
    screen.drag((0, -300), (0, 0), (0, 300))
    screen.until(lambda: screen.brightness() < 220, "a darker picture")
    words = screen.overlay("bottom-left").split()
    assert (words[0], words[1], words[2]) == ("W:", "400", "L:")
    assert int(words[3]) > 500


def _measures_a_length(screen: Screen) -> None:
    screen.button("Length").click()
    screen.drag((-150, 0), (0, 5), (150, 0))
    expected = 300 * MILLIMETRES / screen.height()

    def right() -> bool:
        """OHIF writes while the mouse still moves, and the whole length a moment after it was let go."""
        told = screen.measured()
        return told is not None and abs(float(told.removesuffix(" mm")) - expected) < 0.02 * expected

    screen.until(right, f"a length of {expected:.1f} mm")


def _offers_nothing_to_save(screen: Screen) -> None:
    """A launch that may store nothing: no question about tracking for a report, and no button to save one."""
    assert screen.page.get_by_text("Track measurements").count() == 0
    screen.page.locator('[data-cy="trackedMeasurements-btn"]').click()
    screen.page.get_by_role("button", name="CSV").wait_for()
    save = screen.page.get_by_role("button", name="Create SR", include_hidden=True)
    assert (save.count(), save.is_visible()) == (1, False)
    screen.page.evaluate("void commandsManager.run('promptSaveReport', { measurementFilter: () => true })")
    screen.page.get_by_text("Nothing can be stored in this session.").wait_for()
    assert screen.page.get_by_role("button", name="Save", exact=True).count() == 0


def _saves_a_picture(screen: Screen, folder: Path) -> None:
    # OHIF takes the picture's size from its preview, which is some pixels smaller while the dialogue still zooms in.
    screen.page.add_style_tag(content="* { animation: none !important }")
    screen.button("Capture").click()
    with screen.page.expect_download() as download:
        screen.page.get_by_role("button", name="Save Image").click()
    download.value.save_as(folder / "image.jpg")
    with Image.open(folder / "image.jpg") as image:
        assert image.size == (512, 512)
        assert pattern_share(np.asarray(image.convert("L"))) >= 0.9


@pytest.mark.long
def test_sections_in_three_planes_and_one_of_them_alone(viewer: Open) -> None:
    """The planes across the slices show them as lines: neither is empty, neither is the picture."""
    screen = viewer(CT)
    screen.pattern(number=60)
    screen.layout("MPR")
    screen.until(lambda: screen.canvases() == 3, "three viewports")
    assert screen.pattern(canvas=0) in (30, 31)
    for plane in (1, 2):
        screen.until(lambda number=plane: screen.contrast(number) > 40, "a section")  # type: ignore[misc]
    screen.canvas(0).dblclick()
    screen.until(lambda: screen.canvases() == 1, "the one viewport")
    screen.pattern()
    assert screen.complaints == []


@pytest.mark.long
def test_two_studies_side_by_side(viewer: Open) -> None:
    screen = viewer(CT, MR)
    screen.pattern()
    screen.layout_of(columns=2)
    screen.until(lambda: screen.canvases() == 2, "two viewports")
    shown = {screen.pattern(canvas=place) for place in (0, 1)}
    assert shown == {60, 20}
    left, right = (screen.canvas(place).bounding_box() for place in (0, 1))
    assert left is not None
    assert right is not None
    assert (left["y"], left["height"]) == (right["y"], right["height"])
    assert screen.complaints == []


@pytest.mark.long
def test_a_measurement_is_saved_and_shown_again(viewer: Open, hospital: Site) -> None:
    """OHIF's own report (TID 1500 with SCOORD), stored in a session that may annotate, read in one that may not."""
    name = "CT to be measured"
    screen = viewer(name)
    screen.pattern(number=3)
    with hospital.client(headers=hospital.bearer()) as client:
        asked = {"studies": [STUDIES[name].uid], "annotate": True}
        url = client.post("/api/v1/launch", json=asked).raise_for_status().json()["url"]
        screen = Screen(screen.page, url)
        screen.pattern(number=3)
        screen.button("Length").click()
        screen.drag((-150, 0), (0, 5), (150, 0))
        screen.page.get_by_role("button", name="Yes", exact=True).click()  # "Track measurements for this series?"
        screen.page.locator('[data-cy="trackedMeasurements-btn"]').click()
        screen.page.get_by_role("button", name="Create SR").click()
        screen.page.get_by_role("button", name="Save", exact=True).click()
        reports = f"/dicom-web/instances?StudyInstanceUID={STUDIES[name].uid}&Modality=SR"
        screen.until(lambda: client.get(reports).raise_for_status().json() or None, "the report")
    screen = viewer(name)
    screen.pattern(number=3)
    length = 300 * MILLIMETRES / screen.height()
    screen.open_series("Create Report")
    screen.until(lambda: _near((screen.measured() or "").removeprefix(": "), length), "the length that was saved")
    assert screen.complaints == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "form", "sop_class", "share"),
    [
        ("CT to be segmented", "DICOM SEG", SEGMENTATION, 1.0),  # bits (PS3.3 A.51), in a file that every reader knows
        ("CT to be outlined", "DICOM RTSS", STRUCTURES, 0.1),  # of what was painted, the line around it
    ],
)
def test_a_segment_is_painted_saved_and_shown_again(
    viewer: Open, hospital: Site, name: str, form: str, sop_class: str, share: float
) -> None:
    """OHIF's own segmentation, taken where annotations are."""
    screen = viewer(name)
    screen.pattern(number=3)
    with hospital.client(headers=hospital.bearer()) as client:
        asked = {"studies": [STUDIES[name].uid], "annotate": True}
        screen.page.goto(client.post("/api/v1/launch", json=asked).raise_for_status().json()["url"])
        screen.page.goto(f"{hospital.base}/segmentation?StudyInstanceUIDs={STUDIES[name].uid}")
        screen.pattern(number=3)
        painted = _paints(screen)
        screen.page.locator('[data-cy="segmentation-collapsed-more-btn-Labelmap"]').click()
        screen.page.get_by_role("menuitem", name="Export").click()
        screen.page.get_by_role("menuitem", name=form).click()
        screen.page.get_by_role("button", name="Save", exact=True).click()
        path = f"/dicom-web/studies/{STUDIES[name].uid}/instances?SOPClassUID={sop_class}"
        screen.until(lambda: client.get(path).raise_for_status().json() or None, "what was saved")
    screen = viewer(name)
    screen.pattern(number=3)
    assert screen.coloured() == 0
    screen.open_series("Segmentation 1")
    screen.until(lambda: share * painted - 0.005 < screen.coloured() < painted + 0.005, "the segment that was saved")
    assert screen.complaints == []


def _paints(screen: Screen) -> float:
    """With the brush, across the picture; how much of it is covered."""
    screen.page.get_by_text("Add Segmentation").first.click()
    screen.button("Brush").click()
    screen.drag((-100, 0), (0, 5), (100, 0))
    screen.until(lambda: screen.coloured() > 0.04, "the segment")
    return screen.coloured()


def _near(text: str, length: float) -> bool:
    return text.endswith(" mm") and abs(float(text.removesuffix(" mm")) - length) < 0.03 * length
