# SPDX-License-Identifier: Apache-2.0
"""Looks every few seconds how far each scope is, what memory the service takes, and how its readers
fare; and remembers when each period of each scope was rated."""

import csv
import dataclasses
import os
import pathlib
import statistics
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import common
import sqlalchemy as sa

from cloudkitty import period
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from soaking import flaps
from soaking.cloud import Cloud
from soaking.flaps import Flap
from soaking.prices import Prices
from soaking.readers import WINDOW, Readers, percentile


@dataclass(frozen=True)
class Sample:
    """A row of the CSV file. Requests are those since the sample before."""

    time: str
    minutes: float
    lag_p50: int
    lag_max: int
    behind: int
    processor_mib: float
    api_mib: float
    points: int
    requests: int
    bad_requests: int
    p50_ms: float
    p99_ms: float
    rule_changes: int
    flap: str
    load: float


class Move(NamedTuple):
    """A scope was rated from one instant up to another after the first and before the second look:
    all in seconds since 1970."""

    rated_from: int
    rated_to: int
    after: float
    before: float


class Sampler:
    """A thread that takes samples until it is told to end."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        database: Database,
        processes: Mapping[str, int],
        numbers: str,
        readers: Readers,
        prices: Prices,
        planned: Sequence[Flap],
        path: pathlib.Path,
        pause: float,
    ) -> None:
        """*processes* are the parents of the programs ``processor`` and ``api``, *numbers* is the
        URL of the numbers of the processor."""
        self._cloud = cloud
        self._database = database
        self._processes = processes
        self._numbers = numbers
        self._readers = readers
        self._prices = prices
        self._planned = planned
        self._path = path
        self._pause = pause
        self._begin = time.time()
        self._looked = self._begin
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._last: dict[str, tuple[int, float]] = {}
        self.moves: dict[str, list[Move]] = defaultdict(list)
        self.samples: list[Sample] = []
        self.rated_to: list[tuple[float, int]] = []
        """When it was seen, and up to where all scopes had been rated by then."""
        self.lags: Counter[int] = Counter()
        """How often a scope was seen so many periods behind, once all had been caught up with."""
        self.trouble: Exception | None = None

    def start(self) -> None:
        self._begin = self._looked = time.time()
        self._thread.start()

    def stop(self) -> None:
        """End, after a last look.

        :raises Exception: what ended the thread before its time.
        """
        self._stop.set()
        self._thread.join(120)
        if self.trouble is not None:
            raise self.trouble

    def recovery(self, flap: Flap) -> float | None:
        """Return the seconds from the end of a flap until all that had been due then was rated,
        ``None`` if it never was. A look is taken only now and then."""
        due = self._cloud.begin(self._cloud.index(flap.end))
        seen = (at for at, rated_to in self.rated_to if at >= flap.end and rated_to >= due)
        at = next(seen, None)
        return None if at is None else at - flap.end

    def has_begun(self) -> bool:
        """Return whether there is something of every scope in the window of readers, and will be:
        to ask for data frames where there is nothing is answered 404."""
        opens = time.time() - WINDOW + 3 * self._cloud.seconds
        return bool(self.rated_to) and self.rated_to[-1][1] > max(self._cloud.first, opens)

    def caught_up(self) -> float | None:
        """Return the seconds until all was rated that had been due at the beginning."""
        due = self._cloud.begin(self._cloud.index(self._begin))
        return next((at - self._begin for at, to in self.rated_to if to >= due), None)

    def horizons(self) -> dict[str, int]:
        """Look once more, and return up to where each scope has been rated."""
        self._lags(time.time())
        return {scope: rated_to for scope, (rated_to, _looked) in self._last.items()}

    def _run(self) -> None:
        names = [one.name for one in dataclasses.fields(Sample)]
        try:
            with self._path.open("w", newline="") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                while True:
                    is_last = self._stop.is_set()
                    sample = self._sample()
                    self.samples.append(sample)
                    writer.writerow(dataclasses.asdict(sample))
                    file.flush()
                    if is_last:
                        return
                    self._stop.wait(self._pause)
        except Exception as error:  # noqa: BLE001
            # It is raised again by whoever waits for the thread.
            self.trouble = error

    def _sample(self) -> Sample:
        now = time.time()
        lags = self._lags(now)
        requests = self._readers.since(self._looked)
        self._looked = now
        took = [one.milliseconds for one in requests]
        flap = flaps.current(self._planned, now)
        return Sample(
            time=period.from_epoch(int(now)).isoformat(),
            minutes=round((now - self._begin) / 60, 3),
            lag_p50=int(statistics.median(lags)),
            lag_max=max(lags),
            behind=sum(lag > 0 for lag in lags),
            processor_mib=round(sum(common.proportional_mib(self._processes["processor"])), 1),
            api_mib=round(sum(common.proportional_mib(self._processes["api"])), 1),
            points=int(scraped(self._numbers).get("cloudkitty_points_total", 0)),
            requests=len(requests),
            bad_requests=sum(bool(one.problem) for one in requests),
            p50_ms=round(percentile(took, 0.5), 1),
            p99_ms=round(percentile(took, 0.99), 1),
            rule_changes=self._prices.changes,
            flap=flap.kind if flap else "",
            load=os.getloadavg()[0],
        )

    def _lags(self, now: float) -> list[int]:
        """Return how many periods that have ended are not rated yet, of each scope."""
        first, seconds = self._cloud.first, self._cloud.seconds
        asked = sa.select(scopes.c.identifier, scopes.c.horizon)
        with self._database.reader() as connection:
            rows = connection.execute(asked).all()
        seen = time.time()
        reached = {row.identifier: period.epoch(row.horizon) for row in rows if row.horizon}
        for scope, rated_to in reached.items():
            rated_from, looked = self._last.get(scope, (first, self._begin))
            if rated_to != rated_from:
                self.moves[scope].append(Move(rated_from, rated_to, looked, seen))
            self._last[scope] = rated_to, now
        all_reached = [reached.get(scope, first) for scope in self._cloud.scopes()]
        self.rated_to.append((seen, min(all_reached)))
        lags = [int((now - rated_to) // seconds) for rated_to in all_reached]
        if self.caught_up() is not None:
            self.lags.update(lags)
        return lags


def scraped(url: str) -> dict[str, float]:
    """Return the numbers that a program shows to Prometheus, summed over their labels."""
    found: dict[str, float] = defaultdict(float)
    with urllib.request.urlopen(url, timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name.partition("{")[0]] += float(value)
    return found
