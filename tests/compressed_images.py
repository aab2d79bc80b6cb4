"""The simulator's images in the transfer syntaxes of compression (PS3.5 A.4), made by coders that nobody here wrote."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless


def part10(dataset: Dataset) -> bytes:
    """The file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def jpeg_baseline(dataset: Dataset, folder: Path) -> Dataset:
    """JPEG Baseline, process 1, of 8-bit pixels, by dcmtk."""
    return _by_dcmtk(dataset, folder, "dcmcjpeg", "--encode-baseline", "--quality", "90")


def jpeg_lossless(dataset: Dataset, folder: Path) -> Dataset:
    """JPEG Lossless, first-order prediction, by dcmtk."""
    return _by_dcmtk(dataset, folder, "dcmcjpeg", "--encode-lossless-sv1")


def rle(dataset: Dataset, folder: Path) -> Dataset:
    """RLE Lossless, by dcmtk."""
    return _by_dcmtk(dataset, folder, "dcmcrle")


def jpeg_2000(dataset: Dataset, _folder: Path) -> Dataset:
    """JPEG 2000 Lossless, by OpenJPEG."""
    pixels = np.frombuffer(dataset.PixelData, "<u2" if dataset.BitsAllocated == 16 else "u1")
    frames = pixels.reshape(-1, dataset.Rows, dataset.Columns)
    streams = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
        streams.append(buffer.getvalue())
    copied = dcmread(io.BytesIO(part10(dataset)))
    copied.file_meta.TransferSyntaxUID = JPEG2000Lossless
    copied.PixelData = encapsulate(streams)
    copied["PixelData"].is_undefined_length = True
    return copied


CODERS: dict[str, Callable[[Dataset, Path], Dataset]] = {
    "JPEG": jpeg_baseline,
    "JPEG lossless": jpeg_lossless,
    "RLE": rle,
    "JPEG 2000": jpeg_2000,
}


def _by_dcmtk(dataset: Dataset, folder: Path, command: str, *options: str) -> Dataset:
    plain, packed = folder / "plain.dcm", folder / "packed.dcm"
    plain.write_bytes(part10(dataset))
    # The instance keeps its UID: it is the same picture, and each test has it in one coding only.
    keep = ("--uid-never",) if command == "dcmcjpeg" else ()
    subprocess.run([command, *options, *keep, plain, packed], check=True, capture_output=True, timeout=120)
    return dcmread(packed)
