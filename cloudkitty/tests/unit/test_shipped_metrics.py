# SPDX-License-Identifier: Apache-2.0
"""The metrics files that are shipped."""

import pathlib

import pytest

from cloudkitty.collector import metrics
from cloudkitty.collector.base import Collector
from cloudkitty.collector.ceilometer import CeilometerCollector
from cloudkitty.collector.csv import CsvCollector

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


@pytest.mark.parametrize(
    ("name", "collector"),
    [("metrics.yml", CsvCollector), ("metrics-ceilometer.yml", CeilometerCollector)],
)
def test_a_file_fits_its_collector(name: str, collector: type[Collector]) -> None:
    found = metrics.load(DIRECTORY / name, "project_id", collector.check_extra_args)
    assert set(found.by_service) == SERVICES
    assert all(one.description and "project_id" in one.groupby for one in found)
