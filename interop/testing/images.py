"""Plausible DICOM objects for a worklist item: what a modality of each kind makes of it (PS3.3 A.3, A.4, A.7, A.14).

The pixels are the known pattern; its number is InstanceNumber, in a cine the frame's place counted from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from interop.dicom.uids import uid_of
from interop.dicom.worklist import IMPLEMENTATION
from interop.testing.pattern import pattern

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
XA_IMAGE = "1.2.840.10008.5.1.4.1.1.12.1"
CR_IMAGE = "1.2.840.10008.5.1.4.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# From the worklist item into every object (PS3.3 10.6, IHE RAD TF-2 appendix A), where the item has a value.
_COPIED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientSize",
    "PatientWeight",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "RequestingPhysician",
    "StudyInstanceUID",
)
_REQUEST = ("RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedureCodeSequence")
_STEP = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence")


@dataclass(frozen=True, slots=True)
class Kind:
    """How a modality's objects look."""

    sop_class: str
    size: int  # rows and columns
    multiframe: bool
    image_type: tuple[str, ...]
    description: str
    body_part: str


KINDS = {
    "CT": Kind(CT_IMAGE, 512, False, ("ORIGINAL", "PRIMARY", "AXIAL"), "Thorax 2.5 mm", "CHEST"),
    "MR": Kind(MR_IMAGE, 256, False, ("ORIGINAL", "PRIMARY", "M", "SE"), "T1 transverse", "BRAIN"),
    "US": Kind(US_MULTIFRAME, 512, True, ("ORIGINAL", "PRIMARY", "", "0001"), "Apical four chamber", "HEART"),
    "XA": Kind(XA_IMAGE, 512, True, ("ORIGINAL", "PRIMARY", "SINGLE PLANE"), "Left coronary", "HEART"),
    "CR": Kind(CR_IMAGE, 1024, False, ("ORIGINAL", "PRIMARY"), "Chest PA", "CHEST"),
}
OTHER = Kind(SECONDARY_CAPTURE, 512, False, ("DERIVED", "SECONDARY"), "Capture", "")


def study_images(item: Dataset, *, aet: str, images: int, now: datetime) -> Iterator[Dataset]:
    """The objects of one series made for a worklist item: so many images, or one object of so many frames."""
    step = item.ScheduledProcedureStepSequence[0]
    modality = str(step.Modality)
    kind = KINDS.get(modality, OTHER)
    series = _series(item, step, kind, modality, aet, now)
    count = 1 if kind.multiframe else images
    for number in range(1, count + 1):
        dataset = _copy(series)
        dataset.SOPInstanceUID = UID(uid_of(uuid4()))
        dataset.InstanceNumber = number
        _FILLED.get(modality, _fill_other)(dataset, kind, number, images)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = UID(kind.sop_class)
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.ImplementationClassUID = UID(IMPLEMENTATION)
        dataset.file_meta = meta
        yield dataset


def _series(item: Dataset, step: Dataset, kind: Kind, modality: str, aet: str, now: datetime) -> Dataset:
    """All that the objects of the series share. The name is read and set anew: pydicom keeps the bytes it decoded."""
    series = Dataset()
    series.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _COPIED:
        value = item.get(keyword)
        if value not in (None, "", []):
            setattr(series, keyword, _plain(value))
    day, hour = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    series.update(
        _dataset(
            SOPClassUID=kind.sop_class,
            ImageType=list(kind.image_type),
            Modality=modality,
            Manufacturer="interop",
            ManufacturerModelName="Simulated modality",
            StationName=aet,
            InstitutionName="Simulated hospital",
            StudyDate=day,
            SeriesDate=day,
            AcquisitionDate=day,
            ContentDate=day,
            StudyTime=hour,
            SeriesTime=hour,
            AcquisitionTime=hour,
            ContentTime=hour,
            TimezoneOffsetFromUTC=now.strftime("%z"),
            StudyID=str(item.get("RequestedProcedureID", "")),
            StudyDescription=_text(item, "RequestedProcedureDescription") or _text(step, _STEP[1]),
            SeriesInstanceUID=uid_of(uuid4()),
            SeriesNumber=1,
            SeriesDescription=kind.description,
            BodyPartExamined=kind.body_part,
            PerformedProcedureStepStartDate=day,
            PerformedProcedureStepStartTime=hour,
            PerformedProcedureStepID=f"P{hour}",
            PerformedProcedureStepDescription=_text(step, _STEP[1]),
        )
    )
    performer = step.get("ScheduledPerformingPhysicianName")
    if performer:
        series.PerformingPhysicianName = str(performer)
    if item.get("RequestedProcedureCodeSequence"):
        series.ProcedureCodeSequence = [_copy(code) for code in item.RequestedProcedureCodeSequence]
    series.RequestAttributesSequence = [_request(item, step)]
    return series


def _request(item: Dataset, step: Dataset) -> Dataset:
    request = Dataset()
    for source, keywords in ((item, ("AccessionNumber", "StudyInstanceUID", *_REQUEST)), (step, _STEP)):
        for keyword in keywords:
            value = source.get(keyword)
            if value not in (None, "", []):
                setattr(request, keyword, _plain(value))
    return request


