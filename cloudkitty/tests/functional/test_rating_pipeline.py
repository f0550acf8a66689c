# SPDX-License-Identifier: Apache-2.0
"""The rating pipeline: which modules rate, in which order, by which rules, and what fails."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from stevedore import ExtensionManager

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.period import UTC, Period
from cloudkitty.rating import pipeline as pipeline_module
from cloudkitty.rating.base import Compiled, RatingError, RatingModule
from cloudkitty.rating.hashmap.module import Hashmap
from cloudkitty.rating.hashmap.records import NewMapping, NewThreshold
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.noop import Noop
from cloudkitty.rating.pipeline import Broken, Pipeline, load_modules
from cloudkitty.rating.state import ModuleStates, move_revision

NOW = datetime.datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)
REGISTRY = Registry()

Change = Callable[[Decimal], Decimal]


class Fake(RatingModule):
    """Changes every price by a function, and counts how often it is asked for its rules."""

    module_name = "fake"
    description = "A module for tests."

    def __init__(self, conf: cfg.ConfigOpts, database: Database, change: Change) -> None:
        super().__init__(conf, database)
        self.change = change
        self.loads = 0
        self.compiled: list[tuple[str | None, datetime.datetime]] = []
        self.valid_until: datetime.datetime | None = None

    def load(self) -> "Fake":
        self.loads += 1
        return self

    def compile(self, scope_id: str | None, at: datetime.datetime) -> Compiled:
        self.compiled.append((scope_id, at))
        return Compiled(self, self.valid_until)

    def rate(self, frame: DataFrame) -> DataFrame:
        for points in frame.usage.values():
            points.price = list(map(self.change, points.price))
        return frame


class Bench:
    """A pipeline of fakes, of which the names say what they do."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        self.conf, self.database = conf, database
        self.states = ModuleStates(database)
        self.modules: dict[str, RatingModule | Broken] = {"noop": Noop(conf, database)}
        self.pipeline = Pipeline(conf, database, self.modules)

    def module(self, name: str, change: Change = lambda price: price, priority: int = 1) -> Fake:
        fake = Fake(self.conf, self.database, change)
        self.pipeline.modules[name] = fake
        self.states.set(name, enabled=True, priority=priority)
        return fake

    def move(self, name: str) -> None:
        with self.database.writer() as connection:
            move_revision(connection, name)

    def price(self, scope: str | None = None, at: datetime.datetime = NOW) -> Decimal:
        self.pipeline.refresh()
        return self.pipeline.rate(frame(at=at), scope).price


def frame(qty: str = "2", at: datetime.datetime = NOW, **metadata: Any) -> DataFrame:
    unrated = DataFrame(Period(at, at + HOUR))
    unrated.add(REGISTRY.series("instance", groupby={}, metadata=metadata), Decimal(qty))
    return unrated


@pytest.fixture
def bench(conf: cfg.ConfigOpts, sqlite_database: Database) -> Bench:
    return Bench(conf, sqlite_database)


def half_more(price: Decimal) -> Decimal:
    return price + Decimal("0.50")


# Order


def test_highest_priority_rates_first(bench: Bench) -> None:
    bench.module("hashmap", half_more, 100)
    bench.module("pyscripts", lambda price: price * Decimal("0.8"), 1)
    assert bench.price() == Decimal("0.40")


def test_swapped_priorities_swap_the_order(bench: Bench) -> None:
    bench.module("hashmap", half_more, 1)
    bench.module("pyscripts", lambda price: Decimal(2), 100)
    assert bench.price() == Decimal("2.50")


def test_equal_priorities_rate_by_name(bench: Bench) -> None:
    bench.module("b", lambda price: price * 10)
    bench.module("a", half_more)
    assert bench.price() == Decimal("5.0")


def test_change_of_priority_acts_on_refresh(bench: Bench) -> None:
    bench.module("add", half_more, 2)
    bench.module("double", lambda price: price * 2, 1)
    assert bench.price() == 1
    bench.states.set("double", priority=3)
    assert bench.price() == Decimal("0.5")


def test_disabled_module_does_not_rate(bench: Bench) -> None:
    fake = bench.module("add", half_more)
    bench.states.set("add", enabled=False)
    assert bench.price() == 0
    assert fake.loads == 0


def test_noop_is_always_enabled_and_changes_nothing(bench: Bench) -> None:
    bench.states.set("noop", enabled=True)
    bench.states.set("noop", enabled=False)
    state = bench.states.get("noop")
    assert bench.pipeline.enabled("noop", state)
    rated = bench.pipeline.rate(frame(), "P")
    assert rated.as_dict() == frame().as_dict()


def test_quote_is_rated_like_usage(bench: Bench) -> None:
    bench.module("add", half_more)
    assert bench.pipeline.quote(frame(), None).price == Decimal("0.50")


