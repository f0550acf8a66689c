# SPDX-License-Identifier: Apache-2.0
"""Unpriced usage in the ledger of every database, against looking at every point of it."""

from collections import Counter
from decimal import Decimal

import pytest
from oslo_config import cfg

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.rating import unpriced
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rating.state import ModuleStates
from cloudkitty.rating.unpriced import Tally
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests import builders
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour

HOURS = 8

LARGE_FROM, LARGE_UNTIL = 2, 5
"""The hours in which there is a price for large."""


class Site:
    """A ledger of eight hours in which two projects run instances of three flavors, and use disks
    of which no rule knows; priced while it was written."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        self.database = database
        self.storage = SqlAlchemyStorage(conf, database, Registry())
        self.pipeline = Pipeline(conf, database)
        self.store = HashmapStore(database)
        service = self.store.create_service("instance")
        self.flavor = self.store.create_field(service.service_id, "flavor").field_id
        self.map("small", "0.5")
        self.map("free", "0")
        start, end = NEW_YEAR + LARGE_FROM * HOUR, NEW_YEAR + LARGE_UNTIL * HOUR
        self.map("large", "2", start=start, end=end)
        ModuleStates(database).set("hashmap", enabled=True)
        registry = Registry()
        for number in range(HOURS):
            states = builders.states(database, "p", "q")
            frames = {
                state: self.pipeline.rate(self.usage(number, name, registry), name)
                for name, state in states.items()
            }
            assert not self.storage.replace(hour(number), frames)

    def map(self, value: str, cost: str, **more: object) -> None:
        more = {"start": NEW_YEAR, **more}
        new = NewMapping(field_id=self.flavor, value=value, cost=Decimal(cost), **more)
        self.store.create_mapping(new, now=NEW_YEAR, user="test", force=True)

    def usage(self, number: int, name: str, registry: Registry) -> DataFrame:
        points = [
            ("instance", {"id": f"{name}-{flavor}", "flavor": flavor}, 1, 0)
            for flavor in ("small", "free", "large", "tiny")
        ]
        if name == "q":
            points.append(("disk", {"id": "q-disk"}, number // 3, 0))
            points.append(("instance", {"id": "q-nameless"}, 2, 0))
        return builders.frame(hour(number), points, registry)

    def tally(self, query: Query, **more: bool) -> Tally:
        self.pipeline.refresh()
        fields = self.pipeline.fields(query.begin)
        with self.storage.free(query) as runs:
            return unpriced.tally(runs, self.pipeline.matcher, fields, **more)


@pytest.fixture
def site(conf: cfg.ConfigOpts, database: Database) -> Site:
    return Site(conf, database)


def rows(found: Tally) -> dict[tuple[str, str, str], tuple[int, Decimal, int]]:
    return {(r.metric, r.field, r.value): (r.points, r.qty, len(r.scopes)) for r in found.rows}


def test_a_day(site: Site) -> None:
    found = site.tally(Query(NEW_YEAR, NEW_YEAR + 24 * HOUR))
    assert rows(found) == {
        # 0, 0, 0, 1, 1, 1, 2, 2
        ("disk", "", ""): (8, Decimal(7), 1),
        ("instance", "flavor", ""): (8, Decimal(16), 1),
        ("instance", "flavor", "large"): (10, Decimal(10), 2),
        ("instance", "flavor", "tiny"): (16, Decimal(16), 2),
    }
    assert found.points == {"disk": 8, "instance": 34}
    large = next(row for row in found.rows if row.value == "large")
    assert (large.begin, large.end) == (NEW_YEAR, NEW_YEAR + HOURS * HOUR)


def test_a_window_and_a_scope(site: Site) -> None:
    query = Query(hour(4).begin, hour(6).begin, scopes=["p"], metrics=["instance"])
    found = site.tally(query, by_scope=True)
    assert [(r.scope_id, r.value, r.points) for r in found.rows] == [
        ("p", "large", 1),
        ("p", "tiny", 2),
    ]


def test_every_point_is_looked_at_one_by_one(site: Site) -> None:
    query = Query(hour(1).begin, hour(7).begin)
    naive: Counter[tuple[str, str]] = Counter()
    for one in site.storage.retrieve(query, limit=None).frames:
        number = (one.frame.period.begin - NEW_YEAR) // HOUR
        for point in one.frame:
            flavor = str(point.desc.get("flavor", ""))
            priced = flavor in ("small", "free") or (
                flavor == "large" and LARGE_FROM <= number < LARGE_UNTIL
            )
            assert bool(point.price) == (priced and flavor != "free")
            naive[point.metric, flavor] += not priced
    found = site.tally(query)
    assert {(r.metric, r.value): r.points for r in found.rows} == {
        key: count for key, count in naive.items() if count
    }


def test_a_frame_that_has_just_been_rated_counts_alike(site: Site) -> None:
    counted: Counter[str] = Counter()
    for number in range(HOURS):
        for name in ("p", "q"):
            frame = site.pipeline.rate(site.usage(number, name, Registry()), name)
            counted += site.pipeline.unmatched(frame, name)
    assert counted == site.tally(Query(NEW_YEAR, NEW_YEAR + 24 * HOUR)).points


def test_a_module_that_is_disabled_prices_nothing(site: Site) -> None:
    ModuleStates(site.database).set("hashmap", enabled=False)
    found = site.tally(Query(NEW_YEAR, NEW_YEAR + 24 * HOUR))
    # Those that have a price keep it: 16 small ones, and large ones in six hours of two scopes.
    assert found.points == {"disk": 8, "instance": 5 * 8 + 4 * 8 - 16 - 6 - 8 + 8}


def test_points_sent_to_the_api_are_their_senders(site: Site) -> None:
    [key] = ScopeStore(site.database).posted(["p"], "project_id", NEW_YEAR).values()
    sent = builders.frame(hour(0), [("gift", {"id": "x"}, 1, 0)])
    site.storage.put({key: [sent]})
    assert "gift" not in site.tally(Query(NEW_YEAR, NEW_YEAR + 24 * HOUR)).points
