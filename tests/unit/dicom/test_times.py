"""Dates and times without a zone are the site's."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from interop.dicom.times import instant, read_date, read_offset, read_time, wall_clock, write_time

NICOSIA = ZoneInfo("Asia/Nicosia")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("19970424", date(1997, 4, 24)),
        ("1997.04.24", date(1997, 4, 24)),
        ("1997-04-24", date(1997, 4, 24)),
        (" 19970424 ", date(1997, 4, 24)),
        ("1997.0424", None),
        ("19970431", None),
        ("00000000", None),
        ("199704", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_read(text: str | None, day: date | None) -> None:
    assert read_date(text) == day


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("10", time(10)),
        ("1015", time(10, 15)),
        ("101530", time(10, 15, 30)),
        ("101530.5", time(10, 15, 30, 500000)),
        ("101530.000001", time(10, 15, 30, 1)),
        ("101530.0000019", time(10, 15, 30, 1)),
        ("10:15:30", time(10, 15, 30)),
        ("235960", time(23, 59, 59)),
        ("240000", None),
        ("1", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_read(text: str | None, at: time | None) -> None:
    assert read_time(text) == at


def test_offsets_within_the_world_are_read() -> None:
    assert read_offset("+0200") == timezone(timedelta(hours=2))
    assert read_offset("-0330") == timezone(timedelta(hours=-3, minutes=-30))
    assert read_offset("+1500") is read_offset("+0060") is read_offset("0200") is read_offset(None) is None


def test_the_site_zone_counts_unless_the_study_states_an_offset() -> None:
    assert instant("20260701", "101500", None, NICOSIA) == datetime(2026, 7, 1, 7, 15, tzinfo=UTC)
    assert instant("20261201", "101500", None, NICOSIA) == datetime(2026, 12, 1, 8, 15, tzinfo=UTC)
    assert instant("20260701", "101500", "-0500", NICOSIA) == datetime(2026, 7, 1, 15, 15, tzinfo=UTC)


def test_a_day_without_an_hour_stays_a_day() -> None:
    assert instant("20260701", "", None, NICOSIA) == date(2026, 7, 1)
    assert not isinstance(instant("20260701", None, None, NICOSIA), datetime)
    assert instant("", "101500", None, NICOSIA) is None


def test_an_hour_that_the_clocks_skip_or_repeat_is_still_an_instant() -> None:
    skipped = instant("20260329", "033000", None, NICOSIA)  # 03:00 becomes 04:00
    assert skipped == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert skipped.isoformat() == "2026-03-29T04:30:00+03:00"
    assert instant("20261025", "033000", None, NICOSIA) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_an_instant_is_written_as_the_site_clock_shows_it() -> None:
    assert wall_clock(datetime(2026, 6, 30, 22, 15, tzinfo=UTC), NICOSIA) == ("20260701", "011500")
    assert write_time(time(1, 2, 3, 4)) == "010203.000004"
    with pytest.raises(ValueError, match="without a zone"):
        wall_clock(datetime(2026, 7, 1), NICOSIA)


@pytest.mark.parametrize(("year", "hours"), [(1, 14), (9999, -12)])
def test_the_ends_of_the_calendar_keep_their_own_clock(year: int, hours: int) -> None:
    month_day, hour = ((12, 31), 23) if year == 9999 else ((1, 1), 0)
    at = datetime(year, *month_day, hour, tzinfo=timezone(timedelta(hours=hours)))
    assert wall_clock(at, NICOSIA) == (f"{year:04d}{month_day[0]:02d}{month_day[1]:02d}", f"{hour:02d}0000")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize("day", ["00010101", "99991231"])
def test_a_site_at_either_end_of_the_world_reads_the_ends_of_the_calendar(day: str, zone: str) -> None:
    for hour in ("000000", "235959"):
        found = instant(day, hour, None, ZoneInfo(zone))
        assert isinstance(found, datetime)
        assert found.strftime("%H%M%S") == hour
