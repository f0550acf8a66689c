# SPDX-License-Identifier: Apache-2.0
"""A small priced cloud, the workers that rate it, and what their ledger should come to."""

import datetime
import os
import pathlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from oslo_config import cfg

from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.processor.build import utcnow
from cloudkitty.processor.worker import Clock
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional.faults.child import BOUND, Child, Pace, Prepare

SCOPES = 3
HOURS = 12
END = NEW_YEAR + HOURS * HOUR

LONG = os.environ.get("CLOUDKITTY_TEST_FAULTS") == "long"
"""Whether faults happen at more moments, and pauses are those of production."""

KILLS = int(os.environ.get("CLOUDKITTY_TEST_KILLS", "50" if LONG else "10"))
"""Workers that are killed at random moments, on each kind of database; taken in tens."""

PACE = (
    Pace(trouble=10, pause=1, idle=60, retry=10, jitter=True, silence=10)
    if LONG
    else Pace(trouble=0.1, pause=0.02, idle=0.1, retry=0.1, jitter=False, silence=1)
)

Key = tuple[str, str, str, str]
"""What names a point: scope, begin, metric, attributes."""

Ledger = Mapping[Key, tuple[str, str]]
"""Quantity and price of each point, as texts."""


class Verdict(NamedTuple):
    """How a ledger differs from that of an undisturbed run."""

    lost: int
    doubled: int
    different: int


class Site:
    """A cloud in a database of its own; files are kept in *directory*."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path) -> None:
        cloud.configure(conf, directory, scopes=SCOPES, hours=HOURS)
        cloud.price(database)
        database.dispose()
        self.conf = conf
        self.database = database
        self.directory = directory
        self.log = directory / "processor.log"
        # All usage is due, and nothing after it until the next hour begins.
        self._hour = (utcnow() - NEW_YEAR) // HOUR
        self.wait_periods = self._hour - HOURS + 1
        for option, value in {
            "collect.wait_periods": self.wait_periods,
            "orchestrator.max_workers": 1,
            "orchestrator.batch_size": 2,
            "DEFAULT.log_file": str(self.log),
        }.items():
            group, _, name = option.partition(".")
            conf.set_override(name, value, None if group == "DEFAULT" else group)
        self.set_locks("locks")

    def set_locks(self, name: str) -> None:
        """Have the workers that are started from now on share locks of that name."""
        # Who was killed counts as a member for a while, as long as others may be silent.
        url = f"file://{self.directory}/{name}?timeout={PACE.silence}"
        self.conf.set_override("coordination_url", url, "orchestrator")

    @contextmanager
    def worker(
        self, prepare: Prepare = lambda _inside: None, clock: Clock = utcnow
    ) -> Iterator[Child]:
        """Run a worker while the context lasts."""
        self.database.dispose()
        child = Child(self.conf, clock, prepare, PACE)
        try:
            yield child
        finally:
            child.stop()

    def horizons(self) -> dict[str, datetime.datetime | None]:
        """How far each scope has been rated."""
        with self.database.reader() as connection:
            rows = connection.execute(
                scopes.select().with_only_columns(scopes.c.identifier, scopes.c.horizon)
            ).all()
        return {row.identifier: row.horizon for row in rows}

    def is_done(self) -> bool:
        reached = self.horizons().values()
        return len(reached) == SCOPES and all(horizon and horizon >= END for horizon in reached)

    def await_end(self, *living: Child) -> None:
        """Wait until everything is rated, by workers of which none may die."""
        deadline = time.monotonic() + 2 * BOUND
        while not self.is_done():
            for child in living:
                assert child.exit_code is None, f"a worker died\n{self.said()}"
            assert time.monotonic() < deadline, f"not done in time\n{self.said()}"
            time.sleep(0.02)

    def await_file(self, name: str, worker: Child) -> None:
        """Wait until a worker has made a file in our directory."""
        deadline = time.monotonic() + BOUND
        while not (self.directory / name).exists():
            assert worker.exit_code is None, f"the worker died\n{self.said()}"
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def await_complaint(self) -> None:
        """Wait until a worker has logged that something is wrong."""
        deadline = time.monotonic() + BOUND
        while not self.complaints():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def said(self) -> str:
        """The log of all workers."""
        return self.log.read_text() if self.log.exists() else ""

    def complaints(self) -> list[str]:
        """What was logged as wrong, without time and process."""
        found = re.findall(r"^.*? (?:WARNING|ERROR|CRITICAL) (.*)$", self.said(), re.MULTILINE)
        return [one.partition("] ")[2] or one for one in found]

    def ledger(self) -> "Ledger":
        """Every point, each of which is there once."""
        return dict(self._points())

    def _points(self) -> list[tuple[Key, tuple[str, str]]]:
        store = SqlAlchemyStorage(self.conf, self.database, Registry())
        window = Query(NEW_YEAR, END + 10_000 * HOUR)
        return [
            (
                (
                    found.scope.identifier,
                    found.frame.period.begin.isoformat(),
                    point.metric,
                    str(sorted(point.desc.items())),
                ),
                (str(point.qty), str(point.price)),
            )
            for found in store.retrieve(window, limit=None).frames
            for point in found.frame
        ]

    def compare(self, undisturbed: "Ledger") -> Verdict:
        """Return how the ledger differs from another; a horizon that is not at the end counts as
        a period lost."""
        points = self._points()
        times = Counter(key for key, _amounts in points)
        # With each hour that has ended since, a period without usage has become due.
        farthest = END + ((utcnow() - NEW_YEAR) // HOUR - self._hour) * HOUR
        strange = sum(
            horizon is None or not END <= horizon <= farthest
            for horizon in self.horizons().values()
        )
        return Verdict(
            lost=len(undisturbed.keys() - times.keys()) + strange,
            doubled=sum(n - 1 for n in times.values()) + len(times.keys() - undisturbed.keys()),
            different=sum(
                key in undisturbed and undisturbed[key] != amounts for key, amounts in points
            ),
        )
