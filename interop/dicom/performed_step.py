"""Modality Performed Procedure Steps as they are told by N-CREATE and N-SET (PS3.4 F.7.2, PS3.3 B.17.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from interop.dicom.times import read_date
from interop.errors import InvalidContentError

IN_PROGRESS, COMPLETED, DISCONTINUED = "IN PROGRESS", "COMPLETED", "DISCONTINUED"
FINAL = frozenset({COMPLETED, DISCONTINUED})

# Attributes of type 1 on creation (PS3.4 table F.7.2-1).
_REQUIRED = (
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "Modality",
)
# What an N-SET may not change (the same table): what says whose step this is, of what, where and since when.
FIXED = frozenset(
    {
        "00080005",
        "00100010",
        "00100020",
        "00100021",
        "00100030",
        "00100040",
        "00400270",
        "00400253",
        "00400241",
        "00400244",
        "00400245",
        "00080060",
        "00200010",
    }
)


class MissingAttributeError(InvalidContentError):
    """An attribute that has to be there is not, or is empty."""

    def __init__(self, keyword: str, *, empty: bool) -> None:
        super().__init__(f"{keyword} {'is empty' if empty else 'is missing'} (PS3.4 F.7.2.1)")
        self.empty = empty


class StepStatusError(InvalidContentError):
    """A PerformedProcedureStepStatus that is none, or not the one to begin with."""


class InvalidDateError(InvalidContentError):
    """A DA attribute, wherever it stands, has a value that is no date (PS3.5 6.2)."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Which scheduled step was performed: an item of ScheduledStepAttributesSequence."""

    study_uid: str
    accession: str
    step_id: str
    procedure_id: str


@dataclass(frozen=True, slots=True)
class PerformedStep:
    """What a data set of N-CREATE or N-SET says."""

    status: str  # "" where an N-SET says nothing of it
    scheduled: tuple[Scheduled, ...]
    patient_id: str
    station: str
    reason: str  # code value of PerformedProcedureStepDiscontinuationReasonCodeSequence
    content: dict[str, Any]  # all of it in the DICOM JSON model (PS3.18 F.2)


def read_performed_step(encoded: bytes, *, implicit: bool, charset: str) -> PerformedStep:
    """The data set, Little Endian; ``charset`` is what the station speaks if it does not say.

    InvalidDateError names the attribute; InvalidContentError where nothing can be read.
    """
    try:
        dataset = read_dataset(BytesIO(encoded), implicit, True)
        if not dataset.get("SpecificCharacterSet"):
            dataset.SpecificCharacterSet = charset.split("\\")
        dataset.decode()
        content = dataset.to_json_dict(suppress_invalid_tags=True)
        scheduled = tuple(_scheduled(item) for item in dataset.get("ScheduledStepAttributesSequence") or ())
        reasons = dataset.get("PerformedProcedureStepDiscontinuationReasonCodeSequence") or ()
        reason = _text(reasons[0], "CodeValue") if reasons else ""
        texts = [_text(dataset, name) for name in ("PerformedProcedureStepStatus", "PatientID")]
        station = _text(dataset, "PerformedStationAETitle")
        undated = [element.keyword or str(element.tag) for element in dataset.iterall() if _is_no_date(element)]
        json.dumps(content)
    except Exception as error:  # whatever pydicom stumbles over in a peer's bytes is that data set's fault
        raise InvalidContentError(f"the data set cannot be read: {type(error).__name__}") from error
    if undated:
        raise InvalidDateError(f"{undated[0]} is no date, YYYYMMDD")  # its value may be the patient's
    return PerformedStep(texts[0], scheduled, texts[1], station, reason, content)


def check_creation(step: PerformedStep) -> None:
    """MissingAttributeError or StepStatusError where the step cannot begin like this."""
    for keyword in _REQUIRED:
        element = step.content.get(_TAGS[keyword])
        if element is None:
            raise MissingAttributeError(keyword, empty=False)
        if not element.get("Value"):
            raise MissingAttributeError(keyword, empty=True)
    if step.status != IN_PROGRESS:
        raise StepStatusError("a performed procedure step begins as IN PROGRESS (PS3.4 F.7.2.1.2)")


def check_change(step: PerformedStep) -> None:
    """StepStatusError where the status is none that a step can have."""
    if step.status and step.status != IN_PROGRESS and step.status not in FINAL:
        raise StepStatusError(f"{step.status!r} is no PerformedProcedureStepStatus")


def laid_over(before: dict[str, Any], change: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The content after an N-SET, and the tags that it may not change and would have: those stay as they were."""
    kept = {tag: value for tag, value in change.items() if tag not in FIXED}
    refused = [tag for tag in change if tag in FIXED and tag != "00080005" and change[tag] != before.get(tag)]
    return before | kept, refused


_TAGS = {
    "ScheduledStepAttributesSequence": "00400270",
    "PerformedProcedureStepID": "00400253",
    "PerformedStationAETitle": "00400241",
    "PerformedProcedureStepStartDate": "00400244",
    "PerformedProcedureStepStartTime": "00400245",
    "PerformedProcedureStepStatus": "00400252",
    "Modality": "00080060",
}


def _scheduled(item: Dataset) -> Scheduled:
    names = ("StudyInstanceUID", "AccessionNumber", "ScheduledProcedureStepID", "RequestedProcedureID")
    return Scheduled(*(_text(item, name) for name in names))


def _is_no_date(element: DataElement) -> bool:
    """Hyphens are no date; the periods of ACR-NEMA are one still (PS3.5 6.2)."""
    if element.VR != "DA" or element.is_empty:
        return False
    values = [str(value).strip() for value in (element.value if element.VM > 1 else [element.value])]
    return any(value and ("-" in value or read_date(value) is None) for value in values)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
