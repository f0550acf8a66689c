# SPDX-License-Identifier: Apache-2.0
"""The processor rates every period of every scope once, whatever goes wrong on the way."""

import datetime
import gc
from collections import Counter
from contextlib import nullcontext
from decimal import Decimal

import pytest
from oslo_db.exception import DBConnectionError

from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.fetcher.base import FetchError
from cloudkitty.processor.sharing import LockedParts
from cloudkitty.rating.base import RatingError
from cloudkitty.storage.base import StorageError
from cloudkitty.tests.bench import Bench
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour


@pytest.fixture
def bench(conf, database):
    bench = Bench(conf, database)
    yield bench
    bench.worker.close()


def test_periods_leave_no_garbage(bench) -> None:
    bench.rounds.run()
    gc.disable()
    try:
        counts = []
        for hours in (1, 20):
            bench.now += hours * HOUR
            bench.rounds.run()
            counts.append(len(gc.get_objects()))
    finally:
        gc.enable()
    # What a period leaves in a cycle are dozens of objects.
    assert counts[1] - counts[0] < 20 * 5


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


def test_an_answer_that_nobody_has_asked_for_delays_only(bench, monkeypatch) -> None:
    fetch = bench.collector.fetch
    monkeypatch.setattr(
        bench.collector,
        "fetch",
        lambda metric, period, scopes: fetch(metric, period, [*scopes, "stranger"]),
    )
    bench.rounds.run()
    assert bench.rated() == {}
    assert bench.state("p").last_error.endswith("(collector csv): nobody has asked for stranger")


def test_a_database_that_is_away_is_no_fault_of_a_scope(bench, monkeypatch, caplog) -> None:
    def away(period, frames):
        raise StorageError("connection refused") from DBConnectionError()

    monkeypatch.setattr(bench.storage, "replace", away)
    with pytest.raises(StorageError, match="connection refused"):
        bench.rounds.run()
    assert len(bench.collector.asked) == 2, "each metric once, and not for halves of the batch"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert bench.state("p").failures == 0
    monkeypatch.undo()
    bench.rounds.run()
    assert bench.rated() == {"p": 5, "q": 5, "r": 5}


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


def test_a_failure_is_noted_once_though_another_halves_its_batch(bench, monkeypatch) -> None:
    rate = bench.pipeline.rate

    def trouble(frame, scope_id, *arguments):
        if scope_id == "r":
            raise RatingError("hashmap: no price")
        frame = rate(frame, scope_id, *arguments)
        if scope_id == "q":
            frame.usage["instance"].price[0] = Decimal("1E+200")
        return frame

    monkeypatch.setattr(bench.pipeline, "rate", trouble)
    bench.rounds.run()
    assert bench.rated() == {"p": 5}
    assert (bench.state("q").failures, bench.state("r").failures) == (1, 1)


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
    assert bench.rounds.wake_at() == bench.now + datetime.timedelta(seconds=10)


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

    bench.rounds = bench.rounds_of(share=LockedParts(3, 2, lock))
    bench.rounds.run()
    assert taken == [2, 0, 1]
    missing = 30 - len(bench.rated())
    assert 0 < missing < 30


class SomeParts(LockedParts):
    """Half of the parts, and those that are adopted."""

    def __init__(self) -> None:
        super().__init__(2)
        self.adopted: frozenset[int] = frozenset()

    def parts(self):
        return frozenset({0}) | self.adopted

    def turns(self):
        return (self._turn(part) for part in sorted(self.parts()))

    def adopt(self, parts) -> None:
        self.adopted = frozenset(parts)


def test_what_others_should_do_and_do_not_is_taken_up(conf, sqlite_database) -> None:
    bench = Bench(conf, sqlite_database, scopes=[f"p{n}" for n in range(10)], hours=2)
    share = SomeParts()
    bench.rounds = bench.rounds_of(share=share, patience=600)
    bench.rounds.run()
    ours = set(bench.rated())
    assert 0 < len(ours) < 10
    assert bench.rounds.wake_at() == NEW_YEAR + 3 * HOUR, "what is others' does not wake us"
    bench.now += datetime.timedelta(seconds=599)
    bench.rounds.run()
    assert share.adopted == frozenset()
    bench.now += datetime.timedelta(seconds=1)
    bench.rounds.run()
    assert set(bench.rated()) == ours
    assert share.adopted == {1}
    assert bench.rounds.wake_at() == bench.now
    bench.rounds.run()
    assert bench.rated() == {f"p{n}": 2 for n in range(10)}
    assert share.adopted == frozenset()


def test_scopes_are_read_after_their_locks_are_taken(conf, sqlite_database, monkeypatch) -> None:
    bench = Bench(conf, sqlite_database, scopes=["p"], hours=1)
    other = bench.rounds_of()
    held: set[int] = set()

    class Late(SomeParts):
        """A share whose lock is had just after another has used it."""

        def held(self):
            return frozenset(held)

        def hold(self, wanted):
            if not held:
                other.run()
            held.update(wanted)
            return self.held()

        def turns(self):
            return iter([nullcontext(self)])

    share = Late()
    share.adopt({1})
    asked = []
    fetch = bench.collector.fetch
    monkeypatch.setattr(
        bench.collector, "fetch", lambda *args: (asked.append(args[1]), fetch(*args))[1]
    )
    bench.rounds_of(share=share).run()
    assert bench.rated() == {"p": 1}
    assert len(asked) == 2, "one question for each metric"


class Entered:
    """A lock that was had, or not."""

    def __init__(self, ours: bool) -> None:
        self._ours = ours

    def __enter__(self) -> bool:
        return self._ours

    def __exit__(self, *_error) -> None:
        return None
