# SPDX-License-Identifier: Apache-2.0
"""What is true of the present: scopes to fetch, a series that ends, a machine that is watched.

The last needs a Prometheus that ``CLOUDKITTY_TEST_PROMETHEUS`` names (such as
``http://127.0.0.1:29090``) and that scrapes the node exporter of this machine, as project demo.
"""

import datetime
import pathlib
import time
from collections.abc import Iterator

import pytest
import requests
from oslo_config import cfg

from cloudkitty import period
from cloudkitty.collector.prometheus import PrometheusCollector
from cloudkitty.dataframe import Registry
from cloudkitty.fetcher.base import FetchError
from cloudkitty.fetcher.prometheus import PrometheusFetcher
from cloudkitty.period import Period
from cloudkitty.tests.functional import peers, tsdb
from cloudkitty.tests.functional.test_prometheus import definition

PAGE = r"""
server{project_id="b",region="north"} 1
server{project_id="a",region="north"} 1
server{project_id="a",region="south"} 1
server{project_id="",region="north"} 1
server{region="nowhere"} 1
server{project_id="quo\"te",region="d\"x"} 1
"""


@pytest.fixture(scope="module")
def exporter() -> Iterator[tsdb.Exporter]:
    exporter = tsdb.Exporter(PAGE)
    yield exporter
    exporter.stop()


@pytest.fixture(scope="module")
def server(
    exporter: tsdb.Exporter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tsdb.Server]:
    reason = tsdb.missing()
    if reason:
        pytest.skip(reason)
    server = tsdb.Server(tmp_path_factory.mktemp("prometheus"), targets=[exporter.address])
    tsdb.eventually(server, "server")
    yield server
    server.stop()


class TestFetcher:
    @pytest.fixture
    def fetcher(self, server: tsdb.Server, conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
        conf.set_override("prometheus_url", server.url, "fetcher_prometheus")
        conf.set_override("metric", "server", "fetcher_prometheus")
        return conf

    def test_scopes_are_the_values_of_the_label(self, fetcher: cfg.ConfigOpts) -> None:
        assert PrometheusFetcher(fetcher).scopes() == ["a", "b", 'quo"te']

    def test_another_label(self, fetcher: cfg.ConfigOpts) -> None:
        fetcher.set_override("scope_attribute", "region", "fetcher_prometheus")
        assert PrometheusFetcher(fetcher).scopes() == ['d"x', "north", "nowhere", "south"]

    @pytest.mark.parametrize(
        ("region", "expected"), [("north", ["a", "b"]), ('d"x', ['quo"te']), ("east", [])]
    )
    def test_filters(self, fetcher: cfg.ConfigOpts, region: str, expected: list[str]) -> None:
        fetcher.set_override("filters", {"region": region}, "fetcher_prometheus")
        assert PrometheusFetcher(fetcher).scopes() == expected

    def test_a_query_that_the_server_refuses(self, fetcher: cfg.ConfigOpts) -> None:
        fetcher.set_override("scope_attribute", "not a label", "fetcher_prometheus")
        with pytest.raises(FetchError, match=r"asking for scopes: \[fetcher_prometheus\].* 400"):
            PrometheusFetcher(fetcher).scopes()


def test_a_series_that_ends_is_gone_at_once(
    server: tsdb.Server, exporter: tsdb.Exporter, conf: cfg.ConfigOpts
) -> None:
    conf.set_override("prometheus_url", server.url, "collector_prometheus")
    collector = PrometheusCollector(conf, Registry())
    exporter.page = PAGE + 'gone{project_id="a"} 1\n'
    ((value),) = tsdb.eventually(server, "timestamp(gone)")
    begin = period.from_epoch(int(float(value["value"][1])))
    exporter.page = PAGE
    # With the mark that ends a series, the server itself does not see it any more.
    tsdb.eventually(server, "gone", is_found=False)
    metric = definition("gone", "groupby: []", rounding="none", interval=1)
    quantities = [
        [
            point.qty
            for points in collector.fetch(metric, stretch, ["a"]).values()
            for point in points
        ]
        for stretch in (
            Period.of(begin, 600),
            Period.of(begin + datetime.timedelta(minutes=10), 60),
        )
    ]
    ((share,), later) = quantities
    assert 0 < share < 0.4
    assert later == []


def test_the_memory_of_this_machine(conf: cfg.ConfigOpts) -> None:
    url = peers.named("PROMETHEUS")
    conf.set_override("prometheus_url", f"{url}/api/v1", "collector_prometheus")
    query = {"query": 'timestamp(node_memory_MemTotal_bytes{project_id="demo"})'}
    deadline = time.monotonic() + 60
    while not (found := requests.get(f"{url}/api/v1/query", query, timeout=60).json())["data"][
        "result"
    ]:
        assert time.monotonic() < deadline, "the node exporter is not scraped"
        time.sleep(0.2)
    seen = int(float(found["data"]["result"][0]["value"][1]))
    metric = definition("node_memory_MemTotal_bytes", "groupby: [], factor: 1/1024")
    stretch = Period.of(period.from_epoch(seen - 59), 60)
    points = PrometheusCollector(conf, Registry()).fetch(metric, stretch, ["demo", "other"])
    first = pathlib.Path("/proc/meminfo").read_text().split()
    assert (first[0], points["demo"].qty) == ("MemTotal:", [int(first[1])])
    assert set(points) == {"demo"}
