# SPDX-License-Identifier: Apache-2.0
"""A scope that is listed no more is rated to its end, rests, and comes back without a gap."""

import datetime

import pytest

from cloudkitty.collector.base import CollectError
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.fetcher.base import FetchError
from cloudkitty.period import Period
from cloudkitty.task import Mode, NewTask, TaskState
from cloudkitty.tests import api
from cloudkitty.tests.bench import Bench
from cloudkitty.tests.builders import HOUR, hour

MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def bench(conf, database):
    """A bench that stands just after 05:00, with five hours rated."""
    bench = Bench(conf, database)
    bench.rounds.run()
    yield bench
    bench.worker.close()


def any_state(bench, name: str):
    [state] = ScopeStore(bench.database).find({"identifier": [name]})
    return state


def go_on(bench, hours: int = 1) -> None:
    bench.now += hours * HOUR
    bench.rounds.run()


def test_the_period_in_which_it_went_is_rated_and_none_after(bench) -> None:
    bench.now += 30 * MINUTE
    bench.fetcher.listed = ["p", "r"]
    bench.rounds.run()
    assert any_state(bench, "q").gone_at == bench.now
    assert bench.rated() == {"p": 5, "q": 5, "r": 5}
    go_on(bench)
    assert bench.rated() == {"p": 6, "q": 6, "r": 6}
    go_on(bench, 5)
    assert bench.rated() == {"p": 11, "q": 6, "r": 11}
    assert any_state(bench, "q").horizon == hour(6).begin


def test_a_scope_that_went_while_nothing_ran_is_caught_up(bench) -> None:
    bench.fetcher.listed = ["p", "r"]
    go_on(bench, 3)
    assert bench.rated() == {"p": 8, "q": 8, "r": 8}
    go_on(bench, 3)
    assert bench.rated() == {"p": 11, "q": 9, "r": 11}


def test_nothing_wakes_the_processor_for_scopes_that_rest(bench) -> None:
    bench.fetcher.listed = []
    go_on(bench)
    go_on(bench)
    assert bench.rated() == {"p": 7, "q": 7, "r": 7}
    assert (bench.rounds.wake_at(), bench.rounds.due()) == (None, 0)


def test_an_empty_list_by_mistake_only_delays(bench, caplog) -> None:
    names, bench.fetcher.listed = bench.fetcher.listed, []
    go_on(bench)
    go_on(bench, 3)
    assert bench.rated() == {"p": 7, "q": 7, "r": 7}
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("3 of the scopes are not listed any more: project_id=p, ")
    bench.fetcher.listed = names
    bench.rounds.run()
    assert bench.rated() == {"p": 9, "q": 9, "r": 9}
    assert any_state(bench, "q").gone_at is None


def test_a_scope_that_returns_is_caught_up_without_a_gap(bench) -> None:
    bench.fetcher.listed = ["p", "r"]
    go_on(bench)
    go_on(bench, 10)
    assert bench.rated()["q"] == 7
    bench.fetcher.listed = ["p", "q", "r"]
    go_on(bench)
    assert bench.rated() == {"p": 17, "q": 17, "r": 17}


def test_what_fails_in_the_last_period_is_tried_until_it_is_rated(bench) -> None:
    bench.fetcher.listed = ["p", "r"]
    bench.collector.bad_scopes["q"] = CollectError("not now")
    go_on(bench)
    go_on(bench, 20)
    assert bench.rated()["q"] == 5
    bench.collector.bad_scopes.clear()
    go_on(bench)
    assert bench.rated()["q"] == 7


def test_a_fetcher_that_fails_makes_nobody_go(bench) -> None:
    bench.fetcher.error = FetchError("down")
    go_on(bench, 5)
    assert bench.rated() == {"p": 10, "q": 10, "r": 10}
    assert any_state(bench, "q").gone_at is None


def test_known_scopes_are_rated_though_the_fetcher_fails_from_the_start(
    bench, conf, database
) -> None:
    again = Bench(conf, database, hours=8)
    again.fetcher.error = FetchError("down")
    again.rounds.run()
    assert again.rated() == {"p": 8, "q": 8, "r": 8}
    again.worker.close()


@pytest.mark.parametrize("mode", list(Mode))
def test_the_past_of_a_scope_that_is_gone_is_rated_again(bench, mode) -> None:
    bench.fetcher.listed = ["p", "r"]
    go_on(bench, 3)
    window = Period(hour(1).begin, hour(3).begin)
    bench.tasks.add([NewTask(any_state(bench, "q"), window, "a test", mode)], bench.now)
    bench.collector.asked.clear()
    bench.rounds.run()
    [task] = bench.tasks.list()
    assert (task.state, task.current) == (TaskState.DONE, window.end)
    assert {number for _name, number, _scopes in bench.collector.asked} == (
        {1, 2} if mode is Mode.COLLECT else set()
    )


def test_a_scope_that_is_gone_can_be_set_back(bench) -> None:
    bench.fetcher.listed = ["p", "r"]
    go_on(bench)
    go_on(bench, 3)
    assert bench.rated()["q"] == 7
    assert bench.storage.rewind(any_state(bench, "q"), hour(2).begin)
    assert bench.rated()["q"] == 2
    bench.rounds.run()
    assert bench.rated()["q"] == 7


def test_a_stopped_scope_that_is_gone_stays_stopped(bench) -> None:
    store = ScopeStore(bench.database)
    store.set_active(any_state(bench, "q"), False, bench.now)
    bench.fetcher.listed = ["p", "r"]
    go_on(bench)
    go_on(bench, 3)
    assert bench.rated()["q"] == 5
    store.set_active(any_state(bench, "q"), True, bench.now)
    bench.rounds.run()
    assert bench.rated()["q"] == 7


def test_the_api_says_since_when_a_scope_is_gone_and_what_is_wrong(bench, conf, tmp_path) -> None:
    bench.fetcher.listed = ["p", "r"]
    bench.collector.bad_scopes["r"] = CollectError("the id is not liked")
    go_on(bench)
    conf.set_override("auth_strategy", "noauth")
    client = api.Client.deployed(api.context(conf, bench.database, tmp_path))
    shown = {one["scope_id"]: one for one in client.get("/v2/scope").json["results"]}
    assert {name: one["gone_at"] for name, one in shown.items()} == {
        "p": None,
        "q": "2026-01-01T06:00:01+00:00",
        "r": None,
    }
    assert shown["q"]["last_error"] is None
    assert "(collector csv): the id is not liked" in shown["r"]["last_error"]
