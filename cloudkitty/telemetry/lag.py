# SPDX-License-Identifier: Apache-2.0
"""How far scopes are, read from their table when somebody asks.

Invariant: numbers of now, of all scopes together; nothing is counted in between.
"""

import datetime
import logging
from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cloudkitty import coverage
from cloudkitty.coverage import Due, State
from cloudkitty.db import troubles
from cloudkitty.db.engine import Database, DatabaseErrors
from cloudkitty.db.scopes import ScopeStore

LOG = logging.getLogger(__name__)

HOUR = 3600

BUCKETS = (0, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR, 168 * HOUR, 720 * HOUR)

NEVER_LATE = (State.INACTIVE, State.RESTING)


class Lag(Collector):
    """Scopes by state, and the lag of those that are to be rated: for how many seconds the next
    period has been due, 0 if it is not."""

    def __init__(
        self, database: Database, due: Callable[[], Due], buckets: Iterable[int] = BUCKETS
    ) -> None:
        self._database = database
        self._due = due
        self._buckets = tuple(buckets)

    def describe(self) -> Iterable[Metric]:
        # Else the library would ask the database to find out.
        return []

    def collect(self) -> Iterable[Metric]:
        try:
            scopes = ScopeStore(self._database).find({})
            noted = troubles.of(self._database)
        except DatabaseErrors as error:
            LOG.error("the scopes cannot be counted: %s", str(error).splitlines()[0])
            return
        due = self._due()
        states: Counter[State] = Counter()
        lags = []
        for scope in scopes:
            entry = coverage.of_scope(scope, noted.get(scope.id, ()), due)
            states[entry.state] += 1
            if entry.state not in NEVER_LATE:
                late = due.now - due.wait - scope.following(due.seconds).begin
                lags.append(max(0.0, late / datetime.timedelta(seconds=1)))
        yield _counted(states)
        yield self._histogram(lags)

    def _histogram(self, lags: list[float]) -> Metric:
        found = HistogramMetricFamily(
            "cloudkitty_scope_lag_seconds",
            "Seconds for which the next period of each scope has been due. Of now.",
        )
        within = [(str(float(most)), sum(lag <= most for lag in lags)) for most in self._buckets]
        found.add_metric([], [*within, ("+Inf", len(lags))], sum(lags))
        return found


def _counted(states: Counter[State]) -> Metric:
    found = GaugeMetricFamily(
        "cloudkitty_scopes", "Scopes by where they stand, see /v2/coverage.", labels=["state"]
    )
    for state in State:
        found.add_metric([state.value], states[state])
    return found
