# SPDX-License-Identifier: Apache-2.0
"""Prices by scripts, through the pipeline: the examples of the documentation, the order of
modules, and what fails whose period."""

import datetime
import pathlib
import re
import textwrap
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import UTC, Period
from cloudkitty.processor import build, once
from cloudkitty.rating.base import RatingError
from cloudkitty.rating.hashmap.module import Hashmap
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rating.pyscripts import models
from cloudkitty.rating.pyscripts.child import OFFERED
from cloudkitty.rating.pyscripts.module import Pyscripts
from cloudkitty.rating.pyscripts.records import NewScript, ScriptRecord
from cloudkitty.rating.pyscripts.store import ScriptStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage.base import Query
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR

PAGE = pathlib.Path(__file__).parents[3] / "doc" / "source" / "operator" / "scripts.rst"

MONDAY = datetime.datetime(2026, 1, 5, 10, tzinfo=UTC)
SATURDAY = datetime.datetime(2026, 1, 10, 10, tzinfo=UTC)
CREATED = datetime.datetime(2026, 1, 1, tzinfo=UTC)


def example(name: str) -> str:
    """The script of that name on the page for operators."""
    pattern = rf"\.\. code-block:: python\n   :name: {name}\n\n((?:   .*\n|\n)+)"
    found = re.search(pattern, PAGE.read_text())
    assert found, f"{PAGE} has no {name}"
    return textwrap.dedent(found[1])


