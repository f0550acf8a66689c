# SPDX-License-Identifier: Apache-2.0
"""How long it takes to collect one period of a cloud from a real source, in how many requests, and
how much of that time is the source's own.

``python benchmarks/sources.py gnocchi [--url URL] [--scopes N] [--batch N]``; without a URL it is
that of the environment, ``CLOUDKITTY_TEST_GNOCCHI``. Without a source all that the environment
names are measured. What is measured is made first, once: every scope has 20 resources.
"""

import argparse
import concurrent.futures
import datetime
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import common
import requests
from keystoneauth1.adapter import Adapter

from cloudkitty import config, money, period
from cloudkitty.collector import metrics
from cloudkitty.collector.base import Collector
from cloudkitty.collector.gnocchi import GnocchiCollector
from cloudkitty.dataframe import Registry
from cloudkitty.fetcher.gnocchi import GnocchiFetcher
from cloudkitty.period import Period

HOUR = Period.of(datetime.datetime(2026, 1, 5, 1, tzinfo=period.UTC), 3600)
STEP = datetime.timedelta(minutes=5)
TARGET = 300
"""Seconds that all metrics of a period may take ([orchestrator] collector_request_timeout)."""


class Requests:
    """Counts what keystoneauth sends, and the seconds until answers begin."""

    def __init__(self) -> None:
        self._request = Adapter.request

    def __enter__(self) -> "Requests":
        self.count, self.seconds = 0, 0.0
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


def measure(
    name: str,
    collector: Collector,
    definition: metrics.MetricDefinition,
    scopes: Sequence[str],
    batch: int,
    expected: Decimal,
) -> None:
    """Collect the hour of one metric, one batch of scopes after the other, and report."""
    points, total = 0, money.ZERO
    with Requests() as sent:
        begin = time.perf_counter()
        for start in range(0, len(scopes), batch):
            answer = collector.fetch(definition, HOUR, scopes[start : start + batch])
            points += sum(map(len, answer.values()))
            total = money.total([total, *(qty for one in answer.values() for qty in one.qty)])
        seconds = time.perf_counter() - begin
    if total != expected:
        raise SystemExit(f"{name}: collected {total}, not {expected}")
    common.report(
        f"{name}: {definition.service}, {len(scopes)} scopes in batches of {batch}",
        seconds,
        "s",
        TARGET,
        points=points,
        requests=sent.count,
        source_seconds=sent.seconds,
        own_seconds=seconds - sent.seconds,
    )


class GnocchiCloud:
    """Ten servers, five volumes and five addresses in every scope, measured every five minutes."""

    KINDS: Mapping[str, tuple[str, int]] = {
        "instance": ("cpu", 10),
        "volume": ("volume.size", 5),
        "network": ("ip.floating", 5),
    }
    METRICS = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    mutate: NUMBOOL
    groupby: [id, user_id]
    metadata: [flavor_name]
    extra_args: {resource_type: instance, aggregation_method: mean, force_granularity: 300}
  volume.size:
    unit: GiB
    groupby: [id, user_id]
    metadata: [volume_type]
    extra_args: {resource_type: volume, aggregation_method: mean, force_granularity: 300}
  ip.floating:
    unit: ip
    mutate: NUMBOOL
    groupby: [id, user_id]
    extra_args: {resource_type: network, aggregation_method: mean, force_granularity: 300}
