"""The window of an image, wherever it stands in it."""

from __future__ import annotations

from typing import Any

import pytest

from interop.dicomweb.own_window import own_window

MONOCHROME = {"00280004": {"Value": ["MONOCHROME2"]}}


def window(centre: Any, width: Any, function: str = "") -> dict[str, Any]:
    found = {"00281050": {"Value": [centre, 50]}, "00281051": {"Value": [width, 350]}}
    return found | ({"00281056": {"Value": [function]}} if function else {})


def group(*items: dict[str, Any]) -> dict[str, Any]:
    return {"Value": [{"00289132": {"Value": [item]}} for item in items]}


@pytest.mark.parametrize(
    ("image", "frame", "query"),
    [
        (MONOCHROME | window(40, 400), 1, "window=40,400,linear"),  # the first of several
        (MONOCHROME | window(-600.5, 1e3, "LINEAR"), 1, "window=-600.5,1000,linear"),
        (MONOCHROME | window(40, 400, "LINEAR_EXACT"), 1, "window=40,400,linear"),
        (MONOCHROME | window(40, 400, "SIGMOID"), 1, ""),
        (MONOCHROME | window(40, 0.5), 1, ""),
        (MONOCHROME | window(40, None), 1, ""),
        (MONOCHROME, 1, ""),
        (window(40, 400), 1, ""),
        ({"00280004": {"Value": ["RGB"]}} | window(40, 400), 1, ""),
        (MONOCHROME | {"52009229": group(window(1, 2))}, 7, "window=1,2,linear"),
        (MONOCHROME | {"52009230": group(window(1, 2), window(3, 4)), "52009229": {}}, 2, "window=3,4,linear"),
        (MONOCHROME | {"52009230": {"Value": [{}]}, "52009229": group(window(5, 6))}, 1, "window=5,6,linear"),
        (MONOCHROME | {"00281050": {"vr": "DS"}, "00281051": {"vr": "DS"}}, 1, ""),
    ],
)
def test_the_nearest_window_of_a_frame_is_taken(image: dict[str, Any], frame: int, query: str) -> None:
    assert own_window(image, frame) == query
