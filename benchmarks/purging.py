# SPDX-License-Identifier: Apache-2.0
"""How long it takes to purge a month of a cloud, how long others wait for a step of it, and what
the ledger takes on disk before and after.

The month is that of ``month.py``. First its resources live on, a day longer; then nothing is left
of them but the totals. The bill by project and type is the same before and after, to the last
digit.
"""

import argparse
import contextlib
import datetime
import json
import os
import sqlite3
import statistics
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import clouds
import common
import month
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cloudkitty import period
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.storage import factory
from cloudkitty.storage.base import Query, Removed, Storage
from cloudkitty.storage.sqlalchemy import bulk, models, runs, statements

TABLES = (models.series, models.runs, models.months, models.days)

END = clouds.BEGIN + month.HOURS * clouds.HOUR
LIVE_ON = datetime.timedelta(days=1)


def sizes(database: Database) -> dict[str, int]:
    """Return the bytes of each table, of each index of its own, and of the whole."""
    names = [table.name for table in TABLES]
    listed = ", ".join(f"'{name}'" for name in names)
    statement = {
        "sqlite": "SELECT m.name, sum(d.pgsize) FROM dbstat d "
        f"JOIN sqlite_master m ON m.name = d.name WHERE m.tbl_name IN ({listed}) GROUP BY m.name",
        "postgresql": "SELECT c.relname, pg_relation_size(c.oid) FROM pg_class c WHERE c.oid IN "
        f"(SELECT oid FROM pg_class WHERE relname IN ({listed}) UNION SELECT indexrelid FROM "
        f"pg_index WHERE indrelid::regclass::text IN ({listed}))",
        "mysql": "SELECT CONCAT(table_name, '.', index_name), stat_value * @@innodb_page_size "
        "FROM mysql.innodb_index_stats WHERE stat_name = 'size' AND "
        f"database_name = DATABASE() AND table_name IN ({listed})",
    }[database.dialect]
    with database.reader() as connection:
        found = {str(name): int(size) for name, size in connection.exec_driver_sql(statement)}
    path = make_url(database.url).database
    if database.dialect == "sqlite" and path:
        found["file"] = os.path.getsize(path)
    return dict(sorted(found.items()))


def give_back(database: Database) -> None:
    """Have the server give back what is free, as an operator would."""
    path = make_url(database.url).database
    if database.dialect == "sqlite" and path:
        # Not through the engine, which begins a transaction.
        with contextlib.closing(sqlite3.connect(path)) as file:
            file.execute("VACUUM")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for table in TABLES:
            if database.dialect == "mysql":
                connection.exec_driver_sql(f"OPTIMIZE TABLE {table.name}").all()
                connection.exec_driver_sql(f"ANALYZE TABLE {table.name}").all()
            else:
                connection.exec_driver_sql(f"VACUUM FULL ANALYZE {table.name}")


def bill(store: Storage) -> list[tuple[Any, ...]]:
    """Return the whole bill, by project and type, with its extremes."""
    query = Query(clouds.BEGIN, END)
    rows = store.total(query, ["scope", "type", "month"], extremes=True).rows
    return [(row.group, row.points, row.qty, row.price, row.extremes) for row in rows]


class Purge:
    """One purge, step by step."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.busy = 0.0
        self.rows = 0
        self.series = 0

    def run(self, steps: Iterator[Removed]) -> None:
        done = False

        def step() -> None:
            nonlocal done
            begun = time.process_time()
            removed = next(steps, None)
            self.busy += time.process_time() - begun
            if removed is None:
                done = True
                return
            self.rows += removed.rows
            self.series += removed.series

        while not done:
            self.steps.append(common.seconds(step))


def measure(name: str, database: Database, store: Storage, before: datetime.datetime) -> None:
    """Purge what is before the instant, check it, and report."""
    expected, was = bill(store), sizes(database)
    purge = Purge()
    purge.run(store.purge(before, period.UTC))
    read = common.median_seconds(lambda: lambda: bill(store), 3)
    if bill(store) != expected:
        raise SystemExit("the bill has changed")
    give_back(database)
    common.report(
        name,
        sum(purge.steps),
        "s",
        60,
        rows=purge.rows,
        series=purge.series,
        steps=len(purge.steps),
        median_step_s=statistics.median(purge.steps),
        longest_step_s=max(purge.steps),
        processor_s=purge.busy,
        bill_s=read,
        before=was,
        after=sizes(database),
    )


def change_hourly(database: Database, metric: str) -> None:
    """Give every hour of the metric's series a quantity of its own, as traffic has."""
    first = period.epoch(clouds.BEGIN)
    owner = models.series.c
    with database.writer() as connection:
        keys = connection.execute(sa.select(owner.id).where(owner.metric == metric)).scalars().all()
        for piece in bulk.chunks(keys, 100):
            connection.execute(models.runs.delete().where(models.runs.c.series_id.in_(piece)))
            fresh = []
            for key in piece:
                for hour in range(month.HOURS + LIVE_ON // clouds.HOUR):
                    begin = first + hour * 3600
                    qty = Decimal(1 + (key * 7919 + hour * 104729) % 999983)
                    fresh.append((key, runs.Run(begin, begin + 3600, 3600, qty, qty / 1000)))
            statements.insert_runs(connection, fresh)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=14_000)
    parser.add_argument(
        "--hourly", action="store_true", help="a fifth of the resources changes every hour"
    )
    parser.add_argument("--database", help="server to make a database on; SQLite without")
    options = parser.parse_args()
    with common.fresh_database(options.database) as (conf, database):
        facts = month.fill(database.url, options.resources)
        with database.writer() as connection:
            ids = connection.execute(sa.select(scopes.c.id)).scalars().all()
            statements.move_horizon(connection, ids, period.epoch(END + LIVE_ON))
        if options.hourly:
            change_hourly(database, "network.incoming")
        give_back(database)
        store = factory.build(conf, database, Registry())
        total = sum(month.scaled(row[3]) for row in bill(store))
        if not options.hourly and total != sum(facts.price.values()):
            raise SystemExit(f"the month is not what was written: {json.dumps(total)}")
        points = f"{options.resources * month.HOURS}{' hourly' * options.hourly}"
        measure(f"purge of {points} points, living on", database, store, END)
        measure(f"purge of {points} points, gone", database, store, END + 2 * LIVE_ON)


if __name__ == "__main__":
    main()
