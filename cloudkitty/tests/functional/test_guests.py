# SPDX-License-Identifier: Apache-2.0
"""Rating modules of others are found, mounted, guarded and run as our own."""

import pathlib
from decimal import Decimal
from typing import Any

import pytest
from oslo_config import cfg
from stevedore import ExtensionManager

from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import DataFrame, DataPoint, Registry
from cloudkitty.db.engine import Database
from cloudkitty.rating import RatingProcessorBase
from cloudkitty.rating.base import RatingError, RatingModule
from cloudkitty.rating.legacy import adapt
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rest.policy import build_enforcer
from cloudkitty.tests import api, builders, guests

CONFIG = "/v1/rating/module_config"
HOUR = builders.hour(0)


def install(directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *entry_points: str) -> None:
    """Install the modules for one test: what is installed is read once in a process otherwise."""
    directory.mkdir()
    guests.install(directory, *entry_points)
    monkeypatch.syspath_prepend(directory)
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})


@pytest.fixture(autouse=True)
def _installed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch)


@pytest.fixture
def pipeline(conf: cfg.ConfigOpts, sqlite_database: Database) -> Pipeline:
    return Pipeline(conf, sqlite_database)


@pytest.fixture
def client(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> api.Client:
    """An administrator with tokens validated."""
    conf.set_override("auth_strategy", "keystone")
    return api.Client.of(api.context(conf, sqlite_database, tmp_path), **ADMIN)


ADMIN = {"X_Roles": "admin", "X_Project_Id": "alpha"}


def frame(*prices: str, project: str = "alpha") -> DataFrame:
    registry = Registry()
    made = DataFrame(HOUR)
    for number, price in enumerate(prices):
        series = registry.series(
            "instance",
            unit="instance",
            groupby={"id": str(number), "project_id": project},
            metadata={"flavor": "small"},
            description="An instance",
        )
        made.add(series, Decimal(2), Decimal(price))
    return made


def rated(pipeline: Pipeline, given: DataFrame, *enabled: str) -> list[Decimal]:
    for priority, name in enumerate(reversed(enabled), start=1):
        pipeline.states.set(name, enabled=True, priority=priority)
    pipeline.refresh()
    series = [point.series for point in given]
    result = pipeline.rate(given, "alpha")
    assert [point.series for point in result] == series
    return [point.price for point in result]


def test_they_are_listed(client: api.Client) -> None:
    modules = {one["module_id"]: one for one in client.get("/v1/rating/modules").json["modules"]}
    assert {"discount", "minimum", "surcharge", "hashmap", "noop"} <= modules.keys()
    assert modules["minimum"] == {
        "module_id": "minimum",
        "description": "Nothing is cheaper than 1.",
        "enabled": False,
        "hot-config": True,
        "priority": 1,
    }


def test_a_process_of_frames_in_dictionary_form(pipeline: Pipeline) -> None:
    assert rated(pipeline, frame("3", "0.5"), "discount") == [Decimal("1.5"), Decimal("0.25")]


def test_a_process_sees_the_attributes_of_points(pipeline: Pipeline) -> None:
    assert rated(pipeline, frame("3", project="charity"), "discount") == [0]


def test_a_process_of_a_frame(pipeline: Pipeline) -> None:
    assert rated(pipeline, frame("3", "0.5"), "minimum") == [3, 1]


def test_they_rate_by_priority(pipeline: Pipeline) -> None:
    assert rated(pipeline, frame("1"), "minimum", "discount") == [Decimal("0.5")]
    assert rated(pipeline, frame("1"), "discount", "minimum") == [1]


def test_a_quote_of_its_own(pipeline: Pipeline) -> None:
    pipeline.states.set("minimum", enabled=True)
    pipeline.refresh()
    assert pipeline.quote(frame("0.5"), "alpha").price == Decimal("0.5")


def test_a_module_with_table_controller_and_policy(client: api.Client) -> None:
    assert client.get(f"{CONFIG}/surcharge").json == {"amount": "0"}
    refused = client("PUT", f"{CONFIG}/surcharge", {"amount": "2"})
    assert refused.status_int == 403
    assert refused.json["faultstring"] == "Policy doesn't allow surcharge:set to be performed."
    roles = {"X_Roles": "admin,surcharger"}
    assert client("PUT", f"{CONFIG}/surcharge", {"amount": "2.25"}, **roles).status_int == 204
    assert client.get(f"{CONFIG}/surcharge").json == {"amount": "2.25"}
    body = {"module_id": "surcharge", "enabled": True}
    assert client("PUT", "/v1/rating/modules/surcharge", body).status_int == 302
    wanted = {"resources": [{"service": "instance", "volume": 1}] * 2}
    assert client("POST", "/v1/rating/quote", wanted).json == "4.5"


def test_its_rules_are_followed(client: api.Client, pipeline: Pipeline) -> None:
    assert rated(pipeline, frame("1"), "surcharge") == [1]
    roles = {"X_Roles": "admin,surcharger"}
    client("PUT", f"{CONFIG}/surcharge", {"amount": "2"}, **roles)
    assert rated(pipeline, frame("1"), "surcharge") == [3]


def test_a_controller_of_the_framework(client: api.Client) -> None:
    assert client.get(f"{CONFIG}/minimum").json == {"minimums": ["1"]}
    assert client.get(f"{CONFIG}/minimum/1").json == {"minimum": "1"}
    made = client("POST", f"{CONFIG}/minimum/", {"minimum": "3"})
    assert (made.status_int, made.json) == (201, {"minimum": "3"})
    missing = client.get(f"{CONFIG}/minimum/2")
    assert missing.status_int == 404
    assert missing.json["faultcode"] == "Client"


def test_a_controller_that_fails(client: api.Client) -> None:
    answer = client.get(f"{CONFIG}/minimum/broken")
    assert answer.status_int == 500
    assert "secret" not in answer.text


def test_controllers_are_behind_the_policy(client: api.Client) -> None:
    for path in ("minimum", "minimum/1", "surcharge"):
        assert client.get(f"{CONFIG}/{path}", X_Roles="member,reader").status_int == 403


def test_without_controller(client: api.Client) -> None:
    answer = client.get(f"{CONFIG}/discount")
    assert answer.status_int == 409
    assert answer.json["faultstring"] == "Module is not configurable"


def test_a_policy_that_exists(
    conf: cfg.ConfigOpts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = "cloudkitty.twice = cloudkitty.tests.guests.surcharge:clashing_rules"
    install(tmp_path / "twice", monkeypatch, f"[oslo.policy.policies]\n{rules}\n")
    with pytest.raises(ConfigurationError, match="policies of a plugin"):
        build_enforcer(conf)


class Base(RatingProcessorBase):
    module_name = "some"

    def process(self, data: Any) -> Any:
        return data


def module(processor: type[Base], conf: cfg.ConfigOpts, database: Database) -> RatingModule:
    return adapt(processor)(conf, database)


def run(processor: type[Base], conf: cfg.ConfigOpts, database: Database, *prices: str) -> DataFrame:
    rules = module(processor, conf, database).load().compile("alpha", HOUR.begin).rules
    return rules.rate(frame(*prices))


class New(Base):
    def process(self, data: Any) -> Any:
        data.add_point(DataPoint("GiB", 3, "0.3", {"id": "x"}, {}), "volume")
        return data


class NewInDictionaries(Base):
    def process(self, data: Any) -> Any:
        point = {"vol": {"qty": 3, "unit": "GiB"}, "desc": {"id": "x"}, "rating": {"price": "0.3"}}
        return [{**data[0], "usage": {"volume": [point]}}]


@pytest.mark.parametrize("processor", [New, NewInDictionaries])
def test_new_points(processor: type[Base], conf: cfg.ConfigOpts, sqlite_database: Database) -> None:
    [point] = run(processor, conf, sqlite_database)
    assert (point.metric, point.unit, point.qty, point.price) == (
        "volume",
        "GiB",
        Decimal(3),
        Decimal("0.3"),
    )
    assert point.groupby == {"id": "x"}


class Relabelled(Base):
    def process(self, data: Any) -> Any:
        for cur_data in data:
            for point in cur_data["usage"]["instance"]:
                point["desc"] = {**point["desc"], "flavor": "big", "id": "y"}
        return data


def test_changed_attributes_stay_what_they_are(
    conf: cfg.ConfigOpts, sqlite_database: Database
) -> None:
    [point] = run(Relabelled, conf, sqlite_database, "1")
    assert point.groupby == {"id": "y", "project_id": "alpha"}
    assert point.metadata == {"flavor": "big"}
    assert point.description == "An instance"


class Forgetful(Base):
    def process(self, data: Any) -> Any:
        pass


class Careless(Base):
    def process(self, data: Any) -> Any:
        data[0]["usage"]["instance"][0]["rating"]["price"] = "a lot"
        return data


@pytest.mark.parametrize(("processor", "words"), [(Forgetful, "NoneType"), (Careless, "a lot")])
def test_what_is_no_frame(
    processor: type[Base],
    words: str,
    conf: cfg.ConfigOpts,
    sqlite_database: Database,
) -> None:
    pipeline = Pipeline(conf, sqlite_database, {"some": module(processor, conf, sqlite_database)})
    pipeline.states.set("some", enabled=True)
    with pytest.raises(RatingError, match=rf"rating module some.*{words}"):
        pipeline.rate(frame("1"), "alpha")


class AlwaysOn(Base):
    @property
    def enabled(self) -> bool:
        return True


class AlwaysOff(AlwaysOn):
    @property
    def enabled(self) -> bool:
        return False

    def process(self, data: Any) -> Any:
        raise AssertionError("is not enabled")


def test_a_switch_of_its_own(conf: cfg.ConfigOpts, sqlite_database: Database) -> None:
    assert module(AlwaysOn, conf, sqlite_database).always_enabled
    assert run(AlwaysOff, conf, sqlite_database, "1").price == 1


def test_what_a_module_knows_of_itself(conf: cfg.ConfigOpts, sqlite_database: Database) -> None:
    seen: list[Any] = []

    class Curious(Base):
        def process(self, data: Any) -> Any:
            seen.append((self._tenant_id, self.module_info))
            self.set_state(False)
            self.set_priority(9)
            self.notify_reload()
            seen.append((self.enabled, self.priority))
            return data

    pipeline = Pipeline(conf, sqlite_database, {"some": module(Curious, conf, sqlite_database)})
    pipeline.states.set("some", enabled=True, priority=3)
    pipeline.rate(frame("1"), "alpha")
    info = {
        "name": "some",
        "description": "",
        "hot_config": False,
        "enabled": True,
        "priority": 3,
    }
    assert seen == [("alpha", info), (False, 9)]
    assert pipeline.states.get("some").revision == 1


def test_the_documented_form_of_frames() -> None:
    made = frame("1", "2")
    assert (made.start, made.end) == (HOUR.begin, HOUR.end)
    assert [(metric, len(points)) for metric, points in made.iteritems()] == [("instance", 2)]
    [(metric, point), _] = made.iterpoints()
    assert point.set_price(0.1).as_dict(legacy=True, mutable=True) == {
        "vol": {"unit": "instance", "qty": Decimal(2)},
        "rating": {"price": Decimal("0.1")},
        "desc": {"id": "0", "project_id": "alpha", "flavor": "small"},
    }
    other = DataFrame(start=made.start, end=made.end)
    other.add_point(metric, point)
    other.add_point(point, "other")
    assert list(other.usage) == ["instance", "other"]
    assert DataFrame.from_dict(other.as_dict(mutable=True)).as_dict() == other.as_dict()
    with pytest.raises(TypeError, match="period"):
        DataFrame()
