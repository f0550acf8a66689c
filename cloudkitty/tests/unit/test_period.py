# SPDX-License-Identifier: Apache-2.0
"""Instants are UTC, periods half-open, calendars right in every zone."""

import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import period
from cloudkitty.period import UTC, Period

instants = st.datetimes(
    min_value=datetime.datetime(1971, 1, 1), max_value=datetime.datetime(2100, 1, 1)
).map(period.utc)
zones = st.sampled_from(["UTC", "Europe/Paris", "America/St_Johns", "Asia/Kolkata"]).map(
    period.zone
)


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-05T10:00:00",
        "2026-01-05 10:00:00",
        "2026-01-05T10:00:00Z",
        "2026-01-05T11:00:00+01:00",
        "20260105T100000Z",
        "2026-01-05T10:00:00.999",
        "2026-01-05T10:00",
    ],
)
def test_every_way_to_write_an_instant(written) -> None:
    assert period.parse(written) == datetime.datetime(2026, 1, 5, 10, tzinfo=UTC)


def test_a_date_is_its_first_instant() -> None:
    assert period.parse("2026-01-05") == datetime.datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("written", ["", "yesterday", "2026-13-01", "10:00", "2026-01-05T25:00"])
def test_what_is_no_instant_says_how_to_write_one(written) -> None:
    with pytest.raises(period.NotAnInstant, match="write it like"):
        period.parse(written)


@given(instants)
def test_epoch_and_back(moment) -> None:
    assert period.from_epoch(period.epoch(moment)) == moment


def test_a_period_must_end_after_it_begins() -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="must end after"):
        Period(moment, moment)
    with pytest.raises(ValueError, match="no time zone"):
        Period(moment.replace(tzinfo=None), moment)


@given(instants, zones)
def test_a_month_holds_its_instant_and_ends_where_the_next_begins(moment, zone) -> None:
    month = period.current_month(moment, zone)
    assert month.begin <= moment < month.end
    assert month.begin.astimezone(zone).day == month.end.astimezone(zone).day == 1
    assert period.month_start(month.end, zone) == month.end


@pytest.mark.parametrize(
    "moment, attributes",
    [
        ("2015-01-01", ("2015", "1", "00", "1")),
        ("2015-01-04", ("2015", "1", "01", "4")),
        ("2016-12-31", ("2016", "12", "52", "366")),
    ],
)
def test_calendar_attributes(moment, attributes) -> None:
    found = period.calendar_attributes(period.parse(moment))
    assert tuple(found[unit] for unit in period.CALENDAR_UNITS) == attributes


@given(instants, st.integers(1, 20 * 86400), zones)
def test_days_cover_a_window_and_break_at_midnight(begin, seconds, zone) -> None:
    end = begin + datetime.timedelta(seconds=seconds)
    days = list(period.days(begin, end, zone))
    assert days[0][0] == begin and days[-1][1] == end
    for (_, first_end), (second_begin, _) in itertools.pairwise(days):
        assert first_end == second_begin
        local = second_begin.astimezone(zone)
        assert (local.hour, local.minute) == (0, 0)
    for first, last in days:
        instant_before_end = last - datetime.timedelta(seconds=1)
        assert first.astimezone(zone).date() == instant_before_end.astimezone(zone).date()


def test_a_day_of_the_clock_change_has_another_length() -> None:
    zone = period.zone("Europe/Paris")
    begin = period.parse("2026-03-28T23:00:00")
    [day] = list(period.days(begin, begin + datetime.timedelta(hours=23), zone))
    assert day[1] - day[0] == datetime.timedelta(hours=23)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        period.zone("Mars/Olympus")
