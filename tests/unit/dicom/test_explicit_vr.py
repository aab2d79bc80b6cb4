"""What is encoded here reads in pydicom as what was meant, and as pydicom itself would have written it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from interop.dicom.explicit_vr import encode
from interop.dicom.values import dataset_of
from interop.errors import InvalidContentError

ATTRIBUTES: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "PatientID": "12345",
    "PatientComments": "ένα σχόλιο\r\nσε δύο γραμμές",
    "OtherPatientNames": ["Α^Β", "Γ^Δ"],
    "PregnancyStatus": 4,
    "PatientWeight": "70.5",
    "StudyInstanceUID": "1.2.3",
    "PatientBirthDate": None,
    "ReferencedStudySequence": [],
    "ScheduledProcedureStepSequence": [
        {
            "Modality": "US",
            "ScheduledProtocolCodeSequence": [{"CodeValue": "A"}, {"CodeValue": "BC", "CodeMeaning": ""}],
        }
    ],
    "LongCodeValue": "x" * 99,
}


def by_pydicom(attributes: dict[str, Any]) -> bytes:
    body = DicomBytesIO()
    body.is_implicit_VR, body.is_little_endian = False, True
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.update(dataset_of(attributes))
    write_dataset(body, dataset)
    written: bytes = body.getvalue()
    return written


def test_the_bytes_are_those_that_pydicom_writes() -> None:
    assert encode(ATTRIBUTES) == by_pydicom(ATTRIBUTES)


_CHARACTERS = st.characters(exclude_categories=("C", "Z"), exclude_characters="\\^=")
_ITEM = {
    "PatientName": st.text(_CHARACTERS, max_size=64),
    "PatientID": st.text(_CHARACTERS, max_size=64),
    "AccessionNumber": st.text(_CHARACTERS, max_size=16),
    "PatientComments": st.text(_CHARACTERS, max_size=300),
    "OtherPatientNames": st.lists(st.text(_CHARACTERS, min_size=1, max_size=64), min_size=2, max_size=3),
    "PatientBirthDate": st.none() | st.dates().map(lambda day: f"{day:%Y%m%d}".zfill(8)),
    "PregnancyStatus": st.integers(0, 65535),
    "StudyInstanceUID": st.integers(0, 2**128 - 1).map(lambda number: f"2.25.{number}"),
    "LongCodeValue": st.text(_CHARACTERS, max_size=100),
}
_ITEMS = st.fixed_dictionaries({}, optional=_ITEM)


@given(
    st.fixed_dictionaries({}, optional={**_ITEM, "ScheduledProcedureStepSequence": st.lists(_ITEMS, max_size=2)}),
)
def test_whatever_is_allowed_is_written_as_pydicom_writes_it(attributes: dict[str, Any]) -> None:
    attributes = {"SpecificCharacterSet": "ISO_IR 192", **attributes}
    assert encode(attributes) == by_pydicom(attributes)
    assert encode(attributes) == encode(attributes)  # what was written before is taken from memory


def test_the_values_read_back() -> None:
    read = dcmread(BytesIO(encode(ATTRIBUTES)), force=True)
    assert str(read.PatientName) == ATTRIBUTES["PatientName"]
    assert read.PatientComments == ATTRIBUTES["PatientComments"]
    assert [str(one) for one in read.OtherPatientNames] == ["Α^Β", "Γ^Δ"]
    assert read.ScheduledProcedureStepSequence[0].ScheduledProtocolCodeSequence[1].CodeValue == "BC"


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"NoSuchThing": "1"}, "NoSuchThing is no DICOM keyword"),
        ({"AccessionNumber": "A" * 17}, "AccessionNumber"),
        ({"ReferencedStudySequence": "text"}, "ReferencedStudySequence"),
        ({"ReferencedStudySequence": [{"StudyInstanceUID": "x"}]}, r"ReferencedStudySequence\[0\].StudyInstanceUID"),
        ({"OtherPatientIDs": ["A" * 64] * 1100}, "too long"),
    ],
)
def test_what_a_value_representation_forbids_is_refused_by_its_place(attributes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidContentError, match=named):
        encode(attributes)
