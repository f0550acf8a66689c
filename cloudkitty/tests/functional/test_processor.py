# SPDX-License-Identifier: Apache-2.0
"""The processor rates every period of every scope once, whatever goes wrong on the way."""

import datetime
from collections import Counter
from decimal import Decimal

import pytest

from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.metrics import MetricsFile, read
from cloudkitty.dataframe import Points, Registry
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.processor.build import skip_filter
from cloudkitty.processor.rounds import Rounds, ScopeSource
from cloudkitty.processor.schedule import Schedule
from cloudkitty.processor.worker import Retry, Worker
from cloudkitty.rating.base import RatingError
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour

METRICS = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    groupby: [id]
  volume.size:
    unit: GiB
    groupby: [id]
"""


class Usage(Collector):
    """A source held in memory, that can be told to fail."""

    def __init__(self, conf, registry) -> None:
        super().__init__(conf, registry)
        self.asked: list[tuple[str, int, int]] = []
        self.bad_scopes: dict[str, Exception] = {}
        self.down: Exception | None = None

    def fetch(self, metric, period, scopes):
        number = (period.begin - NEW_YEAR) // HOUR
        self.asked.append((metric.name, number, len(scopes)))
        if self.down is not None:
            raise self.down
        answers = {}
        for scope in scopes:
            if scope in self.bad_scopes:
                raise self.bad_scopes[scope]
            points = Points()
            groupby = {"id": f"{scope}-{metric.name}", "project_id": scope}
            series = self.registry.series(
                metric.service, unit=metric.unit, groupby=groupby, metadata={}
            )
            points.append(series, Decimal(number + 1))
            answers[scope] = points
        return answers


class Listed(Fetcher):
    def __init__(self, conf, scopes) -> None:
        super().__init__(conf)
        self.listed = scopes
        self.error: FetchError | None = None

    def scopes(self):
        if self.error:
            raise self.error
        return self.listed


class Bench:
    """A processor whose clock, source and list of scopes belong to the test."""

    def __init__(self, conf, database, scopes=("p", "q", "r"), hours=5, metrics=METRICS) -> None:
        conf.set_override("first_period", "2026-01-01", "collect")
        conf.set_override("wait_periods", 1, "collect")
        self.database = database
        self.now = NEW_YEAR + hours * HOUR + datetime.timedelta(seconds=1)
        self.collector = Usage(conf, Registry())
        self.fetcher = Listed(conf, list(scopes))
        self.storage = SqlAlchemyStorage(conf, database, self.collector.registry)
        self.pipeline = Pipeline(conf, database)
        self.metrics: MetricsFile = read(metrics, "project_id", Usage.check_extra_args)
        schedule = Schedule.of(conf)
        store = ScopeStore(database)
        self.worker = Worker(
            collector=self.collector,
            metrics=self.metrics,
            pipeline=self.pipeline,
            skip=skip_filter(conf, self.metrics),
            storage=self.storage,
            scopes=store,
            clock=lambda: self.now,
            retry=Retry(10, 600),
            threads=2,
            timeout=30,
        )
        self.source = ScopeSource(conf, self.fetcher, store, schedule)
        self.rounds = Rounds(
            source=self.source, schedule=schedule, worker=self.worker, clock=lambda: self.now
        )

    def state(self, name: str):
        return next(s for s in self.source.states() if s.scope.identifier == name)

    def rated(self) -> Counter[str]:
        """How many hours of each scope are in the ledger, each checked to be complete."""
        query = Query(NEW_YEAR, NEW_YEAR + 1000 * HOUR)
        hours: Counter[str] = Counter()
        for found in self.storage.retrieve(query, limit=None).frames:
            number = (found.frame.period.begin - NEW_YEAR) // HOUR
            assert [(p.metric, p.qty) for p in found.frame] == [
                ("instance", number + 1),
                ("volume.size", number + 1),
            ]
            hours[found.scope.identifier] += 1
        return hours


@pytest.fixture
def bench(conf, database):
    bench = Bench(conf, database)
    yield bench
    bench.worker.close()


def test_a_round_rates_every_due_period_of_every_scope(bench) -> None:
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "q": 5, "r": 5}
    assert bench.state("p").horizon == hour(4).end
    assert bench.rounds.wake_at() == NEW_YEAR + 6 * HOUR


def test_a_second_round_changes_nothing(bench) -> None:
    bench.rounds.run()
    asked = len(bench.collector.asked)
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "q": 5, "r": 5}
    assert len(bench.collector.asked) == asked


def test_requests_do_not_grow_with_scopes(conf, sqlite_database) -> None:
    bench = Bench(conf, sqlite_database, scopes=[f"p{n}" for n in range(100)], hours=3)
    bench.rounds.run()
    assert Counter(asked[:2] for asked in bench.collector.asked).most_common(1)[0][1] == 1
    assert len(bench.collector.asked) == 2 * 3


def test_a_bad_scope_holds_up_nobody_else(bench, caplog) -> None:
    bench.collector.bad_scopes["q"] = CollectError("the id is not liked")
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "r": 5}
    state = bench.state("q")
    assert (state.failures, state.horizon) == (1, None)
    assert state.retry_at == bench.now + datetime.timedelta(seconds=10)
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    for part in ("project_id=q", "2026-01-01T00:00:00", "not liked", "metric"):
        assert part in errors[0]


def test_a_scope_that_recovers_is_caught_up_whole(bench) -> None:
    bench.collector.bad_scopes["q"] = CollectError("the id is not liked")
    bench.rounds.run()
    bench.collector.bad_scopes.clear()
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "r": 5}
    bench.now += datetime.timedelta(seconds=10)
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "q": 5, "r": 5}
    assert (bench.state("q").failures, bench.state("q").last_error) == (0, None)


def test_a_source_that_is_down_is_asked_once_and_delays_only(bench) -> None:
    bench.collector.down = SourceUnavailable("nobody answers at http://127.0.0.1:1")
    bench.rounds.run()
    assert bench.rated() == {}
    assert {metric for metric, *_ in bench.collector.asked} <= {"cpu", "volume.size"}
    assert len(bench.collector.asked) <= 2
    bench.collector.down = None
    bench.now += datetime.timedelta(seconds=10)
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "q": 5, "r": 5}


def test_a_collector_with_a_programming_error_delays_only(bench) -> None:
    bench.collector.bad_scopes["q"] = ZeroDivisionError("oops")
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "r": 5}
    assert "ZeroDivisionError: oops" in bench.state("q").last_error


def test_pauses_grow_with_failures(bench) -> None:
    bench.collector.bad_scopes["q"] = CollectError("no")
    pauses = []
    for _ in range(4):
        bench.rounds.run()
        pauses.append((bench.state("q").retry_at - bench.now).total_seconds())
        bench.now = bench.state("q").retry_at
    assert pauses == [10, 20, 40, 80]


def test_a_scope_that_cannot_be_rated_fails_alone(bench, monkeypatch) -> None:
    rate = bench.pipeline.rate

    def refuse(frame, scope_id, *arguments):
        if scope_id == "q":
            raise RatingError("hashmap: no price")
        return rate(frame, scope_id, *arguments)

    monkeypatch.setattr(bench.pipeline, "rate", refuse)
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "r": 5}
    assert "no price" in bench.state("q").last_error


def test_an_amount_too_large_to_keep_fails_its_scope_alone(bench, monkeypatch) -> None:
    rate = bench.pipeline.rate

    def explode(frame, scope_id, *arguments):
        frame = rate(frame, scope_id, *arguments)
        if scope_id == "q":
            frame.usage["instance"].price[0] = Decimal("1E+200")
        return frame

    monkeypatch.setattr(bench.pipeline, "rate", explode)
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "r": 5}
    assert "1E+200" in bench.state("q").last_error


def test_an_inactive_scope_is_not_rated_and_caught_up_later(bench) -> None:
    bench.rounds.run()
    store = ScopeStore(bench.database)
    state = bench.state("q")
    store.set_active(state, False, bench.now)
    bench.now += 2 * HOUR
    bench.rounds.run()
    assert bench.rated() == {"p": 7, "q": 5, "r": 7}
    store.set_active(state, True, bench.now)
    bench.rounds.run()
    assert bench.rated() == {"p": 7, "q": 7, "r": 7}


def test_a_failing_fetcher_keeps_the_last_list(bench, caplog) -> None:
    bench.rounds.run()
    bench.fetcher.error = FetchError("[fetcher_csv] file: gone")
    bench.now += HOUR
    bench.rounds.run()
    assert bench.rated() == {"p": 6, "q": 6, "r": 6}
    assert "[fetcher_csv] file: gone" in caplog.text


def test_a_new_scope_starts_at_its_first_period(bench) -> None:
    bench.rounds.run()
    bench.fetcher.listed = ["p", "q", "r", "s"]
    bench.rounds.run()
    assert bench.rated()["s"] == 5


def test_a_period_without_usage_moves_the_horizon(bench, monkeypatch) -> None:
    monkeypatch.setattr(bench.collector, "fetch", lambda metric, period, scopes: {})
    bench.rounds.run()
    assert bench.rated() == {}
    assert bench.state("p").horizon == hour(4).end


def test_every_part_of_the_scopes_is_rated_once(conf, sqlite_database) -> None:
    bench = Bench(conf, sqlite_database, scopes=[f"p{n}" for n in range(30)], hours=2)
    taken: list[int] = []

    def lock(part):
        taken.append(part)
        return Entered(part != 1)

    bench.rounds = Rounds(
        source=bench.source,
        schedule=Schedule.of(conf),
        worker=bench.worker,
        clock=lambda: bench.now,
        parts=3,
        first_part=2,
        lock=lock,
    )
    bench.rounds.run()
    assert taken == [2, 0, 1]
    missing = 30 - len(bench.rated())
    assert 0 < missing < 30


class Entered:
    """A lock that was had, or not."""

    def __init__(self, ours: bool) -> None:
        self._ours = ours

    def __enter__(self) -> bool:
        return self._ours

    def __exit__(self, *_error) -> None:
        return None
