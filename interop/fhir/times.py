"""Dates and times of R4 as ranges of instants: UTC microseconds since the epoch, half-open [low, high).

A value stands for all instants it could mean: "2026-11" for the whole month, "12:30:00" for that second
(R4 search.html#date). A value without a zone is in the site's.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

SECOND = 1_000_000
DAY = 86_400 * SECOND
EARLIEST = -62_135_596_800 * SECOND  # 0001-01-01T00:00:00Z: an open start
LATEST = 253_402_300_800 * SECOND  # 10000-01-01T00:00:00Z: an open end
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_EPOCH_DAY = 719_163
_TEXT = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?",
    re.ASCII,
)


@lru_cache(maxsize=4096)  # one resource says the same moment to several parameters
def bounds(text: str, zone: tzinfo) -> tuple[int, int]:
    """The range of instants that a date, dateTime, instant or search value stands for; ValueError if it is none."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a date: {text[:40]!r}")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    first = date(int(year), int(month or 1), int(day or 1))
    if hour is None:
        last = first.toordinal() + _days_in(first, month, day)
        return _midnight(first.toordinal(), zone), _midnight(last, zone)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError(f"no such time of day: {text[:40]!r}")
    leap = second == "60"  # counted as the second before it
    local = datetime.combine(first, time(int(hour), int(minute), 59 if leap else int(second or 0)))
    low = (first.toordinal() - _EPOCH_DAY) * DAY + ((local.hour * 60 + local.minute) * 60 + local.second) * SECOND
    low -= _offset(local, offset, zone)
    if second is None:
        return low, low + 60 * SECOND
    if fraction is None:
        return low, low + SECOND
    digits = fraction[:6]
    low += int(digits.ljust(6, "0"))
    return low, low + 10 ** (6 - len(digits))


def instant(text: str, zone: tzinfo) -> datetime:
    """The first instant that the text stands for, in UTC.

    At the ends of the calendar ("9999-12-31" for ever) it is kept a day within it, where every zone can show it.
    """
    first = min(max(bounds(text, zone)[0], EARLIEST + DAY), LATEST - DAY)
    return EPOCH + timedelta(microseconds=first)


def has_zone(text: str) -> bool:
    """Whether the text names its own zone."""
    return text.endswith("Z") or (len(text) > 16 and text[-6] in "+-")


def micros(moment: datetime) -> int:
    """An aware datetime as UTC microseconds."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _days_in(first: date, month: str | None, day: str | None) -> int:
    if day is not None:
        return 1
    if month is not None:
        return monthrange(first.year, first.month)[1]
    return 366 if monthrange(first.year, 2)[1] == 29 else 365


def _midnight(ordinal: int, zone: tzinfo) -> int:
    local = datetime.fromordinal(min(ordinal, date.max.toordinal()))
    return (ordinal - _EPOCH_DAY) * DAY - _offset(local, None, zone)


def _offset(local: datetime, written: str | None, zone: tzinfo) -> int:
    if written is None:
        ahead = zone.utcoffset(local.replace(tzinfo=zone)) if zone is not UTC else None
        return 0 if ahead is None else ahead // timedelta(microseconds=1)
    if written == "Z":
        return 0
    hours, minutes = int(written[1:3]), int(written[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError(f"no such zone: {written}")
    size = (hours * 60 + minutes) * 60 * SECOND
    return size if written[0] == "+" else -size
