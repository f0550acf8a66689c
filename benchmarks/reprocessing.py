# SPDX-License-Identifier: Apache-2.0
"""A month of 200 scopes priced anew from the ledger's usage, the source switched off.

``python benchmarks/reprocessing.py [--database URL] [--scopes N] [--hours N]``
"""

import argparse
from fractions import Fraction

import clouds
import common

from cloudkitty.collector.base import SourceUnavailable
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.period import Period
from cloudkitty.rating.hashmap.records import MappingFilter, NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.storage.base import Query
from cloudkitty.task import Mode, NewTask

SERIES = 50


def double_prices(database: Database) -> None:
    """Replace every mapping by one that costs twice as much, from the beginning."""
    store = HashmapStore(database)
    [service] = store.list_services()
    [field] = store.list_fields(service.service_id)
    for old in store.list_mappings(MappingFilter(), now=clouds.BEGIN):
        store.delete_mapping(old.mapping_id, now=clouds.BEGIN, user="benchmark")
        new = NewMapping(
            field_id=field.field_id, value=old.value, cost=old.cost * 2, start=old.start
        )
        store.create_mapping(new, now=clouds.BEGIN, user="benchmark", force=True)


def ask(database: Database, window: Period, dry_run: bool) -> None:
    states = ScopeStore(database).find({})
    wanted = [NewTask(state, window, "a benchmark", Mode.RATE, dry_run) for state in states]
    TaskStore(database).add(wanted, window.end)


def total(bench: clouds.Bench) -> Fraction:
    [row] = bench.storage.total(Query(clouds.BEGIN, bench.now)).rows
    return Fraction(row.price)


def switched_off(*_arguments: object) -> None:
    raise SourceUnavailable("the source is switched off")


def run(url: str | None, scopes: int, hours: int) -> None:
    cloud = clouds.Cloud(scopes=scopes, resources=scopes * SERIES)
    with clouds.bench(url, cloud) as (bench, database, _directory):
        bench.advance(hours)
        before = total(bench)
        window = Period(clouds.BEGIN, clouds.BEGIN + hours * clouds.HOUR)
        double_prices(database)
        bench.collector.fetch = switched_off  # type: ignore[method-assign, assignment]
        ask(database, window, dry_run=True)
        dry = common.seconds(lambda: bench.advance(0))
        results = [task.result["instance"] for task in TaskStore(database).list()]
        told = sum(Fraction(pair.after) for pair in results)
        if total(bench) != before or told != 2 * before:
            raise SystemExit("wrong: the dry run has written, or its difference is not right")
        ask(database, window, dry_run=False)
        seconds = common.seconds(lambda: bench.advance(0))
        if total(bench) != 2 * before:
            raise SystemExit("wrong: the month has not the new prices")
        common.report(
            f"A month of {scopes} scopes priced anew",
            scopes * hours / seconds,
            "scope-periods/s",
            1_000,
            database=database.dialect,
            seconds=seconds,
            dry_run_s=dry,
            points=scopes * SERIES * hours,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    parser.add_argument("--scopes", type=int, default=200)
    parser.add_argument("--hours", type=int, default=720)
    arguments = parser.parse_args()
    run(arguments.database, arguments.scopes, arguments.hours)


if __name__ == "__main__":
    main()
