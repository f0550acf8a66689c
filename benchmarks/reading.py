# SPDX-License-Identifier: Apache-2.0
"""How fast the ledger answers: a project's month (Q1), the whole cloud's month (Q2), a project's
day of data frames, and more of them as a stream (Q3).

``python benchmarks/reading.py [--database URL] [--resources N ...] [--readers N]``; every resource
stands for 720 points: 1,400, 14,000 and 100,000 resources are 1, 10 and 72 million points. The
largest takes a minute to write. Every answer is compared with an independent sum, digit by digit.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import clouds
import common
import month
from oslo_config import cfg

from cloudkitty import config, money
from cloudkitty.api.v2 import dataframes
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.storage import factory
from cloudkitty.storage.base import GROUP_SCOPE, GROUP_TYPE, Query, Storage, TotalRow

SIZES = (1_400, 14_000)
"""Resources, unless asked for others."""

SECONDS = 3
"""Longest time for repeating one call, but it is repeated five times at least."""

STREAMED = 200_000
"""Most points of a stream."""

BEGIN, END = clouds.BEGIN, clouds.BEGIN + month.HOURS * clouds.HOUR


def check(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise SystemExit(f"wrong {what}: {found}, and it should be {expected}")


def prices(rows: Iterable[TotalRow]) -> dict[tuple[str, ...], int]:
    return {row.group: month.scaled(row.price) for row in rows}


def times(call: Callable[[], object], repeat: int = 200) -> list[float]:
    """Return how long each of many calls takes, sorted, in milliseconds, after one to warm up."""
    call()
    found: list[float] = []
    until = time.monotonic() + SECONDS
    while len(found) < repeat and (len(found) < 5 or time.monotonic() < until):
        found.append(common.seconds(call) * 1000)
    return sorted(found)


def p99(milliseconds: Sequence[float]) -> float:
    return milliseconds[min(len(milliseconds) - 1, len(milliseconds) * 99 // 100)]


def raw_seconds(amounts: int) -> float:
    """Return how long this machine takes to read and multiply so many amounts and add them up."""
    text = "0.0142857142857142857142857143"

    def add() -> None:
        total = money.ZERO
        for _ in range(amounts):
            total += Decimal(text) * 720

    return common.seconds(add)


def storage_at(url: str) -> Storage:
    conf = config.load([], config_files=[])
    conf.set_override("connection", url, "database")
    return factory.build(conf, Database(conf), Registry())


def spawned(workers: int) -> ProcessPoolExecutor:
    """Return processes that share nothing with this one, so that its memory is that of reading."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def ask_often(url: str, scopes: Sequence[str], together: Any) -> list[float]:
    """Ask for the month of each scope, one after the other, when all readers are there."""
    storage = storage_at(url)
    asked = [Query(BEGIN, END, scopes=[scope]) for scope in scopes]
    storage.total(asked[0], [GROUP_TYPE])
    together.wait(60)
    found = []
    for query in asked:
        begin = time.perf_counter()
        storage.total(query, [GROUP_TYPE])
        found.append((time.perf_counter() - begin) * 1000)
    return found


