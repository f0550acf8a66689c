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
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.child import Inside
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.site import HOURS, Ledger, Verdict

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


def by_period(ledger: Ledger) -> dict[tuple[str, str], Ledger]:
    """The points of each period of each scope."""
    periods: dict[tuple[str, str], dict] = defaultdict(dict)
    for key, amounts in ledger.items():
        periods[key[:2]][key] = amounts
    return dict(periods)


@pytest.mark.parametrize("point", MOMENTS, ids=lambda point: point.replace(" ", "_"))
def test_a_period_has_one_rule_set(trial: Trial, undisturbed: Ledger, point: str) -> None:
    site = trial.site
    with site.worker(lambda inside: points.at(point, inside.hold, BATCH)) as worker:
        worker.await_point()
        make_small_dearer(site.database)
        worker.go()
        trial.over()
        site.await_end(worker)
        trial.recovered()
    found = by_period(site.ledger())
    site.database.dispose()
    cloud.wipe(site.database)
    with site.worker() as worker:
        site.await_end(worker)
    old, new = by_period(undisturbed), by_period(site.ledger())
    assert sum(old[one] != new[one] for one in old) > HOURS
    mixed = 0
    for one in old:
        number = (datetime.datetime.fromisoformat(one[1]) - NEW_YEAR) // HOUR
        # The change fell into the fifth hour.
        sets = [old[one]] * (number <= 4) + [new[one]] * (number >= 4)
        mixed += found[one] not in sets
    trial.tell(
        "prices changed in a period",
        Verdict(lost=len(old.keys() - found.keys()), doubled=0, different=mixed),
    )


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
