# SPDX-License-Identifier: Apache-2.0
"""Asks the sources for the usage of a batch.

Invariants: all metrics answer, or there is no answer; what is asked follows the notes about
collectors as they were when the round last looked, and a change of what stands in the way is
logged once.
"""

import concurrent.futures
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.collector.steering import Plan, Steering
from cloudkitty.dataframe import DataFrame, Points
from cloudkitty.db.collectors import Notes
from cloudkitty.period import Period
from cloudkitty.processor.schedule import Batch
from cloudkitty.scope import ScopeState
from cloudkitty.telemetry.rating import RatingTelemetry

LOG = logging.getLogger(__name__)


Key = tuple[str, str]
"""What tells the metrics of a period apart: the name of the service, and that in the source."""


def key(metric: MetricDefinition) -> Key:
    return metric.service, metric.name


@dataclass(frozen=True, slots=True)
class Usage:
    """What the sources have answered about a batch: by scope id the frame, empty where nothing was
    used, and the metrics of which there was something. ``metrics`` are all that were asked."""

    frames: Mapping[str, DataFrame]
    answered: Mapping[str, frozenset[Key]]
    metrics: Sequence[MetricDefinition]

    def of(self, state: ScopeState) -> frozenset[Key]:
        """Return the metrics that a scope has used something of."""
        return self.answered[state.scope.identifier]


class NoSource(SourceUnavailable):
    """A service has no source that may be asked: its periods wait, however often they are tried."""


class Collecting:
    """Collects with one collector, which may stand for several, what the steering plans."""

    def __init__(
        self,
        *,
        collector: Collector,
        steering: Steering,
        notes: Callable[[], Notes],
        threads: int,
        timeout: int,
        telemetry: RatingTelemetry,
    ) -> None:
        self._telemetry = telemetry
        self._collector = collector
        self._steering = steering
        self._read_notes = notes
        self._notes = Notes()
        self._plan: Plan = steering.plan(self._notes)
        self._timeout = timeout
        self._threads = concurrent.futures.ThreadPoolExecutor(
            min(threads, max(1, len(self._plan.metrics))), thread_name_prefix="collect"
        )

    def close(self) -> None:
        """Release threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._collector.close()

    def refresh(self) -> None:
        """Follow the notes as they are now."""
        notes = self._read_notes()
        # An obstacle may have gone without a change of the notes: a collector that was mapped to
        # could not be made, and can be now.
        if notes == self._notes and not self._plan.obstacles:
            return
        before, self._notes = self._plan, notes
        self._plan = self._steering.plan(notes)
        for obstacle in self._plan.obstacles:
            if obstacle not in before.obstacles:
                LOG.warning("periods wait: %s", obstacle)
        if before.obstacles and not self._plan.obstacles:
            LOG.info("every service has a source again")

    def usage(self, batch: Batch) -> Usage:
        """Return the usage of every scope of the batch.

        :raises NoSource: a service cannot be collected as collectors are steered.
        :raises CollectError: usage of a metric is not to be had.
        """
        if self._plan.obstacles:
            nobody = NoSource("; ".join(self._plan.obstacles))
            nobody.metrics = self._plan.blocked
            raise nobody
        identifiers = [state.scope.identifier for state in batch.states]
        usage: dict[str, dict[str, Points]] = {identifier: {} for identifier in identifiers}
        answered: dict[str, set[Key]] = {identifier: set() for identifier in identifiers}
        tasks = {
            self._threads.submit(self._fetch, metric, batch.period, identifiers): metric
            for metric in self._plan.metrics
        }
        try:
            for task in concurrent.futures.as_completed(tasks, timeout=self._timeout):
                for identifier in _take(usage, tasks[task], task, batch.period):
                    answered[identifier].add(key(tasks[task]))
        except TimeoutError:
            late = sorted(str(metric) for task, metric in tasks.items() if not task.done())
            missing = SourceUnavailable(
                f"no answer within {self._timeout} s for {', '.join(late)}; see [orchestrator] "
                "collector_request_timeout"
            )
            missing.metrics = tuple({m.service for task, m in tasks.items() if not task.done()})
            raise missing from None
        finally:
            for task in tasks:
                task.cancel()
        return Usage(
            {identifier: DataFrame(batch.period, usage[identifier]) for identifier in usage},
            {identifier: frozenset(keys) for identifier, keys in answered.items()},
            self._plan.metrics,
        )

    def _fetch(
        self, metric: MetricDefinition, period: Period, identifiers: Sequence[str]
    ) -> Mapping[str, Points]:
        with self._telemetry.question(metric.collector, metric.service) as question:
            answer = self._collector.fetch(metric, period, identifiers)
            question.is_empty = not any(answer.values())
        return answer


def _take(
    usage: dict[str, dict[str, Points]],
    metric: MetricDefinition,
    task: "concurrent.futures.Future[Mapping[str, Points]]",
    period: Period,
) -> list[str]:
    """Add one metric's answer to the usage of every scope, and return the scopes with some."""
    try:
        answer = task.result()
    except CollectError as error:
        raise _about(metric, type(error)(f"metric {metric}: {error}")) from error
    except Exception as error:
        LOG.debug("metric %s, period %s", metric, period, exc_info=True)
        told = f"metric {metric}: {type(error).__name__}: {error}"
        raise _about(metric, CollectError(told)) from error
    if unasked := answer.keys() - usage.keys():
        told = f"metric {metric}: nobody has asked for {', '.join(sorted(unasked)[:3])}"
        raise _about(metric, CollectError(told))
    used = [identifier for identifier, points in answer.items() if points]
    for identifier, points in answer.items():
        known = usage[identifier].setdefault(metric.service, points)
        if known is not points:
            known.series.extend(points.series)
            known.qty.extend(points.qty)
            known.price.extend(points.price)
    return used


def _about(metric: MetricDefinition, error: CollectError) -> CollectError:
    error.metrics = (metric.service,)
    return error
