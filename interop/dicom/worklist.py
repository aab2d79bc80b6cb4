"""A Modality Worklist item as the bytes of a ``.wl`` file (PS3.4 K.6.1.2.2, PS3.10).

A worklist SCP answers from the elements that the file has, and a key that the file lacks matches nothing: so every
attribute that the table returns with type 2 is written, empty where nothing is known.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian

from interop.dicom.explicit_vr import element, encode
from interop.dicom.uids import digest_uid
from interop.errors import InvalidContentError

MODALITY_WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
IMPLEMENTATION = "2.25.28096263168929727457980012174062091012"  # ImplementationClassUID (PS3.7 D.3.3.2)

_STEP = "ScheduledProcedureStepSequence"
# Return key types of table K.6-1. A key of type 1 has to have a value; 1C of ours: one of the two describes the step.
_STEP_TYPE_1 = ("ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "Modality", "ScheduledProcedureStepID")
_STEP_TYPE_2 = (
    "ScheduledProcedureStepStartTime",  # type 1; an order for a day without an hour has none to give
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepLocation",
    "PreMedication",
    "RequestedContrastAgent",
    "ScheduledStationName",
    "ScheduledProcedureStepStatus",
)
_ROOT_TYPE_1 = ("PatientName", "PatientID", "RequestedProcedureID", "StudyInstanceUID")
_ROOT_TYPE_2 = (
    "AccessionNumber",
    "ReferringPhysicianName",
    "RequestingPhysician",
    "RequestedProcedureDescription",
    "RequestedProcedurePriority",
    "PatientTransportArrangements",
    "AdmissionID",
    "CurrentPatientLocation",
    "PatientBirthDate",
    "PatientSex",
    "PatientWeight",
    "PatientSize",
    "ConfidentialityConstraintOnPatientDataDescription",
    "PatientState",
    "PregnancyStatus",
    "MedicalAlerts",
    "Allergies",
    "SpecialNeeds",
)
_EMPTY_SEQUENCES = ("ReferencedStudySequence", "ReferencedPatientSequence")
_CODED = (
    ("RequestedProcedureDescription", "RequestedProcedureCodeSequence"),
    ("ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence"),
)
_META_HEAD = element(0x00020001, "OB", b"\x00\x01") + encode({"MediaStorageSOPClassUID": MODALITY_WORKLIST_FIND})
_META_TAIL = encode(
    {
        "TransferSyntaxUID": ExplicitVRLittleEndian,
        "ImplementationClassUID": IMPLEMENTATION,
        "ImplementationVersionName": "INTEROP",
    }
)


def worklist_bytes(attributes: Mapping[str, Any]) -> bytes:
    """The file of one scheduled step on one station, of values by DICOM keyword (sequences: lists of such mappings).

    The same attributes give the same bytes. InvalidContentError names the keyword that is missing or wrong.
    """
    _check_required(attributes)
    return _part10(encode({**_completed(attributes), "SpecificCharacterSet": "ISO_IR 192"}))


def _check_required(attributes: Mapping[str, Any]) -> None:
    for keyword in _ROOT_TYPE_1:
        if not attributes.get(keyword):
            raise InvalidContentError(f"a worklist item needs {keyword} (PS3.4 K.6.1.2.2)")
    steps = attributes.get(_STEP)
    if not isinstance(steps, list) or len(steps) != 1 or not isinstance(steps[0], Mapping):
        raise InvalidContentError(f"a worklist item needs one item in {_STEP} (PS3.4 K.6.1.2.2)")
    step = steps[0]
    for keyword in _STEP_TYPE_1:
        if not step.get(keyword):
            raise InvalidContentError(f"a worklist item needs {_STEP}.{keyword} (PS3.4 K.6.1.2.2)")
    if not isinstance(step["ScheduledStationAETitle"], str):
        # Orthanc matches several titles in one file as one string: a step on two stations is two files.
        raise InvalidContentError("a worklist item needs one ScheduledStationAETitle; write a file per station")
    for where, (text, codes) in zip((attributes, step), _CODED, strict=True):
        if not where.get(text) and not where.get(codes):
            raise InvalidContentError(f"a worklist item needs {text} or {codes} (PS3.4 K.6.1.2.2)")
    charset = attributes.get("SpecificCharacterSet")
    if charset not in (None, "ISO_IR 192"):
        raise InvalidContentError("a worklist item is written in ISO_IR 192")


def completed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The item with every attribute of type 2, empty where nothing is known; InvalidContentError as for a file."""
    _check_required(attributes)
    return _completed(attributes)


def _completed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    step = {**dict.fromkeys(_STEP_TYPE_2), **attributes[_STEP][0]}
    return {
        **dict.fromkeys(_ROOT_TYPE_2),
        **{keyword: [] for keyword in _EMPTY_SEQUENCES},
        **attributes,
        _STEP: [step],
    }


def _part10(content: bytes) -> bytes:
    """The data set behind its preamble and file meta information (PS3.10 7.1)."""
    meta = _META_HEAD + element(0x00020003, "UI", digest_uid(content).encode()) + _META_TAIL
    length = element(0x00020000, "UL", struct.pack("<I", len(meta)))
    return b"\x00" * 128 + b"DICM" + length + meta + content
