# SPDX-License-Identifier: Apache-2.0
"""Asks each source once for each of its metrics.

Here alone is decided which collector has which metrics.
"""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from oslo_config import cfg

from cloudkitty.collector import catalogue
from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.metrics import MetricDefinition, MetricsError, MetricsFile
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry
from cloudkitty.doctor.bounded import Deadline, TookTooLong, start
from cloudkitty.doctor.finding import Finding, error, ok
from cloudkitty.doctor.usage import Sample
from cloudkitty.period import Period


class Source(NamedTuple):
    """A collector, by name, and the metrics it is asked for."""

    name: str
    metrics: tuple[MetricDefinition, ...]
    build: Callable[[cfg.ConfigOpts, Registry], Collector]


def read(conf: cfg.ConfigOpts) -> tuple[list[Finding], MetricsFile | None, list[Source]]:
    """Return the metrics file when it can be read, and where its metrics come from."""
    installed = catalogue.Catalogue()
    try:
        definitions = catalogue.metrics_file(conf, installed)
    except ConfigurationError as failure:
        return [error("collector", str(failure))], None, []
    except MetricsError as failure:
        return [error("metrics file", problem) for problem in failure.problems], None, []
    found = ok("metrics file", f"{conf.collect.metrics_conf} has {len(definitions)} metrics")
    sources = [
        Source(
            name,
            tuple(metric for metric in definitions if metric.collector == name),
            installed.load(name),
        )
        for name in definitions.collectors
    ]
    return [found], definitions, sources


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
