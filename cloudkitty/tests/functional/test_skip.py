# SPDX-License-Identifier: Apache-2.0
"""Points for which the skip expression holds are rated and not stored."""

import pathlib
from collections.abc import Iterator
from decimal import Decimal

import pytest
from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.processor import build
from cloudkitty.storage.base import Query
from cloudkitty.tests.bench import METRICS, Bench
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour

OPTION = "skip_datapoints_expression"

BY_PRICE = 'datapoint["rating"]["price"] == 0'
"""Of the four hours, the second and the fourth are free of charge (see ``priced``)."""


class Made:
    """Processors with a default expression and the metrics of ``test_processor``."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        self._conf, self._database = conf, database
        self.benches: list[Bench] = []

    def __call__(self, expression: str = "False", *, volume: str = "") -> Bench:
        self._conf.set_override(OPTION, expression, "orchestrator")
        own = f"    {OPTION}: {volume}\n" if volume else ""
        bench = Bench(self._conf, self._database, ("p", "q"), hours=4, metrics=METRICS + own)
        bench.pipeline.rate = priced
        self.benches.append(bench)
        return bench


@pytest.fixture
def make(conf: cfg.ConfigOpts, sqlite_database: Database) -> Iterator[Made]:
    made = Made(conf, sqlite_database)
    yield made
    for bench in made.benches:
        bench.worker.close()


def priced(frame: DataFrame, _scope_id: str) -> DataFrame:
    """Price a unit at 2 in every other hour, and add a service that no definition knows."""
    for points in frame.usage.values():
        points.price[:] = [qty * 2 if qty % 2 else Decimal(0) for qty in points.qty]
    for series, qty, price in list(frame):
        if series.metric == "instance":
            invented = Registry().series("setup", groupby=series.groupby, metadata={})
            frame.add(invented, qty, price)
    return frame


def stored(bench: Bench, scope: str = "p") -> dict[str, list[int]]:
    """The quantities of a scope in the ledger, by metric."""
    query = Query(NEW_YEAR, NEW_YEAR + 1000 * HOUR, scopes=[scope])
    found: dict[str, list[int]] = {}
    for frame in bench.storage.retrieve(query, limit=None).frames:
        for point in frame.frame:
            found.setdefault(point.metric, []).append(int(point.qty))
    return found


def test_without_an_expression_every_point_is_stored(make: Made) -> None:
    bench = make()
    bench.rounds.run()
    hours = [1, 2, 3, 4]
    assert stored(bench) == {"instance": hours, "setup": hours, "volume.size": hours}


def test_points_are_rated_before_they_are_looked_at(make: Made) -> None:
    bench = make(BY_PRICE)
    bench.rounds.run()
    assert stored(bench) == {"instance": [1, 3], "setup": [1, 3], "volume.size": [1, 3]}


def test_a_metric_may_have_its_own_expression(make: Made) -> None:
    bench = make(BY_PRICE, volume='datapoint["vol"]["qty"] < 3')
    bench.rounds.run()
    assert stored(bench) == {"instance": [1, 3], "setup": [1, 3], "volume.size": [3, 4]}


def test_a_service_that_no_definition_knows_goes_by_the_default(make: Made) -> None:
    bench = make('usage_data_metric_name == "setup"')
    bench.rounds.run()
    assert set(stored(bench)) == {"instance", "volume.size"}


def test_a_period_of_which_nothing_is_left_is_closed(make: Made) -> None:
    bench = make("True")
    bench.rounds.run()
    assert stored(bench) == {}
    assert bench.state("p").horizon == hour(3).end
    assert bench.state("p").failures == 0


def test_an_expression_without_a_value_fails_its_scope_alone(make: Made) -> None:
    bench = make('datapoint["groupby"]["id"] == "q-cpu" and datapoint["metadata"]["none"] == 1')
    bench.rounds.run()
    assert (bench.state("p").failures, bench.state("p").horizon) == (0, hour(3).end)
    state = bench.state("q")
    assert (state.failures, state.horizon) == (1, None)
    assert "metric instance: skip_datapoints_expression datapoint" in state.last_error
    assert 'the point has no datapoint["metadata"]["none"]' in state.last_error


def test_a_scope_is_caught_up_when_its_expression_has_been_set_right(make: Made) -> None:
    bench = make('datapoint["metadata"]["none"] == 1')
    bench.rounds.run()
    assert stored(bench) == {}
    bench = make(BY_PRICE)
    bench.now = bench.now + HOUR / 2
    bench.rounds.run()
    assert stored(bench)["instance"] == [1, 3]


def test_a_wrong_default_ends_the_processor_at_its_start(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    metrics = tmp_path / "metrics.yml"
    metrics.write_text(METRICS)
    for group, option, value in (
        ("collect", "metrics_conf", str(metrics)),
        ("collect", "collector", "csv"),
        ("collector_csv", "file", [str(metrics)]),
        ("fetcher", "backend", "source"),
        ("orchestrator", OPTION, 'datapoint["qty"] == 0'),
    ):
        conf.set_override(option, value, group)
    with pytest.raises(ConfigurationError) as caught:
        build.check(conf)
    assert str(caught.value).startswith(
        "[orchestrator] skip_datapoints_expression: column 1: datapoint has no 'qty'; there are"
    )
