# SPDX-License-Identifier: Apache-2.0
"""The ledger gives the answers that one row a point would give, on every database."""

import itertools
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudkitty import money, period
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import Period
from cloudkitty.storage.base import Query, StorageError, Stretch
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests.builders import HOUR, NEW_YEAR, frame, hour, states

EXAMPLES = itertools.count()


def ledger(conf, database: Database) -> SqlAlchemyStorage:
    """A driver as a new process has it: it remembers nothing."""
    return SqlAlchemyStorage(conf, database, Registry())


SERIES = [
    ("instance", {"id": "a", "user": "u1", "meta_flavor": "small"}),
    ("instance", {"id": "a", "user": "u1", "meta_flavor": "large"}),
    ("instance", {"id": "b", "user": "u2", "meta_flavor": "small"}),
    ("volume", {"id": "v"}),
    ("volume", {"id": "v", "user": 1}),
    ("volume", {"id": "v", "user": True}),
]

amounts = st.sampled_from(
    ["0", "1", "0.1", "0.3333333333333333333333333333", "12345678901234567890"]
)
contents = st.dictionaries(st.integers(0, len(SERIES) - 1), st.tuples(amounts, amounts), max_size=6)
scope_numbers = st.integers(0, 2)
metrics = st.sampled_from(["instance", "volume"])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.lists(st.tuples(scope_numbers, contents), max_size=3)),
        st.tuples(st.just("repeat"), scope_numbers, st.integers(1, 4)),
        st.tuples(st.just("reprocess"), scope_numbers, st.integers(0, 8), contents),
        st.tuples(st.just("delete"), scope_numbers, st.integers(0, 8), st.integers(1, 4)),
        st.tuples(
            st.just("delete metric"), st.sampled_from(["instance", "volume"]), st.integers(0, 8)
        ),
        st.tuples(
            st.just("rewrite"), scope_numbers, st.integers(0, 8), st.lists(contents, max_size=4)
        ),
        st.tuples(st.just("rewind"), scope_numbers, st.integers(0, 8)),
        st.tuples(st.just("put"), scope_numbers, st.integers(0, 8), contents),
        st.tuples(st.just("deactivate"), scope_numbers),
        st.tuples(st.just("restart")),
        st.tuples(st.just("other process")),
    ),
    min_size=1,
    max_size=14,
)


class Naive:
    """The same ledger as one row a point."""

    def __init__(self, names: list[str]) -> None:
        self.rows: dict[tuple[str, int], dict[int, tuple[Decimal, Decimal]]] = defaultdict(dict)
        self.horizons = dict.fromkeys(names, 0)
        # Points that were put, which the processor's scopes never touch.
        self.put: dict[tuple[str, int], dict[int, tuple[Decimal, Decimal]]] = defaultdict(dict)

    def replace(self, name: str, number: int, content) -> None:
        self.rows[name, number] = {k: (Decimal(q), Decimal(p)) for k, (q, p) in content.items()}
        self.horizons[name] = max(self.horizons[name], number + 1)

    def points(self):
        """(hour, scope, series number, qty, price) of every row."""
        return [
            (number, name, key, *amounts)
            for rows in (self.rows, self.put)
            for (name, number), content in rows.items()
            for key, amounts in content.items()
        ]


