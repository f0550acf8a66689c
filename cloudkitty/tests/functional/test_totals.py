# SPDX-License-Identifier: Apache-2.0
"""Totals by scope and metric are those of the points, wherever a window cuts, on every database."""

import contextlib
import datetime
import itertools
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudkitty import money, period
from cloudkitty.db.engine import Database
from cloudkitty.period import Period
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy import gathering
from cloudkitty.tests.builders import NEW_YEAR, frame, hour, states
from cloudkitty.tests.functional.test_ledger import ledger

EXAMPLES = itertools.count()

SECOND = datetime.timedelta(seconds=1)

STEPS = (7, 3600, 86_400, 2_678_400)

AMOUNTS = ("0", "1", "1", "-0.5", "9" * 40, f"0.{'0' * 79}1", f"-{'9' * 40}", f"0.{'3' * 80}")

GROUPS = ([], ["type"], ["scope"], ["scope", "type"], ["type", "scope"])


class Used(NamedTuple):
    """Consecutive points: number of the scope, metric, id, length, first, how many, amounts."""

    scope: int
    metric: str
    id: int
    step: int
    first: int
    number: int
    qty: str
    price: str


used = st.lists(
    st.builds(
        Used,
        st.integers(0, 1),
        st.sampled_from(["instance", "volume with a space"]),
        st.integers(0, 10**6),
        st.sampled_from(STEPS),
        st.integers(-2, 2),
        st.integers(1, 3),
        st.sampled_from(AMOUNTS),
        st.sampled_from(AMOUNTS),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda item: item.id,
)
instants = st.builds(
    lambda step, number, shift: step * number + shift,
    st.sampled_from(STEPS),
    st.integers(-2, 5),
    st.integers(-1, 1),
)


class Filled:
    """A ledger with points of many lengths, and the same points as a list."""

    def __init__(self, conf: Any, database: Database, many: list[Used]) -> None:
        self.driver = ledger(conf, database)
        prefix = f"totals-{next(EXAMPLES)}-"
        self.names = [f"{prefix}{number}" for number in range(2)]
        self.points: list[tuple[int, str, str, Fraction, Fraction]] = []
        found = states(database, *self.names)
        for item in many:
            frames = []
            for number in range(item.first, item.first + item.number):
                begin = NEW_YEAR + number * item.step * SECOND
                stretch = Period(begin, begin + item.step * SECOND)
                frames.append(
                    frame(stretch, [(item.metric, {"id": item.id}, item.qty, item.price)])
                )
                amounts = Fraction(item.qty), Fraction(item.price)
                name = self.names[item.scope]
                self.points.append((number * item.step, name, item.metric, *amounts))
            self.driver.put({found[self.names[item.scope]].id: frames})

    def expected(self, begin: int, end: int, groupby: list[str]) -> dict[Any, list[Any]]:
        sums: dict[Any, list[Any]] = defaultdict(lambda: [0, 0, 0])
        for instant, name, metric, qty, price in self.points:
            if begin <= instant < end:
                values = {"scope": name, "type": metric}
                group = tuple(values[word] for word in groupby)
                for place, amount in enumerate((1, qty, price)):
                    sums[group][place] += amount
        return dict(sums)

    def found(self, begin: int, end: int, groupby: list[str]) -> dict[Any, list[Any]]:
        first, last = NEW_YEAR + begin * SECOND, NEW_YEAR + end * SECOND
        rows = self.driver.total(Query(first, last, scopes=self.names), groupby).rows
        assert all((row.begin, row.end) == (first, last) for row in rows)
        return {row.group: [row.points, Fraction(row.qty), Fraction(row.price)] for row in rows}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(many=used, window=st.tuples(instants, instants), groupby=st.sampled_from(GROUPS))
def test_a_total_is_the_sum_of_the_points(conf, database, many, window, groupby) -> None:
    filled = Filled(conf, database, many)
    begin, end = sorted(window)
    assert filled.found(begin, end, groupby) == filled.expected(begin, end, groupby)


def hours(conf, database, name: str, first: int, contents: list[Any]) -> None:
    """Rate consecutive hours of a scope."""
    driver = ledger(conf, database)
    for number, content in enumerate(contents, first):
        state = states(database, name)[name]
        assert not driver.replace(hour(number), {state: frame(hour(number), content)})


def test_runs_without_an_end_count_up_to_their_scopes_horizon(conf, database) -> None:
    content = [("m", {"id": number}, 1, "0.1") for number in range(3)]
    hours(conf, database, "gone", 0, [content] * 2)
    hours(conf, database, "here", 0, [content] * 6)
    driver = ledger(conf, database)

    def points(first: int, last: int) -> dict[str, int]:
        query = Query(hour(first).begin, hour(last).begin)
        return {row.group[0]: row.points for row in driver.total(query, ["scope"]).rows}

    assert points(0, 9) == {"gone": 6, "here": 18}
    assert points(1, 4) == {"gone": 3, "here": 9}
    assert points(2, 4) == {"here": 6}
    assert points(6, 9) == {}


def test_all_time_is_a_window(conf, database) -> None:
    hours(conf, database, "p", 0, [[("m", {"id": 1}, 1, "0.1")]] * 3)
    always = Query(period.from_epoch(-62135596800), period.from_epoch(253402300799))
    [row] = ledger(conf, database).total(always, ["type"]).rows
    assert (row.group, row.points, money.text(row.price)) == (("m",), 3, "0.3")


@pytest.mark.parametrize("few", [0, 1000])
def test_both_ways_to_read_a_window_of_a_long_ledger(conf, database, monkeypatch, few) -> None:
    monkeypatch.setattr(gathering, "FEW", few)
    content = [[("m", {"id": 1}, 1, number), ("n", {"id": 1}, 2, 1)] for number in range(12)]
    hours(conf, database, "p", 0, content)
    hours(conf, database, "q", 0, content[:9])
    query = Query(hour(8).begin, hour(11).begin)
    rows = ledger(conf, database).total(query, ["scope", "type"]).rows
    assert [(row.group, row.points, row.qty, row.price) for row in rows] == [
        (("p", "m"), 3, 3, 8 + 9 + 10),
        (("p", "n"), 3, 6, 3),
        (("q", "m"), 1, 1, 8),
        (("q", "n"), 1, 2, 1),
    ]


def test_a_server_that_cuts_texts_short_is_not_believed(conf, database, monkeypatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST", "8")
    content = [("m", {"id": number}, number, "0.3333333333") for number in range(4)]
    hours(conf, database, "p", 0, [content] * 3)
    [row] = ledger(conf, database).total(Query(hour(0).begin, hour(9).begin), ["type"]).rows
    assert (row.group, row.points, row.qty) == (("m",), 12, 18)
    assert row.price == Decimal("3.9999999996")


def test_the_text_of_a_server_that_cuts_is_short(conf, database, monkeypatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST", "8")
    hours(conf, database, "p", 0, [[("m", {"id": 1}, 1, "0.3333333333")]])
    begin, end = (period.epoch(hour(number).begin) for number in (0, 1))
    cuts = database.dialect == "mysql"
    with (
        database.reader() as connection,
        pytest.raises(gathering.Cut) if cuts else contextlib.nullcontext(),
    ):
        [found] = gathering.read(connection, lambda statement: statement, begin, end, [])
        assert found[1:] == ("m", 1, 1, Decimal("0.3333333333"))
