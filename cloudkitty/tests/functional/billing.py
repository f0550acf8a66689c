# SPDX-License-Identifier: Apache-2.0
"""A rating service that is set up for a few hours of one day in a source: the commands that an
operator runs, from the empty database to the sums of the ledger."""

import datetime
import pathlib
from collections.abc import Mapping, Sequence
from decimal import Decimal

from cloudkitty import config as configuration
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.processor import build
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage import factory
from cloudkitty.storage.base import GROUP_SCOPE, GROUP_TYPE, Query
from cloudkitty.tests.builders import HOUR
from cloudkitty.tests.functional import commands

Bill = dict[tuple[str, str], tuple[Decimal, Decimal]]
"""Quantity and price by project and metric."""


def worked_out(bill: Mapping[str, Mapping[str, tuple[str, str]]]) -> Bill:
    """Sums that are written down as text, by project and then by metric."""
    return {
        (project, metric): (Decimal(qty), Decimal(price))
        for project, metrics in bill.items()
        for metric, (qty, price) in metrics.items()
    }


class Service:
    """A rating service; nothing costs anything until ``price`` is told to."""

    def __init__(
        self,
        directory: pathlib.Path,
        day: datetime.datetime,
        hours: int,
        projects: Sequence[str],
        *sections: commands.Sections,
    ) -> None:
        """*sections* say which collector asks what; *projects* have usage in the first *hours* of
        the *day*, and none later."""
        self._window = Query(day, day + hours * HOUR)
        common: commands.Sections = {
            "DEFAULT": {"auth_strategy": "noauth", "state_path": directory},
            "fetcher": {"backend": "source"},
            "fetcher_source": {"sources": ",".join(projects)},
            "collect": {
                "first_period": day.isoformat(),
                # Later periods need not be rated.
                "wait_periods": (build.utcnow() - day) // HOUR - hours + 1,
                # The last period has just become due, and some of the usage has ended.
                "late_data_grace": 0,
            },
        }
        path = directory / "cloudkitty.conf"
        self.config = commands.write_configuration(path, common, *sections)
        assert commands.run_warm("dbsync", self.config, "upgrade") == (0, "", "")
        self._conf = configuration.load([], config_files=[str(self.config)])
        self.database = Database(self._conf)
        self.store = HashmapStore(self.database)
        ModuleStates(self.database).set("hashmap", enabled=True, priority=1)

    def mapping(self, cost: str, **place: str | None) -> None:
        """Have a price since the begin of the day."""
        new = NewMapping(start=self._window.begin, cost=Decimal(cost), **place)
        self.store.create_mapping(new, now=self._window.begin, user="test", force=True)

    def service(self, name: str) -> str:
        return self.store.create_service(name).service_id

    def field(self, service: str, name: str) -> str:
        """A new field of a new service."""
        return self.store.create_field(self.service(service), name).field_id

    def price(self, costs: Mapping[str, str]) -> None:
        """Have prices of metrics, whatever their attributes."""
        for name, cost in costs.items():
            self.mapping(cost, service_id=self.service(name))

    def rate(self) -> commands.Done:
        return commands.run_warm("processor", self.config, "--once")

    def ledger(self) -> Bill:
        """The sums in the storage."""
        store = factory.build(self._conf, self.database, Registry())
        return {
            (str(row.group[0]), str(row.group[1])): (row.qty, row.price)
            for row in store.total(self._window, [GROUP_SCOPE, GROUP_TYPE]).rows
        }

    def close(self) -> None:
        self.database.dispose()
