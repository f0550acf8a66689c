# SPDX-License-Identifier: Apache-2.0
"""Purging: totals are what they were, the rest is refused, and nothing later is touched."""

import datetime
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudkitty import money, period
from cloudkitty.db.engine import Database
from cloudkitty.period import UTC, Period
from cloudkitty.storage.base import Purged, Query, Storage, StorageError, Stretch, TotalRow
from cloudkitty.storage.sqlalchemy import models, purger
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests.builders import HOUR, NEW_YEAR, frame, hour, states
from cloudkitty.tests.functional.test_ledger import ledger

EXAMPLES = itertools.count()

DAY = datetime.timedelta(days=1)
FEBRUARY = datetime.datetime(2026, 2, 1, tzinfo=UTC)
ALWAYS = (NEW_YEAR - 400 * DAY, NEW_YEAR + 400 * DAY)

CALENDAR = ("year", "month", "week_of_the_year", "day_of_the_year")

ZONES = ("UTC", "Europe/Paris", "America/St_Johns")

AMOUNTS = ("0", "1", "1", "-0.5", "9" * 40, f"0.{'0' * 79}1", f"0.{'3' * 80}")

posts = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["instance", "volume with a space"]),
        st.integers(0, 3),
        st.sampled_from([7, 3600, 3600, 5400, 86_400]),
        st.integers(-65 * 24, 40 * 24),
        st.integers(1, 60),
        st.sampled_from(AMOUNTS),
        st.sampled_from(AMOUNTS),
    ),
    min_size=1,
    max_size=6,
)
"""Scope, metric, id, length in seconds, first hour, how many, amounts."""

groups = st.lists(st.sampled_from(["scope", "type", *CALENDAR]), max_size=4, unique=True)


def told(rows: Sequence[TotalRow]) -> list[tuple[Any, ...]]:
    """Everything that an answer says, to the last digit."""
    return [
        (
            row.begin,
            row.end,
            row.group,
            row.points,
            money.digits(row.qty),
            money.digits(row.price),
            row.extremes and tuple(map(money.digits, row.extremes)),
        )
        for row in rows
    ]


def sums(
    driver: Storage, window: tuple[Any, Any], groupby: Sequence[str] = (), **more: Any
) -> list[tuple[Any, ...]]:
    """What the driver answers; *more* is the zone, and what the query is about."""
    zone = more.pop("zone", UTC)
    query = Query(*window, **more)
    found = []
    for extremes in (False, True):
        answer = driver.total(query, groupby, zone=zone, extremes=extremes)
        assert answer.total == len(answer.rows)
        found.append(told(answer.rows))
    return found


def dump(database: Database) -> dict[str, list[str]]:
    """Every row of the ledger, and the versions and horizons of scopes."""
    tables = (models.series, models.runs, models.months, models.days, models.cuts)
    with database.reader() as connection:
        return {
            t.name: sorted(str(tuple(r)) for r in connection.execute(sa.select(t))) for t in tables
        }


def points(driver: Storage, window: tuple[Any, Any], **more: Any) -> list[str]:
    frames = driver.retrieve(Query(*window, **more), limit=None).frames
    return [
        f"{found.scope} {found.frame.period} {point}" for found in frames for point in found.frame
    ]


