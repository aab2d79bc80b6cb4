"""Rows of a search as DICOM JSON (PS3.18 F): whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_STUDY, _PATIENT_ID = "0020000D", "00100020"


def shared_studies(rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The StudyInstanceUIDs under which rows name several patients, those without a number not counted.

    A UID is one study of one patient (PS3.3 A.1.2); where a device gave it twice, an archive has both under it.
    """
    patients: dict[str, set[str]] = {}
    for row in rows:
        if patient := _value(row, _PATIENT_ID):
            patients.setdefault(_value(row, _STUDY), set()).add(patient)
    return frozenset(study for study, numbers in patients.items() if len(numbers) > 1)


def _value(row: Mapping[str, Any], tag: str) -> str:
    values = row.get(tag, {}).get("Value")
    return str(values[0]).strip() if isinstance(values, list) and values and values[0] is not None else ""
