# SPDX-License-Identifier: Apache-2.0
"""Puts a processor together from its configuration."""

import datetime
from typing import NamedTuple

from oslo_config import cfg

from cloudkitty import period, plugins
from cloudkitty.collector import metrics
from cloudkitty.collector.base import Collector
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.expression import Expression, ExpressionError
from cloudkitty.fetcher.base import Fetcher
from cloudkitty.processor.reprocessing import Reprocessor
from cloudkitty.processor.rounds import Lock, Rounds, ScopeSource, unlocked
from cloudkitty.processor.schedule import Schedule
from cloudkitty.processor.worker import Clock, Retry, Worker
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.skipfilter import SkipFilter
from cloudkitty.storage import factory


def utcnow() -> datetime.datetime:
    """The clock of a processor that runs."""
    return datetime.datetime.now(period.UTC)


class Processor(NamedTuple):
    """A processor that is ready to work in this process."""

    database: Database
    source: ScopeSource
    worker: Worker
    rounds: Rounds

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
    clock: Clock = utcnow,
    parts: int = 1,
    first_part: int = 0,
    lock: Lock = unlocked,
) -> Processor:
    """Return a processor for this process: nothing in it may be used across a fork.

    :raises ConfigurationError: an option is wrong, or names something that does not exist.
    :raises MetricsError: the metrics file is wrong.
    """
    database = database or Database(conf)
    registry = Registry()
    schedule = Schedule.of(conf)
    collector_class: type[Collector] = plugins.load_class(
        plugins.COLLECTORS, conf.collect.collector, "[collect] collector"
    )
    fetcher_class: type[Fetcher] = plugins.load_class(
        plugins.FETCHERS, conf.fetcher.backend, "[fetcher] backend"
    )
    scopes = ScopeStore(database)
    definitions = metrics.load(
        conf.collect.metrics_conf, conf.collect.scope_key, collector_class.check_extra_args
    )
    pipeline = Pipeline(conf, database)
    storage = factory.build(conf, database, registry)
    retry = Retry(conf.orchestrator.retry_interval, conf.orchestrator.max_retry_interval)
    worker = Worker(
        collector=collector_class(conf, registry),
        metrics=definitions,
        pipeline=pipeline,
        skip=skip_filter(conf, definitions),
        storage=storage,
        scopes=scopes,
        clock=clock,
        retry=retry,
        threads=conf.orchestrator.max_threads,
        timeout=conf.orchestrator.collector_request_timeout,
    )
    source = ScopeSource(conf, fetcher_class(conf), scopes, schedule)
    reprocessor = Reprocessor(
        worker=worker,
        pipeline=pipeline,
        storage=storage,
        tasks=TaskStore(database),
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
        clock=clock,
        parts=parts,
        first_part=first_part,
        lock=lock,
    )
    return Processor(database, source, worker, rounds)


def skip_filter(conf: cfg.ConfigOpts, definitions: metrics.MetricsFile) -> SkipFilter:
    """Return the filter of points that are rated and not stored.

    :raises ConfigurationError: the default expression is wrong.
    """
    try:
        default = Expression.read(conf.orchestrator.skip_datapoints_expression)
    except ExpressionError as error:
        raise ConfigurationError(f"[orchestrator] skip_datapoints_expression: {error}") from error
    return SkipFilter(default, definitions.skip_expressions)
