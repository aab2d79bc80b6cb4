"""Whose the rows of a search are."""

from __future__ import annotations

from typing import Any

from interop.dicom.search_rows import shared_studies


def row(study: str, patient: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"0020000D": {"vr": "UI", "Value": [study]}}
    return found if patient is None else found | {"00100020": {"vr": "LO", "Value": [patient] if patient else []}}


def test_a_study_of_two_patients_is_shared() -> None:
    rows = [row("1.1", "A"), row("1.1", "B"), row("1.2", "A"), row("1.2", "A "), row("1.3", "A"), row("1.3", "")]
    assert shared_studies([*rows, row("1.4"), row("1.4", "C")]) == {"1.1"}
    assert shared_studies([]) == frozenset()
