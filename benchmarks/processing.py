# SPDX-License-Identifier: Apache-2.0
"""How fast usage becomes a ledger: first hour, following hours, many small scopes, a month.

``python benchmarks/processing.py [--database URL] [--full]``; ``--full`` runs the month of
36 million points and the larger first hour.
"""

import argparse
import resource
from fractions import Fraction

import clouds
import common
import sqlalchemy as sa

from cloudkitty.db.engine import Database
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy import models


def check(bench: clouds.Bench, price: Fraction) -> str:
    """Compare the ledger's total with an independent sum, to the last digit."""
    query = Query(clouds.BEGIN, bench.now)
    found = sum((row.price for row in bench.storage.total(query).rows), start=0)
    if Fraction(found) != price:
        raise SystemExit(f"wrong: the ledger says {found}, the sum is {price}")
    return str(found)


def rows(database: Database) -> int:
    with database.reader() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(models.runs)).scalar_one()


def first_hour(url: str | None, points: int) -> None:
    """P1: every series is new."""
    cloud = clouds.Cloud(scopes=max(10, points // 500), resources=points)
    with clouds.bench(url, cloud) as (bench, database, _directory):
        seconds = common.seconds(lambda: bench.advance(1))
        common.report(
            f"P1 first hour, {points} points",
            points / seconds,
            "points/s",
            60_000,
            work=points,
            database=database.dialect,
            total=check(bench, clouds.expected_price(cloud, 1)),
        )


def following_hours(url: str | None, points: int) -> None:
    """P2: two of a hundred series change in each hour."""
    cloud = clouds.Cloud(scopes=max(10, points // 500), resources=points, changing=Fraction(2, 100))
    with clouds.bench(url, cloud) as (bench, database, _directory):
        bench.advance(2)
        before = rows(database)
        hours = 5
        seconds = common.seconds(lambda: bench.advance(hours))
        common.report(
            "P2 following hour, 2 % changed",
            hours * points / seconds,
            "points/s",
            200_000,
            work=points,
            database=database.dialect,
            rows_written_per_hour=(rows(database) - before) / hours,
        )


def small_scopes(url: str | None, scopes: int) -> None:
    """P3: scopes of 50 points, 6 periods."""
    cloud = clouds.Cloud(scopes=scopes, resources=50 * scopes)
    with clouds.bench(url, cloud) as (bench, database, _directory):
        seconds = common.seconds(lambda: bench.advance(6))
        common.report(
            "P3 many small scopes",
            scopes * 6 / seconds,
            "scope-periods/s",
            1_000,
            work=scopes,
            database=database.dialect,
            requests_per_period=bench.collector.requests / 6,
            total=check(bench, clouds.expected_price(cloud, 6)),
        )


def month(url: str | None, resources: int, hours: int) -> None:
    """P4: catch-up of a month, by one worker, and S1: what it takes on disk."""
    cloud = clouds.Cloud(scopes=500, resources=resources)
    with clouds.bench(url, cloud) as (bench, database, directory):
        processor_time = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        seconds = common.seconds(lambda: bench.advance(hours))
        processor_time = resource.getrusage(resource.RUSAGE_SELF).ru_utime - processor_time
        points = cloud.points * hours
        common.report(
            f"P4 catch-up of {points / 1e6:.1f} million points by one worker",
            seconds,
            "s",
            300 * points / 36e6,
            work=points,
            database=database.dialect,
            processor_s=processor_time,
            points_per_s=points / seconds,
            total=check(bench, clouds.expected_price(cloud, hours)),
        )
        if database.dialect == "sqlite":
            database.dispose()
            size = sum(path.stat().st_size for path in directory.glob("cloudkitty.sqlite*"))
            # What does not change takes no more room in a month than in a day.
            common.report(
                "S1 bytes of a steady series, however many hours",
                size / cloud.points,
                "bytes",
                450 * 720 / 400,
                work=cloud.points,
                size=size,
                smaller_than_rows_of_a_month=450 * 720 * cloud.points / size,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    parser.add_argument("--full", action="store_true", help="the whole month, for minutes")
    arguments = parser.parse_args()
    first_hour(arguments.database, 10_000)
    first_hour(arguments.database, 100_000)
    for points in (10_000, 100_000):
        following_hours(arguments.database, points)
    for scopes in (20, 200):
        small_scopes(arguments.database, scopes)
    for resources in (5_000, 50_000):
        month(arguments.database, resources, 720 if arguments.full else 72)


if __name__ == "__main__":
    main()
