"""What a modality asks the worklist for, and whether an item is that (PS3.4 C.2.2.2 and K.6.1.2.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from io import BytesIO
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from interop.dicom.character_sets import without_accents
from interop.errors import InvalidContentError

STEP = "ScheduledProcedureStepSequence"
DAY, HOUR = "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"
_WILD = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_PATTERNS = {
    "DA": re.compile(r"\d{8}\Z"),
    "TM": re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?\Z"),
}
_OLD_DAY = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)")  # ACR-NEMA wrote dates so; PS3.5 6.2 asks to read it still

Item = Mapping[str, Any]
Test = Callable[[Item], bool]
Wanted = Mapping[str, "Wanted | None"]


@dataclass(frozen=True, slots=True)
class Key:
    """One matching key with a value."""

    keyword: str
    vr: str
    values: tuple[str, ...]

    @property
    def single(self) -> str | None:
        """The one value that it is to be, if it is neither a list nor a pattern nor a range."""
        value = self.values[0]
        if len(self.values) != 1 or (self.vr in _WILD and ("*" in value or "?" in value)):
            return None
        return None if self.vr in ("DA", "TM") and "-" in value else value


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """A C-FIND identifier, read: what has to match and what is to come back."""

    wanted: Wanted
    keys: tuple[Key, ...] = ()
    step_keys: tuple[Key, ...] = ()
    nested: tuple[tuple[str, tuple[Key, ...]], ...] = ()  # of other sequences
    fold: bool = True  # whether names match without their accents
    unsupported: tuple[str, ...] = ()  # keys with a value that no item has
    tests: tuple[Test, ...] = field(default=(), compare=False)

    def matches(self, item: Item) -> bool:
        """Whether the item, which has one step, is among what was asked for."""
        return all(test(item) for test in self.tests)

    def value_of(self, keyword: str) -> str | None:
        """The single value that is asked for, None if any will do or several."""
        for key in (*self.keys, *self.step_keys):
            if key.keyword == keyword:
                return key.single
        return None

    def list_of(self, keyword: str) -> tuple[str, ...]:
        """The values any of which will do; () where there is a pattern among them, or none is given."""
        for key in (*self.keys, *self.step_keys):
            if key.keyword == keyword and not any("*" in value or "?" in value for value in key.values):
                return key.values
        return ()

    def days(self) -> tuple[date | None, date | None]:
        """The first and last day that steps may start on."""
        for key in self.step_keys:
            if key.keyword == DAY:
                low, high = _range(key.values[0])
                return _date(low), _date(high)
        return None, None


def read_query(
    encoded: bytes, *, implicit: bool, charset: str, supported: frozenset[str], fold: bool = True
) -> WorklistQuery:
    """The query of an encoded identifier, Little Endian. ``charset`` is what the station speaks if it does not say.

    InvalidContentError names the key whose value no such key can have.
    """
    try:
        dataset = read_dataset(BytesIO(encoded), implicit, True)
        if not dataset.get("SpecificCharacterSet"):
            dataset.SpecificCharacterSet = charset.split("\\")
        dataset.decode()
        keys, wanted, nested = _read(dataset)
    except InvalidContentError:
        raise
    except Exception as error:  # whatever pydicom stumbles over in a peer's bytes is that identifier's fault
        raise InvalidContentError(f"the identifier cannot be read: {type(error).__name__}") from error
    unsupported = tuple(key.keyword for key in keys if key.keyword not in supported)
    keys = tuple(key for key in keys if key.keyword in supported)
    step = nested.pop(STEP, ())
    unsupported += tuple(key.keyword for key in step if key.keyword not in supported)
    step = tuple(key for key in step if key.keyword in supported)
    others = tuple((keyword, inner) for keyword, inner in nested.items() if inner and keyword in supported)
    unsupported += tuple(keyword for keyword, inner in nested.items() if inner and keyword not in supported)
    tests = tuple(_tests(keys, step, others, fold))
    return WorklistQuery(wanted, keys, step, others, fold, unsupported, tests)


def _read(dataset: Dataset) -> tuple[tuple[Key, ...], Wanted, dict[str, tuple[Key, ...]]]:
    keys: list[Key] = []
    wanted: dict[str, Wanted | None] = {}
    nested: dict[str, tuple[Key, ...]] = {}
    for element in dataset:
        keyword = keyword_for_tag(element.tag)
        if not keyword or keyword in ("SpecificCharacterSet", "TimezoneOffsetFromUTC"):
            continue
        if element.VR == "SQ":
            items = list(element.value or ())
            if len(items) > 1:
                raise InvalidContentError(f"{keyword} may have one item in a query (PS3.4 C.2.2.2.6)")
            inner, wanted[keyword], _ = _read(items[0]) if items else ((), {}, {})
            nested[keyword] = inner
            continue
        wanted[keyword] = None
        values = _values(element.value)
        if values:
            keys.append(_checked(Key(keyword, element.VR, values)))
    return tuple(keys), wanted, nested


def _values(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    many = value if isinstance(value, (list, tuple)) or _is_multiple(value) else [value]
    found = tuple(str(one).strip(" \0") for one in many)
    return () if any(one in ("", "*") for one in found) else found  # universal (PS3.4 C.2.2.2.3)


def _is_multiple(value: Any) -> bool:
    return hasattr(value, "append") and not isinstance(value, (str, bytes))


def _checked(key: Key) -> Key:
    pattern = _PATTERNS.get(key.vr)
    if pattern is None:
        return key
    values = tuple(_OLD_DAY.sub(r"\1\2\3", value) for value in key.values)
    for value in values:
        for end in _ends(value):
            if end and not pattern.match(end):
                raise InvalidContentError(f"{key.keyword} cannot be {value!r} (PS3.4 C.2.2.2.5)")
    return Key(key.keyword, key.vr, values)


def _ends(value: str) -> tuple[str, str]:
    low, dash, high = value.partition("-")
    return (low.strip(), high.strip()) if dash else (value, value)


def _range(value: str) -> tuple[str, str]:
    return _ends(value)


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if text else None
    except ValueError as error:
        raise InvalidContentError(f"{DAY} has no day {text!r}") from error


def _tests(
    keys: tuple[Key, ...], step: tuple[Key, ...], others: tuple[tuple[str, tuple[Key, ...]], ...], fold: bool
) -> Iterator[Test]:
    for key in keys:
        yield _of_item(key.keyword, _test(key, fold))
    days = next((key for key in step if key.keyword == DAY and len(key.values) == 1), None)
    hours = next((key for key in step if key.keyword == HOUR and len(key.values) == 1), None)
    combined = days is not None and hours is not None and "-" in days.values[0] and "-" in hours.values[0]
    if combined and days is not None and hours is not None:
        yield _period(days.values[0], hours.values[0])
    for key in step:
        if not (combined and key.keyword in (DAY, HOUR)):
            yield _of_sequence(STEP, [(key.keyword, _test(key, fold))])
    for keyword, inner in others:
        yield _of_sequence(keyword, [(key.keyword, _test(key, fold)) for key in inner])


def _of_item(keyword: str, test: Callable[[str], bool]) -> Test:
    return lambda item: _any(test, item.get(keyword))


def _any(test: Callable[[str], bool], value: Any) -> bool:
    """One of several values is enough (PS3.4 C.2.2.2.4)."""
    return any(map(test, value)) if type(value) is list and value else test(_text(value))


def _of_sequence(keyword: str, tests: list[tuple[str, Callable[[str], bool]]]) -> Test:
    """PS3.4 C.2.2.2.6: at least one item of the sequence has all of it."""

    def holds(item: Item) -> bool:
        return any(all(test(_text(one.get(name))) for name, test in tests) for one in item.get(keyword) or ())

    return holds


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _test(key: Key, fold: bool) -> Callable[[str], bool]:
    if key.vr in ("DA", "TM"):
        ranges = [_range(value) for value in key.values]
        return lambda text: any(_within(text, low, high, key.vr) for low, high in ranges)
    if key.vr == "PN":
        names = [_name_test(value, fold) for value in key.values]
        return lambda text: any(test(text) for test in names)
    if key.vr in _WILD:
        patterns = [_pattern(value).match for value in key.values]
        return lambda text: any(match(text) is not None for match in patterns)
    wanted = frozenset(key.values)
    return lambda text: text in wanted


def _within(text: str, low: str, high: str, vr: str) -> bool:
    """PS3.4 C.2.2.2.5; an end that is less exact than the item stands for all of its hour or minute."""
    if not text:
        return False
    first = text if not low else text.ljust(len(low), "0") if vr == "TM" else text
    return (not low or first >= low) and (not high or text[: len(high)] <= high)


def _period(days: str, hours: str) -> Test:
    """Both ranges make one period (PS3.4 K.6.1.2.2): the 5th, 10:00 until the 7th, 18:00."""
    (first, last), (begin, end) = _range(days), _range(hours)
    low = first + _exact(begin or "0", "0") if first else ""
    high = last + _exact(end, "9") if last else ""

    def holds(item: Item) -> bool:
        for step in item.get(STEP) or ():
            day, hour = _text(step.get(DAY)), _text(step.get(HOUR))
            at = day + _exact(hour, "0")
            if day and (not low or at >= low) and (not high or at <= high):
                return True
        return False

    return holds


def _exact(hour: str, filler: str) -> str:
    """HHMMSSFFFFFF, so that text compares as time does."""
    return hour.replace(".", "").ljust(12, filler)


@lru_cache(maxsize=1024)
def _pattern(value: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", value))
    return re.compile("".join(parts) + r"\Z", re.DOTALL)


@lru_cache(maxsize=65536)
def folded(name: str, fold: bool) -> str:
    """A name as it is compared: without case, and without accents where ``fold`` says so (PS3.4 C.2.2.2.1)."""
    lowered = name.casefold()
    return without_accents(lowered).replace("ς", "σ") if fold else lowered


def _name_test(value: str, fold: bool) -> Callable[[str], bool]:
    """One group of the key matches any group of the name; several match the groups in their places."""
    groups = [group.rstrip("^") for group in folded(value, fold).split("=")]
    patterns = [_pattern(group) if group else None for group in groups]

    def holds(name: str) -> bool:
        own = [group.rstrip("^ ") for group in folded(name, fold).split("=")]
        if len(patterns) == 1:
            return patterns[0] is None or any(patterns[0].match(group) for group in own if group)
        own += [""] * (len(patterns) - len(own))
        return all(pattern is None or pattern.match(group) for pattern, group in zip(patterns, own, strict=False))

    return holds
