# SPDX-License-Identifier: Apache-2.0
"""Small clouds in real services, each with a proxy in front that spoils answers on request, and a
processor that rates them."""

import datetime
import pathlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty import period
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.processor import build
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage import factory
from cloudkitty.storage.base import Query
from cloudkitty.tests.builders import HOUR
from cloudkitty.tests.functional import faulty, peers, tsdb
from cloudkitty.tests.functional.gnocchi import GnocchiServer

HOURS = 3
SECOND = datetime.timedelta(seconds=1)
STEP = datetime.timedelta(minutes=10)

STEPS = range(HOURS * 6)
"""A sample every ten minutes."""

LEVELS: Mapping[str, tuple[int, str]] = {"alpha": (3, "small"), "beta": (5, "large")}
"""What servers of each project are said to be, and their flavor."""


class Cloud:
    """Usage of two projects in a service: a server of a flavor, and a counter of what it sends."""

    name: str
    """Of the collector, and with ``section`` of its part of the configuration."""
    day: datetime.datetime
    url_option: str
    usage: str
    """What is found in the requests for the levels of servers."""
    nothing: str
    """The answer to those without usage."""
    options: Mapping[str, object] = {}

    def __init__(self, target: str) -> None:
        self.target = target
        self.run = uuid.uuid4().hex[:8]
        self.projects = [f"{name}-{self.run}" for name in LEVELS]

    @property
    def section(self) -> str:
        return f"collector_{self.name}"

    @property
    def metrics(self) -> str:
        """The metrics file."""
        raise NotImplementedError

    def url(self, proxy: faulty.FaultyProxy) -> str:
        """The value of the option by which the service is found, behind a proxy."""
        return proxy.url

    def doubled(self, body: Any) -> Any:
        """An answer with all that it lists twice."""
        return body * 2 if isinstance(body, list) else body

    def sections(
        self, directory: pathlib.Path, proxy: faulty.FaultyProxy
    ) -> dict[str, dict[str, object]]:
        """The configuration of a processor for this cloud."""
        (directory / "metrics.yml").write_text(self.metrics)
        return {
            "DEFAULT": {"auth_strategy": "noauth", "state_path": directory},
            "collect": {
                "collector": self.name,
                "metrics_conf": directory / "metrics.yml",
                "first_period": self.day.isoformat(),
                "wait_periods": 1,
            },
            self.section: {self.url_option: self.url(proxy), **self.options},
            "fetcher": {"backend": "source"},
            "fetcher_source": {"sources": ",".join(self.projects)},
            "orchestrator": {"max_workers": 1},
        }

    def close(self) -> None:
        """Take away what was made."""


class CeilometerCloud(Cloud):
    name = "ceilometer"
    day = datetime.datetime(2019, 6, 5, tzinfo=period.UTC)
    url_option = "endpoint"
    nothing = "[]"

    def __init__(self) -> None:
        target = peers.named("CEILOMETER")
        super().__init__(target)
        self.usage = f"/v2/meters/trouble.level.{self.run}/statistics"
        for project, (level, flavor) in zip(self.projects, LEVELS.values(), strict=True):
            self._post("level", "gauge", project, flavor, dict.fromkeys(STEPS, level))
            sent = {step: 1000 * level * step * step for step in STEPS}
            self._post("sent", "cumulative", project, flavor, sent)

    def _post(
        self, meter: str, kind: str, project: str, flavor: str, values: Mapping[int, int]
    ) -> None:
        from ceilometerclient import client

        name = f"trouble.{meter}.{self.run}"
        samples = [
            {
                "counter_name": name,
                "counter_type": kind,
                "counter_unit": "unit",
                "counter_volume": value,
                "resource_id": f"vm-{project}",
                "project_id": project,
                "user_id": "owner",
                "resource_metadata": {"flavor.name": flavor},
                "timestamp": (self.day + step * STEP).replace(tzinfo=None).isoformat(),
            }
            for step, value in values.items()
        ]
        api = client.Client("2", endpoint=self.target, token="none").http_client
        answer = api.post(f"/v2/meters/{name}?direct=true", json=samples)
        assert answer.status_code == 201, answer.text

    @property
    def metrics(self) -> str:
        return f"""
metrics:
  trouble.level.{self.run}:
    {{alt_name: level, unit: x, groupby: [id], metadata: [flavor_name]}}
  trouble.sent.{self.run}:
    {{alt_name: sent, unit: MB, factor: 1/1000000, groupby: [id], extra_args: {{kind: cumulative}}}}
"""


class GnocchiCloud(Cloud):
    name = "gnocchi"
    day = datetime.datetime(2019, 6, 5, tzinfo=period.UTC)
    url_option = "gnocchi_endpoint"
    nothing = "[]"
    options = {"gnocchi_auth_type": "basic", "gnocchi_user": "admin"}

    _TYPE = "cloudkitty_trouble"

    def __init__(self) -> None:
        self._server = server = GnocchiServer.named()
        super().__init__(server.url)
        # What follows the name tells the request from the one about the resource type.
        self.usage = rf"/v1/aggregates.*trouble\.level\.{self.run}"
        server.policy("cloudkitty-5min-mean", ("mean",), 600)
        server.policy("cloudkitty-trouble", ("mean", "rate:mean"), 600)
        server.resource_type(self._TYPE, flavor_name="string")
        for project, (level, flavor) in zip(self.projects, LEVELS.values(), strict=True):
            names = [f"trouble.{name}.{self.run}" for name in ("level", "sent")]
            made = server.resource(
                self._TYPE,
                dict.fromkeys(names, "cloudkitty-trouble"),
                project_id=project,
                flavor_name=flavor,
            )
            times = {self.day + step * STEP: step for step in STEPS}
            server.measure(made, names[0], dict.fromkeys(times, level))
            sent = {at: 1000 * level * step * step for at, step in times.items()}
            server.measure(made, names[1], sent)

    @property
    def metrics(self) -> str:
        args = f"resource_type: {self._TYPE}, force_granularity: 600"
        return f"""
metrics:
  trouble.level.{self.run}:
    alt_name: level
    unit: x
    groupby: [id]
    metadata: [flavor_name]
    extra_args: {{{args}, aggregation_method: mean}}
  trouble.sent.{self.run}:
    alt_name: sent
    unit: MB
    factor: 1/1000000
    groupby: [id]
    extra_args: {{{args}, aggregation_method: "rate:mean"}}
"""

    def close(self) -> None:
        self._server.remove(self._TYPE, self.projects)


