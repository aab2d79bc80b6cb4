"""Matching keys as PS3.4 C.2.2.2 has them, held against plain readings of the same rules."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from interop.dicom.worklist_query import STEP, read_query
from interop.errors import InvalidContentError

SUPPORTED = frozenset(
    {
        "PatientName",
        "PatientID",
        "AccessionNumber",
        "StudyInstanceUID",
        "RequestedProcedureCodeSequence",
        "CodeValue",
        STEP,
        "Modality",
        "ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime",
    }
)
LETTERS = "abAB12"


def encoded(dataset: Dataset, *, implicit: bool = True) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, True
    write_dataset(buffer, dataset)
    return bytes(buffer.parent.getvalue())


def matches(item: dict[str, Any], *, fold: bool = True, **keys: Any) -> bool:
    query, step = Dataset(), Dataset()
    query.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        inner = keyword in ("Modality", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime")
        setattr(step if inner else query, keyword, value)
    query.ScheduledProcedureStepSequence = [step]
    found = read_query(encoded(query), implicit=True, charset="ISO_IR 192", supported=SUPPORTED, fold=fold)
    return found.matches(item)


@given(st.text(LETTERS + "*?", min_size=1, max_size=8), st.text(LETTERS, max_size=8))
def test_wildcards_are_those_of_the_shell(pattern: str, value: str) -> None:
    expected = pattern == "*" or fnmatch.fnmatchcase(value, pattern)
    assert matches({"PatientID": value, STEP: [{}]}, PatientID=pattern) == expected


@given(st.text("αάΑΆσςΣ^oO", min_size=1, max_size=8), st.booleans())
def test_a_name_is_found_however_it_is_written(name: str, upper: bool) -> None:
    name = name.strip("^") or "α"
    item = {"PatientName": name, STEP: [{}]}
    written = name.upper() if upper else name
    assert matches(item, PatientName=written)


@pytest.mark.parametrize(
    ("key", "name", "fold", "found"),
    [
        ("ΠΑΠΑΔΟΠΟΥΛΟΣ*", "Παπαδόπουλος^Νίκος", True, True),
        ("ΠΑΠΑΔΟΠΟΥΛΟΣ*", "Παπαδόπουλος^Νίκος", False, False),
        ("παπαδόπουλος*", "Παπαδόπουλος^Νίκος", False, True),
        ("Παπαδόπουλος^Νίκος^^^", "Παπαδόπουλος^Νίκος", True, True),
        ("山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True, True),
        ("yamada*", "Yamada^Tarou=山田^太郎", True, True),
        ("=山田^太郎", "Yamada^Tarou=山田^太郎", True, True),
        ("Suzuki=山田*", "Yamada^Tarou=山田^太郎", True, False),
        ("Müller", "MULLER", True, True),
        ("*", "", True, True),
        ("?*", "", True, False),
    ],
)
def test_names(key: str, name: str, fold: bool, found: bool) -> None:
    assert matches({"PatientName": name, STEP: [{}]}, fold=fold, PatientName=key) == found


HOURS = st.integers(0, 235959).map(lambda n: f"{n // 10000:02}{n // 100 % 100 % 60:02}{n % 100 % 60:02}")
DAYS = st.integers(1, 28).map(lambda day: f"202611{day:02}")


@given(DAYS, DAYS, DAYS)
def test_ranges_of_days_include_their_ends(low: str, high: str, day: str) -> None:
    item = {STEP: [{"ScheduledProcedureStepStartDate": day}]}
    assert matches(item, ScheduledProcedureStepStartDate=f"{low}-{high}") == (low <= day <= high)
    assert matches(item, ScheduledProcedureStepStartDate=f"{low}-") == (low <= day)
    assert matches(item, ScheduledProcedureStepStartDate=f"-{high}") == (day <= high)
    assert matches(item, ScheduledProcedureStepStartDate=low) == (low == day)


@given(DAYS, HOURS, DAYS, HOURS, DAYS, HOURS)
def test_two_ranges_make_one_period(day1: str, hour1: str, day2: str, hour2: str, day: str, hour: str) -> None:
    item = {STEP: [{"ScheduledProcedureStepStartDate": day, "ScheduledProcedureStepStartTime": hour}]}
    found = matches(
        item,
        ScheduledProcedureStepStartDate=f"{day1}-{day2}",
        ScheduledProcedureStepStartTime=f"{hour1}-{hour2}",
    )
    assert found == (day1 + hour1 <= day + hour <= day2 + hour2)


def test_an_hour_stands_for_all_of_it() -> None:
    item = {STEP: [{"ScheduledProcedureStepStartTime": "103059"}]}
    assert matches(item, ScheduledProcedureStepStartTime="10")
    assert matches(item, ScheduledProcedureStepStartTime="1000-1030")
    assert not matches(item, ScheduledProcedureStepStartTime="1031-")


def test_sequences_match_where_one_item_does() -> None:
    code = Dataset()
    code.CodeValue = "B*"
    item = {"RequestedProcedureCodeSequence": [{"CodeValue": "A1"}, {"CodeValue": "B1"}], STEP: [{}]}
    assert matches(item, RequestedProcedureCodeSequence=[code])
    assert not matches({STEP: [{}]}, RequestedProcedureCodeSequence=[code])
    assert matches({STEP: [{}]}, RequestedProcedureCodeSequence=[Dataset()])


def test_lists_of_values_match_any() -> None:
    assert matches({STEP: [{"Modality": "MR"}]}, Modality=["CT", "MR"])
    assert not matches({STEP: [{"Modality": "US"}]}, Modality=["CT", "MR"])
    assert matches({"StudyInstanceUID": "1.2.4", STEP: [{}]}, StudyInstanceUID=["1.2.3", "1.2.4"])
    assert not matches({"StudyInstanceUID": "1.2.41", STEP: [{}]}, StudyInstanceUID="1.2.4")


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_query_or_refused(raw: bytes, implicit: bool) -> None:
    try:
        query = read_query(raw, implicit=implicit, charset="ISO_IR 126", supported=SUPPORTED)
    except InvalidContentError:
        return
    query.matches({"PatientName": "A", STEP: [{}]})
