# SPDX-License-Identifier: Apache-2.0
"""Collecting usage from a real metering API, which ``CLOUDKITTY_TEST_CEILOMETER`` names
(such as ``http://127.0.0.1:8777``). Each test posts its own samples, of meters of its own."""

import datetime
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import requests
from keystoneauth1.adapter import Adapter
from oslo_config import cfg

from cloudkitty import money, period
from cloudkitty.collector import metrics
from cloudkitty.collector.base import CollectError
from cloudkitty.collector.ceilometer import CeilometerCollector
from cloudkitty.dataframe import Registry
from cloudkitty.period import Period
from cloudkitty.tests.functional import peers

DAY = datetime.datetime(2021, 3, 4, tzinfo=period.UTC)

Metadata = Mapping[str, str]


class Cloud:
    """Posts samples of two projects and collects their usage."""

    def __init__(self, url: str, conf: cfg.ConfigOpts) -> None:
        self._url = url
        self._run = uuid.uuid4().hex[:12]
        self._conf = conf
        self.meter = f"test.{self._run}"
        self.alpha, self.beta = f"alpha-{self._run}", f"beta-{self._run}"
        conf.set_override("endpoint", url, "collector_ceilometer")
        self.collector = CeilometerCollector(conf, Registry())

    def post(
        self,
        values: Mapping[str, object],
        kind: str = "gauge",
        resource: str = "r",
        project: str | None = None,
        metadata: Metadata | None = None,
        user: str = "user",
    ) -> None:
        """Post samples of one resource: time of day to value."""
        answer = requests.post(
            f"{self._url}/v2/meters/{self.meter}?direct=true",
            json=[
                {
                    "counter_name": self.meter,
                    "counter_type": kind,
                    "counter_unit": "x",
                    "counter_volume": value,
                    "resource_id": f"{resource}-{self._run}",
                    "project_id": project or self.alpha,
                    "user_id": user,
                    "resource_metadata": dict(metadata or {}),
                    "timestamp": f"2021-03-04T{time}",
                }
                for time, value in values.items()
            ],
            timeout=60,
        )
        assert answer.status_code == 201, answer.text

    def definition(self, body: str = "groupby: [id]") -> metrics.MetricDefinition:
        written = f"metrics: {{{self.meter}: {{unit: x, {body}}}}}"
        check = CeilometerCollector.check_extra_args
        return metrics.read(written, self._conf.collect.scope_key, check).definitions[0]

    def fetch(
        self, hour: int, body: str = "groupby: [id]", scopes: Iterable[str] | None = None
    ) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """The quantity and the attributes of each point, by project; ids without the run."""
        stretch = Period.of(DAY + datetime.timedelta(hours=hour), 3600)
        asked = list(scopes or (self.alpha, self.beta))
        answer = self.collector.fetch(self.definition(body), stretch, asked)
        return {
            scope.removesuffix(f"-{self._run}"): sorted(
                (
                    money.text(point.qty),
                    {
                        key: str(value).removesuffix(f"-{self._run}")
                        for key, value in point.desc.items()
                        if key != "project_id"
                    },
                )
                for point in points
            )
            for scope, points in answer.items()
        }

    def quantity(self, hour: int, body: str = "groupby: [id]") -> str | None:
        """The quantity of the only point."""
        points = self.fetch(hour, body).get("alpha", [])
        assert len(points) < 2
        return points[0][0] if points else None


