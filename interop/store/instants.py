"""Instants as the store keeps them: UTC microseconds since the epoch, a whole number that sorts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """The stored form of an aware moment."""
    return (moment - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """The aware UTC moment of a stored form."""
    return _EPOCH + timedelta(microseconds=value)


@lru_cache(maxsize=16)  # units of one group share their moment
def text(value: int) -> str:
    """The FHIR instant (R4 datatypes.html#instant) of a stored form, in UTC with milliseconds."""
    return instant(value).isoformat(timespec="milliseconds")[:-6] + "Z"


def now() -> datetime:
    """This moment in whole milliseconds, the precision that resources show."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
