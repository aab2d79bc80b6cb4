"""Plain CT images to store, and the ways to store them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SIDE = 512  # × 512 pixels of 2 bytes: frames of 512 kB


def make(folder: Path, count: int, *, study_uid: str | None = None, accession: str = "", patient: str = "BENCH") -> str:
    """Write a series of images; the study's UID."""
    folder.mkdir(parents=True)
    study = study_uid or generate_uid()
    series = generate_uid()
    pixels = numpy.random.default_rng(1).integers(0, 4096, (SIDE, SIDE), dtype=numpy.uint16)
    for number in range(1, count + 1):
        image = _image(study, series, number)
        image.AccessionNumber, image.PatientID, image.PatientName = accession, patient, "Bench^Mark"
        image.PixelData = numpy.roll(pixels, number, axis=0).tobytes()
        image.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return str(study)


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


def store(folder: Path, port: int, environment: dict[str, str]) -> None:
    """C-STORE them on one association, as the modality CT1."""
    command = ["storescu", "-aet", "CT1", "-aec", "ORTHANC", "+sd", "127.0.0.1", str(port), str(folder)]
    subprocess.run(command, env={**environment, "TCP_NODELAY": "1"}, check=True, capture_output=True)  # noqa: S603
