"""What a search may ask for, and what is said of what an archive does not hear."""

from __future__ import annotations

from typing import Any

import pytest

from interop.dicomweb.search_keys import checked, of_the_patient, unheard
from interop.errors import UnsupportedError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StudyDate", "20260801"),
        ("StudyDate", "20260801-"),
        ("00080020", "-20260801"),
        ("PatientBirthDate", "19000101-20240229"),
        ("PatientID", "*"),
        ("StudyDate", ""),
        ("StudyTime", "10"),
        ("StudyTime", "0900-1130"),
        ("00080030", "235959.5-"),
        ("PatientID", "2026-08-01"),
        ("Nonsense", "2026-08-01"),
        ("includefield", "all"),
        ("fuzzymatching", "false"),
    ],
)
def test_what_a_key_can_be(name: str, value: str) -> None:
    assert checked(name, value) == value


@pytest.mark.parametrize("name", ["StudyDate", "00080030", "SeriesInstanceUID", "Rows"])
def test_any_value_of_what_has_no_wildcards_is_nothing(name: str) -> None:
    assert checked(name, "*") == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StudyDate", "2026-08-01"),
        ("00080020", "20261301"),
        ("StudyDate", "20260230-20260301"),
        ("StudyDate", "20260801,20260802"),
        ("StudyDate", "-"),
        ("StudyDate", "today"),
        ("StudyTime", "10:00"),
        ("StudyTime", "1"),
        ("StudyTime", "0900-noon"),
        ("fuzzymatching", "maybe"),
    ],
)
def test_what_no_key_can_be_is_refused_in_words(name: str, value: str) -> None:
    with pytest.raises(UnsupportedError, match=name):
        checked(name, value)


def test_what_is_not_heard_is_said() -> None:
    assert unheard([("PatientID", "1"), ("00100020", "1"), ("includefield", "x"), ("fuzzymatching", "false")]) == ()
    said = unheard(
        [
            ("patientid", "1"),
            ("patientid", "2"),
            ("99990010", "x"),
            ("RequestAttributesSequence.RequestedProcedureID", "R1"),
            ("fuzzymatching", checked("fuzzymatching", "TRUE")),
            ("emptyvaluematching", "true"),
            ("multiplevaluematching", "true"),
        ]
    )
    assert said[0] == "The fuzzymatching parameter is not supported. Only literal matching has been performed."
    assert [text.split(" ")[0] for text in said[3:]] == [
        "patientid",
        "99990010",
        "RequestAttributesSequence.RequestedProcedureID",
    ]
    assert len(said) == 6


def test_a_patients_number_has_capitals() -> None:
    def row(*patient: str) -> dict[str, Any]:
        return {"00100020": {"vr": "LO", "Value": list(patient)}} if patient else {}

    rows = [row("P7"), row("p7"), row(), row("P8 ")]
    assert of_the_patient(rows, [("PatientID", "P7")]) == [rows[0], rows[2]]
    assert of_the_patient(rows, [("00100020", "p7,P8")]) == rows[1:]
    for either in ("P*", "P?", "", "P7,"):
        assert of_the_patient(rows, [("PatientID", either)]) == rows
    assert of_the_patient(rows, [("PatientName", "P7")]) == rows
