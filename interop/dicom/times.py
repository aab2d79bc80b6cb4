"""DICOM dates and times (PS3.5 6.2, DA and TM): they have no zone unless TimezoneOffsetFromUTC (0008,0201) says one."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

# The periods are of ACR-NEMA (PS3.5 6.2 note: "yyyy.mm.dd" shall be readable), the hyphens of careless devices.
_DA = re.compile(r"(\d{4})([.-]?)(\d{2})\2(\d{2})\Z")
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6})\d*)?)?)?\Z")
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})\Z")


def read_date(text: str | None) -> date | None:
    """A DA value; None where it is empty or no date. ``1997.04.24`` counts."""
    match = _DA.match((text or "").strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None


def read_time(text: str | None) -> time | None:
    """A TM value, cut to what it states; None where it is empty or no time. A leap second counts as second 59."""
    match = _TM.match((text or "").strip())
    if match is None:
        return None
    try:
        second = min(int(match[3] or 0), 59) if match[3] != "60" else 59
        return time(int(match[1]), int(match[2] or 0), second, int((match[4] or "").ljust(6, "0")))
    except ValueError:
        return None


def read_offset(text: str | None) -> timezone | None:
    """TimezoneOffsetFromUTC, -1200 to +1400 (PS3.3 C.12.1.1.8); None where it is empty, or out of range."""
    match = _OFFSET.match((text or "").strip())
    if match is None or int(match[3]) > 59:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3])) * (-1 if match[1] == "-" else 1)
    return timezone(offset) if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None


def instant(day: str | None, hour: str | None, offset: str | None, zone: tzinfo) -> datetime | date | None:
    """The aware instant of a DA and a TM, in the stated offset or else in the site's zone; the date if no time stands.

    A wall time that the zone skips is moved as the clocks were; one that it has twice means the first. The result
    carries a fixed offset: with the zone itself, an instant in the repeated hour compares unequal to every other.
    """
    on = read_date(day)
    at = read_time(hour)
    if on is None or at is None:
        return on
    stated = read_offset(offset)
    if stated is not None:
        return datetime.combine(on, at, stated)
    local = datetime.combine(on, at, zone)
    with suppress(OverflowError):  # at the ends of the calendar no clock was moved
        local = local.astimezone(UTC).astimezone(zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta(0)), fold=0)


def write_date(day: date) -> str:
    """A DA value."""
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def write_time(at: time) -> str:
    """A TM value to the second, and the fraction where there is one."""
    text = f"{at.hour:02d}{at.minute:02d}{at.second:02d}"
    return f"{text}.{at.microsecond:06d}" if at.microsecond else text


def wall_clock(at: datetime, zone: tzinfo) -> tuple[str, str]:
    """DA and TM of an aware instant as the site's clocks show it; as it was stated where their calendar ends."""
    if at.tzinfo is None:
        raise ValueError("an instant without a zone is no instant")
    try:
        local = at.astimezone(zone)
    except OverflowError:  # 9999-12-31 for "for ever"
        local = at
    return write_date(local.date()), write_time(local.time())
