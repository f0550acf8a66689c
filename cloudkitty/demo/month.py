# SPDX-License-Identifier: Apache-2.0
"""Rates the month of the demo: schema, price list, and the processor as in any other cloud.

Invariant: the clock stands half an hour after the month, whenever the demo runs.
"""

import datetime

from oslo_config import cfg

from cloudkitty import period
from cloudkitty.collector import catalogue
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.demo import bill, pricelist
from cloudkitty.processor import build, once
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage import factory

MONTH = period.current_month(datetime.datetime(2026, 1, 1, tzinfo=period.UTC))

_NOW = MONTH.end + datetime.timedelta(minutes=30)


class MonthNotRated(Exception):
    """Not every period could be rated; the log above the message says why."""


def prepare(conf: cfg.ConfigOpts) -> int:
    """Make the schema, enter the price list and enable hashmap; return the number of rules."""
    database = Database(conf)
    try:
        migration.upgrade(database)
        rules = pricelist.enter(HashmapStore(database), start=MONTH.begin, now=_NOW)
        ModuleStates(database).set("hashmap", enabled=True)
    finally:
        database.dispose()
    return rules


def rate(conf: cfg.ConfigOpts) -> once.Summary:
    """Rate all periods of the month.

    :raises MonthNotRated: some scope has failed.
    """
    processor = build.build(conf, clock=lambda: _NOW)
    try:
        summary = once.rate_all(processor)
    finally:
        processor.close()
    if summary.failed:
        failed = ", ".join(sorted(state.scope.identifier for state in summary.failed))
        raise MonthNotRated(f"these projects could not be rated: {failed}")
    return summary


def read_bill(conf: cfg.ConfigOpts) -> bill.Bill:
    """Return the bill of the month from the ledger.

    :raises SchemaError: the ledger is of another release.
    """
    units = {definition.service: definition.unit for definition in catalogue.metrics_file(conf)}
    database = Database(conf)
    try:
        migration.require_head(database)
        storage = factory.build(conf, database, Registry())
        return bill.read(storage, MONTH, conf.collect.scope_key, units)
    finally:
        database.dispose()
