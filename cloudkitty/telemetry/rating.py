# SPDX-License-Identifier: Apache-2.0
"""What the processor counts: periods, points, what it asks of sources, and how long steps take."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prometheus_client import Counter, Histogram
from prometheus_client.registry import CollectorRegistry

from cloudkitty.telemetry.requests import timed

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Asked:
    """A question to a source, while it is asked."""

    def __init__(self) -> None:
        self.is_empty = False


class RatingTelemetry:
    """Counts nothing."""

    counts = False
    """Whether it is worth while to find out what is to be counted."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Time a step of a batch: ``collect``, ``rate`` or ``store``."""
        return nullcontext()

    def question(self, source: str, metric: str) -> AbstractContextManager[Asked]:
        """Count and time a question to a source about a metric."""
        return nullcontext(Asked())

    def periods(self, result: str, count: int) -> None:
        """Periods of scopes have been ``rated``, or have ``failed``, and so on."""

    def points(self, count: int) -> None:
        """Points have been stored."""

    def retried(self, count: int) -> None:
        """Periods of scopes are tried again."""

    def unpriced(self, points: Mapping[str, int]) -> None:
        """Points have been stored that no rule has priced, by metric."""


class CountedRating(RatingTelemetry):
    """Counts with the metrics of a registry, in which it makes them."""

    counts = True

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"cloudkitty_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, *labels: str) -> Histogram:
            return Histogram(
                f"cloudkitty_{name}", about, labels, buckets=SECONDS, registry=registry
            )

        self._steps = histogram("step_seconds", "Seconds that a step of a batch takes.", "step")
        self._source_seconds = histogram(
            "source_seconds", "Seconds that a source takes to answer about a metric.", "source"
        )
        self._questions = counter(
            "source_requests",
            "Questions to sources: one metric, one period, the scopes of a batch.",
            "source",
        )
        self._empty = counter(
            "source_empty_answers", "Answers without usage of any scope.", "source", "metric"
        )
        self._failures = counter(
            "source_failures", "Questions without an answer.", "source", "metric"
        )
        self._periods = counter("periods", "Periods of scopes, by what became of them.", "result")
        self._points = counter("points", "Points that have been stored.")
        self._retries = counter("retries", "Periods of scopes that were tried again.")
        self._unpriced = counter(
            "unpriced_points", "Points that have been stored and matched no rule.", "metric"
        )

    def step(self, name: str) -> AbstractContextManager[None]:
        return timed(self._steps.labels(name))

    @contextmanager
    def question(self, source: str, metric: str) -> Iterator[Asked]:
        self._questions.labels(source).inc()
        asked = Asked()
        try:
            with timed(self._source_seconds.labels(source)):
                yield asked
        except BaseException:
            self._failures.labels(source, metric).inc()
            raise
        if asked.is_empty:
            self._empty.labels(source, metric).inc()

    def periods(self, result: str, count: int) -> None:
        if count:
            self._periods.labels(result).inc(count)

    def points(self, count: int) -> None:
        self._points.inc(count)

    def retried(self, count: int) -> None:
        self._retries.inc(count)

    def unpriced(self, points: Mapping[str, int]) -> None:
        for metric, count in points.items():
            self._unpriced.labels(metric).inc(count)
