# SPDX-License-Identifier: Apache-2.0
"""The metrics files that are shipped."""

import pathlib

import pytest

from cloudkitty.collector import metrics
from cloudkitty.collector.base import Collector
from cloudkitty.collector.ceilometer import CeilometerCollector
from cloudkitty.collector.csv import CsvCollector
from cloudkitty.collector.gnocchi import GnocchiCollector
from cloudkitty.collector.prometheus import PrometheusCollector

DIRECTORY = pathlib.Path(__file__).parents[3] / "etc" / "cloudkitty"
SERVICES = {
    "instance",
    "volume.size",
    "image.size",
    "ip.floating",
    "network.incoming.bytes",
    "network.outgoing.bytes",
    "radosgw.objects.size",
}
IN_GNOCCHI = {
    "vcpus",
    "memory",
    "volume.snapshot.size",
    "volume.backup.size",
    "loadbalancer",
    "storage.objects.size",
    "manila.share.size",
    "dns.zone",
}
IN_PROMETHEUS = {"vcpus", "memory", "backup.size", "loadbalancer", "share.size"}


@pytest.mark.parametrize(
    ("name", "collector", "services"),
    [
        ("metrics.yml", GnocchiCollector, SERVICES | IN_GNOCCHI),
        ("metrics-csv.yml", CsvCollector, SERVICES),
        ("metrics-ceilometer.yml", CeilometerCollector, SERVICES),
        (
            "metrics-prometheus.yml",
            PrometheusCollector,
            SERVICES | IN_PROMETHEUS | {"snapshot.size", "storage.objects.size"},
        ),
        (
            "metrics-prometheus-exporters.yml",
            PrometheusCollector,
            (SERVICES - {"radosgw.objects.size"}) | IN_PROMETHEUS | {"dns.zone"},
        ),
    ],
)
def test_a_file_fits_its_collector(
    name: str, collector: type[Collector], services: set[str]
) -> None:
    found = metrics.load(DIRECTORY / name, "project_id", collector.check_extra_args)
    assert set(found.by_service) == services
    assert all(one.description and "project_id" in one.groupby for one in found)
