# SPDX-License-Identifier: Apache-2.0
"""Asks each source once for each of its metrics.

Which collector has which metrics is decided as the processor decides it.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from oslo_config import cfg

from cloudkitty.collector import catalogue
from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.metrics import MetricDefinition, MetricsFile
from cloudkitty.collector.sources import Sources
from cloudkitty.collector.steering import Steering
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry
from cloudkitty.db.collectors import Notes
from cloudkitty.doctor.bounded import Deadline, TookTooLong, start
from cloudkitty.doctor.finding import Finding, error
from cloudkitty.doctor.usage import Sample
from cloudkitty.period import Period


class Source(NamedTuple):
    """A collector, by name, and the metrics it is asked for."""

    name: str
    metrics: tuple[MetricDefinition, ...]
    build: Callable[[cfg.ConfigOpts, Registry], Collector]


def plan(
    conf: cfg.ConfigOpts, definitions: MetricsFile, notes: Notes
) -> tuple[list[Finding], list[Source]]:
    """Return where the metrics come from while these notes about collectors hold, and which come
    from nowhere."""
    installed = catalogue.Catalogue()
    with contextlib.closing(Sources(conf, Registry(), installed)) as checker:
        steered = Steering(definitions, checker).plan(notes)
    obstacles = [
        error(f"metric {service}", told)
        for service, told in zip(steered.blocked, steered.obstacles, strict=True)
    ]
    asked: dict[str, list[MetricDefinition]] = {}
    for metric in steered.metrics:
        asked.setdefault(metric.collector, []).append(metric)
    return obstacles, [
        Source(name, tuple(metrics), installed.load(name)) for name, metrics in asked.items()
    ]


def ask(
    conf: cfg.ConfigOpts,
    source: Source,
    period: Period,
    scopes: Sequence[str],
    deadline: Deadline,
) -> list[Sample]:
    """Return the answers about all metrics of a source, which are asked for side by side."""

    def sample(
        metric: MetricDefinition, points: Mapping[str, Points], failure: str | None, whole: bool
    ) -> Sample:
        return Sample(metric, source.name, period, len(scopes), points, failure, whole)

    try:
        collector = deadline.call(lambda: source.build(conf, Registry()))
    except (ConfigurationError, TookTooLong) as failure:
        return [sample(metric, {}, str(failure), True) for metric in source.metrics]
    gate = threading.Semaphore(conf.orchestrator.max_threads)
    asked = [
        (metric, start(functools.partial(collector.fetch, metric, period, scopes), gate))
        for metric in source.metrics
    ]
    answers = []
    for metric, future in asked:
        try:
            answers.append(sample(metric, deadline.result(future), None, False))
        except CollectError as failure:
            whole = isinstance(failure, SourceUnavailable)
            answers.append(sample(metric, {}, str(failure), whole))
        except TookTooLong as late:
            option = "[orchestrator] collector_request_timeout"
            answers.append(sample(metric, {}, f"source {source.name}: {late}; see {option}", True))
        except Exception as failure:  # noqa: BLE001 - a collector may fail in any way
            told = f"source {source.name}: {type(failure).__name__}: {failure}"
            answers.append(sample(metric, {}, told, False))
    collector.close()
    return answers
