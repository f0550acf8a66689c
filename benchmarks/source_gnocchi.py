# SPDX-License-Identifier: Apache-2.0
"""Three metrics of a real Gnocchi, which ``CLOUDKITTY_TEST_GNOCCHI`` names: every scope has ten
servers, five volumes and five addresses, measured every five minutes. What is there stays there.
"""

import concurrent.futures
import datetime
import os
import threading
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import collecting
import common
import requests

from cloudkitty import config, period
from cloudkitty.collector import metrics
from cloudkitty.collector.gnocchi import GnocchiCollector
from cloudkitty.dataframe import Registry
from cloudkitty.fetcher.gnocchi import GnocchiFetcher
from cloudkitty.period import Period

SCOPES = 20
HOUR = Period.of(datetime.datetime(2026, 1, 5, 1, tzinfo=period.UTC), 3600)
STEP = datetime.timedelta(minutes=5)
TARGET = 300
"""Seconds that all metrics of a period may take ([orchestrator] collector_request_timeout)."""


def missing() -> str | None:
    """Return why there is no such source."""
    return None if os.environ.get("CLOUDKITTY_TEST_GNOCCHI") else "CLOUDKITTY_TEST_GNOCCHI: not set"


class GnocchiCloud:
    """The cloud, made of types of its own: what others delete with a type is not half there."""

    KINDS: Mapping[str, tuple[str, int]] = {
        "bench_instance": ("cpu", 10),
        "bench_volume": ("volume.size", 5),
        "bench_network": ("ip.floating", 5),
    }
    METRICS = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    mutate: NUMBOOL
    groupby: [id, user_id]
    metadata: [flavor_name]
    extra_args: {resource_type: bench_instance, aggregation_method: mean, force_granularity: 300}
  volume.size:
    unit: GiB
    groupby: [id, user_id]
    metadata: [volume_type]
    extra_args: {resource_type: bench_volume, aggregation_method: mean, force_granularity: 300}
  ip.floating:
    unit: ip
    mutate: NUMBOOL
    groupby: [id, user_id]
    extra_args: {resource_type: bench_network, aggregation_method: mean, force_granularity: 300}
"""
    EXPECTED: Mapping[str, tuple[int, int]] = {
        "instance": (10, 10),
        "volume.size": (5, 15),
        "ip.floating": (5, 5),
    }
    """Points of one scope, and the sum of their quantities: the volumes have 1 to 5 GiB."""

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
        there = [resource for resource in known if resource["type"] in self.KINDS]
        if len(there) == sum(count for _, count in self.KINDS.values()):
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


def run(scopes: int, batch: int, repeat: int) -> None:
    """Measure fetcher and collector ``gnocchi``."""
    url = os.environ["CLOUDKITTY_TEST_GNOCCHI"].rstrip("/")
    cloud = GnocchiCloud(url, scopes)
    cloud.make()
    conf = config.load([], config_files=[])
    for group in ("collector_gnocchi", "fetcher_gnocchi"):
        for name, value in (("auth_type", "basic"), ("user", "admin"), ("endpoint", url)):
            conf.set_override(f"gnocchi_{name}", value, group)
        conf.set_override("timeout", 600, group)

    def fetch() -> None:
        if not set(cloud.scopes) <= set(GnocchiFetcher(conf).scopes()):
            raise SystemExit("gnocchi: scopes are missing")

    collecting.measure("gnocchi: fetch scopes", fetch, TARGET, repeat)
    check = GnocchiCollector.check_extra_args
    for definition in metrics.read(cloud.METRICS, "project_id", check):
        points, total = cloud.EXPECTED[definition.service]
        hour = collecting.Hour(
            lambda: GnocchiCollector(conf, Registry()),
            definition,
            HOUR,
            cloud.scopes,
            batch,
            points * scopes,
            Decimal(total * scopes),
        )
        title = f"gnocchi: {definition.service}, {scopes} scopes in batches of {batch}"
        collecting.measure(title, hour, TARGET, repeat)
