"""A worklist item is complete, checked and readable by others."""

from collections.abc import Callable
from copy import deepcopy
from datetime import date, time
from decimal import Decimal
from io import BytesIO
from typing import Any

import pydicom
import pytest

from interop.dicom.worklist import worklist_bytes
from interop.errors import InvalidContentError

ITEM: dict[str, Any] = {
    "AccessionNumber": "IMG0000000000001",
    "PatientName": "Παπαδόπουλος^Νίκος",
    "PatientID": "123",
    "PatientBirthDate": "19800102",
    "PatientSex": "M",
    "PatientWeight": Decimal("70.5"),
    "IssuerOfPatientID": "HOSP",
    "StudyInstanceUID": "2.25.329800735698586629295641978511506172918",
    "RequestedProcedureID": "RP1",
    "RequestedProcedureDescription": "Διαθωρακικό υπερηχοκαρδιογράφημα",
    "RequestedProcedureCodeSequence": [
        {"CodeValue": "TTE", "CodingSchemeDesignator": "99HOSP", "CodeMeaning": "Transthoracic echo"}
    ],
    "ScheduledProcedureStepSequence": [
        {
            "Modality": "US",
            "ScheduledStationAETitle": "US1",
            "ScheduledProcedureStepStartDate": date(2026, 11, 21),
            "ScheduledProcedureStepStartTime": time(10, 15),
            "ScheduledProcedureStepID": "SPS1",
            "ScheduledProcedureStepDescription": "TTE",
        }
    ],
}


def read(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(content))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    item = deepcopy(ITEM)
    change(item)
    return item


def test_values_stand_where_a_modality_looks_for_them() -> None:
    item = read(worklist_bytes(ITEM))
    assert item.SpecificCharacterSet == "ISO_IR 192"
    assert str(item.PatientName) == "Παπαδόπουλος^Νίκος"
    assert item.RequestedProcedureDescription == "Διαθωρακικό υπερηχοκαρδιογράφημα"
    assert item.RequestedProcedureCodeSequence[0].CodeMeaning == "Transthoracic echo"
    assert item.PatientWeight == Decimal("70.5")
    (step,) = item.ScheduledProcedureStepSequence
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == ("20261121", "101500")


def test_the_same_attributes_give_the_same_bytes() -> None:
    assert worklist_bytes(ITEM) == worklist_bytes(deepcopy(ITEM))
    assert worklist_bytes(ITEM) != worklist_bytes({**ITEM, "PatientID": "124"})


def test_what_is_returned_with_type_2_is_there_though_empty() -> None:
    item = read(worklist_bytes(ITEM))
    for keyword in ("ReferringPhysicianName", "AdmissionID", "PregnancyStatus", "ReferencedStudySequence"):
        assert keyword in item
        assert not item[keyword].value
    assert "ScheduledPerformingPhysicianName" in item.ScheduledProcedureStepSequence[0]


def test_japanese_names_keep_their_three_groups() -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert str(read(worklist_bytes({**ITEM, "PatientName": name})).PatientName) == name


def step(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda item: item["ScheduledProcedureStepSequence"][0].update(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda item: item.pop("PatientName"), "PatientName"),
        (lambda item: item.update(PatientID=""), "PatientID"),
        (lambda item: item.pop("StudyInstanceUID"), "StudyInstanceUID"),
        (lambda item: item.pop("ScheduledProcedureStepSequence"), "one item"),
        (lambda item: item["ScheduledProcedureStepSequence"].append({}), "one item"),
        (step(ScheduledStationAETitle=["US1", "US2"]), "ScheduledStationAETitle"),
        (step(ScheduledProcedureStepStartDate=""), "ScheduledProcedureStepStartDate"),
        (step(ScheduledProcedureStepDescription=""), "ScheduledProtocolCodeSequence"),
        (step(Modality="us"), r"ScheduledProcedureStepSequence\[0\].Modality: not a value of CS"),
        (step(ScheduledStationAETitle="A" * 17), "at most 16"),
        (step(ScheduledProcedureStepStartDate="2026-11-21"), "not a value of DA"),
        (step(ScheduledProcedureStepStartDate="20260231"), "no such day"),
        (step(ScheduledProcedureStepStartTime="2515"), "not a value of TM"),
        (lambda item: item.update(AccessionNumber="A" * 17), "AccessionNumber is SH: at most 16 characters, not 17"),
        (lambda item: item.update(AccessionNumber="A\\B"), "AccessionNumber is SH: no backslash"),
        (lambda item: item.update(AccessionNumber=7), "AccessionNumber has to be text"),
        (lambda item: item.update(PatientID="1\x1b$B"), "PatientID is LO: no backslash and no control"),
        (lambda item: item.update(PatientName="A\\B"), "PatientName"),
        (lambda item: item.update(PatientName="A" * 65), "PatientName: a person name has at most 64"),
        (lambda item: item.update(StudyInstanceUID="1.02"), "StudyInstanceUID: not a UID"),
        (lambda item: item.update(PatientSex=["M", "F"]), "PatientSex takes one value"),
        (lambda item: item.update(PatientWeight="heavy"), "PatientWeight: not a value of DS"),
        (lambda item: item.update(PregnancyStatus=-1), "PregnancyStatus"),
        (lambda item: item.update(PatientNme="x"), "PatientNme is no DICOM keyword"),
        (lambda item: item.update(RequestedProcedureCodeSequence={"CodeValue": "x"}), "is a sequence"),
        (lambda item: item.update(SpecificCharacterSet="ISO_IR 100"), "ISO_IR 192"),
        (lambda item: item.update(PixelData=b"x"), "not written here"),
    ],
)
def test_what_a_modality_would_stumble_over_is_refused_by_name(
    change: Callable[[dict[str, Any]], object], said: str
) -> None:
    with pytest.raises(InvalidContentError, match=said):
        worklist_bytes(changed(change))
