# SPDX-License-Identifier: Apache-2.0
"""What measuring real sources has in common: the hour that is collected, the requests that it
takes, and the check of what came."""

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import common
from keystoneauth1.adapter import Adapter

from cloudkitty import money
from cloudkitty.collector.base import Collector
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.period import Period


class Requests:
    """Counts what keystoneauth sends, and the seconds until answers begin, of all threads."""

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0
        self._request = Adapter.request

    def __enter__(self) -> "Requests":
        original = self._request

        def counting(adapter: Adapter, *args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            answer = original(adapter, *args, **kwargs)
            self.count += 1
            self.seconds += time.perf_counter() - begin
            return answer

        Adapter.request = counting
        return self

    def __exit__(self, *_error: object) -> None:
        Adapter.request = self._request


class Hour(NamedTuple):
    """One hour of one metric, collected one batch of scopes after the other; it has that many
    points, and their quantities add up to *total* (``None``: nobody can say)."""

    connect: Callable[[], Collector]
    definition: MetricDefinition
    period: Period
    scopes: Sequence[str]
    batch: int
    points: int
    total: Decimal | None

    def __call__(self) -> None:
        collector = self.connect()
        points, total = 0, money.ZERO
        for start in range(0, len(self.scopes), self.batch):
            piece = self.scopes[start : start + self.batch]
            answer = collector.fetch(self.definition, self.period, piece)
            points += sum(map(len, answer.values()))
            total = money.total([total, *(qty for one in answer.values() for qty in one.qty)])
        collector.close()
        if points != self.points or self.total not in (None, total):
            raise SystemExit(
                f"wrong {self.definition.service}: {points} points of {total} in all, "
                f"not {self.points} of {self.total}"
            )


def measure(name: str, call: Callable[[], object], target: float, repeat: int) -> None:
    """Report the median of what the call takes in seconds, after one to warm up."""
    call()
    taken = []
    for _ in range(repeat):
        with Requests() as sent:
            seconds = common.seconds(call)
        taken.append((seconds, sent.seconds, sent.count))
    seconds, waited, count = sorted(taken)[len(taken) // 2]
    common.report(name, seconds, "s", target, requests=count, source_seconds=waited)
