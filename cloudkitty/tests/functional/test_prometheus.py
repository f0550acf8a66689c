# SPDX-License-Identifier: Apache-2.0
"""Collecting usage from a real Prometheus, which these tests start for themselves.

The samples of each test are recorded beside it; all are of one day.
"""

import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from keystoneauth1.adapter import Adapter
from oslo_config import cfg

from cloudkitty import money
from cloudkitty.collector import metrics
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.collector.prometheus import PrometheusCollector
from cloudkitty.dataframe import Registry
from cloudkitty.period import Period
from cloudkitty.tests.functional import tsdb
from cloudkitty.tests.functional.proxy import Proxy
from cloudkitty.tests.functional.tsdb import DAY, every, growing, seconds

RECORDING = tsdb.Recording()

Found = dict[str, list[tuple[str, dict[str, Any]]]]


def record(metric: str, values: dict[float, object], project: str = "alpha", **labels: str) -> None:
    """Record samples of a resource of a project, on top of the module."""
    RECORDING.add(metric, {"project_id": project, "id": "r"} | labels, values)


def at(*samples: tuple[str, object]) -> dict[float, object]:
    return {seconds(time): value for time, value in samples}


def definition(metric: str, body: str, **extra_args: object) -> metrics.MetricDefinition:
    """One metric, as a metrics file defines it."""
    written = f"metrics: {{{metric}: {{unit: x, {body}, extra_args: {json.dumps(extra_args)}}}}}"
    check = PrometheusCollector.check_extra_args
    return metrics.read(written, "project_id", check).definitions[0]


class Cloud:
    """Collects the usage of the projects alpha and beta."""

    def __init__(self, server: tsdb.Server, conf: cfg.ConfigOpts) -> None:
        conf.set_override("prometheus_url", server.url, "collector_prometheus")
        self.collector = PrometheusCollector(conf, Registry())

    def fetch(
        self,
        metric: str,
        hour: int = 10,
        body: str = "groupby: [id]",
        scopes: Sequence[str] = ("alpha", "beta"),
        **extra_args: object,
    ) -> Found:
        """The quantity and the attributes of each point, by project."""
        stretch = Period.of(DAY + datetime.timedelta(hours=hour), 3600)
        found = self.collector.fetch(definition(metric, body, **extra_args), stretch, scopes)
        return {
            scope: sorted(
                ((money.text(point.qty), point.desc) for point in points), key=lambda one: str(one)
            )
            for scope, points in found.items()
        }

    def quantity(self, metric: str, hour: int = 10, **extra_args: object) -> str | None:
        """The quantity of the only point of alpha."""
        points = self.fetch(metric, hour, **extra_args).get("alpha", [])
        assert len(points) < 2
        return points[0][0] if points else None

    def by_flavor(self, metric: str, **extra_args: object) -> dict[str, str]:
        body = "groupby: [id], metadata: [flavor]"
        points = self.fetch(metric, 10, body, **extra_args)["alpha"]
        return {about["flavor"]: qty for qty, about in points}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tsdb.Server]:
    reason = tsdb.missing()
    if reason:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("prometheus")
    server = tsdb.Server(directory, RECORDING.text(), flags=["--query.max-samples=3000"])
    yield server
    server.stop()


