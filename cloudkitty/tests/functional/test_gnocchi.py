# SPDX-License-Identifier: Apache-2.0
"""Collecting usage from a real Gnocchi, which ``CLOUDKITTY_TEST_GNOCCHI`` names. Each test makes
resources of projects of its own, with metrics of its own."""

import datetime
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from keystoneauth1.adapter import Adapter
from oslo_config import cfg

from cloudkitty import money, period
from cloudkitty.collector import gnocchi as collector
from cloudkitty.collector import metrics
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.collector.gnocchi import GnocchiCollector
from cloudkitty.dataframe import Registry
from cloudkitty.period import Period
from cloudkitty.source import gnocchi as source
from cloudkitty.tests.functional.gnocchi import GnocchiServer

DAY = datetime.datetime(2021, 3, 4, tzinfo=period.UTC)
TYPE = "cloudkitty_test"

METHODS = ("mean", "min", "max", "sum", "count", "last", "first", "median", "std", "95pct")
FIVE = "cloudkitty-5min"
HOURLY = "cloudkitty-1h"
MANY = "cloudkitty-many"
COUNTER = "cloudkitty-counter"

Found = dict[str, list[tuple[str, dict[str, Any]]]]


class Cloud:
    """Resources of two projects, and the collector of their usage."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.server = server = GnocchiServer.named()
        server.configure(conf)
        server.policy(FIVE, METHODS, 300)
        server.policy(HOURLY, METHODS, 3600)
        server.policy(MANY, METHODS, 60, 300, 3600)
        server.policy(COUNTER, ("mean", "rate:mean"), 300)
        server.resource_type(TYPE, flavor="string", size="number", public="bool", host="uuid")
        self._conf = conf
        self.metric = f"metric.{server.run}"
        self.alpha, self.beta = f"alpha-{server.run}", f"beta-{server.run}"
        self.collector = GnocchiCollector(conf, Registry())

    def resource(
        self,
        values: Mapping[str, object],
        policy: str = FIVE,
        project: str | None = None,
        **attributes: object,
    ) -> str:
        """Make a resource with measures: time of day to value; return its id."""
        identifier = self.server.resource(
            TYPE, {self.metric: policy}, project_id=project or self.alpha, **attributes
        )
        self.measure(identifier, values)
        return identifier

    def measure(self, identifier: str, values: Mapping[str, object]) -> None:
        times = {
            datetime.datetime.fromisoformat(f"2021-03-04T{clock}+00:00"): value
            for clock, value in values.items()
        }
        self.server.measure(identifier, self.metric, times)

    def definition(self, extra: str = "", body: str = "groupby: [id]") -> metrics.MetricDefinition:
        """A definition with granularity 300 and mean, unless *extra* says otherwise."""
        defaults = {"resource_type": TYPE, "aggregation_method": "mean", "force_granularity": "300"}
        args = ", ".join(f"{key}: {value}" for key, value in defaults.items() if key not in extra)
        args = ", ".join(filter(None, (args, extra)))
        written = f"metrics: {{{self.metric}: {{unit: x, {body}, extra_args: {{{args}}}}}}}"
        check = GnocchiCollector.check_extra_args
        return metrics.read(written, self._conf.collect.scope_key, check).definitions[0]

    def fetch(
        self,
        hour: Period,
        extra: str = "",
        body: str = "groupby: [id]",
        scopes: Iterable[str] | None = None,
    ) -> Found:
        """The quantity and the attributes of each point, by project without the run."""
        asked = list(scopes or (self.alpha, self.beta))
        answer = self.collector.fetch(self.definition(extra, body), hour, asked)
        return {
            scope.removesuffix(f"-{self.server.run}"): sorted(
                (
                    (
                        money.text(point.qty),
                        {key: value for key, value in point.desc.items() if key != "project_id"},
                    )
                    for point in points
                ),
                key=str,
            )
            for scope, points in answer.items()
        }

    def quantity(self, hour: int, extra: str = "", body: str = "groupby: [id]") -> str | None:
        """The quantity of the only point of an hour."""
        points = self.fetch(of(hour), extra, body).get("alpha", [])
        assert len(points) < 2
        return points[0][0] if points else None


def of(hour: int) -> Period:
    return Period.of(DAY + datetime.timedelta(hours=hour), 3600)


def this_hour() -> Period:
    """The hour that runs, not in its last minute: there is time to change things in it."""
    now = datetime.datetime.now(period.UTC)
    left = 3600 - period.epoch(now) % 3600
    if left < 60:
        time.sleep(left + 1)
    now = datetime.datetime.now(period.UTC)
    return Period.of(now.replace(minute=0, second=0, microsecond=0), 3600)


def every(minutes: int, hours: range, value: object = 1) -> dict[str, object]:
    return {
        f"{hour:02}:{minute:02}:00": value for hour in hours for minute in range(0, 60, minutes)
    }


@pytest.fixture
def cloud(conf: cfg.ConfigOpts) -> Cloud:
    return Cloud(conf)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that are made."""
    paths: list[str] = []
    original = Adapter.request

    def counting(self: Adapter, url: str, method: str, **kwargs: Any) -> Any:
        paths.append(f"{method} {url.partition('?')[0]}")
        return original(self, url, method, **kwargs)

    monkeypatch.setattr(Adapter, "request", counting)
    return paths


