# SPDX-License-Identifier: Apache-2.0
"""How often real sources are asked in a period, with the metrics files that are shipped: as often
for sixty projects as for three."""

import datetime
import pathlib
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pytest
from oslo_config import cfg

from cloudkitty import config as configuration
from cloudkitty import period
from cloudkitty.processor import build, once
from cloudkitty.tests.builders import HOUR
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands, faulty, peers, troubled, tsdb
from cloudkitty.tests.functional.gnocchi import GnocchiServer
from cloudkitty.tests.functional.test_bill_from_gnocchi import LOW, TYPES

PAST = datetime.datetime(2019, 7, 6, tzinfo=period.UTC)
PROJECTS = [f"requests-{uuid.uuid4().hex[:8]}-{number}" for number in range(60)]


class Source(NamedTuple):
    """Where usage of all projects is, and what says how to collect it."""

    target: str
    collector: str
    metrics: str
    day: datetime.datetime
    options: Mapping[str, object]


@pytest.fixture
def ceilometer() -> Source:
    target = peers.named("CEILOMETER")
    from ceilometerclient import client

    for meter, kind in (("instance", "gauge"), ("network.outgoing.bytes", "cumulative")):
        samples = [
            {
                "counter_name": meter,
                "counter_type": kind,
                "counter_unit": "unit",
                "counter_volume": 1,
                "resource_id": f"{meter}-{project}",
                "project_id": project,
                "user_id": "owner",
                "resource_metadata": {"flavor.name": "small"},
                "timestamp": PAST.replace(tzinfo=None).isoformat(),
            }
            for project in PROJECTS
        ]
        api = client.Client("2", endpoint=target, token="none").http_client
        answer = api.post(f"/v2/meters/{meter}?direct=true", json=samples)
        assert answer.status_code == 201, answer.text
    return Source(target, "ceilometer", "metrics-ceilometer.yml", PAST, {"endpoint": ""})


@pytest.fixture
def gnocchi() -> Iterator[Source]:
    server = GnocchiServer.named()
    server.policy(LOW, ("mean",), 300)
    for name, attributes in TYPES.items():
        server.resource_type(name, **attributes)
    made = [
        server.resource("volume", {"volume.size": LOW}, project_id=project, volume_type="ssd")
        for project in PROJECTS
    ]
    server.measure(made[0], "volume.size", {PAST: 7})
    options = {"gnocchi_auth_type": "basic", "gnocchi_user": "admin", "gnocchi_endpoint": ""}
    yield Source(server.url, "gnocchi", "metrics.yml", PAST, options)
    server.remove("volume", PROJECTS)


@pytest.fixture
def prometheus(tmp_path: pathlib.Path) -> Iterator[Source]:
    reason = tsdb.missing()
    if reason:
        pytest.skip(reason)
    recording = tsdb.Recording()
    for project in PROJECTS:
        labels = {"project": project, "resource": f"r-{project}", "user": "u"}
        recording.add("ceilometer_cpu", {**labels, "flavor_name": "small"}, {60.0: 1, 120.0: 2})
        recording.add("ceilometer_volume_size", labels, {60.0: 7})
    server = tsdb.Server(tmp_path, recording.text())
    options = {"prometheus_url": ""}
    yield Source(server.url, "prometheus", "metrics-prometheus.yml", tsdb.DAY, options)
    server.stop()


@pytest.mark.parametrize("name", ["ceilometer", "gnocchi", "prometheus"])
def test_requests_do_not_grow_with_scopes(
    request: pytest.FixtureRequest, sqlite_server: TestServer, tmp_path: pathlib.Path, name: str
) -> None:
    source: Source = request.getfixturevalue(name)
    few = asked(source, PROJECTS[:3], sqlite_server, tmp_path)
    many = asked(source, PROJECTS, sqlite_server, tmp_path)
    assert few == many
    assert few.total() > 3


def asked(
    source: Source, projects: Sequence[str], sqlite_server: TestServer, directory: pathlib.Path
) -> Counter[str]:
    """How often each path is asked for when an hour of the projects is rated."""
    conf = configuration.load([], config_files=[])
    database = sqlite_server.fresh(conf, directory)
    with faulty.in_front_of(source.target) as proxy:
        configure(conf, source, projects, proxy, directory)
        now = source.day + HOUR + troubled.SECOND
        processor = build.build(conf, database=database, clock=lambda: now)
        summary = once.rate_all(processor)
        processor.worker.close()
        database.dispose()
        assert (summary.periods, list(summary.failed)) == (len(projects), [])
        assert summary.points > 0
        return Counter(one.partition("?")[0].partition(" ")[0] for one in proxy.asked)


def configure(
    conf: cfg.ConfigOpts,
    source: Source,
    projects: Sequence[str],
    proxy: faulty.FaultyProxy,
    directory: pathlib.Path,
) -> None:
    url = f"{proxy.url}/api/v1" if source.collector == "prometheus" else proxy.url
    troubled.configure(
        conf,
        {
            "DEFAULT": {"state_path": directory},
            "collect": {
                "collector": source.collector,
                "metrics_conf": commands.ROOT / "etc/cloudkitty" / source.metrics,
                "first_period": source.day.isoformat(),
                "wait_periods": 1,
                "scope_key": "project_id",
            },
            f"collector_{source.collector}": {
                option: value or url for option, value in source.options.items()
            },
            "fetcher": {"backend": "source"},
            "fetcher_source": {"sources": ",".join(projects)},
        },
    )
