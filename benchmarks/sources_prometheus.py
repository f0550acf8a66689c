# SPDX-License-Identifier: Apache-2.0
"""How long one period of one metric takes out of a real Prometheus, and how many requests: 1,000
scopes with 20 resources each, a sample a minute, in two batches of 500 scopes.

The programs ``prometheus`` and ``promtool`` have to be installed. Every quantity is checked.
"""

import datetime
import json
import pathlib
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import common
from keystoneauth1.adapter import Adapter

from cloudkitty import config
from cloudkitty.collector import metrics
from cloudkitty.collector.prometheus import PrometheusCollector
from cloudkitty.dataframe import Registry
from cloudkitty.period import Period
from cloudkitty.tests.functional import tsdb

SCOPES = [f"{number:032x}" for number in range(1000)]
RESOURCES = 20
BATCH = 500
HOUR = Period.of(tsdb.DAY + datetime.timedelta(hours=1), 3600)

WORKLOADS = [
    ("a level", {}, "119", 5),
    ("a level, for its share of the period", {"rounding": "none"}, "119", 15),
    ("a counter, exactly", {"range_function": "exact_increase"}, "60", 20),
    ("a counter, as the server estimates it", {"range_function": "increase"}, None, 5),
]
"""Name, ``extra_args``, the quantity of each resource, seconds aimed at."""


def samples() -> Iterator[str]:
    """Two hours of a counter for each resource, as OpenMetrics."""
    begin = int(tsdb.DAY.timestamp())
    for number, scope in enumerate(SCOPES):
        for index in range(RESOURCES):
            labels = (
                f'project_id="{scope}",id="{number}-{index}",flavor="f{index % 5}",'
                f'instance="host{index}",job="exporter"'
            )
            for minute in range(120):
                yield f"usage{{{labels}}} {minute} {begin + 60 * minute}\n"
    yield "# EOF\n"


def measure(url: str, name: str, extra_args: dict[str, str], qty: str | None, aim: float) -> None:
    """Report how long a period takes, and what it asks."""
    conf = config.load([], config_files=[])
    conf.set_override("prometheus_url", url, "collector_prometheus")
    written = (
        "metrics: {usage: {unit: x, groupby: [id], metadata: [flavor], "
        f"extra_args: {json.dumps(extra_args)}}}}}"
    )
    check = PrometheusCollector.check_extra_args
    metric = metrics.read(written, "project_id", check).definitions[0]
    asked = 0
    original = Adapter.request

    def counting(self: Adapter, *args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked += 1
        return original(self, *args, **kwargs)

    def period() -> None:
        collector = PrometheusCollector(conf, Registry())
        points = 0
        for start in range(0, len(SCOPES), BATCH):
            found = collector.fetch(metric, HOUR, SCOPES[start : start + BATCH])
            for of_scope in found.values():
                points += len(of_scope)
                if qty is not None and set(of_scope.qty) != {Decimal(qty)}:
                    raise SystemExit(f"{name}: a quantity is wrong: {set(of_scope.qty)}")
        if points != len(SCOPES) * RESOURCES:
            raise SystemExit(f"{name}: {points} points")
        collector.close()

    Adapter.request = counting
    try:
        period()
        requests = asked
        taken = common.median_seconds(lambda: period, 3)
    finally:
        Adapter.request = original
    common.report(
        f"prometheus: one period of {name}, {len(SCOPES)} scopes x {RESOURCES} resources",
        taken,
        "s",
        aim,
        requests=requests,
    )


def main() -> None:
    reason = tsdb.missing()
    if reason:
        print(json.dumps({"name": "prometheus", "skipped": reason}))
        return
    with tempfile.TemporaryDirectory() as name:
        server = tsdb.Server(pathlib.Path(name), samples())
        try:
            for workload in WORKLOADS:
                measure(server.url, *workload)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