class TestLevel:
    def test_a_steady_level_is_itself(self, cloud: Cloud) -> None:
        cloud.resource(every(5, range(10, 12), 0.1))
        assert cloud.quantity(10) == cloud.quantity(11) == "0.1"

    def test_all_measures_count(self, cloud: Cloud) -> None:
        cloud.resource({**every(5, range(10, 11), 100), "10:00:00": 10})
        # Five minutes of 10 and fifty-five of 100.
        assert cloud.quantity(10) == "92.5"

    def test_a_resource_that_was_there_for_a_part_counts_for_that(self, cloud: Cloud) -> None:
        cloud.resource({"10:30:00": 12, "10:35:00": 12})
        assert cloud.quantity(10) == "2"
        assert cloud.quantity(10, "rounding: whole") == "12"

    def test_six_minutes_are_no_whole_hour(self, cloud: Cloud) -> None:
        cloud.resource({"10:20:00": 1, "10:25:59": 1})
        body = "groupby: [id], mutate: NUMBOOL"
        assert cloud.quantity(10, body=body) == "0.1666666666666666666666666667"

    def test_a_measure_that_comes_late_leaves_no_gap(self, cloud: Cloud) -> None:
        times = every(5, range(9, 12))
        # Nothing from 09:55 to 10:00, 10:30 to 10:35, and 11:00 to 11:05.
        late = ("09:55:00", "10:30:00", "11:00:00")
        cloud.resource({clock: value for clock, value in times.items() if clock not in late})
        assert cloud.quantity(10) == "1"

    def test_two_that_are_missing_are_a_gap(self, cloud: Cloud) -> None:
        times = every(5, range(9, 12), 12)
        gone = ("10:30:00", "10:35:00")
        cloud.resource({clock: value for clock, value in times.items() if clock not in gone})
        assert cloud.quantity(10) == "10"

    def test_a_rate_in_bytes_a_second_becomes_megabytes_a_period(self, cloud: Cloud) -> None:
        cloud.resource(every(5, range(10, 11), 12345.678))
        assert cloud.quantity(10, body="groupby: [id], factor: 3600/1000000") == "44.4444408"

    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            ("max", "7"),
            ("min", "1"),
            ("last", "7"),
            ("first", "1"),
            ("median", "4"),
            ("95pct", "7"),
            ("mean", "4"),
            ("std", "0"),
        ],
    )
    def test_aggregations(self, cloud: Cloud, method: str, expected: str) -> None:
        values = {
            **every(5, range(10, 11), 1),
            **dict.fromkeys(list(every(5, range(10, 11)))[6:], 7),
        }
        policy = MANY if method == "std" else FIVE
        cloud.resource({**values, **{f"{clock[:5]}:30": v for clock, v in values.items()}}, policy)
        assert cloud.quantity(10, f"aggregation_method: {method}") == expected

    def test_coarse_measures_count_for_their_part_of_the_period(self, cloud: Cloud) -> None:
        cloud.resource({"10:20:00": 6}, HOURLY)
        stretch = Period.of(of(10).begin, 1800)
        assert cloud.fetch(stretch, "force_granularity: 3600")["alpha"][0][0] == "6"
        amount = "force_granularity: 3600, aggregation_method: sum"
        assert cloud.fetch(stretch, amount)["alpha"][0][0] == "3"