class Story:
    """Plays operations on the ledger and on the naive model."""

    def __init__(self, conf, database: Database) -> None:
        self.conf, self.database = conf, database
        number = next(EXAMPLES)
        # What a process may remember changes its work and never the ledger.
        conf.set_override("cached_series", (1000, 3, 0)[number % 3], "orchestrator")
        prefix = f"scope-{number}-"
        self.names = [prefix + str(n) for n in range(3)]
        states(database, *self.names)
        self.put_names = [f"{prefix}put-{n}" for n in range(3)]
        states(database, *self.put_names)
        self.naive = Naive(self.names)
        self.drivers = [ledger(conf, database), ledger(conf, database)]

    def frame_of(self, number: int, content):
        points = [(*SERIES[key], qty, price) for key, (qty, price) in content.items()]
        return frame(hour(number), points)

    def play(self, operation) -> None:
        name, *arguments = operation
        getattr(self, name.replace(" ", "_"))(*arguments)

    def advance(self, chosen) -> None:
        for number in {self.naive.horizons[self.names[n]] for n, _content in chosen}:
            found = states(self.database, *self.names)
            batch = {
                self.names[n]: content
                for n, content in chosen
                if self.naive.horizons[self.names[n]] == number
            }
            frames = {found[n]: self.frame_of(number, content) for n, content in batch.items()}
            assert self.drivers[0].replace(hour(number), frames) == []
            for scope_name, content in batch.items():
                self.naive.replace(scope_name, number, content)

    def repeat(self, n: int, times: int) -> None:
        name = self.names[n]
        last = self.naive.rows.get((name, self.naive.horizons[name] - 1), {})
        for _ in range(times):
            self.advance([(n, {k: (money.text(q), money.text(p)) for k, (q, p) in last.items()})])

    def reprocess(self, n: int, number: int, content) -> None:
        name = self.names[n]
        if number >= self.naive.horizons[name]:
            return
        state = states(self.database, name)[name]
        assert self.drivers[0].replace(hour(number), {state: self.frame_of(number, content)}) == []
        self.naive.replace(name, number, content)

    def delete(self, n: int, first: int, length: int) -> None:
        query = Query(hour(first).begin, hour(first + length).begin, scopes=[self.names[n]])
        self.drivers[0].delete(query)
        for number in range(first, first + length):
            self.naive.rows.pop((self.names[n], number), None)

    def delete_metric(self, metric: str, first: int) -> None:
        query = Query(hour(first).begin, hour(first + 2).begin, scopes=self.names, metrics=[metric])
        self.drivers[0].delete(query)
        for name, number in list(self.naive.rows):
            if first <= number < first + 2:
                rows = self.naive.rows[name, number]
                self.naive.rows[name, number] = {
                    k: v for k, v in rows.items() if SERIES[k][0] != metric
                }

    def rewrite(self, n: int, first: int, contents) -> None:
        name = self.names[n]
        last = first + len(contents)
        if not contents or last > self.naive.horizons[name]:
            return
        stretches = [
            Stretch(self.frame_of(first + place, content), periods)
            for place, content, periods in compressed(contents)
        ]
        window = Period(hour(first).begin, hour(last).begin)
        assert self.drivers[0].rewrite(window, {states(self.database, name)[name]: stretches}) == []
        for place, content in enumerate(contents):
            self.naive.replace(name, first + place, content)

    def rewind(self, n: int, number: int) -> None:
        name = self.names[n]
        if not self.naive.horizons[name]:
            return
        state = states(self.database, name)[name]
        assert self.drivers[0].rewind(state, hour(number).begin)
        for scope_name, at in list(self.naive.rows):
            if scope_name == name and at >= number:
                del self.naive.rows[scope_name, at]
        self.naive.horizons[name] = number

    def put(self, n: int, number: int, content) -> None:
        name = self.put_names[n]
        state = states(self.database, name)[name]
        self.drivers[0].put({state.id: [self.frame_of(number, content)]})
        self.naive.put[name, number] |= {
            k: (Decimal(q), Decimal(p)) for k, (q, p) in content.items()
        }

    def deactivate(self, n: int) -> None:
        state = states(self.database, self.names[n])[self.names[n]]
        ScopeStore(self.database).set_active(state, not state.active, NEW_YEAR)

    def restart(self) -> None:
        self.drivers[0] = ledger(self.conf, self.database)

    def other_process(self) -> None:
        self.drivers.reverse()

    # -- what must hold ----------------------------------------------------------------------

    def check(self) -> None:
        self.check_points()
        self.check_stretches()
        for groupby in (
            [],
            ["type"],
            ["scope"],
            ["user", "type"],
            ["type", "month", "day_of_the_year"],
            ["time", "scope"],
        ):
            self.check_totals(groupby)
        self.check_runs_are_canonical()

    def query(self, **more) -> Query:
        names = [*self.names, *self.put_names]
        return Query(hour(-5).begin, hour(100).begin, scopes=names, **more)

    def check_stretches(self) -> None:
        """Every stretch stands for its points, period by period."""
        for name, state in states(self.database, *self.names).items():
            found = {}
            window = Period(hour(1).begin, hour(100).begin)
            for first, periods in self.drivers[0].stretches(state, window):
                number = (first.period.begin - NEW_YEAR) // HOUR
                content = sorted((p.metric, described(p.desc), *p[1:]) for p in first)
                found |= dict.fromkeys(range(number, number + periods), content)
            expected = {
                number: sorted(
                    (SERIES[key][0], described(SERIES[key][1]), *amounts)
                    for key, amounts in content.items()
                )
                for (scope_name, number), content in self.naive.rows.items()
                if scope_name == name and content and number >= 1
            }
            assert found == expected

    def check_points(self) -> None:
        driver = self.drivers[0]
        expected = sorted(
            (number, name, SERIES[key][0], sorted(SERIES[key][1].items(), key=str), qty, price)
            for number, name, key, qty, price in self.naive.points()
        )
        walked = []
        for offset in range(0, len(expected) + 5, 5):
            page = driver.retrieve(self.query(), offset=offset, limit=5)
            assert page.total == len(expected)
            walked += page.frames
        everything = driver.retrieve(self.query(), limit=None).frames
        assert self.flat(walked) == self.flat(everything)
        seen = [
            (n, name, p.metric, sorted(p.desc.items(), key=str), p.qty, p.price)
            for n, name, p in self.flat(everything)
        ]
        assert [item[:3] for item in seen] == [item[:3] for item in expected]
        assert sorted(seen, key=str) == sorted(expected, key=str)

    @staticmethod
    def flat(frames):
        return [
            ((f.frame.period.begin - NEW_YEAR) // HOUR, f.scope.identifier, point)
            for f in frames
            for point in f.frame
        ]

    def check_totals(self, groupby) -> None:
        sums: dict[tuple, list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
        for number, name, key, qty, price in self.naive.points():
            attributes = SERIES[key][1]
            calendar = period.calendar_attributes(hour(number).begin)
            values = {"type": SERIES[key][0], "scope": name, **calendar}
            group = tuple(values.get(g, str(attributes.get(g, ""))) for g in groupby if g != "time")
            begin = hour(number).begin if "time" in groupby else None
            sums[begin, group][0] += Fraction(qty)
            sums[begin, group][1] += Fraction(price)
        rows = self.drivers[0].total(self.query(), groupby).rows
        found = {
            (row.begin if "time" in groupby else None, row.group): [
                Fraction(row.qty),
                Fraction(row.price),
            ]
            for row in rows
        }
        assert len(found) == len(rows)
        assert found == sums

    def check_runs_are_canonical(self) -> None:
        """No two runs could be one, and a run without an end reaches its scope's horizon."""
        table, owner = models.runs.c, models.series.c
        with self.database.reader() as connection:
            stored = connection.execute(
                sa.select(owner.scope_id, models.runs)
                .join_from(models.runs, models.series, table.series_id == owner.id)
                .order_by(table.series_id, table.begin)
            ).all()
        for before, after in itertools.pairwise(stored):
            if before.series_id == after.series_id:
                assert before.end <= after.begin
                assert before.end < after.begin or before[5:] != after[5:]


def described(attributes):
    return sorted((key, repr(value)) for key, value in attributes.items())


def compressed(contents):
    """(place, content, how often) of equal neighbours."""
    result = []
    for place, content in enumerate(contents):
        amounts = {k: (Decimal(q), Decimal(p)) for k, (q, p) in content.items()}
        if result and result[-1][3] == amounts:
            result[-1][2] += 1
        else:
            result.append([place, content, 1, amounts])
    return [item[:3] for item in result]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=operations)
def test_the_ledger_is_one_row_a_point(conf, database, story) -> None:
    played = Story(conf, database)
    for operation in story:
        played.play(operation)
    played.check()


def one(database, name="p"):
    return states(database, name)[name]


def test_an_unchanged_period_writes_no_run(conf, database) -> None:
    driver = ledger(conf, database)
    for number in range(10):
        driver.replace(hour(number), {one(database): frame(hour(number), [("m", {"id": 1}, 1, 2)])})
    with database.reader() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(models.runs)).scalar() == 1
    [row] = driver.total(Query(hour(0).begin, hour(10).begin)).rows
    assert (row.qty, row.price) == (10, 20)


