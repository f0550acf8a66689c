# SPDX-License-Identifier: Apache-2.0
"""A cloud in memory, of any size: decoded answers of a metering system, made from a seed."""

import datetime
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction

import common
from oslo_config import cfg

from cloudkitty.collector import metrics
from cloudkitty.collector.base import Collector
from cloudkitty.collector.catalogue import Catalogue
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.collector.sources import Sources
from cloudkitty.collector.steering import Steering
from cloudkitty.dataframe import Points, Registry
from cloudkitty.db.collectors import CollectorStore
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.fetcher.base import Fetcher
from cloudkitty.period import UTC, Period
from cloudkitty.processor import build, memory
from cloudkitty.processor.collecting import Collecting
from cloudkitty.processor.late import LateUsage
from cloudkitty.processor.reprocessing import Reprocessor
from cloudkitty.processor.rounds import Rounds, ScopeSource
from cloudkitty.processor.schedule import Schedule
from cloudkitty.processor.worker import Outcome, Retry, Worker
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage import factory
from cloudkitty.storage.base import Storage
from cloudkitty.telemetry.rating import RatingTelemetry

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)
UNIT_PRICES = {f"flavor-{n}": Decimal(f"0.0{n + 1}37") for n in range(10)}

METRICS = """
metrics:
  instance: {unit: instance, groupby: [id, user_id], metadata: [flavor, zone]}
"""

Answer = Mapping[str, str]


class Cloud:
    """Resources of many scopes; in each hour a share of them reports another quantity."""

    def __init__(self, scopes: int, resources: int, changing: Fraction = Fraction(0)) -> None:
        self.scopes = [f"{n:032x}" for n in range(scopes)]
        self.changing = changing
        share = resources // scopes
        self._answers = {
            scope: [
                {
                    "id": f"{number * share + place:08x}-0000-4000-8000-{number:012x}",
                    "project_id": scope,
                    "user_id": f"user-{number:026x}",
                    "flavor": f"flavor-{(number + place) % 10}",
                    "zone": f"zone-{place % 3}",
                    "value": "1",
                }
                for place in range(share)
            ]
            for number, scope in enumerate(self.scopes)
        }
        self.points = share * scopes

    def answer(self, scope: str, hour: int) -> Sequence[Answer]:
        """The decoded answer of the metering system for one scope and hour."""
        answers = self._answers[scope]
        every = int(1 / self.changing) if self.changing else 0
        if every and hour:
            for place in range(hour % every, len(answers), every):
                answers[place] = answers[place] | {"value": str(1 + hour % 7)}
        return answers


class MemoryCollector(Collector):
    """Turns decoded answers into points, as a collector of a metering system does."""

    cloud: Cloud
    requests = 0

    def fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        self.requests += 1
        hour = (period.begin - BEGIN) // HOUR
        shape = self.registry.shape(metric.shape)
        names = (*shape.groupby, *shape.metadata)
        answers = {}
        for scope in scopes:
            series, qty = [], []
            for answer in self.cloud.answer(scope, hour):
                series.append(self.registry.of(shape, tuple([answer[name] for name in names])))
                qty.append(metric.quantity(Decimal(answer["value"])))
            answers[scope] = Points(series, qty)
        return answers


class MemoryFetcher(Fetcher):
    cloud: Cloud

    def scopes(self) -> list[str]:
        return self.cloud.scopes


class Bench:
    """A processor over a cloud in memory, whose clock stands where it is told."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, cloud: Cloud) -> None:
        conf.set_override("first_period", BEGIN.isoformat(), "collect")
        conf.set_override("wait_periods", 1, "collect")
        self.now = BEGIN
        self.points = 0
        registry = Registry()
        self.storage: Storage = factory.build(conf, database, registry)
        self.collector = MemoryCollector(conf, registry)
        self.collector.cloud = cloud
        fetcher = MemoryFetcher(conf)
        fetcher.cloud = cloud
        schedule = Schedule.of(conf)
        scopes = ScopeStore(database)
        definitions = metrics.read(METRICS, "project_id", MemoryCollector.check_extra_args)
        pipeline = Pipeline(conf, database)
        self._worker = Worker(
            collecting=Collecting(
                collector=self.collector,
                steering=Steering(definitions, Sources(conf, registry, Catalogue())),
                notes=CollectorStore(database).notes,
                threads=1,
                timeout=300,
                telemetry=RatingTelemetry(),
            ),
            late=LateUsage(self.storage, schedule, conf.collect.late_data_grace),
            pipeline=pipeline,
            skip=build.skip_filter(conf, definitions),
            storage=self.storage,
            scopes=scopes,
            clock=self._clock,
            retry=Retry(),
            telemetry=RatingTelemetry(),
        )
        reprocessor = Reprocessor(
            worker=self._worker,
            pipeline=pipeline,
            storage=self.storage,
            tasks=TaskStore(database),
            seconds=schedule.seconds,
            clock=self._clock,
            retry=Retry(),
            batch_size=schedule.batch_size,
        )
        self._rounds = Rounds(
            reprocessor=reprocessor,
            source=ScopeSource(conf, fetcher, scopes, schedule),
            schedule=schedule,
            worker=self._worker,
            clock=self._clock,
        )

    def _clock(self) -> datetime.datetime:
        return self.now

    def advance(self, hours: int) -> None:
        """Rate the next *hours* of every scope."""
        self.now += hours * HOUR + datetime.timedelta(seconds=1)
        self._rounds.run(watch=self._count)
        self.now -= datetime.timedelta(seconds=1)

    def _count(self, outcome: Outcome) -> None:
        if outcome.failed:
            raise RuntimeError("a period failed; see the log")
        self.points += outcome.points

    def close(self) -> None:
        self._worker.close()


@contextmanager
def bench(url: str | None, cloud: Cloud) -> Iterator[tuple[Bench, Database, pathlib.Path]]:
    """Yield a bench on an empty database with prices for ten flavors."""
    with common.fresh_database(url) as (conf, database):
        price(database)
        made = Bench(conf, database, cloud)
        memory.settle()
        yield made, database, pathlib.Path(conf.state_path)
        made.close()


def price(database: Database) -> None:
    store = HashmapStore(database)
    service = store.create_service("instance")
    field = store.create_field(service.service_id, "flavor")
    start = BEGIN - HOUR
    for flavor, cost in UNIT_PRICES.items():
        new = NewMapping(field_id=field.field_id, value=flavor, cost=cost, start=start)
        store.create_mapping(new, now=start, user="benchmark")
    ModuleStates(database).set("hashmap", enabled=True)


def expected_price(cloud: Cloud, hours: int) -> Fraction:
    """The price of the first *hours* of a cloud in which nothing changes, summed another way."""
    assert not cloud.changing
    unit = sum(
        Fraction(UNIT_PRICES[answer["flavor"]])
        for scope in cloud.scopes
        for answer in cloud.answer(scope, 0)
    )
    return Fraction(unit) * hours
