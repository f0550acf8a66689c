# SPDX-License-Identifier: Apache-2.0
"""A processor for tests, whose clock, source and list of scopes belong to the test."""

import datetime
from collections import Counter
from decimal import Decimal

import voluptuous as vol

from cloudkitty.collector import schema
from cloudkitty.collector.base import Collector
from cloudkitty.collector.catalogue import Catalogue
from cloudkitty.collector.metrics import MetricsFile, read
from cloudkitty.collector.sources import Sources
from cloudkitty.collector.steering import Steering
from cloudkitty.dataframe import Points, Registry
from cloudkitty.db.collectors import CollectorStore
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.processor.build import skip_filter
from cloudkitty.processor.collecting import Collecting
from cloudkitty.processor.late import LateUsage
from cloudkitty.processor.reprocessing import Reprocessor
from cloudkitty.processor.rounds import Rounds, ScopeSource
from cloudkitty.processor.schedule import Schedule
from cloudkitty.processor.worker import Retry, Worker
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.telemetry.rating import RatingTelemetry
from cloudkitty.tests.builders import HOUR, NEW_YEAR

METRICS = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    groupby: [id]
  volume.size:
    unit: GiB
    groupby: [id]
"""


class Usage(Collector):
    """A source held in memory, that can be told to fail."""

    def __init__(self, conf, registry) -> None:
        super().__init__(conf, registry)
        self.asked: list[tuple[str, int, int]] = []
        self.bad_scopes: dict[str, Exception] = {}
        self.down: Exception | None = None
        self.late: set[tuple[str, str]] = set()
        self.closed = False

    def fetch(self, metric, period, scopes):
        number = (period.begin - NEW_YEAR) // HOUR
        self.asked.append((metric.name, number, len(scopes)))
        if self.down is not None:
            raise self.down
        answers = {}
        for scope in scopes:
            if scope in self.bad_scopes:
                raise self.bad_scopes[scope]
            if (scope, metric.name) in self.late:
                continue
            points = Points()
            groupby = {"id": f"{scope}-{metric.name}", "project_id": scope}
            series = self.registry.series(
                metric.service, unit=metric.unit, groupby=groupby, metadata={}
            )
            points.append(series, Decimal(number + 1))
            answers[scope] = points
        return answers

    def close(self) -> None:
        self.closed = True


class Spare(Usage):
    """Another source, that wants to be told the region."""

    @classmethod
    def check_extra_args(cls, extra_args):
        return REGION(extra_args)


REGION = schema.record({vol.Required("region"): schema.one_of(["north", "south"])})


class Installed(Catalogue):
    """Two collectors, ``csv`` (the default) and ``spare``, as if they were installed."""

    classes = {"csv": Usage, "spare": Spare}

    def names(self):
        return tuple(self.classes)

    def load(self, name, option=""):
        return self.classes[name]


class Listed(Fetcher):
    def __init__(self, conf, scopes) -> None:
        super().__init__(conf)
        self.listed = scopes
        self.error: FetchError | None = None

    def scopes(self):
        if self.error:
            raise self.error
        return self.listed


class Bench:
    """A processor whose clock, source and list of scopes belong to the test."""

    def __init__(
        self, conf, database, scopes=("p", "q", "r"), hours=5, metrics=METRICS, telemetry=None
    ) -> None:
        self.telemetry = telemetry or RatingTelemetry()
        conf.set_override("first_period", "2026-01-01", "collect")
        conf.set_override("wait_periods", 1, "collect")
        self.database = database
        self.now = NEW_YEAR + hours * HOUR + datetime.timedelta(seconds=1)
        registry, installed = Registry(), Installed()
        self.metrics: MetricsFile = read(
            metrics, "project_id", Usage.check_extra_args, collector="csv", others=installed
        )
        self.sources = Sources(conf, registry, installed)
        self.sources.make(self.metrics.collectors)
        self.collector = self.sources.named("csv")
        self.notes = CollectorStore(database)
        self.fetcher = Listed(conf, list(scopes))
        self.storage = SqlAlchemyStorage(conf, database, registry)
        self.pipeline = Pipeline(conf, database)
        schedule = Schedule.of(conf)
        store = ScopeStore(database)
        self.worker = Worker(
            collecting=Collecting(
                collector=self.sources,
                steering=Steering(self.metrics, self.sources),
                notes=self.notes.notes,
                threads=2,
                timeout=30,
                telemetry=self.telemetry,
            ),
            late=LateUsage(self.storage, schedule, conf.collect.late_data_grace),
            pipeline=self.pipeline,
            skip=skip_filter(conf, self.metrics),
            storage=self.storage,
            scopes=store,
            clock=lambda: self.now,
            retry=Retry(10, 600),
            telemetry=self.telemetry,
        )
        self.source = ScopeSource(conf, self.fetcher, store, schedule)
        self.schedule = schedule
        self.tasks = TaskStore(database)
        self.reprocessor = Reprocessor(
            worker=self.worker,
            pipeline=self.pipeline,
            storage=self.storage,
            tasks=self.tasks,
            seconds=schedule.seconds,
            clock=lambda: self.now,
            retry=Retry(10, 600),
            batch_size=schedule.batch_size,
        )
        self.rounds = self.rounds_of()

    def rounds_of(self, **more) -> Rounds:
        return Rounds(
            source=self.source,
            schedule=self.schedule,
            worker=self.worker,
            reprocessor=self.reprocessor,
            clock=lambda: self.now,
            **more,
        )

    def state(self, name: str):
        return next(s for s in self.source.states() if s.scope.identifier == name)

    def rated(self) -> Counter[str]:
        """How many hours of each scope are in the ledger, each checked to be complete."""
        query = Query(NEW_YEAR, NEW_YEAR + 1000 * HOUR)
        hours: Counter[str] = Counter()
        for found in self.storage.retrieve(query, limit=None).frames:
            number = (found.frame.period.begin - NEW_YEAR) // HOUR
            assert [(p.metric, p.qty) for p in found.frame] == [
                ("instance", number + 1),
                ("volume.size", number + 1),
            ]
            hours[found.scope.identifier] += 1
        return hours