class Reading:
    """The questions to one month."""

    def __init__(self, storage: Storage, known: month.Facts) -> None:
        self._storage = storage
        self._known = known
        self._scope = known.scopes[len(known.scopes) // 2]
        self._facts: dict[str, Any] = {
            "work": len(known.scopes) * month.SERIES_PER_SCOPE * month.HOURS,
            "runs": known.runs,
            "database": storage.database.dialect,
        }

    def project(self, readers: int) -> None:
        """Q1."""
        query = Query(BEGIN, END, scopes=[self._scope])
        expected = {
            (metric,): price
            for (scope, metric), price in self._known.price.items()
            if scope == self._scope
        }
        check("month", prices(self._storage.total(query, [GROUP_TYPE]).rows), expected)
        taken = times(lambda: self._storage.total(query, [GROUP_TYPE]))
        facts = {"p99_ms": p99(taken), "p99_target": 50, **self._facts}
        title = "Q1 month by metric for one project"
        common.report(title, statistics.median(taken), "ms", 10, **facts)
        if readers > 1:
            found = sorted(self._together(readers))
            facts |= {"p99_ms": p99(found)}
            common.report(
                f"{title}, {readers} readers", statistics.median(found), "ms", 10, **facts
            )

    def _together(self, readers: int) -> list[float]:
        url, scopes = self._storage.database.url, self._known.scopes
        with multiprocessing.get_context("spawn").Manager() as manager, spawned(readers) as pool:
            together = manager.Barrier(readers)
            futures = [
                pool.submit(ask_often, url, [*scopes[place::readers], *scopes][:50], together)
                for place in range(readers)
            ]
            return [taken for future in futures for taken in future.result(timeout=120)]

    def cloud(self) -> None:
        """Q2."""
        query = Query(BEGIN, END)
        groups = [GROUP_SCOPE, GROUP_TYPE]
        check("month", prices(self._storage.total(query, groups).rows), self._known.price)
        [whole] = self._storage.total(query).rows
        check("sum", month.scaled(whole.price), sum(self._known.price.values()))
        taken = times(lambda: self._storage.total(query, groups), 15)
        common.report(
            "Q2 month by project and metric, whole cloud",
            statistics.median(taken) / 1000,
            "s",
            0.5,
            best_s=taken[0] / 1000,
            raw_s=raw_seconds(2 * self._known.runs),
            rows=len(self._known.price),
            **self._facts,
        )

    def day(self) -> None:
        """Q3: the points of a day, as the API writes them."""
        query = Query(BEGIN, BEGIN + month.DAY * clouds.HOUR, scopes=[self._scope])
        answer = json.loads("".join(self._written(query, None)), parse_float=Decimal)
        found: dict[tuple[str, str], int] = defaultdict(int)
        for frame in answer["dataframes"]:
            for metric, points in frame["usage"].items():
                for point in points:
                    price = Decimal(point["rating"]["price"])
                    found[self._scope, metric] += month.scaled(price)
        of_scope = {group: day for group, day in self._known.day.items() if group[0] == self._scope}
        check("day", dict(found), of_scope)
        taken = times(lambda: sum(map(len, self._written(query, None))), 100)
        facts = {"p99_ms": p99(taken), "answer": answer["total"], **self._facts}
        common.report(
            "Q3 data frames of one project's day", statistics.median(taken), "ms", 20, **facts
        )

    def stream(self) -> None:
        """Q3: many points in one answer, of one project and of all."""
        month_of_project = Query(BEGIN, END, scopes=[self._scope])
        self._stream("Q3 data frames of one project's month, streamed", month_of_project)
        self._stream("Q3 data frames of the whole cloud, streamed", Query(BEGIN, END))

    def _stream(self, title: str, query: Query) -> None:
        size = 0

        def read() -> None:
            nonlocal size
            size = sum(map(len, self._written(query, STREAMED)))

        with self._storage.scan(query, 0, STREAMED) as scan:
            points = min(STREAMED, scan.total)
        scopes = len(query.scopes or self._known.scopes)
        check("number", scan.total, scopes * month.SERIES_PER_SCOPE * month.HOURS)
        seconds = common.median_seconds(lambda: read, 3)
        facts = {"answer": points, "answer_bytes": size, **self._facts}
        common.report(title, points / seconds, "points/s", 50_000, **facts)

    def _written(self, query: Query, limit: int | None) -> Iterator[str]:
        with self._storage.scan(query, 0, limit, by_metric=True) as scan:
            yield from dataframes.document(scan.total, scan.frames)


@contextmanager
def filled(conf: cfg.ConfigOpts, resources: int) -> Iterator[tuple[Storage, month.Facts]]:
    """Yield a store with the month, written by another process."""
    url = conf.database.connection
    with spawned(1) as pool:
        known = pool.submit(month.fill, url, resources).result(timeout=900)
    storage = storage_at(url)
    try:
        yield storage, known
    finally:
        storage.database.dispose()


def run(url: str | None, resources: int, readers: int) -> None:
    with (
        common.fresh_database(url) as (conf, _database),
        filled(conf, resources) as (storage, known),
    ):
        reading = Reading(storage, known)
        reading.project(readers)
        reading.cloud()
        reading.day()
        reading.stream()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    parser.add_argument("--resources", type=int, nargs="+", default=SIZES)
    parser.add_argument("--readers", type=int, default=8, help="at the same time")
    arguments = parser.parse_args()
    for resources in sorted(arguments.resources):
        run(arguments.database, resources, arguments.readers)


if __name__ == "__main__":
    main()
