# SPDX-License-Identifier: Apache-2.0
"""A month of a cloud in the ledger, made in seconds, and what it adds up to by another way.

In each hour, every thousandth series changes its price for good, so that the month has 1.72 runs
a series and 720 points. The first hour is written as the processor writes it, the changes as the
rows that the processor would have left.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import clouds
import common
import sqlalchemy as sa

from cloudkitty import config, period
from cloudkitty.dataframe import DataFrame, Points, Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import Period
from cloudkitty.scope import Scope
from cloudkitty.storage import factory
from cloudkitty.storage.sqlalchemy import models, runs, statements

HOURS = 720
DAY = 24
SERIES_PER_SCOPE = 50
METRICS = ("instance", "volume.size", "ip.floating", "network.incoming", "image.size")
DIGITS = 60
"""Decimals of the integers in which prices are added up."""

Group = tuple[str, str]


class Facts(NamedTuple):
    """What a month has: scopes, and by scope and metric, in integers, its price and that of its
    first day."""

    scopes: list[str]
    price: dict[Group, int]
    day: dict[Group, int]
    runs: int


def scaled(price: Decimal) -> int:
    """Return the price as an integer, exactly."""
    sign, digits, exponent = price.as_tuple()
    assert isinstance(exponent, int)
    number = int("".join(map(str, digits))) * 10 ** (DIGITS + exponent)
    return -number if sign else number


class Month:
    """Series of scopes with their prices, hour by hour."""

    def __init__(self, resources: int) -> None:
        self._drawn = random.Random(common.SEED)
        self.scopes = [f"{number:032x}" for number in range(max(1, resources // SERIES_PER_SCOPE))]
        self.prices: dict[str, list[Decimal]] = {
            scope: [Decimal(number + 1) / 1000 for number in range(SERIES_PER_SCOPE)]
            for scope in self.scopes
        }

    def first_hour(self) -> dict[str, dict[str, Points]]:
        usage = {}
        for scope, prices in self.prices.items():
            points: dict[str, Points] = {metric: Points() for metric in METRICS}
            for number, price in enumerate(prices):
                metric = METRICS[number % len(METRICS)]
                series = Registry().series(
                    metric,
                    groupby={"id": name(scope, number), "project_id": scope, "user_id": scope},
                    metadata={"flavor": f"flavor-{number % 10}"},
                )
                points[metric].append(series, Decimal(1), price)
            usage[scope] = points
        return usage

    def changes(self) -> Iterator[tuple[int, str, int, Decimal]]:
        """Yield hour, scope, number of the series and new price of each change, in order."""
        for hour in range(1, HOURS):
            for scope in self._drawn.sample(self.scopes, max(1, len(self.scopes) // 20)):
                number = self._drawn.randrange(SERIES_PER_SCOPE)
                yield hour, scope, number, Decimal(hour + 1) / 7000


def name(scope: str, number: int) -> str:
    return f"{scope[-8:]}-{number:04x}"


def fill(url: str, resources: int) -> Facts:
    """Write the month to the migrated database at *url*."""
    conf = config.load([], config_files=[])
    conf.set_override("connection", url, "database")
    database = Database(conf)
    month = Month(resources)
    _write_first_hour(conf, database, month)
    prices: dict[Group, int] = defaultdict(int)
    day: dict[Group, int] = defaultdict(int)
    for scope, current in month.prices.items():
        for number, price in enumerate(current):
            prices[scope, METRICS[number % len(METRICS)]] += scaled(price) * HOURS
            day[scope, METRICS[number % len(METRICS)]] += scaled(price) * DAY
    history: dict[tuple[str, int], list[tuple[int, Decimal]]] = defaultdict(list)
    for hour, scope, number, price in month.changes():
        group = scope, METRICS[number % len(METRICS)]
        rise = scaled(price) - scaled(month.prices[scope][number])
        prices[group] += rise * (HOURS - hour)
        day[group] += rise * max(0, DAY - hour)
        month.prices[scope][number] = price
        history[scope, number].append((hour, price))
    count = _write_changes(database, history)
    database.dispose()
    return Facts(month.scopes, dict(prices), dict(day), count)


def _write_first_hour(conf: config.cfg.ConfigOpts, database: Database, month: Month) -> None:
    store = ScopeStore(database)
    wanted = [Scope(scope, "project_id", "memory", "memory") for scope in month.scopes]
    store.ensure(wanted, starts_at=clouds.BEGIN, now=clouds.BEGIN)
    states = store.states(scope_key="project_id", fetcher="memory", collector="memory")
    usage = month.first_hour()
    stretch = Period(clouds.BEGIN, clouds.BEGIN + clouds.HOUR)
    frames = {state: DataFrame(stretch, usage[state.scope.identifier]) for state in states}
    if factory.build(conf, database, Registry()).replace(stretch, frames):
        raise SystemExit("a scope has been moved by somebody else")


def _write_changes(
    database: Database, history: dict[tuple[str, int], list[tuple[int, Decimal]]]
) -> int:
    """Turn the open runs of the first hour into those of the month; return how many runs it has."""
    begin, step = period.epoch(clouds.BEGIN), int(clouds.HOUR.total_seconds())
    by_name = {name(scope, number): changes for (scope, number), changes in history.items()}
    gone, fresh = [], []
    with database.writer() as connection:
        ids = {
            row.scope_id: None for row in connection.execute(sa.select(models.series.c.scope_id))
        }
        for row in statements.open_rows(connection, list(ids)):
            changes = by_name.get(json.loads(row.groupby)["id"])
            if not changes:
                continue
            first = runs.Run(row.begin, models.OPEN, row.step, row.qty, row.price)
            gone.append((row.series_id, first))
            known = first
            for hour, price in changes:
                instant = begin + hour * step
                fresh.append((row.series_id, known._replace(end=instant)))
                known = known._replace(begin=instant, price=price)
            fresh.append((row.series_id, known))
        statements.delete_runs(connection, gone)
        # In the order in which they would have come.
        statements.insert_runs(connection, sorted(fresh, key=lambda item: item[1].begin))
        statements.move_horizon(connection, list(ids), begin + HOURS * step)
        statements.move_version(connection, list(ids))
        count = connection.execute(sa.select(sa.func.count()).select_from(models.runs)).scalar_one()
    _know_the_tables(database)
    return int(count)


def _know_the_tables(database: Database) -> None:
    """Have the server look at its tables now, as it does by itself some time after they grow."""
    if database.dialect == "sqlite":
        return
    word = "ANALYZE TABLE" if database.dialect == "mysql" else "ANALYZE"
    with database.writer() as connection:
        for table in (models.series, models.runs):
            connection.exec_driver_sql(f"{word} {table.name}")
