# SPDX-License-Identifier: Apache-2.0
"""Unpriced usage, against asking every rule about every point."""

import datetime
from collections import defaultdict
from decimal import Decimal
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkitty.dataframe import Registry, Series
from cloudkitty.rating import unpriced
from cloudkitty.scope import POSTED, Scope
from cloudkitty.tests import builders
from cloudkitty.tests.builders import HOUR, NEW_YEAR

REGISTRY = Registry()


class Run(NamedTuple):
    scope: Scope
    series: Series
    begin: datetime.datetime
    seconds: int
    points: int
    qty: Decimal


class Rule(NamedTuple):
    """Acts on a scope's points with one flavor, from an hour on until before another."""

    scope: str
    flavor: str
    first: int
    last: int

    def acts(self, scope: str, series: Series, at: datetime.datetime) -> bool:
        live = self.first * HOUR <= at - NEW_YEAR < self.last * HOUR
        return live and self.scope == scope and series.desc.get("flavor") == self.flavor


class InForce(NamedTuple):
    rules: list[Rule]
    scope: str
    at: datetime.datetime

    @property
    def until(self) -> datetime.datetime | None:
        mine = [rule for rule in self.rules if rule.scope == self.scope]
        instants = [NEW_YEAR + n * HOUR for rule in mine for n in (rule.first, rule.last)]
        return min((one for one in instants if one > self.at), default=None)

    def matches(self, series: Series, qty: Decimal) -> bool:
        return any(rule.acts(self.scope, series, self.at) for rule in self.rules)


HOURS = st.integers(0, 12)
SCOPES = st.sampled_from(["p", "q"])
FLAVORS = st.sampled_from(["big", "tiny"])


@st.composite
def runs(draw: st.DrawFn) -> Run:
    flavor = draw(st.sampled_from(["big", "tiny", None, ""]))
    attributes = {} if flavor is None else {"flavor": flavor}
    series = REGISTRY.series(
        draw(st.sampled_from(["instance", "disk"])), groupby=attributes, metadata={"zone": 1}
    )
    return Run(
        builders.scope(draw(SCOPES)),
        series,
        NEW_YEAR + draw(st.integers(0, 30)) * HOUR / 3,
        draw(st.sampled_from([1200, 3600, 7200])),
        draw(st.integers(1, 10)),
        Decimal(draw(st.sampled_from(["0", "1.5", "3"]))),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(runs(), max_size=6), st.lists(st.builds(Rule, SCOPES, FLAVORS, HOURS, HOURS)))
def test_every_point_is_counted_by_the_rules_of_its_own_begin(
    found: list[Run], rules: list[Rule]
) -> None:
    fields = {"instance": ["flavor", "zone"]}
    counts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    sums: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    once: dict[str, int] = defaultdict(int)
    for run in found:
        for number in range(run.points):
            at = run.begin + number * datetime.timedelta(seconds=run.seconds)
            whose, metric = run.scope.identifier, run.series.shape.metric
            if any(rule.acts(whose, run.series, at) for rule in rules):
                continue
            once[metric] += 1
            for name in fields.get(metric, [""]):
                value = run.series.desc.get(name)
                key = (metric, name, "" if value is None else str(value), whose)
                counts[key] += 1
                sums[key] += run.qty
    told = unpriced.tally(found, lambda scope, at: InForce(rules, scope, at), fields, by_scope=True)
    assert {(r.metric, r.field, r.value, r.scope_id): r.points for r in told.rows} == counts
    assert {(r.metric, r.field, r.value, r.scope_id): r.qty for r in told.rows} == sums
    assert told.points == once


def test_scopes_are_counted_and_the_stretch_told() -> None:
    series = REGISTRY.series("instance", groupby={"flavor": "tiny"}, metadata={})
    found = [
        Run(builders.scope("p"), series, NEW_YEAR + 2 * HOUR, 3600, 3, Decimal(1)),
        Run(builders.scope("q"), series, NEW_YEAR + 4 * HOUR, 3600, 2, Decimal(2)),
    ]
    [row] = unpriced.tally(found, lambda scope, at: InForce([], scope, at), {}).rows
    assert (row.metric, row.field, row.value, row.scope_id) == ("instance", "", "", None)
    assert (row.points, row.qty, len(row.scopes)) == (5, 7, 2)
    assert (row.begin, row.end) == (NEW_YEAR + 2 * HOUR, NEW_YEAR + 6 * HOUR)


def test_points_sent_to_the_api_have_been_priced_by_their_sender() -> None:
    series = REGISTRY.series("instance", groupby={}, metadata={})
    sent = Scope("p", "project_id", POSTED, POSTED)
    found = [Run(sent, series, NEW_YEAR, 3600, 1, Decimal(1))]
    assert unpriced.tally(found, lambda scope, at: InForce([], scope, at), {}).rows == []
