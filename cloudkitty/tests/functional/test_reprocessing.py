# SPDX-License-Identifier: Apache-2.0
"""The past is rated again as tasks ask for it, whole, and without a hole for those who read."""

import dataclasses
import datetime
import threading
from decimal import Decimal

import pytest

from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.dataframe import Points
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskConflict
from cloudkitty.period import Period
from cloudkitty.processor import reprocessing
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage.base import Query
from cloudkitty.task import Difference, Mode, NewTask, TaskState
from cloudkitty.tests.bench import Bench
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour

HOURS = 6


class Prices:
    """The price of an instance-hour, as an operator changes it."""

    def __init__(self, database) -> None:
        self._store = HashmapStore(database)
        self._service = self._store.create_service("instance").service_id
        self._mapping: str | None = None
        ModuleStates(database).set("hashmap", enabled=True)

    def set(self, cost: str, start=NEW_YEAR, end=None) -> None:
        if self._mapping is not None:
            self._store.delete_mapping(self._mapping, now=NEW_YEAR, user="test")
        new = NewMapping(service_id=self._service, cost=Decimal(cost), start=start, end=end)
        created = self._store.create_mapping(new, now=NEW_YEAR, user="test", force=True)
        self._mapping = created.mapping_id


@pytest.fixture
def bench(conf, database):
    bench = Bench(conf, database, hours=HOURS)
    bench.prices = Prices(database)
    bench.prices.set("1")
    bench.rounds.run()
    yield bench
    bench.worker.close()


def ask(bench, *names: str, first=0, last=HOURS, **more) -> None:
    window = Period(hour(first).begin, hour(last).begin)
    wanted = [NewTask(bench.state(name), window, "a test", **more) for name in names]
    bench.tasks.add(wanted, bench.now)


def prices(bench, name: str) -> list[Decimal]:
    """The price of the instance in each hour."""
    query = Query(NEW_YEAR, hour(HOURS).begin, scopes=[name], metrics=["instance"])
    return [p.price for f in bench.storage.retrieve(query, limit=None).frames for p in f.frame]


def quantities(bench, name: str) -> list[Decimal]:
    query = Query(NEW_YEAR, hour(HOURS).begin, scopes=[name], metrics=["instance"])
    return [p.qty for f in bench.storage.retrieve(query, limit=None).frames for p in f.frame]


ONES = [Decimal(n) for n in range(1, HOURS + 1)]


def test_prices_alone_are_computed_again_without_the_source(bench) -> None:
    assert prices(bench, "p") == ONES
    bench.prices.set("2")
    bench.collector.down = SourceUnavailable("switched off")
    ask(bench, "p", mode=Mode.RATE)
    bench.rounds.run()
    assert prices(bench, "p") == [2 * price for price in ONES]
    assert prices(bench, "q") == ONES
    assert quantities(bench, "p") == ONES
    [task] = bench.tasks.list()
    assert (task.state, task.current) == (TaskState.DONE, hour(HOURS).begin)


@pytest.mark.parametrize("mode", list(Mode))
def test_only_the_window_changes_and_its_end_is_not_in_it(bench, mode) -> None:
    bench.prices.set("10")
    ask(bench, "p", first=2, last=4, mode=mode)
    bench.rounds.run()
    assert prices(bench, "p") == [1, 2, 30, 40, 5, 6]
    assert bench.state("p").horizon == hour(HOURS).begin


def test_rules_count_as_they_are_in_force_in_each_period(bench) -> None:
    bench.prices.set("10", start=hour(1).begin, end=hour(4).begin)
    ask(bench, "p", mode=Mode.RATE)
    bench.rounds.run()
    assert prices(bench, "p") == [0, 20, 30, 40, 0, 0]


