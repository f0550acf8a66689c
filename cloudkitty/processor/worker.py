# SPDX-License-Identifier: Apache-2.0
"""One batch: collect, rate, store.

Invariants: a period is stored whole or not at all; a scope that fails does not keep another
from being rated; every failure is logged once, with scope, period and metric, and noted in the
scope's state together with the time of the next try. What is logged is logged outside of
``except``: there the log's formatter would write the error a second time.
"""

import concurrent.futures
import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.metrics import MetricDefinition, MetricsFile
from cloudkitty.dataframe import DataFrame, Points
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.operations import EvaluationError
from cloudkitty.period import Period
from cloudkitty.processor.schedule import Batch, back_off
from cloudkitty.rating.base import RatingError
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.scope import ScopeState
from cloudkitty.skipfilter import SkipFilter
from cloudkitty.storage.base import Storage, StorageError

LOG = logging.getLogger(__name__)

Clock = Callable[[], datetime.datetime]

_SHOWN_SCOPES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    rated: tuple[ScopeState, ...] = ()
    failed: tuple[ScopeState, ...] = ()
    overtaken: tuple[ScopeState, ...] = ()
    points: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.rated + other.rated,
            self.failed + other.failed,
            self.overtaken + other.overtaken,
            self.points + other.points,
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to wait before a failed period is tried again, in seconds."""

    first: int = 10
    longest: int = 600


class Worker:
    """Rates batches with one collector, one pipeline, one skip filter and one store."""

    def __init__(
        self,
        *,
        collector: Collector,
        metrics: MetricsFile,
        pipeline: Pipeline,
        skip: SkipFilter,
        storage: Storage,
        scopes: ScopeStore,
        clock: Clock,
        retry: Retry,
        threads: int,
        timeout: int,
    ) -> None:
        self._collector = collector
        self._metrics = metrics
        self._pipeline = pipeline
        self._skip = skip
        self._storage = storage
        self._scopes = scopes
        self._clock = clock
        self._retry = retry
        self._timeout = timeout
        self._threads = concurrent.futures.ThreadPoolExecutor(
            min(threads, max(1, len(metrics))), thread_name_prefix="collect"
        )

    def close(self) -> None:
        """Release threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._collector.close()

    def rate(self, batch: Batch) -> Outcome:
        """Rate one period of the batch's scopes.

        A batch that fails as a whole is tried in halves, until the scopes that are to blame
        are alone; unless its source does not answer at all.

        :raises StorageError: not even the failure could be noted.
        """
        try:
            frames = self.collect(batch)
            rated, refused = self._rated(batch, frames)
            outcome = self._stored(batch.period, rated)
            # After storing: if that fails, the halves come across them again.
            for state, reason in refused.items():
                outcome += self._failed(Batch(batch.period, (state,)), reason)
            return outcome
        except (CollectError, StorageError, RatingError) as error:
            failure = error
        if len(batch.states) == 1 or isinstance(failure, SourceUnavailable):
            return self._failed(batch, failure)
        first, second = batch.halves()
        return self.rate(first) + self.rate(second)

    # -- collecting ----------------------------------------------------------------------------

    def collect(self, batch: Batch) -> dict[str, DataFrame]:
        """Return the frame of every scope of the batch, an empty one where nothing was used.

        :raises CollectError: usage of a metric is not to be had.
        """
        identifiers = [state.scope.identifier for state in batch.states]
        usage: dict[str, dict[str, Points]] = {identifier: {} for identifier in identifiers}
        tasks = {
            self._threads.submit(self._collector.fetch, metric, batch.period, identifiers): metric
            for metric in self._metrics
        }
        try:
            for task in concurrent.futures.as_completed(tasks, timeout=self._timeout):
                self._take(usage, tasks[task], task, batch.period)
        except TimeoutError:
            late = sorted(metric.name for task, metric in tasks.items() if not task.done())
            raise SourceUnavailable(
                f"no answer within {self._timeout} s for {', '.join(late)}; see [orchestrator] "
                "collector_request_timeout"
            ) from None
        finally:
            for task in tasks:
                task.cancel()
        return {identifier: DataFrame(batch.period, usage[identifier]) for identifier in usage}

    @staticmethod
    def _take(
        usage: dict[str, dict[str, Points]],
        metric: MetricDefinition,
        task: "concurrent.futures.Future[Mapping[str, Points]]",
        period: Period,
    ) -> None:
        """Add one metric's answer to the usage of every scope."""
        try:
            answer = task.result()
        except CollectError as error:
            raise type(error)(f"metric {metric.name}: {error}") from error
        except Exception as error:
            LOG.debug("metric %s, period %s", metric.name, period, exc_info=True)
            raise CollectError(f"metric {metric.name}: {type(error).__name__}: {error}") from error
        for identifier, points in answer.items():
            known = usage[identifier].setdefault(metric.service, points)
            if known is not points:
                known.series.extend(points.series)
                known.qty.extend(points.qty)
                known.price.extend(points.price)

    # -- rating --------------------------------------------------------------------------------

    def _rated(
        self, batch: Batch, frames: Mapping[str, DataFrame]
    ) -> tuple[dict[ScopeState, DataFrame], dict[ScopeState, Exception]]:
        """Return the rated frames without the points to be skipped, and why those scopes have
        none whose frame cannot be rated."""
        self._pipeline.refresh()
        rated: dict[ScopeState, DataFrame] = {}
        refused: dict[ScopeState, Exception] = {}
        for state in batch.states:
            frame = frames[state.scope.identifier]
            try:
                rated[state] = self.price(state, frame)
            except (RatingError, EvaluationError) as error:
                refused[state] = error
        return rated, refused

    def price(self, state: ScopeState, frame: DataFrame) -> DataFrame:
        """Return the frame with prices and without the points to be skipped.

        :raises RatingError: it cannot be rated.
        :raises EvaluationError: the filter has no answer for a point.
        """
        if frame.usage:
            frame = self._pipeline.rate(frame, state.scope.identifier)
        return self._skip.kept(frame)

    # -- storing -------------------------------------------------------------------------------

    def _stored(self, period: Period, rated: Mapping[ScopeState, DataFrame]) -> Outcome:
        overtaken = tuple(self._storage.replace(period, rated))
        if overtaken:
            LOG.info("period %s: %s already rated by another worker", period, named(overtaken))
        kept = tuple(state for state in rated if state not in overtaken)
        points = sum(len(rated[state]) for state in kept)
        LOG.debug("period %s: %d scopes, %d points", period, len(kept), points)
        return Outcome(rated=kept, overtaken=overtaken, points=points)

    def _failed(self, batch: Batch, error: Exception) -> Outcome:
        failures = 1 + max(state.failures for state in batch.states)
        pause = back_off(failures, self._retry.first, self._retry.longest)
        LOG.error(
            "%s, period %s: %s; trying again in %d s",
            named(batch.states),
            batch.period,
            error,
            pause.total_seconds(),
        )
        self._scopes.note_failure(batch.states, str(error), self._clock() + pause)
        return Outcome(failed=batch.states)


def named(states: Sequence[ScopeState]) -> str:
    """Return the first few scopes as text, for messages."""
    shown = ", ".join(str(state.scope) for state in states[:_SHOWN_SCOPES])
    more = len(states) - _SHOWN_SCOPES
    return f"{shown} and {more} more" if more > 0 else shown
