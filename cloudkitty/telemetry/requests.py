# SPDX-License-Identifier: Apache-2.0
"""What the API counts: requests by route and status, and how long they and their parts take."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prometheus_client import Counter, Histogram

from cloudkitty.telemetry.exposition import Exposition

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ApiTelemetry:
    """Counts nothing."""

    exposition: Exposition | None = None
    """What shows the numbers."""

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has been answered; *route* is its path with names for what varies."""

    def quote(self) -> AbstractContextManager[None]:
        """Time the pricing of a quote."""
        return nullcontext()

    def query(self, kind: str) -> AbstractContextManager[None]:
        """Time a question to the ledger."""
        return nullcontext()


class CountedRequests(ApiTelemetry):
    """Counts with metrics that are shown by an exposition."""

    def __init__(self, exposition: Exposition) -> None:
        self.exposition = exposition
        registry = exposition.registry
        self._requests = Counter(
            "cloudkitty_api_requests",
            "Requests that have been answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "cloudkitty_api_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )
        self._quotes = Histogram(
            "cloudkitty_api_quote_seconds",
            "Seconds that rating a quote takes.",
            buckets=SECONDS,
            registry=registry,
        )
        self._queries = Histogram(
            "cloudkitty_api_query_seconds",
            "Seconds until the ledger answers a question.",
            ("query",),
            buckets=SECONDS,
            registry=registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def quote(self) -> AbstractContextManager[None]:
        return timed(self._quotes)

    def query(self, kind: str) -> AbstractContextManager[None]:
        return timed(self._queries.labels(kind))


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe how long a block takes, whether it succeeds or not."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        histogram.observe(time.perf_counter() - begin)