def test_usage_is_collected_again(bench, monkeypatch) -> None:
    fetch = bench.collector.fetch

    def corrected(metric, period, scopes):
        answers = fetch(metric, period, scopes)
        for points in answers.values():
            points.qty[0] *= 100
        return answers

    monkeypatch.setattr(bench.collector, "fetch", corrected)
    ask(bench, "p", "q", first=1, last=3)
    bench.rounds.run()
    assert quantities(bench, "p") == quantities(bench, "q") == [1, 200, 300, 4, 5, 6]
    assert quantities(bench, "r") == ONES


def test_what_the_source_no_longer_has_keeps_its_content(bench, monkeypatch) -> None:
    monkeypatch.setattr(bench.collector, "fetch", lambda metric, period, scopes: {})
    bench.prices.set("7")
    ask(bench, "p")
    bench.rounds.run()
    assert prices(bench, "p") == ONES
    [task] = bench.tasks.list()
    assert task.state is TaskState.DONE
    assert "keep their content" in task.note
    assert "mode 'rate'" in task.note


@pytest.mark.parametrize("mode", list(Mode))
def test_a_dry_run_tells_the_difference_and_writes_nothing(bench, mode) -> None:
    bench.prices.set("1.5")
    ask(bench, "p", mode=mode, dry_run=True)
    bench.rounds.run()
    assert prices(bench, "p") == ONES
    [task] = bench.tasks.list()
    assert task.state is TaskState.DONE
    assert task.result == {
        "instance": Difference(Decimal(21), Decimal("31.5")),
        "volume.size": Difference(Decimal(0), Decimal(0)),
    }


def test_a_task_that_fails_is_noted_and_tried_again(bench) -> None:
    bench.collector.bad_scopes["q"] = CollectError("the id is not liked")
    bench.prices.set("2")
    ask(bench, "p", "q")
    bench.rounds.run()
    assert prices(bench, "p") == [2 * price for price in ONES]
    assert prices(bench, "q") == ONES
    waiting = next(task for task in bench.tasks.list() if task.scope.scope.identifier == "q")
    assert (waiting.state, waiting.current) == (TaskState.WAITING, None)
    assert "not liked" in waiting.note
    bench.collector.bad_scopes.clear()
    bench.rounds.run()
    assert prices(bench, "q") == ONES
    bench.now += datetime.timedelta(seconds=10)
    bench.rounds.run()
    assert prices(bench, "q") == [2 * price for price in ONES]


