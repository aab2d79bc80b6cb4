"""HL7 v2 dates and times (v2.5.1 2.A.22, DTM) as FHIR dates, dateTimes and instants, and back.

FHIR has no time without a zone: a time that states none is on the sender's clock. Stated offsets are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

_DTM = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(\.\d{1,9})?)?)?)?)?)?(?:([+-])(\d{2})(\d{2}))?\Z",
    re.ASCII,
)
_FHIR = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2}):(\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})?)?)?)?\Z", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A DTM in FHIR's spelling."""

    date: str  # as far as it goes: 2026, 2026-11, 2026-11-21
    instant: str | None  # with hour, seconds and zone; None for a mere day

    @property
    def date_time(self) -> str:
        """dateTime."""
        return self.instant or self.date


@lru_cache(maxsize=4096)
def dtm(text: str, zone: tzinfo) -> Moment | None:
    """The moment that the text states; None if it is empty or no DTM."""
    if len(text) in (8, 14) and text[0] in "12" and text.isascii() and text.isdigit():
        try:
            if len(text) == 8:
                return Moment(date.fromisoformat(text).isoformat(), None)
            at = datetime.fromisoformat(f"{text[:8]}T{text[8:]}").replace(tzinfo=zone)
        except ValueError:
            return None
        spelled = at.isoformat()
        if len(spelled) == 25:  # no seconds in the offset, as in all since about 1900
            return Moment(spelled[:10], spelled)
    match = _DTM.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        date(int(year), int(month or 1), int(day or 1))
        whole = "-".join(part for part in (year, month, day) if part)
        if hour is None:
            return Moment(whole, None)
        clock = timezone(timedelta(minutes=int(f"{sign}1") * (int(hours) * 60 + int(minutes)))) if sign else zone
        at = datetime(int(year), int(month), int(day), int(hour), int(minute or 0), int(second or 0), tzinfo=clock)
    except ValueError:
        return None
    spelled = at.replace(tzinfo=None).isoformat()  # strftime would write the year 8 as "8"
    return Moment(whole, f"{spelled}{fraction or ''}{_spelled(at.utcoffset())}")


def _spelled(offset: timedelta | None) -> str:
    total = int((offset or timedelta()).total_seconds()) // 60
    return f"{'-' if total < 0 else '+'}{abs(total) // 60:02d}:{abs(total) % 60:02d}"


def fhir_instant(text: str, zone: tzinfo) -> datetime | date | None:
    """A FHIR date or dateTime: an aware datetime, a date where only the day is given, None if it is less or neither."""
    match = _FHIR.match(text)
    if match is None or match[3] is None:
        return None
    try:
        if match[4] is None:
            return date(int(match[1]), int(match[2]), int(match[3]))
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def fhir_to_dtm(text: str, zone: tzinfo) -> str:
    """A FHIR date, dateTime or instant as DTM with its offset; "" if it is none of them."""
    match = _FHIR.match(text)
    if match is None:
        return ""
    if match[4] is None:
        return "".join(part for part in match.groups()[:3] if part)
    moment = fhir_instant(text, zone)
    if not isinstance(moment, datetime):
        return ""
    fraction = (match[7] or "")[:5]  # DTM has four digits at most
    return f"{moment.year:04d}{moment:%m%d%H%M%S}{fraction}{moment:%z}"
