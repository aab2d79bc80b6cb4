"""/rendered is the picture that pydicom makes of the same data: windowed by the file's own window or the caller's."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing

from tests.compressed_images import CODERS, part10
from tests.integration.web.conftest import Site
from tests.viewed_studies import Study

SIZE = 128
Make = Callable[[str], Dataset]


def ramp(modality: str, uid: str, frames: int = 1) -> Dataset:
    """An image of the simulator's with every grey level that the kind has, instead of two."""
    [dataset] = Study(uid, modality, frames).datasets(Path())
    eight = dataset.BitsAllocated == 8
    top = 255 if eight else (1 << int(dataset.BitsStored)) - 1
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    frame = ((row + column) * top // (2 * SIZE - 2)).astype("u1" if eight else "<u2")
    dataset.Rows = dataset.Columns = SIZE
    dataset.PixelData = b"".join(np.roll(frame, 7 * number, axis=1).tobytes() for number in range(frames))
    return dataset


KINDS: dict[str, Make] = {
    "CT": lambda uid: ramp("CT", uid),
    "MR": lambda uid: ramp("MR", uid),
    "CR": lambda uid: ramp("CR", uid),
    "US": lambda uid: ramp("US", uid),
}
CASES = [
    *((kind, "", "") for kind in ("CT", "MR", "CR")),
    ("CT", "", "-600,1500"),
    *(("MR", coding, "") for coding in ("JPEG lossless", "RLE")),
    ("US", "JPEG", ""),
]


@pytest.mark.parametrize(("kind", "coding", "window"), CASES)
def test_a_rendered_image_is_the_one_that_pydicom_makes(
    hospital: Site, tmp_path: Path, kind: str, coding: str, window: str
) -> None:
    number = CASES.index((kind, coding, window))
    dataset = KINDS[kind](f"1.2.826.0.1.9.6.{number}")
    path = stored(hospital, CODERS[coding](dataset, tmp_path) if coding else dataset)
    asked = f"{path}/rendered" + (f"?window={window},linear" if window else "")
    difference = np.abs(drawn(hospital, asked) - reference(dataset, window))
    assert difference.mean() < (2 if coding == "JPEG" else 1)
    assert difference.max() <= (12 if coding == "JPEG" else 2)


def test_jpeg_2000_is_handed_on_and_not_rendered(hospital: Site, tmp_path: Path) -> None:
    path = stored(hospital, CODERS["JPEG 2000"](KINDS["MR"]("1.2.826.0.1.9.6.99"), tmp_path))
    with hospital.client(headers=hospital.bearer()) as client:
        assert client.get(f"{path}/rendered", headers={"Accept": "image/png"}).status_code == 406
        assert client.get(f"{path}/frames/1").status_code == 200


def stored(site: Site, dataset: Dataset) -> str:
    """Its address, once the archive has it."""
    auth = (site.orthanc.credentials.username, site.orthanc.credentials.password)
    with httpx.Client(base_url=site.orthanc.url, auth=auth, timeout=60, trust_env=False) as client:
        client.post("/instances", content=part10(dataset)).raise_for_status()
    study, series = dataset.StudyInstanceUID, dataset.SeriesInstanceUID
    return f"/dicom-web/studies/{study}/series/{series}/instances/{dataset.SOPInstanceUID}"


def drawn(site: Site, path: str) -> npt.NDArray[np.int64]:
    with site.client(headers=site.bearer()) as client:
        answer = client.get(path, headers={"Accept": "image/png"})
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")).astype(np.int64)


def reference(dataset: Dataset, window: str) -> npt.NDArray[np.int64]:
    """PS3.3 C.11.2.1.2.1, scaled to a screen's 256 levels."""
    stored: list[npt.NDArray[Any]] = [dataset.pixel_array, np.array([0, (1 << int(dataset.BitsStored)) - 1])]
    if window:
        dataset.WindowCenter, dataset.WindowWidth = window.split(",")
    if "WindowCenter" not in dataset:
        return stored[0].astype(np.int64)
    values, (lowest, highest) = (apply_modality_lut(each, dataset) for each in stored)
    shown = (apply_windowing(values, dataset) - lowest) / (highest - lowest)
    return np.rint(255 * shown).astype(np.int64)
