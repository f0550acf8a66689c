# SPDX-License-Identifier: Apache-2.0
"""What keeps scopes is noted on every database: when it comes, and when it goes."""

import datetime
import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.coverage import WHOLE, State
from cloudkitty.db import troubles
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.rating.base import RatingError
from cloudkitty.tests import api, builders
from cloudkitty.tests.bench import Bench
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour

Noted = dict[tuple[str, str], tuple[State, datetime.datetime]]

FIVE = datetime.timedelta(seconds=5)


@pytest.fixture
def bench(conf: cfg.ConfigOpts, database: Database) -> Iterator[Bench]:
    bench = Bench(conf, database)
    bench.rounds.run()
    bench.now += HOUR
    yield bench
    bench.worker.close()


def noted(bench: Bench) -> Noted:
    """By scope and metric: how it stands, and since when."""
    names = {state.id: state.scope.identifier for state in bench.source.states()}
    return {
        (names[key], one.metric): (one.state, one.since)
        for key, many in troubles.of(bench.database).items()
        for one in many
    }


def writes(bench: Bench) -> list[str]:
    """The statements that change what is noted, from now on."""
    found: list[str] = []

    def watch(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if "coverage_troubles" in statement and not statement.lstrip().startswith("SELECT"):
            found.append(statement)

    sa.event.listen(bench.database.engine, "before_cursor_execute", watch)
    return found


def test_who_is_well_is_not_written_about(bench: Bench) -> None:
    changes = writes(bench)
    bench.rounds.run()
    assert bench.rated() == {"p": 6, "q": 6, "r": 6}
    assert (noted(bench), changes) == ({}, [])


def test_a_failure_is_noted_once_and_forgotten_when_it_is_over(bench: Bench) -> None:
    bench.collector.down = SourceUnavailable("nobody answers")
    bench.rounds.run()
    first = noted(bench)
    since = bench.now
    assert {name for name, _metric in first} == {"p", "q", "r"}
    assert {metric for _name, metric in first} <= {WHOLE, "instance", "volume.size"}
    assert set(first.values()) == {(State.FAILING, since)}
    for _ in range(3):
        bench.now += HOUR
        bench.rounds.run()
        whole = {key: one for key, one in noted(bench).items() if key[1] == WHOLE}
        assert set(whole.values()) == {(State.FAILING, since)}
    bench.collector.down = None
    bench.now += HOUR
    bench.rounds.run()
    assert noted(bench) == {}
    assert bench.rated() == {"p": 10, "q": 10, "r": 10}


def test_a_failure_that_goes_on_is_not_written_again(bench: Bench) -> None:
    def refuse(frame: object, scope: object) -> None:
        raise RatingError("the script is broken")

    bench.pipeline.rate = refuse  # type: ignore[assignment]
    bench.rounds.run()
    assert set(noted(bench).values()) == {(State.FAILING, bench.now)}
    changes = writes(bench)
    bench.now += HOUR
    bench.rounds.run()
    assert bench.state("p").failures == 2
    assert changes == []


def test_the_metric_that_is_to_blame(bench: Bench) -> None:
    fetch = bench.collector.fetch

    def broken(metric: object, *args: object) -> object:
        if str(metric).startswith("volume.size"):
            raise CollectError("the unit is unknown")
        return fetch(metric, *args)

    bench.collector.fetch = broken
    bench.rounds.run()
    assert set(noted(bench)) == {(name, m) for name in "pqr" for m in (WHOLE, "volume.size")}


def test_the_metrics_that_are_waited_for(bench: Bench) -> None:
    bench.collector.late = {("q", "volume.size")}
    bench.rounds.run()
    waiting = (State.WAITING, bench.now)
    assert noted(bench) == {("q", WHOLE): waiting, ("q", "volume.size"): waiting}
    changes = writes(bench)
    bench.now += datetime.timedelta(seconds=61)
    bench.rounds.run()
    assert bench.state("q").last_error is not None
    assert changes == []
    bench.collector.late = {("q", "cpu")}
    bench.now += datetime.timedelta(seconds=61)
    bench.rounds.run()
    assert noted(bench) == {("q", WHOLE): waiting, ("q", "instance"): (State.WAITING, bench.now)}
    bench.collector.late.clear()
    bench.now += datetime.timedelta(seconds=61)
    bench.rounds.run()
    assert noted(bench) == {}


def test_the_service_that_has_no_source(bench: Bench) -> None:
    bench.notes.set_state("csv", False)
    bench.rounds.run()
    assert {metric for _scope, metric in noted(bench)} == {WHOLE, "instance", "volume.size"}
    assert {state for state, _since in noted(bench).values()} == {State.WAITING}
    bench.notes.set_state("csv", True)
    bench.now += 60 * FIVE
    bench.rounds.run()
    assert noted(bench) == {}


def test_the_api_shows_what_keeps_a_metric(
    conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    context = api.context(conf, database, tmp_path)
    api.seed(context)
    client = api.Client.of(context)
    store = ScopeStore(database)
    [beta] = store.find({"identifier": ["beta"]})
    retry_at = NEW_YEAR + 5 * HOUR
    store.note_failure([beta], "no such unit", retry_at, NEW_YEAR + 4 * HOUR, ["volume.size"])
    found = client.get("/v2/coverage?scope_id=beta&state=failing").json
    assert found["total"] == 1
    assert found["results"][0]["periods_behind"] > 0
    assert {
        "metric": "volume.size",
        "last_error": "no such unit",
        "retry_at": "2026-01-01T05:00:00+00:00",
        "since": "2026-01-01T04:00:00+00:00",
    }.items() <= found["results"][0].items()
    counted = client.get("/v2/coverage?groupby=scope,state").json["results"]
    assert [(one["scope_id"], one["state"], one["count"]) for one in counted] == [
        ("alpha", "late", 2),
        ("beta", "late", 1),
        ("beta", "failing", 1),
    ]
    store.note_waiting([beta], "wait", retry_at, NEW_YEAR + 5 * HOUR)
    waiting = client.get("/v2/coverage?scope_id=beta").json["results"]
    assert {(one["state"], one["last_error"], one["since"]) for one in waiting} == {
        ("waiting", "wait", "2026-01-01T05:00:00+00:00")
    }
    store.forget_troubles([beta])
    assert troubles.of(database) == {}


def test_unpriced_usage_by_scope(
    conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    context = api.context(conf, database, tmp_path)
    states = builders.states(database, "alpha", "beta")
    frames = {
        state: builders.frame(hour(0), [("instance", {"id": name, "flavor": "tiny"}, 2, 0)])
        for name, state in states.items()
    }
    assert not context.storage.replace(hour(0), frames)
    client = api.Client.of(context)
    window = "begin=2026-01-01&end=2026-02-01"
    assert client.get(f"/v2/unpriced?{window}").json == {
        "total": 1,
        "points": {"instance": 2},
        "results": [
            {
                "metric": "instance",
                "field": "",
                "value": "",
                "points": 2,
                "qty": 4,
                "scopes": 2,
                "begin": "2026-01-01T00:00:00+00:00",
                "end": "2026-01-01T01:00:00+00:00",
            }
        ],
    }
    found = client.get(f"/v2/unpriced?{window}&groupby=scope&offset=1").json
    assert (found["total"], [one["scope_id"] for one in found["results"]]) == (2, ["beta"])
    first = client.get(f"/v2/unpriced?{window}&groupby=scope&limit=1").json
    assert [one["scope_id"] for one in first["results"]] == ["alpha"]
    rest = client.get(f"/v2/unpriced?{window}&groupby=scope&marker={first['next']}").json
    assert [one["scope_id"] for one in rest["results"]] == ["beta"]
    assert "next" not in rest
    assert client.get(f"/v2/unpriced?{window}&scope_id=beta").json["points"] == {"instance": 1}
    assert client.get(f"/v2/unpriced?{window}&metric=disk").json["total"] == 0
