# SPDX-License-Identifier: Apache-2.0
"""Which periods are due, and when."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty.config import ConfigurationError
from cloudkitty.period import UTC, Period
from cloudkitty.processor.schedule import Batch, Schedule, back_off
from cloudkitty.scope import ScopeState
from cloudkitty.tests.builders import HOUR, NEW_YEAR, scope

SECOND = datetime.timedelta(seconds=1)
HOURLY = Schedule(seconds=3600, wait_periods=2)


def state(number=1, horizon=None, starts_at=NEW_YEAR, retry_at=None, gone_at=None) -> ScopeState:
    return ScopeState(
        id=number,
        scope=scope(f"p{number}"),
        starts_at=starts_at,
        horizon=horizon,
        version=0,
        active=True,
        toggled_at=NEW_YEAR,
        retry_at=retry_at,
        gone_at=gone_at,
    )


def due_batches(schedule: Schedule, states, now, retry=False) -> list[Batch]:
    return schedule.batches(schedule.due(states, now, retry=retry))


@pytest.mark.parametrize("wait, due_after", [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_a_period_is_due_strictly_after_its_wait(wait, due_after) -> None:
    schedule = Schedule(seconds=3600, wait_periods=wait)
    stretch = Period.of(NEW_YEAR, 3600)
    instant = NEW_YEAR + due_after * HOUR
    assert not schedule.is_due(stretch, instant)
    assert schedule.is_due(stretch, instant + SECOND)


def test_the_first_period_waits_like_every_other() -> None:
    assert due_batches(HOURLY, [state()], NEW_YEAR + datetime.timedelta(minutes=10)) == []
    [batch] = due_batches(HOURLY, [state()], NEW_YEAR + 2 * HOUR + SECOND)
    assert batch.period == Period.of(NEW_YEAR, 3600)


def test_periods_follow_on_the_horizon() -> None:
    [batch] = due_batches(HOURLY, [state(horizon=NEW_YEAR + 5 * HOUR)], NEW_YEAR + 9 * HOUR)
    assert batch.period == Period.of(NEW_YEAR + 5 * HOUR, 3600)


def test_batches_are_of_one_period_the_oldest_first_and_bounded() -> None:
    states = [state(n, horizon=NEW_YEAR + (n % 2) * HOUR) for n in range(1, 8)]
    schedule = Schedule(seconds=3600, wait_periods=1, batch_size=3)
    batches = due_batches(schedule, states, NEW_YEAR + 9 * HOUR)
    assert [(b.period.begin - NEW_YEAR) // HOUR for b in batches] == [0, 1, 1]
    assert [len(b.states) for b in batches] == [3, 3, 1]
    assert sorted(s.id for b in batches for s in b.states) == list(range(1, 8))


def test_a_failed_period_waits_for_its_time_unless_told_to_retry() -> None:
    now = NEW_YEAR + 9 * HOUR
    waiting = state(retry_at=now + SECOND)
    assert due_batches(HOURLY, [waiting], now) == []
    assert due_batches(HOURLY, [waiting], now + SECOND)
    assert due_batches(HOURLY, [waiting], now, retry=True)


@pytest.mark.parametrize(
    "first, begin",
    [
        ("month", datetime.datetime(2026, 3, 1, tzinfo=UTC)),
        ("now", datetime.datetime(2026, 3, 14, 15, tzinfo=UTC)),
        ("2025-11-02", datetime.datetime(2025, 11, 2, tzinfo=UTC)),
    ],
)
def test_a_new_scope_starts_where_the_option_says(first, begin) -> None:
    schedule = Schedule(seconds=3600, wait_periods=2, first=first)
    assert schedule.first_begin(datetime.datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)) == begin


def test_a_wrong_first_period_names_the_option(conf) -> None:
    conf.set_override("first_period", "someday", "collect")
    with pytest.raises(ConfigurationError, match=r"\[collect\] first_period.*someday"):
        Schedule.of(conf)


@given(st.integers(0, 100), st.integers(0, 4), st.integers(0, 3599))
def test_the_number_due_is_how_often_a_period_can_be_taken(hours, wait, seconds) -> None:
    schedule = Schedule(seconds=3600, wait_periods=wait)
    now = NEW_YEAR + hours * HOUR + seconds * SECOND
    taken, horizon = 0, None
    while batches := due_batches(schedule, [state(horizon=horizon)], now):
        horizon = batches[0].period.end
        taken += 1
    assert schedule.due_count(state(), now) == taken


@given(st.integers(0, 100), st.integers(0, 4), st.integers(0, 7200))
def test_of_a_scope_that_is_gone_what_began_before_is_rated(hours, wait, gone) -> None:
    schedule = Schedule(seconds=3600, wait_periods=wait)
    now, gone_at = NEW_YEAR + hours * HOUR, NEW_YEAR + gone * SECOND
    rated, horizon = [], None
    while not state(horizon=horizon, gone_at=gone_at).rests(3600):
        batches = due_batches(schedule, [state(horizon=horizon, gone_at=gone_at)], now)
        if not batches:
            break
        rated.append(batches[0].period)
        horizon = batches[0].period.end
    assert all(period.begin < gone_at for period in rated)
    assert schedule.due_count(state(gone_at=gone_at), now) == len(rated)
    if hours > wait + 3:
        last = state(horizon=horizon, gone_at=gone_at)
        assert last.rests(3600)
        assert gone_at <= (horizon or NEW_YEAR)


def test_waking_is_for_the_next_due_period_or_retry() -> None:
    now = NEW_YEAR
    assert HOURLY.wake_at([], now) is None
    assert HOURLY.wake_at([state()], now) == NEW_YEAR + 2 * HOUR
    retry_at = NEW_YEAR + 3 * HOUR
    assert HOURLY.wake_at([state(retry_at=retry_at)], now) == retry_at
    assert HOURLY.wake_at([state()], NEW_YEAR + 50 * HOUR) == NEW_YEAR + 50 * HOUR


def test_pauses_double_up_to_the_longest() -> None:
    seconds = [back_off(n, 10, 600).total_seconds() for n in (1, 2, 3, 7, 8, 1000)]
    assert seconds == [10, 20, 40, 600, 600, 600]
