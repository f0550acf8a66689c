# SPDX-License-Identifier: Apache-2.0
"""Points that others have rated: whatever comes in whatever order, each replaces itself, runs stay
as few as they can be, and what is sent costs no more when much has been sent before."""

import contextlib
import datetime
import itertools
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudkitty import period
from cloudkitty.api.v2 import posted
from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import Period
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy import models, runs, statements
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests.builders import NEW_YEAR, frame, hour

EXAMPLES = itertools.count()


class Site:
    """A ledger into which points are sent."""

    def __init__(self, conf, database: Database) -> None:
        self.database = database
        self.storage = SqlAlchemyStorage(conf, database, Registry())
        self._scopes = ScopeStore(database)

    def keep(self, *frames: DataFrame) -> None:
        posted.keep(frames, "project_id", self.storage, self._scopes, NEW_YEAR)

    def points(self, projects: list[str]) -> dict[tuple[str, str, Period], tuple[Decimal, Decimal]]:
        """Return quantity and price by project, id and period."""
        found = {}
        window = Query(hour(-10).begin, hour(1000).begin, scopes=projects)
        for scope, of_period in self.storage.retrieve(window, limit=None).frames:
            for point in of_period:
                key = scope.identifier, str(point.groupby["id"]), of_period.period
                assert key not in found
                found[key] = point.qty, point.price
        return found

    def runs(self) -> dict[int, list[runs.Run]]:
        """Return the runs as they are stored, by the key of their series."""
        found = defaultdict(list)
        with self.database.reader() as connection:
            for key, begin, step, end, qty, price in connection.execute(sa.select(models.runs)):
                found[key].append(runs.Run(begin, end, step, qty, price))
        return found

    @contextlib.contextmanager
    def sent(self) -> Iterator[list[str]]:
        """Yield the list to which the statements that are sent are added."""
        sent: list[str] = []

        def note(_connection, _cursor, statement, *_more) -> None:
            sent.append(statement)

        sa.event.listen(self.database.engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            sa.event.remove(self.database.engine, "before_cursor_execute", note)


def usage(stretch: Period, projects: int, each: int, price: object = 1) -> DataFrame:
    """Return a frame of so many projects with so many points each."""
    points = [
        ("m", {"id": str(number), "project_id": f"p{project}"}, 1, price)
        for project in range(projects)
        for number in range(each)
    ]
    return frame(stretch, points)


stretches = st.builds(
    lambda minutes, length: Period(
        NEW_YEAR + datetime.timedelta(minutes=minutes),
        NEW_YEAR + datetime.timedelta(minutes=minutes + length),
    ),
    st.integers(0, 10).map(lambda number: 30 * number) | st.just(20),
    # On one grid or on two, of one length or of two.
    st.sampled_from([60, 60, 60, 30]),
)
frames = st.tuples(
    stretches,
    st.dictionaries(
        st.tuples(st.integers(0, 1), st.sampled_from("ab")), st.integers(1, 2), max_size=4
    ),
)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=st.lists(st.lists(frames, min_size=1, max_size=5), min_size=1, max_size=8))
def test_each_point_is_there_as_it_was_sent_last(conf, database, story) -> None:
    site, prefix = Site(conf, database), f"story-{next(EXAMPLES)}-"
    expected: dict[tuple[str, str, Period], tuple[int, int]] = {}
    for request in story:
        # Points of one series in one period that come together are added up.
        brought: dict[tuple[str, str, Period], tuple[int, int]] = {}
        for stretch, content in request:
            for (project, name), price in content.items():
                key = f"{prefix}{project}", name, stretch
                qty, sum_of_prices = brought.get(key, (0, 0))
                brought[key] = qty + 1, sum_of_prices + price
        site.keep(
            *(
                frame(
                    stretch,
                    [
                        ("m", {"id": name, "project_id": f"{prefix}{project}"}, 1, price)
                        for (project, name), price in content.items()
                    ],
                )
                for stretch, content in request
            )
        )
        expected |= brought
    assert site.points([f"{prefix}{project}" for project in range(2)]) == expected
    for stored in site.runs().values():
        # As few runs as there can be.
        assert runs.merge(stored) == sorted(stored, key=lambda run: (run.begin, run.step))


def test_a_steady_price_is_one_run(conf, database) -> None:
    site = Site(conf, database)
    for number in range(6):
        site.keep(usage(hour(number), 3, 4))
    assert [len(stored) for stored in site.runs().values()] == [1] * 12
    site.keep(usage(hour(2), 3, 4, price=2))
    assert [len(stored) for stored in site.runs().values()] == [3] * 12
    site.keep(usage(hour(2), 3, 4))
    assert [len(stored) for stored in site.runs().values()] == [1] * 12


def test_a_series_is_of_its_scope(conf, database) -> None:
    """The same attributes in very many scopes are as many series, each with a key of its own."""
    site = Site(conf, database)
    points = {f"p{number}": [("m", {"id": "same"}, number, 1)] for number in range(130)}
    keys = ScopeStore(database).posted(list(points), "project_id", NEW_YEAR)
    for number in range(2):
        site.storage.put({keys[p]: [frame(hour(number), of)] for p, of in points.items()})
    assert len(site.runs()) == 130
    found = site.points(list(points))
    assert {(project, qty) for (project, *_more), (qty, _price) in found.items()} == {
        (f"p{number}", number) for number in range(130)
    }


def test_the_number_of_statements_grows_with_nothing(conf, database) -> None:
    site = Site(conf, database)

    def needed(number: int, projects: int, each: int, price: int) -> int:
        with site.sent() as sent:
            site.keep(usage(hour(number), projects, each, price))
        return len(sent)

    # The first makes scopes and reserves keys.
    needed(0, 20, 30, 1)
    few = needed(1, 2, 1, 1), needed(2, 2, 1, 2)
    for number in range(3, 9):
        site.keep(usage(hour(number), 20, 30, number))
    assert (needed(9, 20, 30, 8), needed(10, 20, 30, 2)) == few


def test_what_was_sent_for_other_times_is_not_read(conf, database) -> None:
    site = Site(conf, database)
    for number in range(12):
        site.keep(usage(hour(number), 1, 1, number))
    [(key, stored)] = site.runs().items()
    points = {key: [runs.Run(*_span(5), 3600, Decimal(1), Decimal(1))]}
    with database.reader() as connection:
        found = statements.runs_around(connection, points)[key]
    assert sorted(found) == sorted(stored)[4:7]


def _span(number: int) -> tuple[int, int]:
    return period.epoch(hour(number).begin), period.epoch(hour(number).end)
