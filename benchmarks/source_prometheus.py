# SPDX-License-Identifier: Apache-2.0
"""One metric of a real Prometheus: every scope has 20 resources with a sample a minute."""

import datetime
import json
import pathlib
import tempfile
from collections.abc import Iterator
from decimal import Decimal

import collecting

from cloudkitty import config
from cloudkitty.collector import metrics
from cloudkitty.collector.prometheus import PrometheusCollector
from cloudkitty.dataframe import Registry
from cloudkitty.period import Period
from cloudkitty.tests.functional import tsdb

SCOPES = 1000
RESOURCES = 20
HOUR = Period.of(tsdb.DAY + datetime.timedelta(hours=1), 3600)

WORKLOADS = [
    ("a level", {}, 119, 5),
    ("a level, for its share of the period", {"rounding": "none"}, 119, 15),
    ("a counter, exactly", {"range_function": "exact_increase"}, 60, 20),
    ("a counter, as the server estimates it", {"range_function": "increase"}, None, 5),
]
"""Name, ``extra_args``, the quantity of each resource, seconds aimed at for 1,000 scopes."""


def missing() -> str | None:
    """Return why there is no such source."""
    return tsdb.missing()


def run(scopes: int, batch: int, repeat: int) -> None:
    """Measure the collector ``prometheus``."""
    named = [f"{number:032x}" for number in range(scopes)]
    with tempfile.TemporaryDirectory() as name:
        server = tsdb.Server(pathlib.Path(name), samples(named))
        try:
            for workload in WORKLOADS:
                measure(server.url, named, batch, repeat, *workload)
        finally:
            server.stop()


def samples(scopes: list[str]) -> Iterator[str]:
    """Two hours of a counter for each resource, as OpenMetrics."""
    begin = int(tsdb.DAY.timestamp())
    for number, scope in enumerate(scopes):
        for index in range(RESOURCES):
            labels = (
                f'project_id="{scope}",id="{number}-{index}",flavor="f{index % 5}",'
                f'instance="host{index}",job="exporter"'
            )
            for minute in range(120):
                yield f"usage{{{labels}}} {minute} {begin + 60 * minute}\n"
    yield "# EOF\n"


def measure(
    url: str,
    scopes: list[str],
    batch: int,
    repeat: int,
    name: str,
    extra_args: dict[str, str],
    qty: int | None,
    aim: float,
) -> None:
    """Report how long a period takes, and what it asks."""
    conf = config.load([], config_files=[])
    conf.set_override("prometheus_url", url, "collector_prometheus")
    written = (
        "metrics: {usage: {unit: x, groupby: [id], metadata: [flavor], "
        f"extra_args: {json.dumps(extra_args)}}}}}"
    )
    check = PrometheusCollector.check_extra_args
    [metric] = metrics.read(written, "project_id", check).definitions
    points = len(scopes) * RESOURCES
    hour = collecting.Hour(
        lambda: PrometheusCollector(conf, Registry()),
        metric,
        HOUR,
        scopes,
        batch,
        points,
        None if qty is None else Decimal(qty * points),
    )
    title = f"prometheus: one period of {name}, {len(scopes)} scopes x {RESOURCES} resources"
    collecting.measure(title, hour, aim * len(scopes) / SCOPES, repeat)