class TestAmount:
    @pytest.mark.parametrize(("method", "expected"), [("sum", "6"), ("count", "4")])
    def test_they_are_summed(self, cloud: Cloud, method: str, expected: str) -> None:
        cloud.resource({"10:00:00": 1, "10:00:10": 2, "10:30:00": 3, "10:59:59": 0, "11:00:00": 8})
        assert cloud.quantity(10, f"aggregation_method: {method}") == expected

    COUNTED = {"09:57:00": 2, "10:00:00": 3, "10:30:00": 5, "10:57:00": 9, "11:30:00": 15}

    def test_the_growth_of_a_counter(self, cloud: Cloud) -> None:
        cloud.resource(self.COUNTED, COUNTER)
        found = [cloud.quantity(hour, "aggregation_method: rate:mean") for hour in (10, 11)]
        assert found == ["7", "6"]

    def test_growth_that_gnocchi_is_asked_to_compute(self, cloud: Cloud) -> None:
        readings = {clock: 2 * step for step, clock in enumerate(every(5, range(10, 12)))}
        cloud.resource(readings)
        assert cloud.quantity(11, "re_aggregation_method: rate:max") == "24"

    def test_a_counter_that_is_reset(self, cloud: Cloud) -> None:
        cloud.resource({"10:00:00": 100, "10:05:00": 130, "10:10:00": 4, "10:15:00": 10}, COUNTER)
        # 30 until the reset, and 6 after it; what was counted in between is not known.
        assert cloud.quantity(10, "aggregation_method: rate:mean") == "36"