def _fill_ct(dataset: Dataset, kind: Kind, number: int, images: int) -> None:
    _geometry(dataset, kind, number, images, spacing=2.5, pixel=0.7)
    dataset.update(
        _dataset(
            KVP="120",
            SliceThickness="2.5",
            RescaleIntercept="-1024",
            RescaleSlope="1",
            RescaleType="HU",
            WindowCenter="40",
            WindowWidth="400",
        )
    )
    # -800 and 700 HU: black and white in every window for soft tissue, lung apart
    _pixels(dataset, kind.size, [number], dark=224, bright=1724, bits=12)


def _fill_mr(dataset: Dataset, kind: Kind, number: int, images: int) -> None:
    _geometry(dataset, kind, number, images, spacing=5.0, pixel=0.9)
    dataset.update(
        _dataset(
            ScanningSequence="SE",
            SequenceVariant="NONE",
            ScanOptions="",
            MRAcquisitionType="2D",
            RepetitionTime="550",
            EchoTime="12",
            EchoTrainLength="1",
            SliceThickness="5",
            WindowCenter="600",
            WindowWidth="1000",
        )
    )
    _pixels(dataset, kind.size, [number], dark=60, bright=1400, bits=12)


def _fill_us(dataset: Dataset, kind: Kind, number: int, images: int) -> None:
    region = _dataset(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionFlags=2,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=kind.size - 1,
        RegionLocationMaxY1=kind.size - 1,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.03,
        PhysicalDeltaY=0.03,
    )
    _cine(dataset, images, milliseconds=33.3)
    dataset.update(_dataset(HeartRate="68", LossyImageCompression="00", SequenceOfUltrasoundRegions=[region]))
    _pixels(dataset, kind.size, range(images), dark=12, bright=235, bits=8)


def _fill_xa(dataset: Dataset, kind: Kind, number: int, images: int) -> None:
    _cine(dataset, images, milliseconds=66.7)
    dataset.update(
        _dataset(
            PixelIntensityRelationship="LIN",
            RadiationSetting="GR",
            KVP="80",
            PositionerMotion="STATIC",
            PositionerPrimaryAngle="-30",
            PositionerSecondaryAngle="15",
            WindowCenter="128",
            WindowWidth="256",
        )
    )
    _pixels(dataset, kind.size, range(images), dark=12, bright=235, bits=8)


def _fill_cr(dataset: Dataset, kind: Kind, number: int, images: int) -> None:
    dataset.update(
        _dataset(
            ViewPosition="PA",
            KVP="120",
            PlateID="",
            ImagerPixelSpacing=["0.2", "0.2"],
            PatientOrientation=["L", "F"],
            WindowCenter="2048",
            WindowWidth="4096",
        )
    )
    _pixels(dataset, kind.size, [number], dark=300, bright=3800, bits=12)


def _fill_other(dataset: Dataset, kind: Kind, number: int, images: int) -> None:
    dataset.ConversionType = "WSD"
    _pixels(dataset, kind.size, [number], dark=12, bright=235, bits=8)


_FILLED = {"CT": _fill_ct, "MR": _fill_mr, "US": _fill_us, "XA": _fill_xa, "CR": _fill_cr}


def _geometry(dataset: Dataset, kind: Kind, number: int, images: int, *, spacing: float, pixel: float) -> None:
    half = kind.size * pixel / 2
    place = round((number - 1 - (images - 1) / 2) * spacing, 3)
    dataset.update(
        _dataset(
            FrameOfReferenceUID=f"{dataset.SeriesInstanceUID}.1"[:64],
            PositionReferenceIndicator="",
            PatientPosition="HFS",
            ImagePositionPatient=[f"{-half:g}", f"{-half:g}", f"{place:g}"],
            ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
            PixelSpacing=[f"{pixel:g}", f"{pixel:g}"],
            SliceLocation=f"{place:g}",
            SpacingBetweenSlices=f"{spacing:g}",
            AcquisitionNumber="1",
        )
    )


def _cine(dataset: Dataset, frames: int, *, milliseconds: float) -> None:
    dataset.NumberOfFrames = str(frames)
    dataset.FrameTime = f"{milliseconds:g}"
    dataset.FrameIncrementPointer = 0x00181063  # FrameTime
    dataset.CineRate = str(round(1000 / milliseconds))
    dataset.RecommendedDisplayFrameRate = dataset.CineRate


def _pixels(dataset: Dataset, size: int, numbers: Any, *, dark: int, bright: int, bits: int) -> None:
    stored = np.dtype("<u2") if bits > 8 else np.dtype("u1")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = size
    dataset.BitsAllocated = stored.itemsize * 8
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    frames = [np.where(pattern(size, number), bright, dark).astype(stored).tobytes() for number in numbers]
    dataset.add_new(0x7FE00010, "OW" if bits > 8 else "OB", b"".join(frames))


def _dataset(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def _copy(dataset: Dataset) -> Dataset:
    copied = Dataset()
    copied.update(dataset)
    return copied


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Dataset):
        return _copy(value)
    return [_plain(each) for each in value] if hasattr(value, "__iter__") and not _is_name(value) else str(value)


def _is_name(value: Any) -> bool:
    return hasattr(value, "components")


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "")
