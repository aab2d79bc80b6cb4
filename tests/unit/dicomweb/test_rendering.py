"""What a rendering may ask for: nothing else reaches an archive, which may not survive it."""

from __future__ import annotations

import pytest

from interop.dicomweb.rendering import as_orthanc_draws, rendering
from interop.dicomweb.wado_uri import read_wado
from interop.errors import UnsupportedError

WADO = "requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4"


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", ""),
        ("viewport=256%2C128&quality=090&script=x", "viewport=256,128&quality=90"),
        ("viewport=8192,1,,,,", "viewport=8192,1"),  # as OHIF writes an empty source rectangle
        ("window=40,400", "window=40,400,linear"),
        ("window=-600.5,1500,LINEAR", "window=-600.5,1500,linear"),
        ("window=40,0.5,linear-exact", "window=40,0.5,linear-exact"),
        ("window=40,400,sigmoid&accept=image/png", "window=40,400,sigmoid"),
    ],
)
def test_what_a_picture_can_be(query: str, asked: str) -> None:
    assert rendering(query) == asked


def test_a_thumbnail_is_small_unless_it_is_said_otherwise() -> None:
    assert rendering("quality=5", size="128,128") == "viewport=128,128&quality=5"
    assert rendering("viewport=64,64", size="128,128") == "viewport=64,64"


@pytest.mark.parametrize(
    "size", ["0,0", "256,0", "0,256", "00,1", "8193,1", "1,8193", "99999,99999", "256", "-1,5", ""]
)
def test_sizes_that_no_picture_has_are_refused(size: str) -> None:
    with pytest.raises(UnsupportedError):
        rendering(f"viewport={size},")
    columns, _, rows = size.partition(",")
    with pytest.raises(UnsupportedError):
        read_wado(f"{WADO}&columns={columns or 0}&rows={rows or 0}")


@pytest.mark.parametrize(
    "query",
    [
        "viewport=256,256,0,0,512,512",  # a part of the image
        "window=40",
        "window=a,b",
        "window=1.2.3,400",
        "window=40,0,linear",
        "window=40,0.5",
        "window=40,0,linear-exact",
        "window=40,400,curve",
        "quality=0",
        "quality=101",
        "quality=x",
    ],
)
def test_what_no_picture_can_be_is_refused(query: str) -> None:
    with pytest.raises(UnsupportedError):
        rendering(query)


@pytest.mark.parametrize("more", ["windowCenter=40&windowWidth=0", "imageQuality=0", "frameNumber=0"])
def test_nor_is_it_taken_in_the_words_of_wado_uri(more: str) -> None:
    with pytest.raises(UnsupportedError):
        read_wado(f"{WADO}&{more}")


def test_wado_uri_hears_which_type_is_preferred() -> None:
    for asked, given in (("image/jpeg;q=0.1,image/png", "image/png"), ("image/png;q=0,image/*;q=0.5", "image/jpeg")):
        assert read_wado(f"{WADO}&contentType={asked}")[2].accept == given


def test_orthanc_draws_lines_alone() -> None:
    assert as_orthanc_draws("viewport=1,1&window=40,400,linear-exact") == "viewport=1,1&window=40,400,linear"
    with pytest.raises(UnsupportedError):
        as_orthanc_draws("window=40,400,sigmoid")
