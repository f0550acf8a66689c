# SPDX-License-Identifier: Apache-2.0
"""Prices change, or the source fails, in the middle of a period."""

import datetime
from collections import defaultdict
from decimal import Decimal

import pytest

from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.collector.csv import CsvCollector
from cloudkitty.db.engine import Database
from cloudkitty.rating.hashmap.records import MappingFilter
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.child import Inside
from cloudkitty.tests.functional.faults.conftest import Trial, rated_alone
from cloudkitty.tests.functional.faults.site import HOURS, Key, Ledger

MOMENTS = ("after collecting", "after rating", "after the commit")
"""Outside of transactions: on SQLite nobody else could change prices during one."""

BATCH = 9
"""The first batch of the fifth hour, in which a scope has two small instances."""

BEFORE = NEW_YEAR - datetime.timedelta(days=30)
"""When no mapping had begun, and each could be changed."""


def make_small_dearer(database: Database) -> None:
    store = HashmapStore(database)
    [small] = [
        mapping
        for mapping in store.list_mappings(MappingFilter(), now=BEFORE)
        if mapping.value == "small" and mapping.tenant_id is None
    ]
    store.update_mapping(small.mapping_id, {"cost": Decimal("0.5")}, now=BEFORE, user="test")


@pytest.fixture(scope="session")
def dearer(sqlite_server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """What a ledger comes to whose small instances were dear from the beginning."""
    directory = tmp_path_factory.mktemp("dearer")
    return rated_alone(sqlite_server, directory, lambda site: make_small_dearer(site.database))


def by_period(ledger: Ledger) -> dict[tuple[str, str], Ledger]:
    """The points of each period of each scope."""
    periods: dict[tuple[str, str], dict] = defaultdict(dict)
    for key, amounts in ledger.items():
        periods[key[:2]][key] = amounts
    return dict(periods)


@pytest.mark.parametrize("point", MOMENTS, ids=lambda point: point.replace(" ", "_"))
def test_a_period_has_one_rule_set(
    trial: Trial, undisturbed: Ledger, dearer: Ledger, point: str
) -> None:
    site = trial.site
    with site.worker(lambda inside: points.at(point, inside.hold, BATCH)) as worker:
        worker.await_point()
        make_small_dearer(site.database)
        worker.go()
        trial.over()
        site.await_end(worker)
        trial.recovered()
    found, old, new = map(by_period, (site.ledger(), undisturbed, dearer))
    assert sum(old[one] != new[one] for one in old) > HOURS
    right: dict[Key, tuple[str, str]] = {}
    for one in old:
        number = (datetime.datetime.fromisoformat(one[1]) - NEW_YEAR) // HOUR
        # The change fell into the fifth hour, which may have either price, but not both.
        is_new = number > 4 or (number == 4 and found.get(one) == new[one])
        right |= new[one] if is_new else old[one]
    trial.tell("prices changed in a period", site.compare(right))


def test_a_source_answers_every_other_time(trial: Trial) -> None:
    site = trial.site
    failures = {
        1: CollectError("the answer flaps"),
        4: SourceUnavailable("the source flaps"),
        8: ZeroDivisionError("the collector flaps"),
    }

    def prepare(_inside: Inside) -> None:
        asked: set = set()
        fetch = CsvCollector.fetch

        def flap(self, metric, period, scopes):
            question = metric.name, period, tuple(scopes)
            number = (period.begin - NEW_YEAR) // HOUR
            if question not in asked and number in failures:
                asked.add(question)
                raise failures[number]
            return fetch(self, metric, period, scopes)

        CsvCollector.fetch = flap

    with site.worker(prepare) as worker:
        trial.recovers("source answers every other time", worker)
    complaints = site.complaints()
    assert len(complaints) >= len(failures)
    assert len(set(complaints)) == len(complaints)
    assert all("flaps" in one for one in complaints)