"""
    EXPECTED: Mapping[str, int] = {"instance": 10, "volume.size": 15, "ip.floating": 5}
    """Of one scope; the volumes have 1 to 5 GiB."""

    def __init__(self, url: str, scopes: int) -> None:
        self._url = url
        self._local = threading.local()
        self.scopes = [f"{number:032x}" for number in range(scopes)]

    def make(self) -> None:
        """Make what is not there yet, and wait until Gnocchi has worked it off."""
        self._send(
            "POST",
            "archive_policy",
            {
                "name": "bench",
                "back_window": 0,
                "aggregation_methods": ["mean", "max"],
                "definition": [{"granularity": "300s", "timespan": "30 days"}],
            },
        )
        for kind in self.KINDS:
            self._send("POST", "resource_type", {"name": kind})
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            list(threads.map(self._make_scope, self.scopes))
        for _ in range(3600):
            if not self._send("GET", "status").json()["storage"]["summary"]["measures"]:
                return
            time.sleep(1)
        raise SystemExit("Gnocchi does not work its measures off")

    def _make_scope(self, scope: str) -> None:
        known = self._send("POST", "search/resource/generic", {"=": {"project_id": scope}}).json()
        if len(known) == sum(count for _, count in self.KINDS.values()):
            return
        namespace = uuid.UUID(int=common.SEED)
        measures: dict[str, Any] = {}
        for kind, (metric, count) in self.KINDS.items():
            for number in range(count):
                resource = str(uuid.uuid5(namespace, f"{scope}/{kind}/{number}"))
                body = {
                    "id": resource,
                    "project_id": scope,
                    "user_id": scope,
                    "metrics": {metric: {"archive_policy_name": "bench"}},
                }
                self._send("POST", f"resource/{kind}", body)
                measures[resource] = {
                    metric: [
                        {
                            "timestamp": (HOUR.begin + step * STEP).isoformat(),
                            "value": number + 1,
                        }
                        for step in range(12)
                    ]
                }
        self._send("POST", "batch/resources/metrics/measures", measures)

    def _send(self, method: str, path: str, body: object = None) -> requests.Response:
        if not hasattr(self._local, "http"):
            self._local.http = requests.Session()
            self._local.http.auth = ("admin", "")
        answer: requests.Response = self._local.http.request(
            method, f"{self._url}/v1/{path}", json=body, timeout=120
        )
        if answer.status_code >= 400 and answer.status_code != 409:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


def gnocchi(url: str, scopes: int, batch: int) -> None:
    """Measure fetcher and collector ``gnocchi``."""
    cloud = GnocchiCloud(url, scopes)
    cloud.make()
    conf = config.load([], config_files=[])
    for group in ("collector_gnocchi", "fetcher_gnocchi"):
        for name, value in (("auth_type", "basic"), ("user", "admin"), ("endpoint", url)):
            conf.set_override(f"gnocchi_{name}", value, group)
        conf.set_override("timeout", 600, group)
    with Requests() as sent:
        begin = time.perf_counter()
        found = GnocchiFetcher(conf).scopes()
        seconds = time.perf_counter() - begin
    if not set(cloud.scopes) <= set(found):
        raise SystemExit("gnocchi: scopes are missing")
    common.report(f"gnocchi: fetch {len(found)} scopes", seconds, "s", TARGET, requests=sent.count)
    collector = GnocchiCollector(conf, Registry())
    check = GnocchiCollector.check_extra_args
    for definition in metrics.read(cloud.METRICS, "project_id", check):
        expected = Decimal(cloud.EXPECTED[definition.service] * scopes)
        measure("gnocchi", collector, definition, cloud.scopes, batch, expected)


SOURCES: Mapping[str, tuple[str, Callable[[str, int, int], None]]] = {
    "gnocchi": ("CLOUDKITTY_TEST_GNOCCHI", gnocchi),
}
"""The variable with the URL of a source, and what measures it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", choices=sorted(SOURCES))
    parser.add_argument("--url")
    parser.add_argument("--scopes", type=int, default=20)
    parser.add_argument("--batch", type=int, default=500)
    options = parser.parse_args()
    for name, (variable, run) in SOURCES.items():
        url = options.url if name == options.source else None
        url = url or os.environ.get(variable)
        if options.source not in (None, name):
            continue
        if not url:
            print(f"{name}: not measured, {variable} is not set", flush=True)
            continue
        run(url.rstrip("/"), options.scopes, options.batch)


if __name__ == "__main__":
    main()
