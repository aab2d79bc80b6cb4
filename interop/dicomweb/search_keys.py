"""The keys of a search: what no value can be, what an archive leaves unheard, and what it hears too widely."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from interop.dicom.search_keys import representation_of
from interop.errors import UnsupportedError

_DATE = re.compile(r"([0-9]{8})?(?:(-)([0-9]{8})?)?")
_TIME = re.compile(r"(?:[0-9]{2}){1,3}(?:\.[0-9]{1,6})?")
_SEPARATOR = re.compile(r"[,\\]")
_PATIENT_ID, _PATIENT_ID_TAG = ("PatientID", "00100020"), "00100020"
_NOT_MATCHED = {  # PS3.18 8.3.4.2, 8.3.4.1.2 and 8.3.4.1.3, whose words these are
    "fuzzymatching": "The fuzzymatching parameter is not supported. Only literal matching has been performed.",
    "emptyvaluematching": "The emptyvaluematching parameter is not supported. Empty Value Matching has not been "
    "performed.",
    "multiplevaluematching": "The multiplevaluematching parameter is not supported. Multiple Value Matching has not "
    "been performed.",
}
_TEXTS = frozenset(
    {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
)  # that have wildcards (PS3.4 C.2.2.2.4)
_NO_KEYS = frozenset({"includefield", "limit", "offset", *_NOT_MATCHED})

Parameters = Sequence[tuple[str, str]]


def checked(name: str, value: str) -> str:
    """The value as an archive reads it; UnsupportedError (400) for one that such a key cannot have.

    Orthanc finds nothing by a date that is none, which looks like an empty archive.
    """
    if name in _NOT_MATCHED:
        if value.lower() not in ("true", "false"):
            raise UnsupportedError(f"{name} is true or false")
        return value.lower()
    if not value or name in _NO_KEYS:
        return value
    kind = representation_of(name)
    if value == "*":  # any value, which of a date or a UID only nothing says (PS3.4 C.2.2.2.3)
        return value if kind in _TEXTS else ""
    if kind == "DA" and not _is_dates(value):
        raise UnsupportedError(f"{name} is a date (20260801) or a range of dates (20260801-20260831)")
    if kind == "TM" and not all(_TIME.fullmatch(each) for each in value.split("-", 1) if each):
        raise UnsupportedError(f"{name} is a time (101500) or a range of times (1000-1200)")
    return value


def _is_dates(value: str) -> bool:
    found = _DATE.fullmatch(value)
    if found is None or value == "-":
        return False
    try:
        for day in filter(None, (found[1], found[3])):
            date.fromisoformat(day)
    except ValueError:
        return False
    return True


def unheard(parameters: Parameters) -> tuple[str, ...]:
    """What an Orthanc makes nothing of, in words for Warning headers: it shows what it would without them."""
    said = [text for name, text in _NOT_MATCHED.items() if (name, "true") in parameters]
    for name in dict.fromkeys(name for name, _ in parameters):
        if not _is_heard(name):
            said.append(f"{name} is no attribute that this archive searches by. It was ignored.")
    return tuple(said)


def heard(parameters: Parameters) -> list[tuple[str, str]]:
    """The others."""
    return [(name, value) for name, value in parameters if _is_heard(name)]


def _is_heard(name: str) -> bool:
    return name in _NO_KEYS or representation_of(name) is not None


def of_the_patient(rows: Sequence[dict[str, Any]], parameters: Parameters) -> list[dict[str, Any]]:
    """The rows with a PatientID that is asked for as it stands.

    Orthanc hears no difference of capitals, which PatientID makes (PS3.4 C.2.2.2.1): another patient's studies.
    """
    asked = {each.strip() for name, value in parameters if name in _PATIENT_ID for each in _SEPARATOR.split(value)}
    if not asked or any(not each or "*" in each or "?" in each for each in asked):
        return list(rows)
    return [row for row in rows if _patient_of(row) in (None, *asked)]


def _patient_of(row: dict[str, Any]) -> str | None:
    """None where the row does not tell."""
    values = row.get(_PATIENT_ID_TAG, {}).get("Value")
    return str(values[0]).strip() if isinstance(values, list) and values else None