@pytest.fixture
def cloud(conf: cfg.ConfigOpts) -> Cloud:
    url = peers.named("CEILOMETER")
    return Cloud(url, conf)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that are made, without their filters."""
    paths: list[str] = []
    original = Adapter.request

    def counting(self: Adapter, url: str, method: str, **kwargs: Any) -> Any:
        paths.append(f"{method} {url.partition('?')[0]}")
        return original(self, url, method, **kwargs)

    monkeypatch.setattr(Adapter, "request", counting)
    return paths


def every(minutes: int, hours: range, value: object = 1) -> dict[str, object]:
    return {
        f"{hour:02}:{minute:02}:00": value for hour in hours for minute in range(0, 60, minutes)
    }


class TestGauge:
    def test_a_steady_level_is_itself(self, cloud: Cloud) -> None:
        cloud.post(every(10, range(10, 12), 0.1))
        assert cloud.quantity(10) == cloud.quantity(11) == "0.1"

    def test_a_changing_level_is_the_mean(self, cloud: Cloud) -> None:
        cloud.post({**every(10, range(10, 11), 10), "10:40:00": 40, "10:50:00": 40})
        assert cloud.quantity(10) == "20"

    def test_a_resource_that_was_there_for_a_part_counts_for_that(self, cloud: Cloud) -> None:
        cloud.post({"10:30:00": 12, "10:40:00": 12})
        # From 10:30 until 10:50: a sample stands for the ten minutes after it.
        assert cloud.quantity(10) == "4"

    @pytest.mark.parametrize(
        ("method", "expected"),
        [("mean", "4"), ("max", "7"), ("min", "1"), ("sum", "8"), ("count", "2")],
    )
    def test_other_aggregations(self, cloud: Cloud, method: str, expected: str) -> None:
        cloud.post({"10:00:00": 1, "10:20:00": 7})
        body = f"groupby: [id], extra_args: {{aggregation_method: {method}}}"
        assert cloud.quantity(10, body) == expected

    def test_factor_and_unit(self, cloud: Cloud) -> None:
        cloud.post(every(10, range(10, 11), 41943040))
        assert cloud.quantity(10, "groupby: [id], factor: 1/1048576") == "40"


class TestWindow:
    def test_a_sample_on_the_boundary_counts_in_the_later_period_only(self, cloud: Cloud) -> None:
        cloud.post({"11:00:00": 5}, kind="delta")
        assert [cloud.quantity(hour) for hour in (10, 11, 12)] == [None, "5", None]

    def test_an_unknown_meter_is_no_data(self, cloud: Cloud) -> None:
        assert cloud.fetch(10) == {}

    def test_a_period_without_samples_is_no_data(self, cloud: Cloud) -> None:
        cloud.post(every(10, range(10, 11)))
        assert cloud.fetch(13) == {}


class TestPresence:
    BODY = "groupby: [id], extra_args: {kind: presence}"

    def test_a_resource_that_was_there_all_the_time(self, cloud: Cloud) -> None:
        cloud.post(every(10, range(10, 11), 7))
        assert cloud.quantity(10, self.BODY) == "1"

    def test_a_resource_that_came_and_went(self, cloud: Cloud) -> None:
        cloud.post({"10:15:00": 1, "10:25:00": 1, "10:35:00": 1})
        assert cloud.quantity(10, self.BODY) == "0.5"

    def test_one_sample_stands_for_the_interval(self, cloud: Cloud) -> None:
        cloud.post({"10:30:00": 1})
        body = "groupby: [id], extra_args: {kind: presence, interval: 360}"
        assert cloud.quantity(10, body) == "0.1"

    def test_whole(self, cloud: Cloud) -> None:
        cloud.post({"10:30:00": 1})
        body = "groupby: [id], extra_args: {kind: presence, rounding: whole}"
        assert cloud.quantity(10, body) == "1"


class TestDelta:
    def test_it_is_summed(self, cloud: Cloud) -> None:
        cloud.post({"10:00:00": 1, "10:30:00": 2, "10:59:59": 4, "11:00:00": 8}, kind="delta")
        assert (cloud.quantity(10), cloud.quantity(11)) == ("7", "8")


class TestCumulative:
    def test_growth_counts_from_the_last_value_before(self, cloud: Cloud) -> None:
        cloud.post(
            {"09:55:00": 2, "10:00:00": 3, "10:30:00": 5, "10:55:00": 9, "11:30:00": 15},
            kind="cumulative",
        )
        assert [cloud.quantity(hour) for hour in (10, 11)] == ["7", "6"]

    def test_a_counter_that_is_reset_goes_on(self, cloud: Cloud) -> None:
        cloud.post(
            {"09:50:00": 100, "10:10:00": 130, "10:20:00": 4, "10:30:00": 10}, kind="cumulative"
        )
        assert cloud.quantity(10) == "40"

    def test_without_a_base_the_first_value_is_one(self, cloud: Cloud) -> None:
        cloud.post({"10:10:00": 1000, "10:20:00": 1004}, kind="cumulative")
        assert cloud.quantity(10) == "4"

    def test_the_base_may_be_looked_for_further_back(self, cloud: Cloud) -> None:
        cloud.post({"06:00:00": 1000, "10:20:00": 1004}, kind="cumulative")
        assert cloud.quantity(10) == "0"
        assert cloud.quantity(10, "groupby: [id], extra_args: {lookback: 36000}") == "4"

    def test_pages(self, cloud: Cloud, conf: cfg.ConfigOpts, asked: list[str]) -> None:
        conf.set_override("page_size", 4, "collector_ceilometer")
        cloud.collector = CeilometerCollector(conf, Registry())
        for number in range(3):
            times = {f"10:{minute:02}:00": minute * (number + 1) for minute in range(0, 60, 5)}
            cloud.post(times, kind="cumulative", resource=f"r{number}")
        found = cloud.fetch(10)
        assert [point[0] for point in found["alpha"]] == ["110", "165", "55"]
        assert len(asked) > 10

    def test_a_page_too_small_is_an_error(self, cloud: Cloud, conf: cfg.ConfigOpts) -> None:
        conf.set_override("page_size", 2, "collector_ceilometer")
        cloud.collector = CeilometerCollector(conf, Registry())
        for number in range(3):
            cloud.post({"10:00:00": 1}, kind="cumulative", resource=f"r{number}")
        with pytest.raises(CollectError, match=r"raise \[collector_ceilometer\] page_size"):
            cloud.fetch(10)


class TestAttributes:
    SMALL = {"flavor.name": "small", "flavor.id": "1", "display_name": "web", "name": "instance-1"}
    BODY = "groupby: [id, user_id], metadata: [flavor.name, flavor_id, name, missing]"

    def test_names(self, cloud: Cloud) -> None:
        cloud.post(every(10, range(10, 11)), metadata=self.SMALL)
        assert cloud.fetch(10, self.BODY)["alpha"] == [
            (
                "1",
                {
                    "id": "r",
                    "user_id": "user",
                    "flavor.name": "small",
                    "flavor_id": "1",
                    "name": "web",
                    "missing": "",
                },
            )
        ]

    @pytest.mark.parametrize("kind", ["gauge", "cumulative", "delta"])
    def test_they_are_those_of_the_period(self, cloud: Cloud, kind: str) -> None:
        cloud.post(every(10, range(10, 11)), kind, metadata={"flavor.name": "small"})
        cloud.post(every(10, range(11, 12)), kind, metadata={"flavor.name": "large"})
        flavors = [cloud.fetch(hour, self.BODY)["alpha"][0][1]["flavor.name"] for hour in (10, 11)]
        assert flavors == ["small", "large"]

    def test_resources_of_one_series_are_summed_each_for_itself(self, cloud: Cloud) -> None:
        for number in range(3):
            cloud.post(every(10, range(10, 11), 7), resource=f"r{number}")
        assert cloud.quantity(10, "groupby: [user_id], mutate: NUMBOOL") == "3"

    def test_scopes_may_be_users(self, cloud: Cloud, conf: cfg.ConfigOpts) -> None:
        conf.set_override("scope_key", "user_id", "collect")
        cloud.collector = CeilometerCollector(conf, Registry())
        cloud.post({"10:00:00": 1}, "delta", user="ann")
        cloud.post({"10:00:00": 2}, "delta", user="bob", resource="s", project=cloud.beta)
        found = cloud.fetch(10, scopes=["ann", "bob"])
        assert {user: points[0][0] for user, points in found.items()} == {"ann": "1", "bob": "2"}


class TestRequests:
    BODY = "groupby: [id], metadata: [flavor.name]"

    def test_they_do_not_grow_with_scopes_and_resources(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        for number in range(6):
            cloud.post({"10:00:00": 1}, resource=f"r{number}", project=f"{cloud.alpha}{number}")
        scopes = [f"{cloud.alpha}{number}" for number in range(6)]
        assert len(cloud.fetch(10, self.BODY, scopes)) == 6
        assert asked == [
            f"GET /v2/meters/{cloud.meter}",
            f"GET /v2/meters/{cloud.meter}/statistics",
            "GET /v2/resources",
        ]

    def test_another_batch_of_scopes_and_another_definition_ask_nothing_more(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        cloud.post({"10:00:00": 1}, project=cloud.alpha)
        cloud.fetch(10, self.BODY)
        before = len(asked)
        cloud.fetch(10, self.BODY, ["another", "third"])
        cloud.fetch(10, f"alt_name: other, {self.BODY}")
        assert len(asked) == before

    def test_only_samples_for_counters(self, cloud: Cloud, asked: list[str]) -> None:
        cloud.post({"10:00:00": 1}, "cumulative")
        cloud.fetch(10, f"{self.BODY}, extra_args: {{kind: cumulative}}")
        assert asked == ["POST /v2/query/samples"]

    def test_no_resources_without_metadata(self, cloud: Cloud, asked: list[str]) -> None:
        cloud.post({"10:00:00": 1})
        cloud.fetch(10, "groupby: [id, user_id], extra_args: {kind: gauge}")
        assert asked == [f"GET /v2/meters/{cloud.meter}/statistics"]

    def test_one_scope_alone_is_filtered_by_the_api(self, cloud: Cloud) -> None:
        cloud.post({"10:00:00": 1}, "delta", project=cloud.alpha)
        cloud.post({"10:00:00": 2}, "delta", project=cloud.beta, resource="s")
        assert cloud.fetch(10, self.BODY, [cloud.beta]) == {
            "beta": [("2", {"id": "s", "flavor.name": ""})]
        }

    def test_more_resources_than_a_page_are_an_error(
        self, cloud: Cloud, conf: cfg.ConfigOpts
    ) -> None:
        conf.set_override("page_size", 1, "collector_ceilometer")
        cloud.collector = CeilometerCollector(conf, Registry())
        for number in range(2):
            cloud.post({"10:00:00": 1}, resource=f"r{number}")
        with pytest.raises(CollectError, match=r"raise \[collector_ceilometer\] page_size"):
            cloud.fetch(10, self.BODY)

    def test_an_answer_with_an_error_is_told(self, cloud: Cloud) -> None:
        cloud.meter = "not/a meter"
        with pytest.raises(CollectError) as caught:
            cloud.fetch(10)
        assert "meter 'not/a meter'" in str(caught.value)
        assert "[collector_ceilometer] endpoint http" in str(caught.value)