def test_a_crash_between_two_parts_costs_nothing(bench, monkeypatch) -> None:
    bench.prices.set("2")
    ask(bench, "p", mode=Mode.COLLECT)
    progress = bench.tasks.progress
    calls = []

    def crash(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        progress(*arguments, **more)

    monkeypatch.setattr(bench.tasks, "progress", crash)
    with pytest.raises(KeyboardInterrupt):
        bench.rounds.run()
    assert prices(bench, "p") == [2, 4, 6, 4, 5, 6]
    bench.rounds.run()
    assert prices(bench, "p") == [2 * price for price in ONES]


def test_a_reader_never_sees_a_hole_or_a_double(bench) -> None:
    seen = set()
    stop = threading.Event()

    def read() -> None:
        query = Query(NEW_YEAR, hour(HOURS).begin, scopes=["p"])
        while not stop.is_set():
            seen.add(bench.storage.retrieve(query, limit=None).total)

    reader = threading.Thread(target=read)
    reader.start()
    for cost in ("2", "3", "4", "5"):
        bench.prices.set(cost)
        ask(bench, "p", mode=Mode.COLLECT)
        bench.rounds.run()
    stop.set()
    reader.join()
    assert seen == {2 * HOURS}


def test_new_periods_come_before_the_past(bench) -> None:
    ask(bench, "p")
    bench.now += 2 * HOUR
    bench.collector.asked.clear()
    bench.rounds.run()
    numbers = [number for _metric, number, _scopes in bench.collector.asked]
    assert numbers == [6, 6, 7, 7, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_cancelled_task_does_nothing(bench) -> None:
    bench.prices.set("2")
    ask(bench, "p")
    [task] = bench.tasks.list()
    assert bench.tasks.cancel(task.id, bench.now)
    bench.rounds.run()
    assert prices(bench, "p") == ONES
    assert not bench.tasks.cancel(task.id, bench.now)


def test_unfinished_tasks_of_a_scope_do_not_overlap(bench) -> None:
    ask(bench, "p", first=1, last=3)
    ask(bench, "p", first=3, last=4)
    ask(bench, "q", first=1, last=3)
    with pytest.raises(TaskConflict, match=r"p: .* overlaps the unfinished task"):
        ask(bench, "r", "p", first=2, last=4)
    assert [task.scope.scope.identifier for task in bench.tasks.list(newest_first=False)] == [
        "p",
        "p",
        "q",
    ]
    bench.rounds.run()
    ask(bench, "p", first=2, last=4)


def test_a_scope_that_was_set_back_is_rated_up_to_the_window_first(bench) -> None:
    bench.prices.set("2")
    ask(bench, "p", first=3, last=5)
    assert bench.storage.rewind(bench.state("p"), hour(2).begin)
    bench.collector.bad_scopes["p"] = CollectError("not now")
    bench.rounds.run()
    assert prices(bench, "p") == [1, 2]
    assert [task.state for task in bench.tasks.list()] == [TaskState.WAITING]
    bench.collector.bad_scopes.clear()
    bench.now += datetime.timedelta(seconds=10)
    bench.rounds.run()
    assert prices(bench, "p") == [1, 2, 6, 8, 10, 12]
    assert [task.state for task in bench.tasks.list()] == [TaskState.DONE]


def test_an_empty_answer_for_an_empty_period_is_no_news(bench, monkeypatch) -> None:
    monkeypatch.setattr(bench.collector, "fetch", lambda metric, period, scopes: {"p": Points()})
    bench.now += HOUR + datetime.timedelta(minutes=15)
    bench.rounds.run()
    assert bench.state("p").horizon == hour(HOURS).end
    ask(bench, "p", first=HOURS, last=HOURS + 1)
    bench.rounds.run()
    assert [task.note for task in bench.tasks.list()] == [None]


def test_usage_is_not_asked_of_another_source_than_it_came_from(bench, conf) -> None:
    window = Period(hour(0).begin, hour(1).begin)
    state = bench.state("p")
    moved = dataclasses.replace(state.scope, collector="elsewhere")
    scopes = ScopeStore(bench.database)
    scopes.change(state, scope=moved, active=True, now=bench.now)
    bench.prices.set("2")
    bench.tasks.add([NewTask(state, window, "a test")], bench.now)
    bench.fetcher.listed = ["q", "r"]
    bench.rounds.run()
    assert prices(bench, "p") == ONES
    [task] = bench.tasks.list()
    assert task.state is TaskState.WAITING
    bench.tasks.cancel(task.id, bench.now)
    bench.tasks.add([NewTask(state, window, "a test", Mode.RATE)], bench.now)
    bench.rounds.run()
    assert prices(bench, "p") == [2, *ONES[1:]]


def test_the_bill_of_a_scope_changes_at_one_instant(bench, monkeypatch) -> None:
    assert datetime.timedelta(hours=reprocessing.PERIODS_AT_ONCE) >= datetime.timedelta(days=31)
    bench.prices.set("2")
    seen = []
    rewrite = bench.storage.rewrite

    def watched(window, contents):
        done = rewrite(window, contents)
        seen.append([sum(prices(bench, name)) for name in "pqr"])
        return done

    monkeypatch.setattr(bench.storage, "rewrite", watched)
    # As many scopes together as have no more periods than a batch is meant to.
    monkeypatch.setattr(reprocessing, "PERIODS_A_SCOPE", 2)
    monkeypatch.setattr(bench.reprocessor, "_batch_size", HOURS)
    ask(bench, "p", "q", "r", mode=Mode.RATE)
    bench.rounds.run()
    old = sum(ONES)
    assert seen == [[2 * old, 2 * old, old], [2 * old, 2 * old, 2 * old]]
