"""A tiny image for trying an archive: nobody's, and it says so in every attribute that a person reads."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

PATIENT_ID = "INTEROP-DOCTOR"
PATIENT_NAME = "INTEROP^TEST OBJECT"
DESCRIPTION = "interop doctor, may be deleted"
SIZE = 16  # rows and columns
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class TestObject:
    """Its UIDs, its pixels, and the file (PS3.10)."""

    study: str
    series: str
    instance: str
    pixels: bytes
    part10: bytes


def make_test_object(study: str, series: str, instance: str, now: datetime) -> TestObject:
    """A Secondary Capture (PS3.3 A.8) of 16 by 16 pixels with these UIDs."""
    pixels = bytes(range(256))
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = _SECONDARY_CAPTURE, instance
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.PatientName, image.PatientID = PATIENT_NAME, PATIENT_ID
    image.PatientBirthDate, image.PatientSex = "", "O"
    image.StudyDate, image.StudyTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    image.StudyID = image.AccessionNumber = image.ReferringPhysicianName = ""
    image.StudyDescription = image.SeriesDescription = DESCRIPTION
    image.Modality, image.ConversionType = "OT", "SYN"
    image.SeriesNumber = image.InstanceNumber = 1
    image.Rows = image.Columns = SIZE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    image.PixelData = pixels
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = UID(_SECONDARY_CAPTURE)
    image.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return TestObject(study, series, instance, pixels, file.getvalue())
