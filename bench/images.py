"""Plain CT images and cines to store, and the ways to store them."""

from __future__ import annotations

import io
import subprocess
import warnings
from pathlib import Path

import numpy
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
    generate_uid,
)

SIDE = 512  # × 512 pixels of 2 bytes: frames of 512 kB


def make(
    folder: Path,
    count: int,
    *,
    study_uid: str | None = None,
    accession: str = "",
    patient: str = "BENCH",
    side: int = SIDE,
    series: int = 1,
) -> str:
    """Write so many images in each of so many series; the study's UID."""
    folder.mkdir(parents=True)
    study = study_uid or str(generate_uid())
    pixels = numpy.random.default_rng(1).integers(0, 4096, (side, side), dtype=numpy.uint16)
    for run in range(1, series + 1):
        uid = str(generate_uid())
        for number in range(1, count + 1):
            image = _image(study, uid, number)
            image.SeriesNumber, image.Rows, image.Columns = run, side, side
            image.AccessionNumber, image.PatientID, image.PatientName = accession, patient, "Bench^Mark"
            image.PixelData = numpy.roll(pixels, number, axis=0).tobytes()
            image.save_as(folder / f"{run:02d}{number:05d}.dcm", enforce_file_format=True)
    return study


def make_xa(folder: Path, frames: int) -> str:
    """Write an angiography: one image of so many frames of 512 × 512 × 8 bit, uncompressed; the study's UID."""
    folder.mkdir(parents=True)
    study = generate_uid()
    image = _image(study, generate_uid(), 1)
    image.SOPClassUID, image.Modality = XRayAngiographicImageStorage, "XA"
    image.PatientID, image.PatientName, image.NumberOfFrames = "BENCH", "Bench^Mark", frames
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelData = numpy.random.default_rng(2).integers(0, 256, frames * SIDE * SIDE, dtype=numpy.uint8).tobytes()
    image.save_as(folder / "xa.dcm", enforce_file_format=True)
    return str(study)


def make_us(folder: Path, frames: int) -> str:
    """Write an ultrasound loop: one image of so many frames of 640 × 480 in colour, each a JPEG; the study's UID."""
    folder.mkdir(parents=True)
    study = generate_uid()
    image = _image(study, generate_uid(), 1)
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.SOPClassUID, image.Modality = UltrasoundMultiFrameImageStorage, "US"
    image.PatientID, image.PatientName, image.NumberOfFrames = "BENCH", "Bench^Mark", frames
    image.Rows, image.Columns, image.SamplesPerPixel, image.PlanarConfiguration = 480, 640, 3, 0
    image.PhotometricInterpretation, image.BitsAllocated, image.BitsStored, image.HighBit = "YBR_FULL_422", 8, 8, 7
    image.PixelData = encapsulate([_jpeg(number) for number in range(frames)])
    image["PixelData"].is_undefined_length = True
    image.save_as(folder / "us.dcm", enforce_file_format=True)
    return str(study)


def _jpeg(number: int) -> bytes:
    coarse = numpy.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=numpy.uint8)
    written = io.BytesIO()
    Image.fromarray(coarse.repeat(8, axis=0).repeat(8, axis=1)).save(written, "JPEG", quality=85)
    return written.getvalue()


def _image(study: str, series: str, number: int) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.Modality, image.StudyDate, image.StudyTime = "CT", "20261202", "093000"
    image.StudyID, image.SeriesNumber, image.InstanceNumber = "1", 1, number
    image.PatientBirthDate, image.PatientSex, image.ReferringPhysicianName = "19580402", "M", ""
    image.Rows = image.Columns = SIDE
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    return image


def store(folder: Path, port: int, environment: dict[str, str], *syntax: str) -> None:
    """C-STORE them on one association, as the modality CT1; ``syntax`` is storescu's option for it."""
    command = ["storescu", *syntax, "-aet", "CT1", "-aec", "ORTHANC", "+sd", "127.0.0.1", str(port), str(folder)]
    subprocess.run(command, env={**environment, "TCP_NODELAY": "1"}, check=True, capture_output=True)  # noqa: S603


def marked(file: Path, root: str, number: int) -> bytes:
    """The image as one of a study below a root that is no UID yet, as it holds a mark."""
    image = dcmread(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mark is no digit; what is sent has digits in its place
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{root}.1", f"{root}.2"
        image.SOPInstanceUID = f"{root}.3.{number}"
        image.file_meta.MediaStorageSOPInstanceUID = UID(image.SOPInstanceUID)
        written = io.BytesIO()
        image.save_as(written)
    return written.getvalue()