# Following the database


def test_rules_are_read_again_only_when_their_revision_moves(bench: Bench) -> None:
    one, other = bench.module("one"), bench.module("other")
    for _ in range(3):
        bench.price()
    assert (one.loads, other.loads) == (1, 1)
    bench.move("one")
    bench.price()
    assert (one.loads, other.loads) == (2, 1)


def test_rate_without_refresh_follows_nothing(bench: Bench) -> None:
    bench.module("add", half_more)
    bench.pipeline.rate(frame(), None)
    bench.states.set("add", enabled=False)
    assert bench.pipeline.rate(frame(), None).price == Decimal("0.50")


def test_rule_set_is_compiled_once_for_each_scope(bench: Bench) -> None:
    fake = bench.module("fake")
    for scope in ("P", "Q", "P"):
        for hour in range(3):
            bench.price(scope, NOW + hour * HOUR)
    assert fake.compiled == [("P", NOW), ("Q", NOW)]


def test_rule_set_is_compiled_again_when_it_is_no_longer_valid(bench: Bench) -> None:
    fake = bench.module("fake")
    fake.valid_until = NOW + 2 * HOUR
    for hour in (0, 1, 2):
        bench.price("P", NOW + hour * HOUR)
    assert fake.compiled == [("P", NOW), ("P", NOW + 2 * HOUR)]


def test_rule_set_is_compiled_again_for_an_earlier_period(bench: Bench) -> None:
    fake = bench.module("fake")
    bench.price("P", NOW)
    bench.price("P", NOW - HOUR)
    assert fake.compiled == [("P", NOW), ("P", NOW - HOUR)]


def test_rules_as_of_another_instant(bench: Bench) -> None:
    fake = bench.module("fake")
    bench.pipeline.rate(frame(), "P", at=NOW - HOUR)
    assert fake.compiled == [("P", NOW - HOUR)]


def test_number_of_remembered_scopes_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "SCOPES_KEPT", 10)
    bench.module("fake", half_more)
    for number in range(100):
        assert bench.price(f"scope-{number}") == Decimal("0.50")
    assert len(bench.pipeline._loaded["fake"].windows) <= 10


# Failures


def test_broken_module_fails_rating_only_when_enabled(bench: Bench) -> None:
    bench.pipeline.modules["guest"] = Broken("guest", "ImportError: no module named spam")
    assert bench.price() == 0
    bench.states.set("guest", enabled=True)
    for _ in range(2):
        with pytest.raises(RatingError, match="guest cannot be loaded: ImportError: no module"):
            bench.pipeline.refresh()
        with pytest.raises(RatingError, match="guest"):
            bench.pipeline.rate(frame(), None)
    bench.states.set("guest", enabled=False)
    assert bench.price() == 0


def test_enabled_module_that_is_not_installed_fails_rating(bench: Bench) -> None:
    bench.states.set("pyscripts", enabled=True)
    with pytest.raises(RatingError, match="pyscripts is enabled and not installed"):
        bench.price()


def test_failure_of_a_module_names_it(bench: Bench) -> None:
    bench.module("guest", lambda price: 1 / price)
    with pytest.raises(RatingError, match="guest: DivisionByZero"):
        bench.price()


def test_rating_error_of_a_module_is_kept(bench: Bench) -> None:
    def fail(price: Decimal) -> Decimal:
        raise RatingError("script discount: line 3")

    bench.module("guest", fail)
    with pytest.raises(RatingError, match=r"^script discount: line 3$"):
        bench.price()


def test_module_that_cannot_load_its_rules_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = bench.module("guest", half_more)
    with monkeypatch.context() as patch:
        patch.setattr(fake, "load", lambda: {}["spam"])
        with pytest.raises(RatingError, match="guest: KeyError"):
            bench.price()
    assert bench.price() == Decimal("0.50")


