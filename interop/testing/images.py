"""Plausible DICOM objects for a worklist item: what a modality of each kind makes of it (PS3.3 annex A).

The pixels are the known pattern; its number is InstanceNumber, in a cine the frame's place counted from 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from interop.dicom.uids import uid_of
from interop.dicom.worklist import IMPLEMENTATION
from interop.testing.attributes import dataset_of
from interop.testing.kinds import KINDS, OTHER, Kind

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
_NEVER_ABSENT = frozenset(  # type 2 in the modules Patient and General Study (PS3.3 C.7.1.1, C.7.2.1)
    ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName")
)
_REQUEST = ("RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedureCodeSequence")
_STEP = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence")


def study_images(item: Dataset, *, aet: str, images: int, now: datetime, kind: Kind | None = None) -> Iterator[Dataset]:
    """The objects of one series made for a worklist item: so many images, or one object of so many frames.

    ``kind``: what they are, where it is not what the step's modality usually makes.
    """
    step = item.ScheduledProcedureStepSequence[0]
    modality = str(step.Modality)
    kind = kind or KINDS.get(modality, OTHER)
    series = _series(item, step, kind, modality, aet, now)
    count = 1 if kind.single else images
    for number in range(1, count + 1):
        dataset = _copy(series)
        dataset.SOPInstanceUID = UID(uid_of(uuid4()))
        dataset.InstanceNumber = number
        kind.fill(dataset, kind.size, number, images)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = UID(kind.sop_class)
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.ImplementationClassUID = UID(IMPLEMENTATION)
        dataset.file_meta = meta
        yield dataset


def paced(datasets: Iterable[Dataset], rate: float) -> Iterator[Dataset]:
    """Not more than so many a second; 0: as they come."""
    began = time.monotonic()
    for number, dataset in enumerate(datasets):
        if rate > 0:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield dataset


def _series(item: Dataset, step: Dataset, kind: Kind, modality: str, aet: str, now: datetime) -> Dataset:
    """All that the objects of the series share. The name is read and set anew: pydicom keeps the bytes it decoded."""
    series = Dataset()
    series.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _COPIED:
        value = item.get(keyword)
        if value not in (None, "", []):
            setattr(series, keyword, _plain(value))
        elif keyword in _NEVER_ABSENT:
            setattr(series, keyword, "")
    day, hour = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    series.update(
        dataset_of(
            SOPClassUID=kind.sop_class,
            Modality=modality,
            Manufacturer="interop",
            ManufacturerModelName="Simulated modality",
            StationName=aet,
            InstitutionName="Simulated hospital",
            StudyDate=day,
            SeriesDate=day,
            ContentDate=day,
            StudyTime=hour,
            SeriesTime=hour,
            ContentTime=hour,
            TimezoneOffsetFromUTC=now.strftime("%z"),
            StudyID=str(item.get("RequestedProcedureID", "")),
            StudyDescription=_text(item, "RequestedProcedureDescription") or _text(step, _STEP[1]),
            SeriesInstanceUID=uid_of(uuid4()),
            SeriesNumber=1,
            SeriesDescription=kind.description,
            PerformedProcedureStepStartDate=day,
            PerformedProcedureStepStartTime=hour,
            PerformedProcedureStepID=f"P{hour}",
            PerformedProcedureStepDescription=_text(step, _STEP[1]),
        )
    )
    if kind.image_type:  # neither is of documents
        series.ImageType = list(kind.image_type)
        series.AcquisitionDate, series.AcquisitionTime = day, hour
    if kind.body_part:
        series.BodyPartExamined = kind.body_part
    performer = step.get("ScheduledPerformingPhysicianName")
    if performer:
        series.PerformingPhysicianName = str(performer)
    if item.get("RequestedProcedureCodeSequence"):
        series.ProcedureCodeSequence = [_copy(code) for code in item.RequestedProcedureCodeSequence]
    if step.get("ScheduledProcedureStepID"):
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
