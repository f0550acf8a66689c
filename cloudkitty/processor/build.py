# SPDX-License-Identifier: Apache-2.0
"""Puts a processor together from its configuration."""

import datetime
from typing import NamedTuple

from oslo_config import cfg

from cloudkitty import period, plugins
from cloudkitty.collector.catalogue import Catalogue, metrics_file
from cloudkitty.collector.metrics import MetricsFile
from cloudkitty.collector.sources import Sources
from cloudkitty.collector.steering import Steering
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.collectors import CollectorStore
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.expression import Expression, ExpressionError
from cloudkitty.fetcher.base import Fetcher
from cloudkitty.processor.clock import CheckedClock
from cloudkitty.processor.collecting import Collecting
from cloudkitty.processor.late import LateUsage
from cloudkitty.processor.reprocessing import Reprocessor
from cloudkitty.processor.retention import Retention
from cloudkitty.processor.rounds import Rounds, ScopeSource
from cloudkitty.processor.schedule import Schedule
from cloudkitty.processor.sharing import Share
from cloudkitty.processor.worker import Clock, Retry, Worker
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.skipfilter import SkipFilter
from cloudkitty.storage import factory
from cloudkitty.telemetry.rating import RatingTelemetry


def utcnow() -> datetime.datetime:
    """The clock of this host."""
    return datetime.datetime.now(period.UTC)


class Processor(NamedTuple):
    """A processor that is ready to work in this process."""

    database: Database
    source: ScopeSource
    worker: Worker
    rounds: Rounds
    clock: Clock

    def close(self) -> None:
        self.worker.close()
        self.database.dispose()


def check(conf: cfg.ConfigOpts) -> None:
    """Find what is wrong with the configuration before any process is started.

    :raises ConfigurationError, MetricsError, SchemaError: with one message that names the option.
    """
    database = Database(conf)
    migration.require_head(database)
    processor = build(conf, database=database)
    processor.close()


def build(
    conf: cfg.ConfigOpts,
    *,
    database: Database | None = None,
    clock: Clock | None = None,
    share: Share | None = None,
    telemetry: RatingTelemetry | None = None,
) -> Processor:
    """Return a processor for this process: nothing in it may be used across a fork. It goes by
    the clocks of the host and of the database, or by *clock*. It rates all scopes, or a *share*.

    :raises ConfigurationError: an option is wrong, or names something that does not exist.
    :raises MetricsError: the metrics file is wrong.
    """
    database = database or Database(conf)
    telemetry = telemetry or RatingTelemetry()
    clock = clock or CheckedClock(utcnow, database)
    registry = Registry()
    schedule = Schedule.of(conf)
    fetcher_class: type[Fetcher] = plugins.load_class(
        plugins.FETCHERS, conf.fetcher.backend, "[fetcher] backend"
    )
    scopes = ScopeStore(database)
    catalogue = Catalogue()
    definitions = metrics_file(conf, catalogue)
    pipeline = Pipeline(conf, database)
    storage = factory.build(conf, database, registry)
    retry = Retry(conf.orchestrator.retry_interval, conf.orchestrator.max_retry_interval)
    sources = Sources(conf, registry, catalogue)
    sources.make(definitions.collectors)
    worker = Worker(
        collecting=Collecting(
            collector=sources,
            steering=Steering(definitions, sources),
            notes=CollectorStore(database).notes,
            threads=conf.orchestrator.max_threads,
            timeout=conf.orchestrator.collector_request_timeout,
            telemetry=telemetry,
        ),
        late=LateUsage(storage, schedule, conf.collect.late_data_grace),
        pipeline=pipeline,
        skip=skip_filter(conf, definitions),
        storage=storage,
        scopes=scopes,
        clock=clock,
        retry=retry,
        telemetry=telemetry,
    )
    tasks = TaskStore(database)
    source = ScopeSource(conf, fetcher_class(conf), scopes, schedule)
    reprocessor = Reprocessor(
        worker=worker,
        pipeline=pipeline,
        storage=storage,
        tasks=tasks,
        seconds=schedule.seconds,
        clock=clock,
        retry=retry,
        batch_size=schedule.batch_size,
    )
    rounds = Rounds(
        source=source,
        schedule=schedule,
        worker=worker,
        reprocessor=reprocessor,
        retention=Retention(conf, storage, tasks, clock) if conf.storage.retention_days else None,
        clock=clock,
        share=share,
        # Whoever is at work gets an answer, or gives up, well before.
        patience=2 * conf.orchestrator.collector_request_timeout,
    )
    return Processor(database, source, worker, rounds, clock)


def skip_filter(conf: cfg.ConfigOpts, definitions: MetricsFile) -> SkipFilter:
    """Return the filter of points that are rated and not stored.

    :raises ConfigurationError: the default expression is wrong.
    """
    try:
        default = Expression.read(conf.orchestrator.skip_datapoints_expression)
    except ExpressionError as error:
        raise ConfigurationError(f"[orchestrator] skip_datapoints_expression: {error}") from error
    return SkipFilter(default, definitions.skip_expressions, conf.orchestrator.cached_series)