class Bench:
    """A pipeline with scripts, and rules of hashmap beside them."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        conf.set_override("wall_time", 5, "pyscripts")
        self.conf, self.database = conf, database
        self.store = ScriptStore(database)
        self.states = ModuleStates(database)
        self.states.set("pyscripts", enabled=True)
        self.module = Pyscripts(conf, database)
        modules = {"hashmap": Hashmap(conf, database), "pyscripts": self.module}
        self.pipeline = Pipeline(conf, database, modules)

    def script(self, source: str, name: str = "script", **more: Any) -> ScriptRecord:
        new = NewScript(name=name, data=source, **more)
        return self.store.create(new, now=CREATED, user="u", force=True)

    def rate(self, frame: DataFrame, scope: str | None = "P") -> DataFrame:
        self.pipeline.refresh()
        return self.pipeline.rate(frame, scope)

    def price(self, at: datetime.datetime = MONDAY, scope: str | None = "P") -> Decimal:
        return self.rate(one_instance(at), scope).price


@pytest.fixture
def bench(conf: cfg.ConfigOpts, sqlite_database: Database) -> Iterator[Bench]:
    bench = Bench(conf, sqlite_database)
    yield bench
    bench.module.runner.close()


def one_instance(at: datetime.datetime = MONDAY) -> DataFrame:
    frame = DataFrame(Period(at, at + HOUR))
    series = Registry().series("instance", groupby={"project_id": "P"}, metadata={})
    frame.add(series, Decimal(1))
    return frame


def usage(at: datetime.datetime) -> DataFrame:
    """Two instances, of which one belongs to an internal project, and a volume."""
    registry = Registry()
    frame = DataFrame(Period(at, at + HOUR))
    for metric, project, flavor, qty, price in (
        ("instance", "P", "big", "1", "0"),
        ("instance", "internal", "other", "1", "0.7"),
        ("volume", "P", None, "10", "0.30"),
    ):
        metadata = {} if flavor is None else {"flavor_name": flavor}
        series = registry.series(
            metric, unit="unit", groupby={"project_id": project}, metadata=metadata
        )
        frame.add(series, Decimal(qty), Decimal(price))
    return frame


def prices(frame: DataFrame) -> dict[str, str]:
    return {
        f"{point.metric} {point.desc.get('flavor_name', '')}".strip(): str(point.price)
        for point in frame
    }


# The examples of the page


def test_scripts_are_asked_for_each_period_anew(bench: Bench) -> None:
    bench.script(example("S2"))
    bench.pipeline.refresh()
    assert bench.pipeline.steady_until("P", MONDAY) == MONDAY


@pytest.mark.parametrize(
    ("scripts", "at", "expected"),
    [
        ("S1", MONDAY, {"instance big": "0.40", "instance other": "0", "volume": "0.30"}),
        ("S1 S2", SATURDAY, {"instance big": "0.320", "instance other": "0.0", "volume": "0.240"}),
        ("S2", SATURDAY, {"instance big": "0.0", "instance other": "0.56", "volume": "0.240"}),
        ("S2", MONDAY, {"instance big": "0", "instance other": "0.7", "volume": "0.30"}),
        ("S3", MONDAY, {"instance big": "0", "volume": "0.30"}),
    ],
)
def test_examples_price_as_they_say(
    bench: Bench, scripts: str, at: datetime.datetime, expected: dict[str, str]
) -> None:
    for name in scripts.split():
        bench.script(example(name), name)
    rated = prices(bench.rate(usage(at)))
    assert rated.keys() == expected.keys()
    for place, price in expected.items():
        assert Decimal(rated[place]) == Decimal(price), place


@pytest.mark.parametrize(("hour", "expected"), [(6, "1.0"), (7, "1.50"), (16, "1.50"), (17, "1.0")])
def test_example_of_office_hours(bench: Bench, hour: int, expected: str) -> None:
    bench.script(example("office-hours"))
    assert bench.rate(usage(MONDAY.replace(hour=hour))).price == Decimal(expected)


def test_page_lists_the_modules_that_can_be_imported() -> None:
    text = PAGE.read_text()
    listed = text[text.index("these modules of the standard") : text.index("The name of a time")]
    assert set(re.findall(r"``(\w+)``", listed)) == {name.partition(".")[0] for name in OFFERED}


# With other modules


def test_script_after_rules_changes_their_prices(bench: Bench) -> None:
    enable_rules(bench, priority=100)
    bench.script(
        "for point in data['usage']['instance']:\n"
        "    point['rating']['price'] = float(point['rating']['price']) * 0.8"
    )
    assert bench.price() == Decimal("0.40")


def test_rules_after_a_script_add_to_its_prices(bench: Bench) -> None:
    enable_rules(bench, priority=1)
    bench.states.set("pyscripts", priority=100)
    bench.script("data['usage']['instance'][0]['rating']['price'] = 2")
    assert bench.price() == Decimal("2.50")


def enable_rules(bench: Bench, priority: int) -> None:
    """An instance costs 0.50."""
    store = HashmapStore(bench.database)
    service = store.create_service("instance").service_id
    rule = NewMapping(cost=Decimal("0.50"), service_id=service)
    store.create_mapping(rule, now=CREATED, user="u")
    bench.states.set("hashmap", enabled=True, priority=priority)


# In force


def set_price(price: int) -> str:
    return f"data['usage']['instance'][0]['rating']['price'] = {price}"


def test_script_acts_from_its_start_and_no_longer_at_its_end(bench: Bench) -> None:
    bench.script(set_price(7), start=MONDAY + HOUR, end=MONDAY + 3 * HOUR)
    assert [bench.price(MONDAY + n * HOUR) for n in range(4)] == [0, 7, 7, 0]


def test_last_script_created_has_the_last_word(bench: Bench) -> None:
    bench.script(set_price(1), "z", start=MONDAY)
    bench.script(set_price(2), "a", start=CREATED)
    assert bench.price() == 2


def test_new_and_deleted_scripts_act_without_restart(bench: Bench) -> None:
    assert bench.price() == 0
    script = bench.script(set_price(3))
    assert bench.price() == 3
    bench.store.delete(script.script_id, now=CREATED, user="u")
    assert bench.price() == 0


def test_no_process_is_started_without_scripts(bench: Bench) -> None:
    bench.script(set_price(1), start=SATURDAY)
    assert bench.price() == 0
    assert bench.module.runner._own_pool()._idle == []


def test_quote_is_priced_by_scripts(bench: Bench) -> None:
    bench.script(set_price(4))
    bench.pipeline.refresh()
    assert bench.pipeline.quote(one_instance(), None).price == 4


# What a script may do to a frame


def test_script_may_add_and_change_points(bench: Bench) -> None:
    bench.script(
        "import copy\n"
        "[point] = data['usage']['instance']\n"
        "point['vol'] = {'unit': 'MiB', 'qty': '2.5'}\n"
        "extra = copy.deepcopy(point)\n"
        "extra['metadata'] = {'fee': True}\n"
        "extra['rating'] = {'price': 1.1}\n"
        "data['usage'] = {'instance': [point], 'fee': [extra]}"
    )
    fee, instance = bench.rate(one_instance())
    assert (instance.unit, instance.qty, instance.price) == ("MiB", Decimal("2.5"), 0)
    assert (fee.metric, fee.metadata, fee.price) == ("fee", {"fee": True}, Decimal("1.1"))


def test_script_may_drop_everything(bench: Bench) -> None:
    bench.script("data['usage'] = {}")
    assert len(bench.rate(one_instance())) == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("data = None", "script script: frame: must be a map, not NoneType"),
        ("data['extra'] = 1", "script script: frame.extra: unknown key"),
        ("data['usage']['instance'][0]['note'] = 1", "usage.instance[0].note: unknown key"),
        ("data['usage']['instance'][0]['vol']['unit'] = None", "unit: None is not a text"),
        ("data['usage']['instance'][0]['rating']['price'] = 'abc'", "'abc' is not a number"),
        ("data['usage']['instance'][0]['rating']['price'] = float('nan')", "not a finite number"),
        ("data['usage']['instance'][0]['vol']['qty'] = True", "True is not a number"),
        ("data['usage']['instance'][0]['vol']['qty'] = 10 ** 40", "more than 40 digits"),
        ("del data['usage']['instance'][0]['groupby']", "groupby: missing"),
        ("data['period']['begin'] = 'soon'", "period.begin: 'soon' is not an instant"),
        ("a = 0\nb = 1 / a", "pyscripts: script script, line 2: ZeroDivisionError"),
        ("x = data['usage']['volume']", "script script, line 1: KeyError: 'volume' (scope P)"),
    ],
)
def test_frame_that_is_none_fails_its_period(bench: Bench, source: str, said: str) -> None:
    bench.script(source)
    with pytest.raises(RatingError) as caught:
        bench.price()
    assert said in str(caught.value)
    assert str(caught.value).startswith("pyscripts: script script")
    assert str(caught.value).endswith("(scope P)")


def test_source_that_no_longer_compiles_fails_rating(bench: Bench) -> None:
    """As after an upgrade of Python."""
    bench.script("pass")
    with bench.database.writer() as connection:
        values = {"data": zlib.compress(b"a = 1\nif :"), "checksum": "another"}
        connection.execute(models.scripts.update().values(values))
    with pytest.raises(RatingError, match="script script, line 2: SyntaxError: invalid syntax"):
        bench.price()


def test_source_that_cannot_be_read_fails_rating(bench: Bench) -> None:
    bench.script("pass")
    with bench.database.writer() as connection:
        connection.execute(models.scripts.update().values(data=b"rubbish"))
    with pytest.raises(RatingError, match=r"cannot be read: .* of script script cannot be read"):
        bench.price()


def test_missing_table_is_a_rating_error(bench: Bench) -> None:
    with bench.database.writer() as connection:
        connection.exec_driver_sql("DROP TABLE pyscripts_scripts")
    with pytest.raises(RatingError, match="pyscripts: the scripts cannot be read"):
        bench.pipeline.refresh()


# Through the processor


def test_scope_whose_script_fails_keeps_nobody_else_from_being_rated(
    conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path
) -> None:
    cloud.configure(conf, tmp_path, scopes=3, hours=4)
    conf.set_override("wait_periods", 1, "collect")
    ModuleStates(database).set("pyscripts", enabled=True)
    source = (
        "for points in data['usage'].values():\n"
        "    for point in points:\n"
        "        if point['groupby']['project_id'] == 'p1':\n"
        "            raise RuntimeError('not for p1')\n"
        "        point['rating']['price'] = 1\n"
        "        point['groupby']['project_id'] = 'p2'\n"
    )
    new = NewScript(name="picky", data=source)
    ScriptStore(database).create(new, now=CREATED - HOUR, user="u")
    processor = build.build(
        conf, database=database, clock=lambda: NEW_YEAR + 4 * HOUR + datetime.timedelta(seconds=1)
    )
    summary = once.rate_all(processor)
    found = processor.worker._storage.retrieve(Query(NEW_YEAR, NEW_YEAR + 100 * HOUR), limit=None)
    counts = dict.fromkeys(("p0", "p1", "p2"), 0)
    for one in found.frames:
        counts[one.scope.identifier] += sum(point.price == 1 for point in one.frame)
    assert counts["p0"] == counts["p2"] > 0
    assert counts["p1"] == 0
    assert [state.scope.identifier for state in summary.failed] == ["p1"]
    states = ScopeStore(database).states(scope_key="project_id", fetcher="csv", collector="csv")
    errors = {state.scope.identifier: state.last_error for state in states}
    assert errors["p1"] == "pyscripts: script picky, line 4: RuntimeError: not for p1 (scope p1)"
    assert errors["p0"] is None
    processor.close()