def test_amounts_keep_every_digit(conf, database) -> None:
    driver = ledger(conf, database)
    huge = Decimal("98765432109876543210.1234567890123456789012345678")
    tiny = Decimal("0.0000000000000000000000000001")
    points = [("m", {"id": 1}, huge, tiny)]
    for number in range(3):
        driver.replace(hour(number), {one(database): frame(hour(number), points)})
    again = ledger(conf, database)
    [row] = again.total(Query(hour(0).begin, hour(3).begin)).rows
    assert money.text(row.qty) == "296296296329629629630.3703703670370370367037037034"
    assert money.text(row.price) == "0.0000000000000000000000000003"


def test_points_of_one_series_in_one_period_are_added_up(conf, database) -> None:
    driver = ledger(conf, database)
    points = [("m", {"id": 1}, 1, "0.5"), ("m", {"id": 1}, 2, "0.25")]
    driver.replace(hour(0), {one(database): frame(hour(0), points)})
    [found] = driver.retrieve(Query(hour(0).begin, hour(1).begin)).frames
    assert [(p.qty, p.price) for p in found.frame] == [(3, Decimal("0.75"))]


def test_a_worker_that_was_overtaken_writes_nothing(conf, database) -> None:
    first, second = ledger(conf, database), ledger(conf, database)
    seen = one(database)
    first.replace(hour(0), {seen: frame(hour(0), [("m", {"id": 1}, 1, 1)])})
    late = second.replace(hour(0), {seen: frame(hour(0), [("m", {"id": 1}, 9, 9)])})
    assert late == [seen]
    [row] = second.total(Query(hour(0).begin, hour(5).begin)).rows
    assert (row.qty, row.price) == (1, 1)