@pytest.fixture
def cloud(server: tsdb.Server, conf: cfg.ConfigOpts) -> Cloud:
    return Cloud(server, conf)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that are asked."""
    queries: list[str] = []
    original = Adapter.request

    def counting(self: Adapter, url: str, method: str, **kwargs: Any) -> Any:
        queries.append(kwargs["data"]["query"])
        return original(self, url, method, **kwargs)

    monkeypatch.setattr(Adapter, "request", counting)
    return queries


class TestLevels:
    record("steady", every(60, "10:00:00", "12:00:00", "0.1"))
    record("uneven", at(("10:00:00", 1), ("10:20:00", 4), ("10:40:00", 7)))
    record("bytes", every(60, "10:00:00", "11:00:00", 10737418241))

    @pytest.mark.parametrize("method", ["avg", "max", "min"])
    def test_a_steady_level_is_itself(self, cloud: Cloud, method: str) -> None:
        quantities = [
            cloud.quantity("steady", hour, aggregation_method=method) for hour in (10, 11)
        ]
        assert quantities == ["0.1", "0.1"]

    @pytest.mark.parametrize(
        ("method", "expected"),
        [("avg", "4"), ("max", "7"), ("min", "1"), ("sum", "12"), ("count", "1"), ("stddev", "0")],
    )
    def test_aggregations(self, cloud: Cloud, method: str, expected: str) -> None:
        # Twice each: over time, then over series, of which there is one.
        assert cloud.quantity("uneven", aggregation_method=method) == expected

    def test_functions_of_one_value(self, cloud: Cloud) -> None:
        assert cloud.quantity("steady", query_function="ceil") == "1"

    def test_prefix_and_suffix(self, cloud: Cloud) -> None:
        assert cloud.quantity("uneven", query_prefix="2 *", query_suffix="* 3 + 0.5") == "42.5"

    def test_conversion_is_exact(self, cloud: Cloud) -> None:
        found = cloud.fetch("bytes", body="groupby: [id], factor: 1/1073741824")
        # 10737418241 / 1073741824 = 10 + 1 / 2 ** 30, rounded once to 28 digits.
        assert found["alpha"][0][0] == "10.00000000093132257461547852"

    def test_no_samples_are_no_data(self, cloud: Cloud) -> None:
        assert cloud.fetch("no_such_metric") == {}
        assert cloud.fetch("steady", hour=20) == {}

    def test_scopes_that_are_not_asked_for_are_left_out(self, cloud: Cloud) -> None:
        assert cloud.fetch("steady", scopes=["beta", "gamma"]) == {}


class TestWindow:
    record("boundaries", at(("10:00:00", 1), ("10:59:59.999", 2), ("11:00:00", 4)))
    record("last_moment", at(("09:59:59.999", 16), ("10:30:00", 1)))

    def test_a_sample_counts_in_the_period_in_which_it_was_taken(self, cloud: Cloud) -> None:
        sums = [
            cloud.quantity("boundaries", hour, aggregation_method="sum") for hour in (9, 10, 11, 12)
        ]
        assert sums == [None, "3", "4", None]

    def test_the_last_millisecond_before_is_outside(self, cloud: Cloud) -> None:
        assert cloud.quantity("last_moment", aggregation_method="sum") == "1"

    def test_the_query(self, cloud: Cloud, asked: list[str]) -> None:
        body = "groupby: [id, pool, project_id], metadata: [tier]"
        cloud.fetch("boundaries", body=body, scopes=["P"], aggregation_method="avg")
        assert asked[1:] == [
            'avg(avg_over_time(boundaries{project_id="P"}[3599999ms])) by '
            "(id, pool, project_id, tier)"
        ]


class TestAttributes:
    record("labelled", every(60, "10:00:00", "11:00:00"), flavor="small", name='a "b"\\c\nd')
    record("unlabelled", every(60, "10:00:00", "11:00:00"))
    RECORDING.add(
        "renamed", {"project": "alpha", "resource": "r"}, every(60, "10:00:00", "11:00:00")
    )

    def test_labels_become_groupby_and_metadata(self, cloud: Cloud) -> None:
        body = "groupby: [id], metadata: [flavor, name, missing]"
        ((_, about),) = cloud.fetch("labelled", body=body)["alpha"]
        assert about == {
            "id": "r",
            "project_id": "alpha",
            "flavor": "small",
            "name": 'a "b"\\c\nd',
            "missing": "",
        }

    def test_labels_of_other_names(self, cloud: Cloud) -> None:
        labels = {"project_id": "project", "id": "resource"}
        expected = {"alpha": [("1", {"id": "r", "project_id": "alpha"})]}
        assert cloud.fetch("renamed", labels=labels) == expected
        assert cloud.fetch("renamed", labels=labels, scopes=["alpha"]) == expected

    def test_two_scrapers_of_one_thing_do_not_double_it(self, cloud: Cloud) -> None:
        assert cloud.quantity("scraped_twice") == "5"
        assert cloud.quantity("scraped_twice", aggregation_method="avg") == "5"

    for scraper in ("one", "two"):
        record("scraped_twice", every(60, "10:00:00", "11:00:00", 5), instance=scraper)

    def test_series_that_are_equal_by_their_attributes_are_summed(self, cloud: Cloud) -> None:
        other = 'or label_replace(max(steady) by (id, project_id), "zone", "a", "", "")'
        arguments = {"query_suffix": other, "aggregation_method": "sum"}
        found = cloud.fetch("uneven", scopes=["alpha"], **arguments)
        assert found == {"alpha": [("12.1", {"id": "r", "project_id": "alpha"})]}


AWKWARD = ['quo"te', "back\\slash", "new\nline", "a.c", "a|b", "(x)*+?[y]{2}^$", "größe €", "-"]


class TestEscaping:
    for name in (*AWKWARD, "abc", "b", "xx"):
        record("awkward", every(60, "10:00:00", "11:00:00"), project=name)

    @pytest.mark.parametrize("scope", AWKWARD)
    def test_any_text_is_a_scope(self, cloud: Cloud, scope: str) -> None:
        expected = [("1", {"id": "r", "project_id": scope})]
        assert cloud.fetch("awkward", scopes=[scope]) == {scope: expected}
        assert cloud.fetch("awkward", scopes=[scope, "other"]) == {scope: expected}

    def test_all_at_once(self, cloud: Cloud) -> None:
        assert set(cloud.fetch("awkward", scopes=AWKWARD)) == set(AWKWARD)

    def test_no_scope_reaches_another(self, cloud: Cloud) -> None:
        assert cloud.fetch("awkward", scopes=['x"} or awkward{project_id!="', ".*"]) == {}


class TestNotANumber:
    record("spoilt", every(60, "10:00:00", "11:00:00", 4) | at(("10:30:00", "NaN")))
    record("spoilt", every(60, "10:00:00", "11:00:00", 2), id="good")
    record("infinite", every(60, "10:00:00", "11:00:00", 4) | at(("10:30:00", "+Inf")))
    record("nothing_else", every(60, "10:00:00", "11:00:00", "NaN"))

    @pytest.mark.parametrize("method", ["max", "min", "avg"])
    def test_one_sample_does_not_spoil_a_level(self, cloud: Cloud, method: str) -> None:
        found = cloud.fetch("spoilt", aggregation_method=method)["alpha"]
        assert {about["id"]: qty for qty, about in found} == {"r": "4", "good": "2"}

    def test_nor_does_infinity_spoil_a_mean(self, cloud: Cloud) -> None:
        assert cloud.quantity("infinite", aggregation_method="avg") == "4"

    @pytest.mark.parametrize(
        ("metric", "method"), [("spoilt", "sum"), ("infinite", "max"), ("nothing_else", "avg")]
    )
    def test_what_is_no_number_is_dropped_and_counted(
        self, cloud: Cloud, caplog: pytest.LogCaptureFixture, metric: str, method: str
    ) -> None:
        found = cloud.fetch(metric, aggregation_method=method)
        assert not [about for _, about in found.get("alpha", []) if about["id"] == "r"]
        assert f"1 values of metric {metric} in [2021-03-04T10:00:00+00:00, " in caplog.text


class TestShares:
    record("resized", every(60, "10:00:00", "10:20:00"), flavor="small")
    record("resized", every(60, "10:20:00", "11:00:00"), flavor="large")
    record("half", every(60, "10:00:00", "10:25:00", 7))
    record("blip", at(("10:30:20", 1)), flavor="x")
    record("neighbours", every(60, "10:00:00", "11:00:00"), flavor="small")
    record("neighbours", every(60, "10:00:00", "11:00:00"), flavor="large", id="s")
    record("twins", every(60, "10:00:00", "11:00:00"), flavor="small")
    record("twins", every(60, "10:00:00", "11:00:00"), flavor="large")
    record("rare", every(1200, "10:07:00", "11:00:00"))

    def test_a_resource_is_split_at_the_change(self, cloud: Cloud) -> None:
        assert cloud.by_flavor("resized", interval=60) == {
            "small": "0.3333333333333333333333333333",
            "large": "0.6666666666666666666666666667",
        }

    def test_the_parts_are_one_resource(self, cloud: Cloud) -> None:
        parts = cloud.by_flavor("resized", rounding="none").values()
        assert round(sum(map(money.amount, parts)), 20) == 1

    def test_other_resources_are_not_split(self, cloud: Cloud) -> None:
        assert cloud.by_flavor("neighbours") == {"small": "1", "large": "1"}

    def test_one_resource_is_never_two(self, cloud: Cloud) -> None:
        assert cloud.by_flavor("twins") == {"small": "0.5", "large": "0.5"}

    def test_without_an_attribute_that_tells_resources_apart_nothing_is_split(
        self, cloud: Cloud
    ) -> None:
        found = cloud.fetch("twins", body="metadata: [flavor]")["alpha"]
        assert [qty for qty, _ in found] == ["1", "1"]

    def test_the_share_of_the_period(self, cloud: Cloud) -> None:
        assert cloud.quantity("half") == "7"
        assert cloud.quantity("half", rounding="none", interval=60) == (
            # 25 / 60 of 7.
            "2.916666666666666666666666667"
        )

    def test_a_sample_stands_for_the_interval_that_follows_it(self, cloud: Cloud) -> None:
        # The last one is of 10:24: it counts at 10:25, and no more at 10:30.
        assert cloud.quantity("half", rounding="none") == "3.5"

    def test_a_moment_is_one_interval(self, cloud: Cloud) -> None:
        assert cloud.quantity("blip", rounding="none", interval=1800) == "0.5"

    def test_rare_samples(self, cloud: Cloud) -> None:
        # At 10:07, 10:27 and 10:47; seen from 10:20 on, each 20 minutes.
        assert cloud.quantity("rare", rounding="none", interval=1200) == (
            "0.6666666666666666666666666667"
        )

    def test_conversion_comes_before_the_split(self, cloud: Cloud) -> None:
        body = "groupby: [id], metadata: [flavor], factor: 5, mutate: NUMBOOL"
        assert [qty for qty, _ in cloud.fetch("twins", body=body)["alpha"]] == ["0.5", "0.5"]


class TestCounters:
    record("counter", growing(60, "09:00:00", "13:00:00", 10))
    record("restarted", growing(60, "09:00:00", "10:30:00", 10, start=1000))
    record("restarted", growing(60, "10:30:00", "11:00:00", 10, start=3))
    record("fresh", growing(60, "10:30:00", "12:00:00", 10, start=5000))
    record("gap", growing(60, "09:00:00", "10:10:00", 10))
    record("gap", growing(60, "10:40:00", "11:00:00", 10, start=1000))

    def test_exact_increases_add_up(self, cloud: Cloud) -> None:
        # 60 samples in each hour, each ten more than the one before.
        quantities = [
            cloud.quantity("counter", hour, range_function="exact_increase")
            for hour in (10, 11, 12)
        ]
        assert quantities == ["600", "600", "600"]

    def test_a_reset_counts_what_the_counter_shows(self, cloud: Cloud) -> None:
        # 30 steps of ten, then 3 (all of it new), then 29 steps of ten.
        arguments = {"range_function": "exact_increase", "interval": 60}
        assert cloud.quantity("restarted", **arguments) == "593"

    def test_without_a_base_the_first_value_is_one(self, cloud: Cloud) -> None:
        assert cloud.quantity("fresh", range_function="exact_increase") == "290"
        assert cloud.quantity("fresh", 11, range_function="exact_increase") == "600"

    def test_growth_during_a_gap_counts(self, cloud: Cloud) -> None:
        # 590 at 09:59, 690 at 10:09, 1000 at 10:40, 1190 at 10:59.
        assert cloud.quantity("gap", range_function="exact_increase") == "600"

    def test_the_base_is_looked_for_as_far_back_as_told(self, cloud: Cloud) -> None:
        assert cloud.quantity("seldom", 11, range_function="exact_increase") == "5"
        arguments = {"range_function": "exact_increase", "lookback": 7200}
        assert cloud.quantity("seldom", 11, **arguments) == "12"

    record("seldom", at(("09:50:00", 100), ("11:20:00", 107), ("11:50:00", 112)))

    def test_only_scopes_with_a_reset_are_asked_for_again(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        arguments = {"range_function": "exact_increase", "interval": 60}
        found = cloud.fetch("shared", **arguments)
        assert {scope: points[0][0] for scope, points in found.items()} == {
            "alpha": "600",
            "beta": "590",
        }
        assert len(asked) == 4
        assert 'project_id="beta"' in asked[-1]
        asked.clear()
        cloud.fetch("counter", **arguments)
        assert len(asked) == 2

    record("shared", growing(60, "09:00:00", "11:00:00", 10))
    record("shared", growing(60, "09:00:00", "10:30:00", 10), "beta")
    record("shared", growing(60, "10:30:00", "11:00:00", 10), "beta")

    def test_increase_and_rate_are_those_of_the_server(self, cloud: Cloud) -> None:
        rate = money.amount(cloud.quantity("counter", range_function="rate"))
        assert round(rate, 12) == round(money.amount(1 / 6), 12)
        increase = money.amount(cloud.quantity("counter", range_function="increase"))
        assert abs(increase - 600) < 1

    @pytest.mark.parametrize("function", ["changes", "delta", "deriv", "idelta", "irate"])
    def test_the_other_functions(self, cloud: Cloud, function: str) -> None:
        quantity = money.amount(cloud.quantity("counter", range_function=function))
        expected = {"changes": 59, "delta": 600, "idelta": 10}.get(function, 1 / 6)
        assert abs(quantity - money.amount(expected)) < 1


class TestManyScopes:
    for number in range(40):
        record("many", every(60, "10:00:00", "11:00:00", number), f"p{number}", flavor="f")
    record("many", every(60, "10:00:00", "10:30:00", 2), "p2", flavor="g")
    SCOPES = [f"p{number}" for number in range(40)]
    BODY = "groupby: [id], metadata: [flavor]"

    def test_requests_do_not_grow_with_scopes(self, cloud: Cloud, asked: list[str]) -> None:
        assert len(cloud.fetch("many", body=self.BODY, scopes=self.SCOPES)) == 40
        # What ranges contain, the usage, and how long there was what: one resource has changed.
        assert len(asked) == 3
        cloud.fetch("many", body=self.BODY, scopes=self.SCOPES[:3])
        assert len(asked) == 5

    def test_nothing_more_is_asked_when_nothing_changed(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        cloud.fetch("many", body=self.BODY, scopes=self.SCOPES[3:])
        assert len(asked) == 2

    def test_one_connection_serves_all(self, server: tsdb.Server, conf: cfg.ConfigOpts) -> None:
        port = int(server.url.removesuffix("/api/v1").rpartition(":")[2])
        proxy = Proxy("127.0.0.1", port)
        conf.set_override(
            "prometheus_url", f"http://127.0.0.1:{proxy.port}/api/v1", "collector_prometheus"
        )
        collector = PrometheusCollector(conf, Registry())
        try:
            for hour in (9, 10, 11):
                stretch = Period.of(DAY + datetime.timedelta(hours=hour), 3600)
                collector.fetch(definition("many", self.BODY), stretch, self.SCOPES)
        finally:
            collector.close()
            proxy.close()
        assert proxy.accepted == 1

    def test_no_scopes_ask_nothing(self, cloud: Cloud, asked: list[str]) -> None:
        assert cloud.fetch("many", scopes=[]) == {}
        assert asked == []

    def test_each_has_its_own(self, cloud: Cloud) -> None:
        found = cloud.fetch("many", scopes=self.SCOPES)
        assert {scope: points[0][0] for scope, points in found.items()} == {
            scope: str(number) for number, scope in enumerate(self.SCOPES)
        }

    def test_where_names_take_too_much_room_all_are_asked_for_once(
        self, cloud: Cloud, asked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cloudkitty.source.prometheus.Prometheus.takes", lambda *_: False)
        assert set(cloud.fetch("many", scopes=self.SCOPES[:20])) == set(self.SCOPES[:20])
        assert set(cloud.fetch("many", scopes=self.SCOPES[20:])) == set(self.SCOPES[20:])
        assert len(asked) == 2
        assert 'project_id!=""' in asked[1]

    def test_an_expression_over_series_is_asked_for_one_scope_at_a_time(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        found = cloud.fetch("many", scopes=["p1", "p5"], query_prefix="topk(1,", query_suffix=")")
        assert {scope: points[0][0] for scope, points in found.items()} == {"p1": "1", "p5": "5"}
        assert len(asked) == 3

    def test_a_lost_label_is_that_of_the_scope_asked_for(self, cloud: Cloud) -> None:
        arguments = {"query_prefix": "sum(", "query_suffix": ")"}
        found = cloud.fetch("many", scopes=["p1", "p5"], **arguments)
        assert found == {
            "p1": [("1", {"id": "", "project_id": "p1"})],
            "p5": [("5", {"id": "", "project_id": "p5"})],
        }

    def test_what_loses_it_is_asked_together_only_once(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        arguments = {"query_prefix": "sum(", "query_suffix": ")", "scopes": "together"}
        summed = definition("many", "groupby: [id]", **arguments)
        for hour, requests in ((10, 4), (11, 3)):
            asked.clear()
            stretch = Period.of(DAY + datetime.timedelta(hours=hour), 3600)
            found = cloud.collector.fetch(summed, stretch, ["p1", "p5"])
            assert len(asked) == requests
            assert set(found) == ({"p1", "p5"} if hour == 10 else set())


class TestErrors:
    for number in range(60):
        record("large", every(60, "10:00:00", "11:00:00"), f"p{number}")

    def test_a_query_that_is_wrong(self, cloud: Cloud) -> None:
        with pytest.raises(SourceUnavailable) as caught:
            cloud.fetch("steady", query_suffix=")")
        told = str(caught.value)
        assert "asking for metric 'steady': [collector_prometheus] prometheus_url http" in told
        assert "answers 400 invalid parameter" in told and "parse error" in told

    def test_a_query_that_takes_too_much(self, cloud: Cloud) -> None:
        scopes = [f"p{number}" for number in range(60)]
        arguments = {"rounding": "none", "interval": 60}
        with pytest.raises(CollectError, match=r"answers 422 .* too many samples") as caught:
            cloud.fetch("large", scopes=scopes, **arguments)
        # With fewer scopes it goes, so that it is no matter of the source as a whole.
        assert not isinstance(caught.value, SourceUnavailable)
        assert len(cloud.fetch("large", scopes=scopes[:10], **arguments)) == 10

    def test_an_answer_that_is_no_vector(self, cloud: Cloud) -> None:
        with pytest.raises(CollectError, match="evaluates to a scalar, and only an instant vector"):
            cloud.fetch("steady", query_prefix="scalar(", query_suffix=")", scopes=["alpha"])