class TestWindow:
    def test_a_measure_on_the_boundary_counts_in_the_later_period_only(self, cloud: Cloud) -> None:
        cloud.resource({"11:00:00": 5})
        amount = "aggregation_method: sum"
        assert [cloud.quantity(hour, amount) for hour in (10, 11, 12)] == [None, "5", None]

    def test_a_period_without_measures_is_no_data(self, cloud: Cloud) -> None:
        cloud.resource(every(5, range(10, 11)))
        assert cloud.fetch(of(11)) == cloud.fetch(of(13)) == {}

    def test_no_scopes(self, cloud: Cloud) -> None:
        assert cloud.collector.fetch(cloud.definition(), of(10), []) == {}

    def test_an_unknown_metric_is_no_data(self, cloud: Cloud) -> None:
        assert cloud.fetch(of(10)) == {}

    def test_an_unknown_resource_type_is_no_data(
        self, cloud: Cloud, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert cloud.fetch(of(10), "resource_type: nonsense") == {}
        assert cloud.fetch(of(10), "resource_type: nonsense") == {}
        assert caplog.text.count("Gnocchi has no resource type nonsense") == 1


class TestGranularity:
    def test_the_finest_is_taken(self, cloud: Cloud) -> None:
        cloud.resource({"10:00:00": 60, "10:01:00": 0, "10:02:00": 0}, MANY)
        # 60 for the first minute; 0 for the second, and for the five after the last measure.
        assert cloud.quantity(10, "force_granularity: 0") == "1"

    def test_one_of_several(self, cloud: Cloud) -> None:
        cloud.resource({"10:00:00": 60, "10:01:00": 0}, MANY)
        assert cloud.quantity(10, "force_granularity: 3600") == "30"

    def test_policies_may_differ(self, cloud: Cloud) -> None:
        cloud.resource(every(5, range(10, 11), 2), FIVE)
        cloud.resource(every(5, range(10, 11), 3), HOURLY, project=cloud.beta)
        found = cloud.fetch(of(10), "force_granularity: 0")
        assert [found["alpha"][0][0], found["beta"][0][0]] == ["2", "3"]

    def test_one_that_the_policy_has_not(self, cloud: Cloud) -> None:
        cloud.resource({"10:00:00": 1})
        with pytest.raises(
            CollectError, match=r"Granularities are missing.*choose a force_gr"
        ) as raised:
            cloud.fetch(of(10), "force_granularity: 77")
        # It may be about one resource: others are still to be rated.
        assert not isinstance(raised.value, SourceUnavailable)

    def test_an_aggregation_that_the_policy_has_not(self, cloud: Cloud) -> None:
        cloud.resource({"10:00:00": 1}, COUNTER)
        with pytest.raises(CollectError, match="choose an aggregation_method"):
            cloud.fetch(of(10), "aggregation_method: max")


class TestCustomQuery:
    def test_it_replaces_the_operation(self, cloud: Cloud) -> None:
        cloud.resource(every(5, range(10, 11), 4))
        query = "(* 2 (aggregate RE_AGGREGATION_METHOD (metric METRIC_NAME AGGREGATION_METHOD)))"
        assert cloud.quantity(10, f"custom_query: '{query}'") == "8"

    def test_it_has_to_aggregate(self, cloud: Cloud) -> None:
        cloud.resource(every(5, range(10, 11), 4))
        query = "(* (aggregate max (metric nothing.* mean)) (metric METRIC_NAME mean))"
        with pytest.raises(CollectError, match="metric"):
            cloud.fetch(of(10), f"custom_query: '{query}'")


class TestAttributes:
    def test_kinds_of_value(self, cloud: Cloud) -> None:
        host = "5b5c3b5e-4d4f-4a55-8a5f-111111111111"
        made = cloud.resource(
            every(5, range(10, 11)), flavor="small", size=1.5, public=True, host=host, user_id="ann"
        )
        body = "groupby: [id, user_id], metadata: [flavor, size, public, host, missing, ended_at]"
        assert cloud.fetch(of(10), body=body)["alpha"] == [
            (
                "1",
                {
                    "id": made,
                    "user_id": "ann",
                    "flavor": "small",
                    "size": "1.5",
                    "public": "True",
                    "host": host,
                    "missing": "",
                    "ended_at": "",
                },
            )
        ]

    def test_the_resource_key_is_always_there(self, cloud: Cloud) -> None:
        made = cloud.resource(every(5, range(10, 11)))
        assert cloud.fetch(of(10), body="groupby: []")["alpha"] == [("1", {"id": made})]

    def test_resources_with_one_key_become_one(self, cloud: Cloud) -> None:
        for value in (3, 7):
            cloud.resource(every(5, range(10, 11), value), flavor="small")
        again = "resource_key: flavor, re_aggregation_method: max"
        assert cloud.fetch(of(10), again, "groupby: []")["alpha"] == [("7", {"flavor": "small"})]

    def test_a_groupby_attribute_that_the_type_has_not(self, cloud: Cloud) -> None:
        with pytest.raises(
            CollectError, match=r"groupby: .* have no attribute 'flavour' in Gnocchi"
        ):
            cloud.fetch(of(10), body="groupby: [id, flavour]")

    def test_scopes_may_be_users(self, cloud: Cloud, conf: cfg.ConfigOpts) -> None:
        conf.set_override("scope_key", "user_id", "collect")
        cloud.collector = GnocchiCollector(conf, Registry())
        cloud.resource(every(5, range(10, 11), 1), user_id="ann")
        cloud.resource(every(5, range(10, 11), 2), user_id="bob")
        found = cloud.fetch(of(10), scopes=["ann", "bob"])
        assert {user: points[0][0] for user, points in found.items()} == {"ann": "1", "bob": "2"}


class TestHistory:
    """Gnocchi writes down itself when a resource changes: these are about the hour that runs."""

    HOUR = "force_granularity: 3600"
    BODY = "groupby: [id], metadata: [flavor], mutate: NUMBOOL"

    def _made(self, cloud: Cloud, hour: Period, **attributes: object) -> str:
        made = cloud.server.resource(
            TYPE, {cloud.metric: HOURLY}, project_id=cloud.alpha, **attributes
        )
        cloud.server.measure(made, cloud.metric, {hour.begin: 7})
        return made

    def _share(self, hour: Period, change: datetime.datetime) -> Fraction:
        return Fraction(period.epoch(change) - period.epoch(hour.begin), 3600)

    def test_a_resize_splits_the_hour(self, cloud: Cloud) -> None:
        hour = this_hour()
        made = self._made(cloud, hour, flavor="small")
        before = self._share(hour, cloud.server.update(TYPE, made, flavor="large"))
        found = cloud.fetch(hour, self.HOUR, self.BODY)["alpha"]
        shares = {point["flavor"]: Decimal(qty) for qty, point in found}
        assert shares["small"] == money.amount(before)
        assert money.total(shares.values()) == 1

    def test_revisions_may_be_merged(self, cloud: Cloud) -> None:
        hour = this_hour()
        made = self._made(cloud, hour, flavor="small")
        cloud.server.update(TYPE, made, flavor="large")
        found = cloud.fetch(hour, f"{self.HOUR}, use_all_resource_revisions: false", self.BODY)
        assert found["alpha"] == [("1", {"id": made, "flavor": "large"})]

    def test_a_change_of_what_is_not_shown_splits_nothing(self, cloud: Cloud) -> None:
        hour = this_hour()
        made = self._made(cloud, hour, flavor="small", size=1)
        cloud.server.update(TYPE, made, size=2)
        cloud.server.update(TYPE, made, size=3)
        assert cloud.fetch(hour, self.HOUR, self.BODY)["alpha"] == [
            ("1", {"id": made, "flavor": "small"})
        ]

    def test_a_resource_that_moves_is_shared(self, cloud: Cloud) -> None:
        hour = this_hour()
        made = self._made(cloud, hour)
        moved = cloud.server.update(TYPE, made, project_id=cloud.beta)
        before = money.amount(self._share(hour, moved))
        found = [
            cloud.fetch(hour, self.HOUR, self.BODY, [one]) for one in (cloud.alpha, cloud.beta)
        ]
        assert [list(one) for one in found] == [["alpha"], ["beta"]]
        shares = [Decimal(found[0]["alpha"][0][0]), Decimal(found[1]["beta"][0][0])]
        assert shares[0] == before
        assert money.total(shares) == 1

    def test_an_earlier_period_has_the_earlier_attributes(self, cloud: Cloud) -> None:
        hour = this_hour()
        made = self._made(cloud, hour, flavor="small")
        time.sleep(1.1)
        before = Period(hour.begin, datetime.datetime.now(period.UTC).replace(microsecond=0))
        cloud.server.update(TYPE, made, flavor="large")
        flavors = {
            stretch: sorted(point["flavor"] for _, point in found["alpha"])
            for stretch in (before, hour)
            for found in [cloud.fetch(stretch, self.HOUR, self.BODY)]
        }
        assert flavors == {before: ["small"], hour: ["large", "small"]}

    @pytest.mark.parametrize("most_ids", [0, 5000])
    def test_a_resource_made_after_the_period_is_what_it_was_first(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, most_ids: int
    ) -> None:
        monkeypatch.setattr(collector, "MOST_IDS", most_ids)
        made = cloud.resource(every(5, range(10, 11)), flavor="small")
        body = "groupby: [id], metadata: [flavor]"
        for flavor in ("small", "large", "huge"):
            cloud.server.update(TYPE, made, flavor=flavor)
            found = cloud.fetch(of(10), body=body)
            assert found["alpha"] == [("1", {"id": made, "flavor": "small"})]

    def test_a_change_while_usage_is_collected(self, cloud: Cloud) -> None:
        hour = this_hour()
        made = self._made(cloud, hour, flavor="small")
        time.sleep(1.1)
        now = datetime.datetime.now(period.UTC).replace(microsecond=0)
        past = Period(hour.begin, now)
        assert cloud.fetch(past, self.HOUR, self.BODY)["alpha"][0][1]["flavor"] == "small"
        # The changes have just been read; this one comes after them.
        cloud.server.update(TYPE, made, flavor="large")
        assert cloud.fetch(past, self.HOUR, self.BODY)["alpha"][0][1]["flavor"] == "small"

    def test_changes_come_page_by_page(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, asked: list[str]
    ) -> None:
        monkeypatch.setattr(source, "PAGE_SIZE", 2)
        hour = this_hour()
        made = self._made(cloud, hour, flavor="a")
        for flavor in ("b", "c", "d", "e"):
            time.sleep(1.1)
            cloud.server.update(TYPE, made, flavor=flavor)
        found = cloud.fetch(hour, self.HOUR, self.BODY)["alpha"]
        assert {point["flavor"] for _, point in found} == {"a", "b", "c", "d", "e"}
        assert money.total(Decimal(qty) for qty, _ in found) == 1
        assert len([one for one in asked if "search" in one]) >= 3


class TestRequests:
    BODY = "groupby: [id], metadata: [flavor]"

    def test_they_do_not_grow_with_scopes_and_resources(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        scopes = [f"{cloud.alpha}{number}" for number in range(6)]
        for scope in scopes:
            for _ in range(2):
                cloud.resource({"10:00:00": 1}, project=scope)
        assert len(cloud.fetch(of(10), body=self.BODY, scopes=scopes)) == 6
        # All these resources were made after the period: what they were like is asked again.
        changes = f"POST /v1/search/resource/{TYPE}"
        assert asked[0] == f"GET /v1/resource_type/{TYPE}"
        others = [one for one in asked[1:] if one != changes]
        assert others == ["POST /v1/aggregates"]

    def test_metrics_and_batches_share_what_is_known_of_a_type(
        self, cloud: Cloud, asked: list[str]
    ) -> None:
        hour = this_hour()
        for project in (cloud.alpha, cloud.beta):
            made = cloud.server.resource(TYPE, {cloud.metric: HOURLY}, project_id=project)
            cloud.server.measure(made, cloud.metric, {hour.begin: 7})
        granularity = "force_granularity: 3600"
        cloud.fetch(hour, granularity, scopes=[cloud.alpha])
        before = len(asked)
        cloud.fetch(hour, granularity, scopes=[cloud.beta])
        cloud.fetch(hour, f"{granularity}, aggregation_method: max", scopes=[cloud.beta])
        assert asked[before:] == ["POST /v1/aggregates"] * 2
