# SPDX-License-Identifier: Apache-2.0
"""How fast the ledger answers: a project's month, the whole cloud's month, a project's day.

``python benchmarks/reading.py [--database URL] [--resources N]``; every resource stands for
720 points, so 100,000 resources are the 72 million points of the targets.
"""

import argparse
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import clouds
import common

from cloudkitty.dataframe import DataFrame, Points, Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import Period
from cloudkitty.scope import Scope
from cloudkitty.storage import factory
from cloudkitty.storage.base import GROUP_SCOPE, GROUP_TYPE, Query, Storage

HOURS = 720
REPEAT = 50
SERIES_PER_SCOPE = 50
METRICS = ("instance", "volume.size", "ip.floating", "network.incoming", "image.size")


class Month:
    """A month of a cloud, in which every thousandth series changes its price each hour."""

    def __init__(self, storage: Storage, database: Database, resources: int) -> None:
        self._drawn = random.Random(common.SEED)
        self.storage = storage
        self.price = Fraction(0)
        count = max(1, resources // SERIES_PER_SCOPE)
        self.scopes = [f"{number:032x}" for number in range(count)]
        self._store = ScopeStore(database)
        self._usage = {scope: self._series(scope) for scope in self.scopes}
        wanted = [Scope(scope, "project_id", "memory", "memory") for scope in self.scopes]
        self._store.ensure(wanted, starts_at=clouds.BEGIN, now=clouds.BEGIN)

    def _series(self, scope: str) -> dict[str, Points]:
        usage: dict[str, Points] = {metric: Points() for metric in METRICS}
        for number in range(SERIES_PER_SCOPE):
            metric = METRICS[number % len(METRICS)]
            groupby = {"id": f"{scope[-8:]}-{number:04x}", "project_id": scope, "user_id": scope}
            series = Registry().series(
                metric, groupby=groupby, metadata={"flavor": f"flavor-{number % 10}"}
            )
            usage[metric].append(series, Decimal(1), Decimal(number + 1) / 1000)
        return usage

    def fill(self) -> None:
        """Write all hours, and add their prices up."""
        states = self._store.states(scope_key="project_id", fetcher="memory", collector="memory")
        hourly = sum(
            Fraction(price)
            for usage in self._usage.values()
            for points in usage.values()
            for price in points.price
        )
        for hour in range(HOURS):
            for scope in self._drawn.sample(self.scopes, max(1, len(self.scopes) // 20)):
                points = self._usage[scope][self._drawn.choice(METRICS)]
                place = self._drawn.randrange(len(points))
                before, points.price[place] = points.price[place], Decimal(hour + 1) / 7000
                hourly += Fraction(points.price[place]) - Fraction(before)
            begin = clouds.BEGIN + hour * clouds.HOUR
            stretch = Period(begin, begin + clouds.HOUR)
            frames = {s: DataFrame(stretch, self._usage[s.scope.identifier]) for s in states}
            if self.storage.replace(stretch, frames):
                raise SystemExit("a scope has been moved by somebody else")
            states = self._store.states(
                scope_key="project_id", fetcher="memory", collector="memory"
            )
            self.price += hourly


def quantiles(call: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the slowest time of many calls, in milliseconds."""
    call()
    times = sorted(common.seconds(call) * 1000 for _ in range(REPEAT))
    return times[len(times) // 2], times[-1]


def run(url: str | None, resources: int) -> None:
    with common.fresh_database(url) as (conf, database):
        storage = factory.build(conf, database, Registry())
        month = Month(storage, database, resources)
        month.fill()
        begin, end = clouds.BEGIN, clouds.BEGIN + HOURS * clouds.HOUR
        whole = Query(begin, end)
        facts = {"points": resources * HOURS, "database": database.dialect}
        [total] = storage.total(whole).rows
        if Fraction(total.price) != month.price:
            raise SystemExit(f"wrong: the ledger says {total.price}, the sum is {month.price}")

        project = Query(begin, end, scopes=[month.scopes[len(month.scopes) // 2]])
        median, slowest = quantiles(lambda: storage.total(project, [GROUP_TYPE]))
        name = "Q1 month by metric for one project"
        common.report(name, median, "ms", 10, slowest_ms=slowest, **facts)

        seconds = common.median_seconds(
            lambda: lambda: storage.total(whole, [GROUP_SCOPE, GROUP_TYPE]), 3
        )
        common.report("Q2 month by project and metric, whole cloud", seconds, "s", 0.5, **facts)

        day = Query(begin, begin + 24 * clouds.HOUR, scopes=project.scopes)
        median, slowest = quantiles(lambda: storage.retrieve(day, limit=None))
        points = storage.retrieve(day).total
        name = "Q3 one project's points of a day"
        facts |= {"slowest_ms": slowest, "points_a_second": points / median * 1000}
        common.report(name, median, "ms", 20, answer=points, **facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    parser.add_argument("--resources", type=int, default=10_000)
    arguments = parser.parse_args()
    run(arguments.database, arguments.resources)


if __name__ == "__main__":
    main()