class Filled:
    """A ledger with points that were posted, and others that were rated up to the 10th of
    February, some of them without an end."""

    def __init__(self, conf: Any, database: Database, many: Sequence[Any] = ()) -> None:
        self.driver = ledger(conf, database)
        prefix = f"purge-{next(EXAMPLES)}-"
        self.names = [f"{prefix}{number}" for number in range(3)]
        found = states(database, *self.names)
        for number, metric, key, step, first, count, qty, price in many:
            length = datetime.timedelta(seconds=step)
            begin = NEW_YEAR + first * HOUR
            frames = [
                frame(
                    Period(begin + place * length, begin + (place + 1) * length),
                    [(metric, {"id": f"{key}/{step}"}, qty, price)],
                )
                for place in range(count)
            ]
            self.driver.put({found[self.names[number]].id: frames})
        self._rate(database, self.names[2])

    def _rate(self, database: Database, name: str) -> None:
        first, last = hour(0), hour(40 * 24)
        state = states(database, name)[name]
        steady = ("instance", {"id": "steady"}, 1, "0.1")
        assert not self.driver.replace(first, {state: frame(first, [steady])})
        # A jump to the 10th of February, with what happened in between.
        state = states(database, name)[name]
        with database.writer() as connection:
            connection.execute(
                sa.text("UPDATE scopes SET horizon = :now WHERE id = :id"),
                {"now": period.epoch(last.begin), "id": state.id},
            )
        state = states(database, name)[name]
        window = Period(first.begin + 700 * HOUR, first.begin + 760 * HOUR)
        busy = ("instance", {"id": "busy", "user": "u"}, 2, "0.3333333333333333333333333333")
        content = [Stretch(frame(Period.of(window.begin, 3600), [steady, busy]), 60)]
        assert not self.driver.rewrite(window, {state: content})


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    many=posts,
    groupby=groups,
    zone=st.sampled_from(ZONES),
    first=st.integers(-70, 45),
    length=st.integers(1, 60),
    at_once=st.sampled_from([1, 3, 2000]),
)
def test_answers_are_what_they_were(
    conf, database, many, groupby, zone, first, length, at_once
) -> None:
    filled = Filled(conf, database, many)
    driver, about = filled.driver, {"scopes": filled.names, "zone": period.zone(zone)}
    boundary = period.month_start(FEBRUARY + DAY, about["zone"])
    midnight = boundary.astimezone(about["zone"])
    window = tuple(
        period.utc((midnight + number * DAY).replace(fold=0)) for number in (first, first + length)
    )
    windows = [ALWAYS, window, (boundary, ALWAYS[1])]
    before = [sums(driver, one, groupby, **about) for one in windows]
    by_metric = sums(driver, window, groupby, metrics=["instance"], **about)
    later = points(driver, (boundary, ALWAYS[1]), scopes=filled.names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(purger, "RUNS_AT_ONCE", at_once)
        for _ in driver.purge(boundary, about["zone"], filled.names):
            assert [sums(driver, one, groupby, **about) for one in windows] == before
    assert sums(driver, window, groupby, metrics=["instance"], **about) == by_metric
    assert points(driver, (boundary, ALWAYS[1]), scopes=filled.names) == later
    assert driver.purgeable(boundary, filled.names) == {}
    once = dump(database)
    assert list(driver.purge(boundary, about["zone"], filled.names)) == []
    assert dump(database) == once


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(many=posts, begin=st.integers(-70 * 24, 45 * 24), length=st.integers(1, 2000))
def test_any_window_has_the_old_answer_or_none(conf, database, many, begin, length) -> None:
    filled = Filled(conf, database, many)
    window = (NEW_YEAR + begin * HOUR, NEW_YEAR + (begin + length) * HOUR)
    questions = [["type"], ["month", "scope"], ["day_of_the_year"], ["id"], ["time"]]
    before = [sums(filled.driver, window, one, scopes=filled.names) for one in questions]
    list(filled.driver.purge(FEBRUARY, UTC, filled.names))
    for question, expected in zip(questions, before, strict=True):
        try:
            found = sums(filled.driver, window, question, scopes=filled.names)
        except Purged as refused:
            # Scopes without points in January have been purged up to another month.
            cut = datetime.datetime.fromisoformat(str(refused).split()[3])
            assert window[0] < cut <= FEBRUARY
            continue
        assert found == expected


def stepped(conf, database: Database) -> tuple[SqlAlchemyStorage, Iterator[Any]]:
    many = [(n % 2, "instance", n, 3600, 24 * n - 300, 30, "1", "0.1") for n in range(12)]
    driver = Filled(conf, database, many).driver
    return driver, driver.purge(FEBRUARY, UTC)


def purge_and_tell(conf, told_to: int) -> None:
    """Purge, and write a byte after each step."""
    driver = ledger(conf, Database(conf))
    for _ in driver.purge(FEBRUARY, UTC):
        os.write(told_to, b"!")


def test_who_is_killed_in_the_middle_leaves_totals_and_is_resumed(
    conf, database, monkeypatch
) -> None:
    monkeypatch.setattr(purger, "RUNS_AT_ONCE", 1)
    monkeypatch.setattr(purger, "SCOPES_AT_ONCE", 1)
    driver, _steps = stepped(conf, database)
    groupby = ["scope", "type", "day_of_the_year"]
    before = sums(driver, ALWAYS, groupby)
    database.dispose()
    kills = 0
    while driver.purgeable(FEBRUARY):
        assert sums(driver, ALWAYS, groupby) == before
        database.dispose()
        heard, writes = os.pipe()
        process = multiprocessing.get_context("fork").Process(
            target=purge_and_tell, args=(conf, writes)
        )
        process.start()
        os.close(writes)
        for _ in range(1 + kills % 3):
            os.read(heard, 1)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        os.close(heard)
        kills += 1
        assert kills < 100
    assert kills > 3
    assert sums(driver, ALWAYS, groupby) == before
    assert sum(row[3] for row in before[0]) == 12 * 30 + 40 * 24 + 60


def test_a_reader_never_sees_both_or_none(conf, database, monkeypatch) -> None:
    monkeypatch.setattr(purger, "RUNS_AT_ONCE", 1)
    monkeypatch.setattr(purger, "SCOPES_AT_ONCE", 1)
    driver, steps = stepped(conf, database)
    before = sums(driver, ALWAYS, ["type"])
    other = ledger(conf, database)
    seen, over = [], threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.append(sums(other, ALWAYS, ["type"]))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        assert len(list(steps)) > 10
    finally:
        over.set()
        reader.join()
    assert seen
    assert all(one == before for one in seen)


def test_rating_goes_on_and_series_that_live_stay(conf, database) -> None:
    driver = ledger(conf, database)

    def rate(number: int, ids: str) -> None:
        state = states(database, "p")["p"]
        content = [("m", {"id": one}, 1, "0.1") for one in ids]
        assert not driver.replace(hour(number), {state: frame(hour(number), content)})

    january = range(29 * 24, 31 * 24)
    states(database, "p")
    rate(january[0], "ab")
    for number in january[1:]:
        rate(number, "a")
    rate(31 * 24, "a")
    [first, *more] = ledger(conf, database).purge(FEBRUARY, UTC)
    assert (first.points, first.rows, first.series, more) == (49, 2, 1, [])
    # The same process, which remembers open runs, and one that does not.
    rate(31 * 24 + 1, "ab")
    driver = ledger(conf, database)
    rate(31 * 24 + 2, "ab")
    [row] = driver.total(Query(*ALWAYS), ["type"]).rows
    assert (row.points, money.text(row.price)) == (49 + 5, "5.4")
    found = driver.retrieve(Query(FEBRUARY, ALWAYS[1])).frames
    assert [len(one.frame) for one in found] == [1, 2, 2]


def test_what_rests_at_its_horizon_is_purged_whole_and_may_come_back(conf, database) -> None:
    driver = ledger(conf, database)
    state = states(database, "p")["p"]
    content = [("m", {"id": "a"}, 1, "0.1")]
    assert not driver.replace(hour(5), {state: frame(hour(5), content)})
    list(driver.purge(FEBRUARY, UTC))
    kept = dump(database)
    assert kept["ledger_runs"] == kept["ledger_series"] == []
    for number in (6, 7):
        state = states(database, "p")["p"]
        assert not driver.replace(hour(number), {state: frame(hour(number), content)})
    before = sums(driver, ALWAYS, ["type", "day_of_the_year"])
    list(driver.purge(FEBRUARY, UTC))
    assert sums(driver, ALWAYS, ["type", "day_of_the_year"]) == before
    assert [row[3:6] for row in before[0]] == [(3, "3", "0.3")]
    assert dump(database)["ledger_runs"] == []


def test_days_that_are_alike_are_one_row(conf, database) -> None:
    driver = Filled(conf, database).driver
    list(driver.purge(FEBRUARY, UTC))
    with database.reader() as connection:
        rows = connection.execute(sa.select(models.days).order_by(models.days.c.day)).all()
    # 700 hours with one instance; 4 of the 30th day and the last two days with one more.
    assert [(row.days, row.points) for row in rows] == [(29, 24), (1, 44), (1, 48)]


def test_what_totals_do_not_tell_is_refused(conf, database) -> None:
    driver = Filled(conf, database).driver
    list(driver.purge(FEBRUARY, UTC))
    state = next(s for s in states(database, f"purge-{next(EXAMPLES) - 1}-2").values())
    window = Period(hour(24).begin, hour(48).begin)
    refused = {
        "no group by user": lambda: driver.total(Query(*ALWAYS), ["user"]),
        "no group by time": lambda: driver.total(Query(*ALWAYS), ["type", "time"]),
        "no filter by user": lambda: driver.total(Query(*ALWAYS, filters={"user": ["u"]})),
        "all of it or nothing": lambda: driver.total(Query(hour(1).begin, FEBRUARY)),
        "no data frames": lambda: driver.retrieve(Query(*ALWAYS)),
        "had no price": lambda: driver.free(Query(*ALWAYS)).__enter__(),
        "a part of a day": lambda: driver.scopes_with_data(hour(3).begin, hour(4).begin),
        "rate again": lambda: driver.stretches(state, window),
        "stay as they are": lambda: driver.rewrite(window, {state: []}),
        "only what begins": lambda: driver.rewind(state, window.begin),
        "can be changed": lambda: driver.put({state.id: [frame(hour(3), [("m", {}, 1, 1)])]}),
        "of them stay": lambda: driver.delete(Query(*ALWAYS)),
    }
    before = dump(database)
    for words, call in refused.items():
        with pytest.raises(Purged, match=words) as caught:
            call()
        assert "2026-02-01T00:00:00+00:00" in str(caught.value)
    assert dump(database) == before
    # The same from the boundary on, or where nothing ever was.
    later = Query(FEBRUARY, ALWAYS[1])
    assert driver.total(later, ["user", "time"]).total > 0
    assert driver.retrieve(later).total > 0
    assert driver.retrieve(Query(ALWAYS[0], NEW_YEAR)).total == 0
    assert driver.total(Query(ALWAYS[0], NEW_YEAR), ["user"]).total == 0
    assert driver.scopes_with_data(NEW_YEAR, FEBRUARY) == [state.scope.identifier]
    assert driver.rewind(state, FEBRUARY)


def test_scopes_that_are_spared_or_not_named_stay(conf, database) -> None:
    driver = ledger(conf, database)
    found = states(database, "p", "q", "r")
    content = frame(hour(3), [("m", {"id": 1}, 1, 1)])
    driver.put({state.id: [content] for state in found.values()})
    assert driver.purgeable(FEBRUARY) == {"p": 1, "q": 1, "r": 1}
    list(driver.purge(FEBRUARY, UTC, ["p", "q"], [found["q"].id]))
    assert driver.purgeable(FEBRUARY) == {"q": 1, "r": 1}
    assert driver.purged_until([state.id for state in found.values()]) == {found["p"].id: FEBRUARY}


def test_another_driver_says_that_it_cannot(conf, database) -> None:
    driver = ledger(conf, database)
    with pytest.raises(StorageError, match="cannot purge"):
        Storage.purge(driver, FEBRUARY, UTC)
    assert Storage.purged_until(driver, [1]) == {}