def test_module_that_returns_no_frame_fails_rating(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = bench.module("guest")
    monkeypatch.setattr(fake, "rate", lambda frame: None)
    with pytest.raises(RatingError, match="guest returned NoneType"):
        bench.price()


def test_shipped_modules_are_found(conf: cfg.ConfigOpts, sqlite_database: Database) -> None:
    modules = load_modules(conf, sqlite_database)
    assert {"hashmap", "noop"} <= modules.keys()
    assert list(modules) == sorted(modules)
    noop, hashmap = modules["noop"], modules["hashmap"]
    assert isinstance(noop, Noop)
    assert isinstance(hashmap, Hashmap)
    assert (noop.hot_config, hashmap.hot_config) == (False, True)
    assert noop.config_controller(None) is None


def test_plugin_that_cannot_be_loaded_is_remembered(
    conf: cfg.ConfigOpts, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EntryPoint:
        name = "import"

    class Extension:
        name = "construct"

        @staticmethod
        def plugin(conf: cfg.ConfigOpts, database: Database) -> RatingModule:
            raise ValueError("no licence")

    def manager(namespace: str, on_load_failure_callback: Any) -> list[Any]:
        assert namespace == "cloudkitty.rating.processors"
        on_load_failure_callback(None, EntryPoint(), ImportError("no module named spam"))
        return [Extension()]

    monkeypatch.setattr(pipeline_module, "ExtensionManager", manager)
    assert load_modules(conf, sqlite_database) == {
        "construct": Broken("construct", "ValueError: no licence"),
        "import": Broken("import", "ImportError: no module named spam"),
    }


def test_stevedore_hands_over_failures_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above pretends is what stevedore does."""

    class EntryPoint:
        name = "guest"
        group = "some.namespace"

        def load(self) -> None:
            raise ImportError("no module named spam")

    failures: list[tuple[str, str]] = []
    monkeypatch.setattr(ExtensionManager, "list_entry_points", lambda self: [EntryPoint()])
    ExtensionManager(
        "some.namespace",
        on_load_failure_callback=lambda _, entry_point, error: failures.append(
            (entry_point.name, str(error))
        ),
    )
    assert failures == [("guest", "no module named spam")]


# With hashmap, on every database


@pytest.fixture
def hashmap(conf: cfg.ConfigOpts, database: Database) -> Pipeline:
    """A pipeline whose hashmap module is enabled, with one service and no rule."""
    HashmapStore(database).create_service("instance")
    ModuleStates(database).set("hashmap", enabled=True)
    modules = {"noop": Noop(conf, database), "hashmap": Hashmap(conf, database)}
    return Pipeline(conf, database, modules)


def service_rule(cost: str, **more: Any) -> NewMapping:
    return NewMapping(cost=Decimal(cost), **more)


def test_new_rules_act_without_restart(hashmap: Pipeline, database: Database) -> None:
    store = HashmapStore(database)
    service = store.list_services()[0].service_id

    def price(scope: str | None = None) -> Decimal:
        hashmap.refresh()
        return hashmap.rate(frame(), scope).price

    assert price() == 0
    store.create_mapping(service_rule("0.5", service_id=service), now=NOW, user="u")
    assert price() == 1
    rule = service_rule("0.25", service_id=service, tenant_id="P")
    own = store.create_mapping(rule, now=NOW, user="u")
    assert (price("P"), price("Q")) == (Decimal("0.5"), 1)
    store.delete_mapping(own.mapping_id, now=NOW, user="u")
    assert price("P") == 1


def test_scopes_without_own_rules_share_one_rule_set(hashmap: Pipeline, database: Database) -> None:
    store = HashmapStore(database)
    service = store.list_services()[0].service_id
    for tenant in (None, "P"):
        rule = service_rule("1", service_id=service, tenant_id=tenant)
        store.create_mapping(rule, now=NOW, user="u")
    for scope in ("P", "Q", "R", None):
        hashmap.rate(frame(), scope)
    rules = {scope: w.rules for scope, w in hashmap._loaded["hashmap"].windows.items()}
    assert rules["Q"] is rules["R"] is rules[None]
    assert rules["P"] is not rules["Q"]


def test_unchanged_rules_cost_one_query(hashmap: Pipeline, database: Database) -> None:
    statements: list[str] = []
    sa.event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )

    def queries() -> int:
        del statements[:]
        hashmap.refresh()
        for scope in ("P", "Q"):
            hashmap.rate(frame(), scope)
        return len([one for one in statements if "SELECT" in one and "FROM" in one])

    assert queries() == 1 + 3
    assert queries() == 1


def test_skipped_thresholds_are_logged_once(
    hashmap: Pipeline, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    store = HashmapStore(database)
    field = store.create_field(store.list_services()[0].service_id, "vcpus").field_id
    store.create_threshold(NewThreshold(level=Decimal(1), cost=Decimal(1), field_id=field))
    hashmap.refresh()
    for vcpus in ("many", "few", "2"):
        hashmap.rate(frame(vcpus=vcpus), None)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "field vcpus of service instance" in warnings[0]


def test_missing_tables_are_a_rating_error(conf: cfg.ConfigOpts, sqlite_database: Database) -> None:
    ModuleStates(sqlite_database).set("hashmap", enabled=True)
    with sqlite_database.writer() as connection:
        connection.exec_driver_sql("DROP TABLE hashmap_mappings")
    modules = {"hashmap": Hashmap(conf, sqlite_database)}
    with pytest.raises(RatingError, match="hashmap: the rules cannot be read"):
        Pipeline(conf, sqlite_database, modules).refresh()
