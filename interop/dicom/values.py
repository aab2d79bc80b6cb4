"""Values of data elements checked against their value representation (PS3.5 table 6.2-1) before they are written.

pydicom writes what it is given and warns; a worklist item must not leave with a value that a modality stumbles over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from interop.dicom.person_names import checked_person_name
from interop.dicom.times import read_date, write_date, write_time
from interop.dicom.uids import is_uid
from interop.errors import InvalidContentError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_OF_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")  # CR LF FF TAB are allowed in ST, LT and UT
_LENGTHS = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "UC": 2**31, "UT": 2**31}
_TEXTS = frozenset({"ST", "LT", "UT"})  # a backslash in these is a character, not a separator
_PATTERNS = {
    "AE": re.compile(r"[\x20-\x5b\x5d-\x7e]+\Z"),
    "CS": re.compile(r"[A-Z0-9_ ]+\Z"),
    "AS": re.compile(r"\d{3}[DWMY]\Z"),
    "DA": re.compile(r"\d{8}\Z"),
    "TM": re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?|60)?)?\Z"),
    "DS": re.compile(r"(?=.{1,16}\Z)[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?\Z"),
    "IS": re.compile(r"[+-]?\d{1,10}\Z"),
}


def dataset_of(attributes: Mapping[str, Any], path: str = "") -> Dataset:
    """A Dataset of values by keyword; a sequence is a list of such mappings. None and "" make an empty element."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise InvalidContentError(f"{path}{keyword} is no DICOM keyword")
        vr, place = dictionary_VR(tag), path + keyword
        if vr == "SQ":
            content: Any = [dataset_of(item, f"{place}[{index}].") for index, item in items_of(value, place)]
        else:
            content = checked_value(vr, dictionary_VM(tag), value, place)
        dataset.add_new(tag, vr, content)
    return dataset


def checked_value(vr: str, multiplicity: str, value: Any, place: str) -> Any:
    """The value as text or whole number, several as a list, None if empty; InvalidContentError if the VR forbids it."""
    if value is None or value == "":
        return None
    several = not isinstance(value, str) and isinstance(value, Sequence)
    values = [_checked(vr, one, place) for one in (value if several else (value,))]
    if len(values) > 1 and multiplicity == "1":
        raise InvalidContentError(f"{place} takes one value, not {len(values)}")
    return values if len(values) > 1 else (values[0] if values else None)


def items_of(value: Any, place: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """The items of a sequence, with their numbers."""
    if value is None:
        return ()
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise InvalidContentError(f"{place} is a sequence: a list of items")
    return enumerate(value)


def _checked(vr: str, value: Any, place: str) -> Any:
    check = _CHECKS.get(vr)
    if check is None:
        raise InvalidContentError(f"{place}: values of {vr} are not written here")
    return check(vr, value, place)


def _string(vr: str, value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidContentError(f"{place} has to be text")
    longest = _LENGTHS.get(vr)
    if longest is not None and len(value) > longest:
        raise InvalidContentError(f"{place} is {vr}: at most {longest} characters, not {len(value)}")
    forbidden = _CONTROL_OF_TEXT if vr in _TEXTS else _CONTROL
    if forbidden.search(value) or (vr not in _TEXTS and "\\" in value):
        raise InvalidContentError(f"{place} is {vr}: no backslash and no control character")
    pattern = _PATTERNS.get(vr)
    if pattern is not None and value and not pattern.match(value):
        raise InvalidContentError(f"{place}: not a value of {vr}")
    return value


def _person(vr: str, value: Any, place: str) -> str:
    try:
        return checked_person_name(_string(vr, value, place))
    except InvalidContentError as error:
        raise InvalidContentError(error.text if error.text.startswith(place) else f"{place}: {error.text}") from error


def _uid(vr: str, value: Any, place: str) -> str:
    text = _string(vr, value, place)
    if not is_uid(text):
        raise InvalidContentError(f"{place}: not a UID (PS3.5 9.1)")
    return text


def _day(vr: str, value: Any, place: str) -> str:
    text = write_date(value) if isinstance(value, date) else _string(vr, value, place)
    if read_date(text) is None:
        raise InvalidContentError(f"{place}: no such day")
    return text


def _hour(vr: str, value: Any, place: str) -> str:
    return write_time(value) if isinstance(value, time) else _string(vr, value, place)


def _number(vr: str, value: Any, place: str) -> str:
    number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return _string(vr, str(value) if number else value, place)


def _integer(_vr: str, value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**16:
        raise InvalidContentError(f"{place} has to be a number from 0 to 65535")
    return value


_CHECKS: dict[str, Callable[[str, Any, str], Any]] = {
    **dict.fromkeys(("AE", "AS", "CS", "LO", "LT", "SH", "ST", "UC", "UT"), _string),
    "PN": _person,
    "UI": _uid,
    "DA": _day,
    "TM": _hour,
    "DS": _number,
    "IS": _number,
    "US": _integer,
}