class PrometheusCloud(Cloud):
    name = "prometheus"
    day = tsdb.DAY
    url_option = "prometheus_url"
    usage = "avg_over_time"
    nothing = '{"status": "success", "data": {"resultType": "vector", "result": []}}'

    def __init__(self, directory: pathlib.Path) -> None:
        reason = tsdb.missing()
        if reason:
            pytest.skip(reason)
        recording = tsdb.Recording()
        for project, (level, flavor) in LEVELS.items():
            labels = {"project_id": project, "id": f"vm-{project}", "flavor_name": flavor}
            times = {step * STEP.total_seconds(): step for step in STEPS}
            recording.add("trouble_level", labels, dict.fromkeys(times, level))
            sent = {at: 1000 * level * step * step for at, step in times.items()}
            recording.add("trouble_sent", labels, sent)
        self._server = tsdb.Server(directory, recording.text())
        super().__init__(self._server.url)
        self.projects = list(LEVELS)

    def url(self, proxy: faulty.FaultyProxy) -> str:
        return f"{proxy.url}/api/v1"

    def doubled(self, body: Any) -> Any:
        body["data"]["result"] *= 2
        return body

    @property
    def metrics(self) -> str:
        return """
metrics:
  trouble_level:
    alt_name: level
    unit: x
    groupby: [id]
    metadata: [flavor_name]
    extra_args: {aggregation_method: avg, rounding: none, interval: 600}
  trouble_sent:
    alt_name: sent
    unit: MB
    factor: 1/1000000
    groupby: [id]
    extra_args: {range_function: exact_increase, interval: 600}
"""

    def close(self) -> None:
        self._server.stop()


Content = Sequence[tuple[str, datetime.datetime, Sequence[tuple[str, Decimal, Decimal, object]]]]
"""Project, begin, and metric, quantity, price and attributes of the points."""


class Site:
    """A processor for a cloud, whose clock belongs to the test, and its prices and ledger."""

    def __init__(self, cloud: Cloud, conf: cfg.ConfigOpts, database: Database) -> None:
        self.cloud = cloud
        self.now = cloud.day
        self._conf = conf
        self._database = database
        self.processor = build.build(conf, database=database, clock=lambda: self.now)

    def due(self, hours: int) -> None:
        """Let so many hours have passed; each is due right after its end."""
        self.now = self.cloud.day + hours * HOUR + SECOND

    def round(self) -> None:
        self.processor.rounds.run()

    def wait(self) -> None:
        """Sleep, as the daemon does, and do a round."""
        wake = self.processor.rounds.wake_at()
        assert wake is not None
        self.now = max(wake, self.now + SECOND)
        self.round()

    def hours(self) -> list[int]:
        """How many hours of each project have been rated."""
        states = ScopeStore(self._database).find({})
        return [((one.horizon or self.cloud.day) - self.cloud.day) // HOUR for one in states]

    def states(self) -> Sequence[Any]:
        return ScopeStore(self._database).find({})

    def ledger(self) -> Content:
        """All that is stored."""
        storage = factory.build(self._conf, self._database, Registry())
        query = Query(self.cloud.day, self.cloud.day + HOURS * HOUR)
        return sorted(
            (
                found.scope.identifier,
                found.frame.period.begin,
                sorted(
                    (point.metric, point.qty, point.price, str(sorted(point.desc.items())))
                    for point in found.frame
                ),
            )
            for found in storage.retrieve(query, limit=None).frames
        )

    def restart(self, **options: object) -> None:
        """Begin again, with other options of the collector."""
        self.close()
        configure(self._conf, {self.cloud.section: options})
        self.processor = build.build(self._conf, database=self._database, clock=lambda: self.now)

    def close(self) -> None:
        self.processor.worker.close()


def price(database: Database, day: datetime.datetime) -> None:
    """Give both metrics a price."""
    store = HashmapStore(database)
    for name, cost in (("level", "0.01"), ("sent", "0.7")):
        service = store.create_service(name).service_id
        new = NewMapping(start=day, cost=Decimal(cost), service_id=service)
        store.create_mapping(new, now=day, user="test", force=True)
    ModuleStates(database).set("hashmap", enabled=True, priority=1)


def configure(conf: cfg.ConfigOpts, sections: Mapping[str, Mapping[str, object]]) -> None:
    """Set options as a configuration file with these sections does."""
    for group, options in sections.items():
        for name, value in options.items():
            given = value.split(",") if name == "sources" else value
            given = str(given) if isinstance(given, pathlib.Path) else given
            conf.set_override(name, given, None if group == "DEFAULT" else group)


def clouds(directory: pathlib.Path, name: str) -> Iterator[Cloud]:
    """Yield the cloud of a collector, or skip."""
    cloud: Cloud
    if name == "prometheus":
        cloud = PrometheusCloud(directory)
    else:
        cloud = {"ceilometer": CeilometerCloud, "gnocchi": GnocchiCloud}[name]()
    yield cloud
    cloud.close()