def test_writing_the_same_period_twice_changes_nothing(conf, database) -> None:
    driver = ledger(conf, database)
    content = frame(hour(0), [("m", {"id": 1}, 1, 1)])
    driver.replace(hour(0), {one(database): content})
    driver.replace(hour(0), {one(database): content})
    assert driver.retrieve(Query(hour(0).begin, hour(5).begin)).total == 1
    assert one(database).horizon == hour(0).end


def test_a_period_beyond_the_horizon_is_refused(conf, database) -> None:
    driver = ledger(conf, database)
    driver.replace(hour(0), {one(database): frame(hour(0), [])})
    with pytest.raises(StorageError, match="does not follow on the horizon"):
        driver.replace(hour(5), {one(database): frame(hour(5), [("m", {"id": 1}, 1, 1)])})
    assert one(database).horizon == hour(0).end


def test_filters_look_at_every_attribute_and_all_must_match(conf, database) -> None:
    driver = ledger(conf, database)
    points = [
        ("m", {"id": "a", "meta_flavor": "small"}, 1, 1),
        ("m", {"id": "b", "meta_flavor": "small"}, 2, 2),
        ("m", {"id": "b", "meta_flavor": "large"}, 4, 4),
    ]
    driver.replace(hour(0), {one(database): frame(hour(0), points)})

    def qty(**filters: list[str]) -> Decimal:
        query = Query(hour(0).begin, hour(1).begin, filters=filters)
        points = [p for f in driver.retrieve(query).frames for p in f.frame]
        assert sum(row.qty for row in driver.total(query).rows) == sum(p.qty for p in points)
        return sum((p.qty for p in points), Decimal(0))

    assert qty(id=["a"]) == 1
    assert qty(meta_flavor=["small"]) == 3
    assert qty(meta_flavor=["small", "large"], id=["b"]) == 6
    assert qty(meta_flavor=["small"], id=["b"]) == 2
    assert qty(nothing=["x"]) == 0


def test_scopes_with_data_are_those_of_the_window(conf, database) -> None:
    driver = ledger(conf, database)
    found = states(database, "p", "q")
    driver.replace(
        hour(0),
        {
            found["p"]: frame(hour(0), [("m", {"id": 1}, 1, 1)]),
            found["q"]: frame(hour(0), []),
        },
    )
    found = states(database, "p", "q")
    driver.replace(
        hour(1),
        {
            found["p"]: frame(hour(1), []),
            found["q"]: frame(hour(1), [("m", {"id": 1}, 1, 1)]),
        },
    )
    assert driver.scopes_with_data(hour(0).begin, hour(1).begin) == ["p"]
    assert driver.scopes_with_data(hour(1).begin, hour(2).begin) == ["q"]
    assert driver.scopes_with_data(hour(0).begin, hour(2).begin) == ["p", "q"]
    assert driver.scopes_with_data(hour(2).begin, hour(9).begin) == []


def test_equal_calendar_units_of_different_years_stay_apart(conf, database) -> None:
    driver = ledger(conf, database)
    content = [("m", {"id": 1}, 1, 1)]
    driver.replace(hour(-1), {one(database): frame(hour(-1), content)})
    driver.replace(hour(0), {one(database): frame(hour(0), content)})
    driver.replace(hour(1), {one(database): frame(hour(1), [])})
    query = Query(hour(-24 * 365).begin, hour(24 * 365).begin)
    rows = driver.total(query, ["year", "month"]).rows
    assert [row.group for row in rows] == [("2025", "12"), ("2026", "1")]
    apart = driver.total(query, ["type"]).rows
    assert [(row.begin, row.end) for row in apart] == [(query.begin, query.end)]


def test_the_number_of_statements_grows_with_neither_scopes_nor_points(conf, database) -> None:
    driver = ledger(conf, database)

    def statements(scopes: int, points: int, number: int) -> int:
        found = states(database, *[f"{scopes}-{n}" for n in range(scopes)])
        content = {}
        for name, state in found.items():
            series = [("m", {"id": n, "of": name}, number, 1) for n in range(points)]
            content[state] = frame(hour(number), series)
        executed: list[str] = []

        def note(_connection, _cursor, statement, *_more) -> None:
            executed.append(statement)

        sa.event.listen(database.engine, "before_cursor_execute", note)
        try:
            driver.replace(hour(number), content)
        finally:
            sa.event.remove(database.engine, "before_cursor_execute", note)
        return len(executed)

    statements(1, 1, 0)  # reserves keys
    few = [statements(2, 3, number) for number in range(3)]
    many = [statements(40, 20, number) for number in range(3)]
    assert many == few
