"""A PDF as an instance of a study: Encapsulated PDF Storage (PS3.3 A.45.1, C.24.2)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from interop.dicom.times import read_offset, wall_clock
from interop.dicom.uids import digest_uid
from interop.dicom.values import dataset_of
from interop.dicom.worklist import IMPLEMENTATION
from interop.errors import InvalidContentError

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
_DEFAULT_NAME = ("11528-7", "LN", "Radiology Report")

# What instances of one study share (PS3.3 C.7.1.1, C.7.2.1): of type 2 where they are absent in the others too.
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_SHARED = (
    *_TYPE_2,
    "StudyInstanceUID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
)


@dataclass(frozen=True, slots=True)
class PdfDocument:
    """A document and what it is called."""

    report: str  # whose it is, in words that stay the same: its series and its name are made of them
    number: int  # of several of one report, from 1 on
    title: str
    concept: tuple[str, str, str] | None  # code, scheme, meaning
    moment: datetime  # aware: of its content
    content: bytes
    verified: bool = True


def series_uid(report: str, study_uid: str) -> str:
    """The series that the documents of a report have in a study, always the same."""
    return digest_uid(f"report series|{report}|{study_uid}".encode())


def instance_uid(document: PdfDocument, study_uid: str) -> str:
    """The name of a document in a study: another only where the document is another."""
    said = (document.report, study_uid, document.number, document.title, document.concept, document.moment.isoformat())
    return digest_uid(repr(said).encode() + document.content)


def shared_attributes(tags: Mapping[str, Any]) -> dict[str, Any]:
    """What an instance of the study says of patient and study, by keyword; ``tags`` as Orthanc's short ones are."""
    named = _named(tags)
    return {keyword: named[keyword] for keyword in _SHARED if keyword in named and _allowed(keyword, named[keyword])}


def _allowed(keyword: str, value: Any) -> bool:
    """Whether a value that a device has written may be written; without the number the study would be another."""
    try:
        dataset_of({keyword: value})
    except InvalidContentError:
        if keyword in ("PatientID", "StudyInstanceUID"):
            raise
        return False
    return True


def pdf_instance(document: PdfDocument, shared: Mapping[str, Any], zone: tzinfo) -> bytes:
    """The file, of a study whose instances share these values; the same makes the same bytes.
    Its times are in their offset, else in the zone.

    InvalidContentError for what is no PDF, and for values that DICOM has no room for.
    """
    if not document.content.startswith(b"%PDF-"):
        raise InvalidContentError("the report's document is no PDF")
    study = str(shared["StudyInstanceUID"])
    day, hour = wall_clock(document.moment, read_offset(shared.get("TimezoneOffsetFromUTC")) or zone)
    code, scheme, meaning = document.concept or _DEFAULT_NAME
    dataset = dataset_of(
        {
            **dict.fromkeys(_TYPE_2),
            **shared,
            "SpecificCharacterSet": "ISO_IR 192",
            "SOPClassUID": ENCAPSULATED_PDF,
            "SOPInstanceUID": instance_uid(document, study),
            "SeriesInstanceUID": series_uid(document.report, study),
            "SeriesNumber": "9000",  # behind those of the modalities
            "SeriesDescription": _line(document.title, 64),
            "Modality": "DOC",
            "Manufacturer": "interop",
            "ConversionType": "WSD",
            "InstanceNumber": str(document.number),
            "ContentDate": day,
            "ContentTime": hour,
            "BurnedInAnnotation": "YES",  # the patient's name stands on the page
            "DocumentTitle": _line(document.title, 1024),
            "VerificationFlag": "VERIFIED" if document.verified else "UNVERIFIED",
            "ConceptNameCodeSequence": [
                {"CodeValue": code, "CodingSchemeDesignator": scheme, "CodeMeaning": _line(meaning, 64)}
            ],
            "MIMETypeOfEncapsulatedDocument": "application/pdf",
        }
    )
    dataset.add_new(0x0008002A, "DT", None)  # AcquisitionDateTime: nothing was acquired
    dataset.add_new(0x00420015, "UL", len(document.content))  # EncapsulatedDocumentLength
    dataset.add_new(0x00420011, "OB", document.content + b"\0" * (len(document.content) % 2))
    return _file(dataset)


def _file(dataset: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(ENCAPSULATED_PDF)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    dataset.file_meta = meta
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _named(tags: Mapping[str, Any]) -> dict[str, Any]:
    """By keyword, without what is empty or private."""
    found: dict[str, Any] = {}
    for tag, value in tags.items():
        keyword = keyword_for_tag(Tag(int(tag.replace(",", ""), 16)))
        if keyword and isinstance(value, str) and (text := value.strip(" \0")):
            found[keyword] = text
        elif keyword and isinstance(value, list) and value:
            found[keyword] = [_named(item) for item in value]
    return found


def _line(text: str, longest: int) -> str:
    return " ".join(text.replace("\\", "/").split())[:longest] or "Report"
