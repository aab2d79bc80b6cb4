"""Dates as ranges of instants: https://hl7.org/fhir/R4/search.html#date"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.fhir.times import EARLIEST, EPOCH, LATEST, bounds, has_zone, instant, micros

NICOSIA = ZoneInfo("Asia/Nicosia")


def at(text: str) -> int:
    return micros(datetime.fromisoformat(text))


VECTORS = [
    ("2026", "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
    ("2024", "2024-01-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"),
    ("2026-02", "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"),
    ("2024-02", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
    ("2026-12", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
    ("2026-12-31", "2026-12-31T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
    ("2026-01-01T10:30", "2026-01-01T10:30:00+00:00", "2026-01-01T10:31:00+00:00"),
    ("2026-01-01T10:30:15", "2026-01-01T10:30:15+00:00", "2026-01-01T10:30:16+00:00"),
    ("2026-01-01T10:30:15.5Z", "2026-01-01T10:30:15.500+00:00", "2026-01-01T10:30:15.600+00:00"),
    ("2026-01-01T10:30:15.123Z", "2026-01-01T10:30:15.123+00:00", "2026-01-01T10:30:15.124+00:00"),
    ("2026-01-01T10:30:15.1234567Z", "2026-01-01T10:30:15.123456+00:00", "2026-01-01T10:30:15.123457+00:00"),
    ("2026-01-01T10:30:15-05:30", "2026-01-01T16:00:15+00:00", "2026-01-01T16:00:16+00:00"),
    ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00", "2017-01-01T00:00:00+00:00"),
]


@pytest.mark.parametrize(("text", "low", "high"), VECTORS)
def test_ranges(text: str, low: str, high: str) -> None:
    assert bounds(text, UTC) == (at(low), at(high))


def test_without_a_zone_it_is_the_sites_and_its_days_have_23_or_25_hours() -> None:
    assert bounds("2026-01-01T10:00:00", NICOSIA)[0] == at("2026-01-01T08:00:00+00:00")
    assert bounds("2026-07-01T10:00:00Z", NICOSIA)[0] == at("2026-07-01T10:00:00+00:00")
    low, high = bounds("2026-03-29", NICOSIA)
    assert high - low == 23 * 3600 * 1_000_000
    low, high = bounds("2026-10-25", NICOSIA)
    assert high - low == 25 * 3600 * 1_000_000


def test_the_ends_of_time() -> None:
    assert bounds("0001", UTC)[0] == EARLIEST
    assert bounds("9999", UTC)[1] == LATEST
    assert bounds("9999-12-31", NICOSIA)[0] < LATEST
    assert bounds("0001-01-01", NICOSIA)[0] < bounds("0001-01-02", NICOSIA)[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20",
        "2026-13",
        "2026-02-30",
        "0000",
        "2026-01-01T",
        "2026-01-01T10",
        "2026-01-01T25:00:00",
        "now",
        "2026-1-1",
        "2026-01-01T10:60:00",
        "2026-01-01T10:00:61",
        "2026-01-01T10:00:00+15:00",
        "2026-01-01Z",
        "٢٠٢٦",
        "2026\n",
    ],
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError):
        bounds(text, UTC)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))
def test_any_instant_is_in_its_own_range_and_in_those_of_its_day_and_year(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    expected = (whole.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    assert bounds(whole.isoformat() + "Z", UTC) == (expected, expected + 1_000_000)
    for text in (f"{moment.year:04}", f"{moment.date()}"):
        low, high = bounds(text, UTC)
        assert low <= expected < high


@given(st.text())
def test_any_text_is_a_date_or_a_value_error(text: str) -> None:
    try:
        low, high = bounds(text, NICOSIA)
    except ValueError:
        return
    assert low < high


def test_instant_and_has_zone() -> None:
    assert instant("2026-01-01", NICOSIA) == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert has_zone("2026-01-01T10:00:00Z")
    assert has_zone("2026-01-01T10:00:00-05:00")
    assert not has_zone("2026-01-01T10:00:00")
    assert not has_zone("2026-01-01")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "9999-12-31", "0001"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_an_instant_at_the_ends_of_the_calendar_can_be_shown_in_every_zone(text: str, zone: str) -> None:
    found = instant(text, ZoneInfo(zone))
    assert found.astimezone(ZoneInfo(zone)).tzinfo is not None
    assert str(found.year) == text[:4].lstrip("0")
