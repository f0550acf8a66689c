# SPDX-License-Identifier: Apache-2.0
"""Which periods lie in the window of a report."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import period
from cloudkitty.api.v1.window import Window

HOUR = datetime.timedelta(hours=1)
TEN = period.parse("2026-01-05T10:00:00")


def starts_in(window: Window, seconds: int, start: datetime.datetime) -> bool:
    query = window.query(seconds)
    return query is not None and query.begin <= start < query.end


@given(
    begin=st.integers(-7200, 7200),
    length=st.integers(-3600, 14400),
    start=st.integers(-7200, 14400),
    seconds=st.sampled_from([1, 60, 3600]),
)
def test_a_period_counts_when_it_lies_inside(
    begin: int, length: int, start: int, seconds: int
) -> None:
    def at(offset: int) -> datetime.datetime:
        return TEN + datetime.timedelta(seconds=offset)

    inside = begin <= start and start + seconds <= begin + length
    assert starts_in(Window(at(begin), at(begin + length)), seconds, at(start)) == inside


def test_the_last_second_of_a_day_leaves_its_last_hour_out() -> None:
    day = Window(period.parse("2026-01-05"), period.parse("2026-01-05T23:59:59"))
    assert starts_in(day, 3600, period.parse("2026-01-05T22:00:00"))
    assert not starts_in(day, 3600, period.parse("2026-01-05T23:00:00"))


def test_the_default_is_this_month() -> None:
    month = period.current_month(datetime.datetime.now(period.UTC))
    assert Window.of(None, None) == Window(month.begin, month.end)
    assert Window.of(TEN, None) == Window(TEN, month.end)


def test_a_window_for_nobody() -> None:
    assert Window(TEN, TEN + HOUR).query(3600, []) is None


@pytest.mark.parametrize("end", ["0001-01-01", "0001-01-01T00:30:00"])
def test_the_beginning_of_time(end: str) -> None:
    assert Window(period.parse("0001-01-01"), period.parse(end)).query(3600) is None
