# SPDX-License-Identifier: Apache-2.0
"""Where metrics of scopes stand, from what is known of them."""

import dataclasses
import datetime
from typing import Any

import pytest

from cloudkitty import coverage
from cloudkitty.coverage import WHOLE, Due, State, Trouble
from cloudkitty.scope import ScopeState
from cloudkitty.tests import builders
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour

SECOND = datetime.timedelta(seconds=1)
NOON = NEW_YEAR + 12 * HOUR


def due(at: datetime.datetime) -> Due:
    return Due(3600, 2 * HOUR, at)


def state(**changes: Any) -> ScopeState:
    """A scope that has been rated up to noon."""
    whole = ScopeState(
        id=1,
        scope=builders.scope("p"),
        starts_at=NEW_YEAR,
        horizon=NOON,
        version=0,
        active=True,
        toggled_at=NEW_YEAR,
    )
    return dataclasses.replace(whole, **changes)


def trouble(metric: str, kind: State, begin: datetime.datetime = NOON) -> Trouble:
    return Trouble(metric, kind, begin, begin + HOUR, f"{metric or 'scope'} is {kind}")


@pytest.mark.parametrize(
    ("changes", "now", "expected"),
    [
        # The period of noon is due after two.
        ({}, NOON + 2 * HOUR, (State.CLOSED, 0, None)),
        ({}, NOON + 2 * HOUR + SECOND, (State.LATE, 1, NOON + 2 * HOUR)),
        ({}, NOON + 5 * HOUR, (State.LATE, 3, NOON + 2 * HOUR)),
        ({"horizon": None}, NOON, (State.LATE, 10, NEW_YEAR + 2 * HOUR)),
        ({"active": False}, NOON + 5 * HOUR, (State.INACTIVE, 3, NEW_YEAR)),
        ({"gone_at": NOON}, NOON + 5 * HOUR, (State.RESTING, 0, NOON)),
        ({"gone_at": NOON + SECOND}, NOON + 5 * HOUR, (State.LATE, 1, NOON + 2 * HOUR)),
        ({"last_error": "x", "failures": 2}, NOON + 3 * HOUR, (State.FAILING, 1, None)),
        ({"last_error": "x"}, NOON + 3 * HOUR, (State.WAITING, 1, None)),
    ],
)
def test_a_scope_as_a_whole(
    changes: dict[str, Any], now: datetime.datetime, expected: tuple[State, int, Any]
) -> None:
    entry = coverage.of_scope(state(**changes), (), due(now))
    assert (entry.state, entry.behind, entry.since) == expected
    [metric] = coverage.of_metrics(state(**changes), (), ["instance"], due(now))
    assert dataclasses.replace(metric, metric=WHOLE) == entry


def test_a_metric_that_keeps_the_others() -> None:
    scope = state(last_error="disk is failing", failures=1, retry_at=NOON + 4 * HOUR)
    noted = [trouble(WHOLE, State.FAILING), trouble("disk", State.FAILING)]
    found = list(coverage.of_metrics(scope, noted, ["instance", "disk"], due(NOON + 3 * HOUR)))
    assert [(one.metric, one.state, one.error, one.since) for one in found] == [
        ("instance", State.LATE, None, NOON + 2 * HOUR),
        ("disk", State.FAILING, "disk is failing", NOON + HOUR),
    ]
    assert {one.retry_at for one in found} == {NOON + 4 * HOUR}


def test_what_was_noted_about_another_period_says_nothing() -> None:
    noted = [trouble("disk", State.FAILING, NOON - HOUR), trouble(WHOLE, State.FAILING, NEW_YEAR)]
    scope = state(last_error="new", failures=1)
    [disk] = coverage.of_metrics(scope, noted, ["disk"], due(NOON + 3 * HOUR))
    assert (disk.state, disk.error, disk.since) == (State.FAILING, "new", None)
    well = state()
    [disk] = coverage.of_metrics(well, [trouble("disk", State.FAILING)], ["disk"], due(NOON))
    assert (disk.state, disk.error) == (State.CLOSED, None)


def test_a_metric_in_trouble_is_shown_though_the_file_does_not_name_it() -> None:
    scope = state(last_error="x", failures=1)
    noted = [trouble(WHOLE, State.FAILING), trouble("old", State.FAILING)]
    found = coverage.of_metrics(scope, noted, ["disk"], due(NOON + 3 * HOUR))
    assert [one.metric for one in found] == ["disk", "old"]


def test_groups_count_every_entry_once() -> None:
    other = state(id=2, scope=builders.scope("q"), horizon=NOON - HOUR)
    fresh = state(id=3, scope=builders.scope("r"), horizon=None)
    now = due(NOON + 2 * HOUR)
    entries = list(coverage.entries([state(), other, fresh], {}, ["disk", "instance"], now))
    [by_state, late] = coverage.grouped(entries, ["state"])
    assert (by_state.state, by_state.count, len(by_state.scopes)) == (State.CLOSED, 2, 1)
    assert (late.state, late.count, len(late.scopes), late.behind) == (State.LATE, 4, 2, 12)
    assert late.horizon is None
    groups = coverage.grouped(entries, ["metric"])
    assert [(one.metric, one.count, one.states[State.LATE]) for one in groups] == [
        ("disk", 3, 2),
        ("instance", 3, 2),
    ]
    [first, *_] = coverage.grouped(entries, ["scope", "metric"])
    assert (first.scope, first.metric, first.count) == (builders.scope("p"), "disk", 1)
    assert first.horizon == hour(11).end
